"""Convert a published version for Triton or TensorFlow Serving, and check the result with the golden images.

Both engines look for versions in `<output>/<name>/<version>/`, as the service does in `MNIST_MODEL_DIR`.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from digits.features import FEATURES, Floats, to_features
from digits.model import artifact
from digits.model.artifact import FEATURES_INPUT, NOVELTY_OUTPUT, PROBABILITIES_OUTPUT, SALIENCY_OUTPUT
from digits.model.classifier import GOLDEN_TOLERANCE, Classifier, Golden
from digits.model.onnx_runtime import Session
from training.errors import CannotWrite, ParityError
from training.publish import onnx_graph
from training.publish.export import PARITY_TOLERANCE, read_network
from training.trust.novelty import Head

SIGNATURE = "serving_default"
"""Returns only probabilities, so that TensorFlow Serving replies like the service's `/v1`."""

NOVELTY_SIGNATURE = "with_novelty"
"""Returns probabilities and novelty. Only versions with novelty have it."""

MAX_BATCH_SIZE = 1024
"""Maximum number of pictures in a Triton batch, as in the service: 3 MB of features."""

CONFIG, LABELS = "config.pbtxt", "labels.txt"


@dataclass(frozen=True, slots=True)
class EngineFiles:
    """The files of a version for an engine."""

    version: Mapping[str, bytes]
    """Path below the version's folder to content."""
    model: Mapping[str, bytes] = field(default_factory=dict)
    """Path below the model's folder to content. All versions share these files."""


def to_triton(version: Classifier) -> EngineFiles:
    """Convert a version for a Triton model repository: the ONNX graph and its configuration.

    Triton can only batch a model without optional inputs, whose inputs and outputs all have the batch as their first
    dimension. Saliency has neither property and is removed. The rest of the graph does not change. Raises ParityError.
    """
    manifest = version.manifest
    onnx = _file(version, artifact.MODEL)
    if SALIENCY_OUTPUT in manifest.outputs:
        onnx = onnx_graph.without_saliency(onnx)
    outputs = [output for output in manifest.outputs if output != SALIENCY_OUTPUT]
    names = [output.name for output in outputs]
    received = Session(onnx).run(names, {FEATURES_INPUT.name: to_features(version.golden.pixels)})
    _check_golden("the graph for Triton", version.golden, dict(zip(names, received, strict=True)))
    labels = "".join(f"{label}\n" for label in manifest.classes)
    shared = {CONFIG: _config(manifest.name, outputs).encode(), LABELS: labels.encode()}
    return EngineFiles({artifact.MODEL: onnx}, shared)


def to_savedmodel(version: Classifier) -> EngineFiles:
    """Convert a version to a SavedModel for TensorFlow Serving. Raises ParityError and UnsuitableNetwork.

    The network comes from the version's Keras file, the novelty head from its graph.
    """
    network = read_network(_folder(version) / artifact.KERAS, len(version.manifest.classes))
    head = onnx_graph.read_head(_file(version, artifact.MODEL)) if NOVELTY_OUTPUT in version.manifest.outputs else None
    import tensorflow as tf

    features = tf.TensorSpec((None, FEATURES), tf.float32, name=FEATURES_INPUT.name)
    signatures = {
        name: tf.function(compute, input_signature=[features]) for name, compute in _signatures(network, head).items()
    }
    module = tf.Module()
    # Keras' own export would save every variable twice.
    module.weights = [variable.value for variable in network.variables]
    with TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures)
        for name, signature in tf.saved_model.load(folder).signatures.items():
            received = signature(**{FEATURES_INPUT.name: tf.constant(to_features(version.golden.pixels))})
            computed = {output: values.numpy() for output, values in received.items()}
            _check_golden(f"the SavedModel's {name}", version.golden, computed)
        files = [file for file in Path(folder).rglob("*") if file.is_file()]
        return EngineFiles({file.relative_to(folder).as_posix(): file.read_bytes() for file in files})


FORMATS: Mapping[str, Callable[[Classifier], EngineFiles]] = {"triton": to_triton, "savedmodel": to_savedmodel}
"""The values of `--format`."""


