"""A published version in the form that another engine serves, proven on its golden images.

Each engine finds its versions below `<output>/<name>/<version>/`, as our own service does below `MNIST_MODEL_DIR`.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from digits.artifact import (
    FEATURES_INPUT,
    KERAS,
    MODEL,
    NOVELTY_OUTPUT,
    PROBABILITIES_OUTPUT,
    SALIENCY_OUTPUT,
    Manifest,
    Tensor,
    read_file,
    versions,
    write_once,
)
from digits.classifier import GOLDEN_TOLERANCE, Classifier, Golden
from digits.features import FEATURES, Floats, to_features
from training import onnx_graph as graph
from training.errors import CannotWrite, ParityError
from training.export import PARITY_TOLERANCE, read_network
from training.trust.novelty import Head

SIGNATURE = "serving_default"
"""Of a SavedModel: probabilities alone, so that TensorFlow Serving's replies are those of our own `/v1`."""

NOVELTY_SIGNATURE = "with_novelty"
"""Of a SavedModel whose version has novelty: probabilities and novelty."""

MAX_BATCH_SIZE = 1024
"""Most pictures in one request or pass of Triton: as many as our own service takes, 3 MB of features."""

CONFIG, LABELS = "config.pbtxt", "labels.txt"


@dataclass(frozen=True, slots=True)
class Form:
    """Files for an engine."""

    version: Mapping[str, bytes]
    """Path below the version's folder to content."""
    beside: Mapping[str, bytes] = field(default_factory=dict)
    """The same below the model's folder, for all of its versions."""


def to_triton(version: Classifier) -> Form:
    """A part of a Triton model repository: the ONNX graph, and how it is to be served.

    Triton batches what has the batch as its first dimension, takes no optional input beside that, and fetches every
    output that its configuration names. So the graph goes without saliency, whose rows depend on such an input; a GPU
    is also spared the branch. All else is the published graph's.
    """
    import onnxruntime

    manifest = version.manifest
    onnx = _file(version, MODEL)
    if SALIENCY_OUTPUT in manifest.outputs:
        onnx = graph.without_saliency(onnx)
    outputs = [output for output in manifest.outputs if output != SALIENCY_OUTPUT]
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    names = [output.name for output in outputs]
    received = session.run(names, {FEATURES_INPUT.name: to_features(version.golden.pixels)})
    _hold_to_golden("the graph for Triton", version.golden, dict(zip(names, received, strict=True)))
    labels = "".join(f"{label}\n" for label in manifest.classes)
    return Form({MODEL: onnx}, {CONFIG: _config(manifest.name, outputs).encode(), LABELS: labels.encode()})


def to_savedmodel(version: Classifier) -> Form:
    """A SavedModel for TensorFlow Serving: `serving_default`, and `with_novelty` where the version has it.

    The network is the version's Keras file, the head of novelty comes from its graph.
    """
    network = read_network(_folder(version) / KERAS)
    head = graph.head_of(_file(version, MODEL)) if NOVELTY_OUTPUT in version.manifest.outputs else None
    import tensorflow as tf

    features = tf.TensorSpec((None, FEATURES), tf.float32, name=FEATURES_INPUT.name)
    signatures = {
        name: tf.function(computed, input_signature=[features]) for name, computed in _signatures(network, head).items()
    }
    module = tf.Module()
    # Saved once: Keras' own export keeps two copies of each.
    module.weights = [variable.value for variable in network.variables]
    with TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures)
        for name, signature in tf.saved_model.load(folder).signatures.items():
            received = signature(**{FEATURES_INPUT.name: tf.constant(to_features(version.golden.pixels))})
            computed = {output: values.numpy() for output, values in received.items()}
            _hold_to_golden(f"the SavedModel's {name}", version.golden, computed)
        files = [file for file in Path(folder).rglob("*") if file.is_file()]
        return Form({file.relative_to(folder).as_posix(): file.read_bytes() for file in files})


FORMATS: Mapping[str, Callable[[Classifier], Form]] = {"triton": to_triton, "savedmodel": to_savedmodel}
"""By what the command line calls them."""


