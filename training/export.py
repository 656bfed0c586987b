"""A trained network made an artifact: the ONNX graph, proven to compute what Keras does, and what goes with it."""

import warnings
import zipfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits import artifact
from digits.artifact import (
    EXPLAIN,
    FEATURES_INPUT,
    NOVELTY_OUTPUT,
    PROBABILITIES_OUTPUT,
    SALIENCY_OUTPUT,
    Dataset,
    Manifest,
    Tensor,
)
from digits.classifier import Classifier, Golden
from digits.features import CLASSES, FEATURES, Floats, to_features
from training import onnx_graph as graph
from training.backend import keras, library_versions
from training.data import Mnist
from training.errors import ParityError, UnsuitableNetwork
from training.network import activations
from training.recipes import Recipe
from training.trust.novelty import Head

PARITY_TOLERANCE = 1e-5
"""Largest difference between a probability from ONNX Runtime and the same one from Keras."""

_EXPLAINED = 1000  # test images whose saliency is held to Keras'


@dataclass(frozen=True, slots=True)
class Exported:
    """A network in the forms that an artifact holds."""

    onnx: bytes
    keras: bytes
    golden: Golden
    outputs: tuple[Tensor, ...]

    def files(self) -> dict[str, bytes]:
        """Path below the version's folder to content."""
        return {artifact.MODEL: self.onnx, artifact.KERAS: self.keras, artifact.GOLDEN: self.golden.to_json()}

    def classifier(self, manifest: Manifest) -> Classifier:
        """As it will be served, self-tested; raises ArtifactError when it would be refused there."""
        return Classifier(manifest, self.onnx, self.golden)


def export(network: Any, data: Mnist, *, head: Head | None = None, explain: bool = False) -> Exported:
    """Bring a network into the artifact's forms, and hold it to what it must compute on the whole test set.

    Args:
        network: trained.
        data: whose test images are computed, and whose first ones are the golden ones.
        head: what makes the graph give novelty; of the lecture's network.
        explain: whether the graph gives saliency, which the lecture's network can.

    Raises:
        UnsuitableNetwork: what it gives are no probabilities.
        ParityError: the ONNX graph does not compute what Keras does.
    """
    features = to_features(data.x_test)
    expected = {PROBABILITIES_OUTPUT: network.predict(features, batch_size=1024, verbose=0)}
    _hold_to_probabilities(expected[PROBABILITIES_OUTPUT])
    onnx = to_onnx(network)
    if head is not None:
        onnx = graph.with_novelty(onnx, head)
        expected[NOVELTY_OUTPUT] = head.novelty(*activations(network, features)).astype(np.float32)
    for output, values in expected.items():
        hold_to_parity(onnx, features, values, output.name)
    if explain:
        onnx = graph.with_saliency(onnx)
        some = features[:_EXPLAINED]
        some = some[graph.is_settled(network, some)]
        hold_to_parity(onnx, some, graph.saliency(network, some), SALIENCY_OUTPUT.name)
        # Last, so that the golden images have no such values.
        expected[SALIENCY_OUTPUT] = np.empty(0)
    golden = _golden(data, expected[PROBABILITIES_OUTPUT], expected.get(NOVELTY_OUTPUT))
    return Exported(onnx, _to_keras(network), golden, tuple(expected))


def draft_manifest(
    exported: Exported, recipe: Recipe | None = None, seed: int | None = None, dataset: Dataset | None = None
) -> Manifest:
    """What is known before assessing and publishing; None throughout for a network that was trained elsewhere.

    Version, time and checksums are publishing's to give.
    """
    return Manifest(
        name=artifact.NAME,
        version=1,
        created=datetime.now(UTC),
        outputs=exported.outputs,
        recipe=None if recipe is None else asdict(recipe),
        seed=seed,
        dataset=dataset,
        libraries=library_versions(),
        metrics={},
        files={artifact.MODEL: ""},
    )


def publish(root: Path, exported: Exported, report: dict[str, bytes], draft: Manifest) -> Manifest:
    """Publish as the next version below `root`; raises PublishFailed."""
    files = exported.files() | {f"report/{name}": content for name, content in report.items()}
    known = draft.model_dump(exclude={"name", "version", "created", "files"})
    return artifact.publish(root, files, known, name=draft.name)


