"""Export a network as an artifact, after checking that the ONNX graph computes the same as Keras."""

import os
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from digits.features import FEATURES, Floats, to_features
from digits.model import artifact
from digits.model.artifact import FEATURES_INPUT, NOVELTY_OUTPUT, PROBABILITIES_OUTPUT, SALIENCY_OUTPUT, Manifest
from digits.model.classes import DIGITS
from digits.model.classifier import Golden
from digits.model.onnx_runtime import Session
from training.backend import keras, library_versions
from training.data.images import LabelledImages
from training.errors import CannotWrite, ParityError, UnsuitableNetwork
from training.network.layers import activations
from training.network.recipes import Recipe
from training.publish import onnx_graph
from training.trust.novelty import Head

PARITY_TOLERANCE = 1e-5
"""Largest difference between a probability from ONNX Runtime and the same one from Keras."""

_SALIENCY_IMAGES = 1000  # test images whose saliency is compared with Keras


@dataclass(frozen=True, slots=True)
class Exported:
    """A network in the formats of an artifact."""

    onnx: bytes
    keras: bytes
    golden: Golden
    outputs: tuple[artifact.Tensor, ...]
    classes: tuple[str, ...]
    preprocessing: artifact.Preprocessing
    layers: bytes | None = None
    """The file that `artifact.LAYERS` describes."""
    corrections: bytes | None = None
    """The file that `artifact.CORRECTIONS` describes."""


def export(network: Any, data: LabelledImages, *, head: Head | None = None, explain: bool = False) -> Exported:
    """Convert a network into the artifact's formats, and compare its outputs with those of Keras on the test images.

    A head, which must belong to this network, adds novelty to the graph. `explain` adds saliency to the graph, and the
    layers as a file. The network must then be the lecture's.

    Raises:
        UnsuitableNetwork: the outputs are not probabilities.
        ParityError: the ONNX graph computes something other than Keras does.
        CannotWrite: the temporary files cannot be written.
    """
    features = to_features(data.x_test)
    expected = {artifact.probabilities_output(len(data.classes)): network.predict(features, batch_size=1024, verbose=0)}
    (probabilities,) = expected.values()
    _check_probabilities(probabilities)
    graph = to_onnx(network)
    if head is not None:
        graph = onnx_graph.with_novelty(graph, head)
        expected[NOVELTY_OUTPUT] = head.novelty(activations(network, features)[0]).astype(np.float32)
    for output, values in expected.items():
        check_parity(graph, features, values, output.name)
    outputs = list(expected)
    if explain:
        graph = onnx_graph.skipping_zeros(onnx_graph.with_saliency(graph))
        images = features[:_SALIENCY_IMAGES]
        images = images[onnx_graph.has_stable_saliency(network, images)]
        check_parity(graph, images, onnx_graph.saliency(network, images), SALIENCY_OUTPUT.name)
        outputs.append(SALIENCY_OUTPUT)
    golden = _golden(data, probabilities, expected.get(NOVELTY_OUTPUT))
    layers = _layers(network, head) if explain else None
    return Exported(graph, _to_keras(network), golden, tuple(outputs), data.classes, data.preprocessing, layers)


def draft_manifest(
    exported: Exported, recipe: Recipe | None = None, seed: int | None = None, dataset: artifact.Dataset | None = None
) -> Manifest:
    """Return the manifest before assessment and publication.

    `publish` sets version, time and checksums. Without recipe, seed and dataset the network was trained elsewhere.
    """
    return Manifest(
        name=artifact.NAME,
        version=1,
        created=datetime.now(UTC),
        outputs=exported.outputs,
        classes=exported.classes,
        preprocessing=exported.preprocessing,
        recipe=None if recipe is None else asdict(recipe),
        seed=seed,
        dataset=dataset,
        libraries=library_versions(),
        metrics={},
        files={artifact.MODEL: ""},
    )


def publish(root: Path, exported: Exported, report: dict[str, bytes], draft: Manifest) -> Manifest:
    """Publish as the next version below `root`. Raises PublishFailed."""
    files = {f"report/{name}": content for name, content in report.items()}
    files |= {artifact.MODEL: exported.onnx, artifact.KERAS: exported.keras, artifact.GOLDEN: exported.golden.to_json()}
    optional = {artifact.LAYERS: exported.layers, artifact.CORRECTIONS: exported.corrections}
    files |= {name: content for name, content in optional.items() if content is not None}
    fields = draft.model_dump(exclude={"name", "version", "created", "files"})
    return artifact.publish(root, files, fields, name=draft.name)


def check_keras_file(file: Path) -> None:
    """Check without TensorFlow that a file is a .keras file. Raises UnsuitableNetwork."""
    if not os.path.isfile(file):  # noqa: PTH113 - Path's method raises if a folder may not be entered
        raise UnsuitableNetwork(
            f"{file}: expected a .keras file, received {'a folder' if os.path.isdir(file) else 'no such file'}"  # noqa: PTH112
        )
    if file.suffix != ".keras" or not zipfile.is_zipfile(file):
        raise UnsuitableNetwork(f"{file}: expected a .keras file saved by Keras 3, received another kind of file")