def write(form: Form, output: Path, manifest: Manifest) -> Path:
    """Write a version for an engine, all of it or nothing, where none of its number is.

    Returns:
        The version's folder.

    Raises:
        CannotWrite: that version is there, what is beside it is not as this one needs it, or the file system refused.
    """
    model = output / manifest.name
    folder = model / str(manifest.version)
    is_first = not versions(output, manifest.name)
    try:
        with ExitStack() as undo:
            # What is beside comes first, so that a version is whole once it is there. Nothing is ever staged beside the
            # model: whatever folder a polling Triton finds there is a model to it, and what it cannot load, even for a
            # moment, leaves it unready for good.
            for path, content in form.beside.items():
                file = model / path
                there = file.read_bytes() if file.exists() else None
                if there is None and is_first:
                    undo.callback(file.unlink, missing_ok=True)
                    _place(file, content)
                elif there != content:
                    received = "none" if there is None else "another"
                    raise CannotWrite(
                        f"{file}: expected it as this version needs it, received {received}; nothing was written, "
                        "another --output takes it"
                    )
            if not write_once(folder, form.version):
                raise CannotWrite(f"{folder}: expected no such version yet, received one that is there; it stays")
            undo.pop_all()
    except OSError as exc:
        raise CannotWrite(f"nothing was written to {folder}: {exc.strerror or exc}") from exc
    return folder


def _place(file: Path, content: bytes) -> None:
    """Write a file by one rename."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}")
    try:
        part.write_bytes(content)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def _hold_to_golden(form: str, golden: Golden, received: Mapping[str, Floats]) -> None:
    for name, expected, tolerance in (
        (PROBABILITIES_OUTPUT.name, golden.probabilities, PARITY_TOLERANCE),
        (NOVELTY_OUTPUT.name, golden.novelty, GOLDEN_TOLERANCE),
    ):
        if name not in received or expected is None:
            continue
        difference = np.abs(received[name] - expected).max()
        if not difference <= tolerance:  # NaN is no pass
            raise ParityError(
                f"expected {form} to give the golden {name} within {tolerance:g}, "
                f"received a difference of {difference:.3g}; nothing was written"
            )


def _config(name: str, outputs: list[Tensor]) -> str:
    """Triton's model configuration, in protobuf's text format."""
    return f"""\
# By `python -m training export --format triton`. Your own settings: see docs/how-to/other-engines.md.
name: "{name}"
platform: "onnxruntime_onnx"
backend: "onnxruntime"
max_batch_size: {MAX_BATCH_SIZE}
input [ {{ {_declared(FEATURES_INPUT)} }} ]
{"".join(f"output [ {{ {_declared(output)} }} ]{chr(10)}" for output in outputs)}\
# Who asks at the same time shares a pass.
dynamic_batching {{ max_queue_delay_microseconds: 100 }}
# One on each GPU that there is, else on the processor. KIND_GPU would not start without one.
instance_group [ {{ kind: KIND_AUTO }} ]
# The newest is served; all others that lie here can be asked for by their number.
version_policy {{ all {{ }} }}
# Before it is ready, so that no client waits for a GPU's first pass.
model_warmup [
  {{
    name: "one blank picture"
    batch_size: 1
    inputs {{
      key: "{FEATURES_INPUT.name}"
      value {{ data_type: TYPE_FP32 dims: [ {FEATURES} ] zero_data: true }}
    }}
  }}
]
"""


def _declared(tensor: Tensor) -> str:
    """Without the batch. One number a picture is [ 1 ] to who asks, since Triton knows no empty shape."""
    dims = f"dims: [ {', '.join(map(str, tensor.shape[1:]))} ]"
    if len(tensor.shape) == 1:
        dims = "dims: [ 1 ] reshape { shape: [ ] }"
    labels = f' label_filename: "{LABELS}"' if tensor == PROBABILITIES_OUTPUT else ""
    return f'name: "{tensor.name}" data_type: TYPE_FP32 {dims}{labels}'


def _signatures(network: Any, head: Head | None) -> dict[str, Callable[[Any], dict[str, Any]]]:
    """What a SavedModel computes, by name: TensorFlow's float32 (N, 784) to each output by its name."""
    import tensorflow as tf

    def serving_default(features: Any) -> dict[str, Any]:
        return {PROBABILITIES_OUTPUT.name: network(features, training=False)}

    if head is None:
        return {SIGNATURE: serving_default}

    def with_novelty(features: Any) -> dict[str, Any]:
        first, last = network.layers
        hidden = first(features)
        logits = hidden @ last.kernel + last.bias
        answer = tf.nn.relu(hidden @ head.hidden_kernel + head.hidden_bias) @ head.kernel[:, None] + head.bias
        unsupported = head.energy_bias - head.energy * tf.reduce_logsumexp(logits, axis=1)
        return {
            PROBABILITIES_OUTPUT.name: tf.nn.softmax(logits),
            NOVELTY_OUTPUT.name: answer[:, 0] + tf.nn.relu(unsupported),
        }

    return {SIGNATURE: serving_default, NOVELTY_SIGNATURE: with_novelty}


def _folder(version: Classifier) -> Path:
    assert version.folder is not None, "one that was loaded"
    return version.folder


def _file(version: Classifier, path: str) -> bytes:
    return read_file(_folder(version), path, version.manifest.files[path])