def read_network(file: Path) -> Any:
    """A user's own .keras file, held to the artifact's signature.

    Raises:
        UnsuitableNetwork: no such file, not one that Keras reads without running foreign code, or another signature.
    """
    if not file.is_file():
        raise UnsuitableNetwork(f"{file}: expected a .keras file, received {'a folder' if file.is_dir() else 'none'}")
    if file.suffix != ".keras" or not zipfile.is_zipfile(file):
        raise UnsuitableNetwork(f"{file}: expected a .keras file as Keras 3 saves it, received another kind of file")
    try:
        network = keras().saving.load_model(file, compile=False, safe_mode=True)
    except Exception as exc:  # Keras raises whatever the layer that fails to load raises
        reason = " ".join(str(exc).split())
        raise UnsuitableNetwork(f"{file}: expected layers of Keras' own, without Lambda; {reason[:300]}") from exc
    for kind, tensors, size in (
        ("input", getattr(network, "inputs", None), FEATURES),
        ("output", getattr(network, "outputs", None), CLASSES),
    ):
        received = [f"{tensor.dtype} {tuple(tensor.shape)}" for tensor in tensors or []]
        if received != [expected := f"float32 {(None, size)}"]:
            raise UnsuitableNetwork(
                f"{file}: expected one {kind}, {expected}, received {', '.join(received) or 'none'}"
            )
    return network


def to_onnx(network: Any) -> bytes:
    """Keras' own export, with the artifact's names for input, output and batch."""
    import onnx

    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tf2onnx asks for np.object, which is of no use to who exports
        file = Path(folder) / artifact.MODEL
        network.export(file, format="onnx", verbose=False)
        model = onnx.load(file)
    (given,), (made,) = model.graph.input, model.graph.output
    names = {given.name: FEATURES_INPUT.name, made.name: PROBABILITIES_OUTPUT.name}

    def renamed(name: str) -> str:
        # A tensor inside that has one of the names already makes room.
        return names.get(name) or (f"inner/{name}" if name in names.values() else name)

    for node in model.graph.node:
        node.input[:] = [renamed(name) for name in node.input]
        node.output[:] = [renamed(name) for name in node.output]
    for tensor in (*model.graph.initializer, *model.graph.value_info, given, made):
        tensor.name = renamed(tensor.name)
    for tensor in (given, made):
        tensor.type.tensor_type.shape.dim[0].dim_param = "N"
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def hold_to_parity(
    onnx: bytes, features: Floats, expected: NDArray[Any], output: str = PROBABILITIES_OUTPUT.name
) -> None:
    """Raises ParityError unless the graph gives the expected values of an output: probabilities within 1e-5.

    Others are not between 0 and 1: within 1e-4 of the largest of them.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of an optional input
    session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    given = {FEATURES_INPUT.name: features}
    tolerance = PARITY_TOLERANCE
    if output != PROBABILITIES_OUTPUT.name:
        tolerance = 10 * PARITY_TOLERANCE * float(np.abs(expected).max(initial=0))
    if output == SALIENCY_OUTPUT.name:
        given[EXPLAIN] = np.array(True)
    received = session.run([output], given)[0]
    difference = np.abs(received - expected).max(initial=0)
    if not difference <= tolerance:  # NaN is no pass
        raise ParityError(
            f"expected ONNX and Keras to differ by at most {tolerance:g} in {output} on {len(features)} test images, "
            f"received a difference of {difference:.3g}; nothing was published"
        )


def _hold_to_probabilities(probabilities: Floats) -> None:
    sums = probabilities.sum(axis=1)
    worst = sums[np.abs(sums - 1).argmax()]
    if not np.abs(worst - 1) <= 1e-3 or probabilities.min() < 0:
        raise UnsuitableNetwork(
            f"expected probabilities that sum to 1, received rows with a sum of {worst:.4g} and values from "
            f"{probabilities.min():.4g} to {probabilities.max():.4g}; do they still need a softmax?"
        )


def _to_keras(network: Any) -> bytes:
    with TemporaryDirectory() as folder:
        file = Path(folder) / artifact.KERAS
        network.save(file)
        return file.read_bytes()


def _golden(data: Mnist, probabilities: Floats, novelty: Floats | None) -> Golden:
    """Of each class the first test image that the network gets right, else the first."""
    right = probabilities.argmax(axis=1) == data.y_test
    of_class = [np.flatnonzero(data.y_test == digit) for digit in range(CLASSES)]
    chosen = [next((index for index in images if right[index]), images[0]) for images in of_class]
    return Golden(data.x_test[chosen], probabilities[chosen], None if novelty is None else novelty[chosen])