def read_network(file: Path, classes: int = len(DIGITS)) -> Any:
    """Read a user's own .keras file and check its signature, with this number of classes.

    Raises:
        UnsuitableNetwork: Keras cannot read it without running code from the file, or the signature is not the
            artifact's.
    """
    check_keras_file(file)
    try:
        network = keras().saving.load_model(file, compile=False, safe_mode=True)
    except Exception as exc:  # a layer may raise anything
        reason = " ".join(str(exc).split())
        raise UnsuitableNetwork(
            f"{file}: expected only Keras' own layers and no Lambda layer, received: {reason[:300]}"
        ) from exc
    for kind, tensors, size in (
        ("input", getattr(network, "inputs", None), FEATURES),
        ("output", getattr(network, "outputs", None), classes),
    ):
        received = [f"{tensor.dtype} {tuple(tensor.shape)}" for tensor in tensors or []]
        if received != [expected := f"float32 {(None, size)}"]:
            raise UnsuitableNetwork(
                f"{file}: expected one {kind}, {expected}, received {', '.join(received) or 'no tensor'}"
            )
    return network


def to_onnx(network: Any) -> bytes:
    """Return the network as an ONNX graph, with the artifact's names for input, output and batch dimension.

    Raises UnsuitableNetwork if ONNX cannot express it, and CannotWrite.
    """
    with _temporary_folder() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tf2onnx uses the deprecated np.object
        file = folder / artifact.MODEL
        try:
            network.export(file, format="onnx", verbose=False)
        except Exception as exc:  # tf2onnx and TensorFlow raise many
            reason = str(exc).strip().splitlines()[:1] or [type(exc).__name__]
            raise UnsuitableNetwork(f"the network cannot be converted to ONNX: {reason[0]}") from exc
        model = onnx.load(file)
    (model_input,), (model_output,) = model.graph.input, model.graph.output
    names = {model_input.name: FEATURES_INPUT.name, model_output.name: PROBABILITIES_OUTPUT.name}

    def renamed(name: str) -> str:
        # An inner tensor that already has one of these names gets another name.
        return names.get(name) or (f"inner/{name}" if name in names.values() else name)

    for node in model.graph.node:
        node.input[:] = [renamed(name) for name in node.input]
        node.output[:] = [renamed(name) for name in node.output]
    for tensor in (*model.graph.initializer, *model.graph.value_info, model_input, model_output):
        tensor.name = renamed(tensor.name)
    for tensor in (model_input, model_output):
        tensor.type.tensor_type.shape.dim[0].dim_param = "N"
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def check_parity(
    graph: bytes, features: Floats, expected: NDArray[Any], output: str = PROBABILITIES_OUTPUT.name
) -> None:
    """Compare a graph's output with the values from Keras.

    Probabilities may differ by 1e-5. Other outputs are not limited to [0, 1]. They may differ by 1e-4 of the
    largest value.

    Raises:
        ParityError: the difference is larger.
    """
    inputs = {FEATURES_INPUT.name: features}
    tolerance = PARITY_TOLERANCE
    if output != PROBABILITIES_OUTPUT.name:
        tolerance = 10 * PARITY_TOLERANCE * float(np.abs(expected).max(initial=0))
    if output == SALIENCY_OUTPUT.name:
        inputs[artifact.EXPLAIN] = np.array(True)
    received = Session(graph).run([output], inputs)[0]
    difference = np.abs(received - expected).max(initial=0)
    if not difference <= tolerance:  # also true for NaN
        raise ParityError(
            f"expected ONNX and Keras to differ by at most {tolerance:g} in {output} on {len(features)} test images, "
            f"received a difference of {difference:.3g}; nothing was published"
        )


def _check_probabilities(probabilities: Floats) -> None:
    sums = probabilities.sum(axis=1)
    worst = sums[np.abs(sums - 1).argmax()]
    if not np.abs(worst - 1) <= 1e-3 or probabilities.min() < 0:
        raise UnsuitableNetwork(
            f"expected probabilities that sum to 1, received rows with a sum of {worst:.4g} and values from "
            f"{probabilities.min():.4g} to {probabilities.max():.4g}; do they still need a softmax?"
        )


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """Create a folder, and remove it afterwards. Raises CannotWrite for any OSError inside of the context."""
    place = "TMPDIR"
    try:
        place = gettempdir()
        with TemporaryDirectory(dir=place) as folder:
            yield Path(folder)
    except OSError as exc:
        raise CannotWrite(
            f"{place}: temporary files cannot be written: {exc.strerror or exc}; "
            "make room, or set TMPDIR to another folder"
        ) from exc


def _to_keras(network: Any) -> bytes:
    with _temporary_folder() as folder:
        file = folder / artifact.KERAS
        network.save(file)
        return file.read_bytes()


def _layers(network: Any, head: Head | None) -> bytes:
    """Return the weights of the lecture's network and of the head. Half as many bits change a probability by 5e-4."""
    from safetensors.numpy import save

    names = ("hidden.kernel", "hidden.bias", "probabilities.kernel", "probabilities.bias")
    tensors = dict(zip(names, network.get_weights(), strict=True))
    if head is not None:
        tensors |= {f"novelty.{name}": np.atleast_1d(values) for name, values in asdict(head).items()}
    content: bytes = save({name: values.astype(np.float16) for name, values in tensors.items()})
    return content


def _golden(data: LabelledImages, probabilities: Floats, novelty: Floats | None) -> Golden:
    """Choose the first test image of each class that the network classifies correctly, or else the first one."""
    correct = probabilities.argmax(axis=1) == data.y_test
    of_class = [np.flatnonzero(data.y_test == digit) for digit in range(len(data.classes))]
    chosen = [next((index for index in images if correct[index]), images[0]) for images in of_class]
    return Golden(data.x_test[chosen], probabilities[chosen], None if novelty is None else novelty[chosen])