def write(files: EngineFiles, output: Path, manifest: artifact.Manifest) -> Path:
    """Write a version for an engine, and return its folder. If that fails, nothing is written.

    Raises CannotWrite if the version exists, if the model's shared files are not those of this version, or if the file
    system refused.
    """
    model = output / manifest.name
    folder = model / str(manifest.version)
    is_first = not artifact.versions(output, manifest.name)
    try:
        with ExitStack() as undo:
            # Shared files come first, so that a version is complete as soon as it exists. No temporary folder may be
            # created next to the model's folder: a polling Triton treats every folder there as a model, and becomes
            # unready for good if it cannot load one.
            for path, content in files.model.items():
                file = model / path
                existing = file.read_bytes() if file.exists() else None
                if existing is None and is_first:
                    undo.callback(file.unlink, missing_ok=True)
                    _place(file, content)
                elif existing != content:
                    received = "no such file" if existing is None else "other content"
                    raise CannotWrite(
                        f"{file}: expected the content that this version needs, received {received}; "
                        "nothing was written; choose another --output"
                    )
            if not artifact.write_once(folder, files.version):
                raise CannotWrite(f"{folder}: expected a new version, received one that exists; it was not changed")
            undo.pop_all()  # the version is complete: keep the shared files
    except OSError as exc:
        raise CannotWrite(f"nothing was written to {folder}: {exc.strerror or exc}") from exc
    return folder


def _place(file: Path, content: bytes) -> None:
    """Write a file with one rename."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}")
    try:
        part.write_bytes(content)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def _check_golden(subject: str, golden: Golden, received: Mapping[str, Floats]) -> None:
    for name, expected, tolerance in (
        (PROBABILITIES_OUTPUT.name, golden.probabilities, PARITY_TOLERANCE),
        (NOVELTY_OUTPUT.name, golden.novelty, GOLDEN_TOLERANCE),
    ):
        if name not in received or expected is None:
            continue
        difference = np.abs(received[name] - expected).max()
        if not difference <= tolerance:  # also true for NaN
            raise ParityError(
                f"expected {subject} to give the golden {name} within {tolerance:g}, "
                f"received a difference of {difference:.3g}; nothing was written"
            )


def _config(name: str, outputs: list[artifact.Tensor]) -> str:
    """Return Triton's model configuration, in protobuf's text format."""
    return f"""\
# By `digits export --format triton`. Your own settings: see docs/how-to/other-engines.md.
name: "{name}"
platform: "onnxruntime_onnx"
backend: "onnxruntime"
max_batch_size: {MAX_BATCH_SIZE}
input [ {{ {_declare(FEATURES_INPUT)} }} ]
{"".join(f"output [ {{ {_declare(output)} }} ]{chr(10)}" for output in outputs)}\
# Simultaneous requests share a batch.
dynamic_batching {{ max_queue_delay_microseconds: 100 }}
# One instance on each GPU, or on the processor if there is no GPU. KIND_GPU would not start without a GPU.
instance_group [ {{ kind: KIND_AUTO }} ]
# The newest version is the default. Requests can choose any other version by its number.
version_policy {{ all {{ }} }}
# Warm up before the model is ready, so that no client waits for the first batch on a GPU.
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


def _declare(tensor: artifact.Tensor) -> str:
    """Return a tensor's declaration in Triton's configuration, without the batch dimension.

    Triton allows no empty shape. An output with one number per picture is declared as [ 1 ] and reshaped.
    """
    dims = f"dims: [ {', '.join(map(str, tensor.shape[1:]))} ]"
    if len(tensor.shape) == 1:
        dims = "dims: [ 1 ] reshape { shape: [ ] }"
    labels = f' label_filename: "{LABELS}"' if tensor.name == PROBABILITIES_OUTPUT.name else ""
    return f'name: "{tensor.name}" data_type: TYPE_FP32 {dims}{labels}'


def _signatures(network: Any, head: Head | None) -> dict[str, Callable[[Any], dict[str, Any]]]:
    """Return the functions of a SavedModel by signature. Each maps features, float32 (N, 784), to named outputs."""
    import tensorflow as tf

    def serving_default(features: Any) -> dict[str, Any]:
        return {PROBABILITIES_OUTPUT.name: network(features, training=False)}

    if head is None:
        return {SIGNATURE: serving_default}

    def with_novelty(features: Any) -> dict[str, Any]:
        first, last = network.layers
        hidden = first(features)
        novelty = tf.nn.relu(hidden @ head.hidden_kernel + head.hidden_bias) @ head.kernel[:, None] + head.bias
        return {PROBABILITIES_OUTPUT.name: last(hidden), NOVELTY_OUTPUT.name: novelty[:, 0]}

    return {SIGNATURE: serving_default, NOVELTY_SIGNATURE: with_novelty}


def _folder(version: Classifier) -> Path:
    assert version.folder is not None, "expected a version that was loaded from a folder"
    return version.folder


def _file(version: Classifier, path: str) -> bytes:
    return artifact.read_file(_folder(version), path, version.manifest.files[path])
