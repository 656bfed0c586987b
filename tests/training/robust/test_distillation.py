"""The robust recipe trains a teacher, fits the lecture's network to its answers and scales the temperature."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from digits.features import to_features
from digits.finder.network import shipped_version
from digits.model.artifact import read_manifest
from digits.model.classifier import Classifier
from tests.conftest import Mnist
from tests.training.conftest import Command, published_in, saved
from training.data import images as data
from training.data.images import LabelledImages, Split
from training.fit import epochs as fit
from training.network import layers as network
from training.network.layers import activations
from training.network.recipes import RECIPES, Robust
from training.robust import distillation
from training.trust.calibration import best_temperature, fold_temperature

robust = RECIPES["robust"]
assert isinstance(robust, Robust)
TINY = replace(
    robust,
    copies=2,
    mild_copies=2,
    epochs=3,
    mild_epochs=0.4,
    batch_size=20,
    teacher_epochs=2,
    validation_split=0.2,
    crops=10,
)
CROPS = np.full((10, 28, 28), 128, np.uint8), np.arange(10, dtype=np.uint8)
STATES = TINY.teacher_epochs + TINY.epochs
"""Number of states that a run saves: one after each epoch of the teacher and of the network."""


@dataclass(frozen=True)
class Run:
    """An uninterrupted run."""

    network: Any
    history: fit.History
    snapshots: list[Path]
    """Copies of the state folder, one after each saved state."""


@pytest.fixture(scope="module")
def few(mnist: Mnist) -> LabelledImages:
    """450 digits for training and 50 for testing, with the same number of each."""
    x, y = mnist.pixels[::10], mnist.labels[::10].astype(np.uint8)
    is_test = np.arange(len(y)) % 10 == 0
    return LabelledImages("other", x[~is_test], y[~is_test], x[is_test], y[is_test])


@pytest.fixture(scope="module")
def split(few: LabelledImages) -> Split:
    """270 digits for training, 90 for validation, 90 for calibration."""
    return data.split_training_images(few, validation_split=TINY.validation_split)


@pytest.fixture(scope="module")
def trained(split: Split, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("states") / "run"
    snapshots: list[Path] = []
    write = fit.State.write

    def write_and_copy(state: fit.State, file: Path) -> None:
        write(state, file)
        snapshots.append(folder.with_name(f"snapshot-{len(snapshots)}"))
        shutil.copytree(folder, snapshots[-1])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit.State, "write", write_and_copy)
        trained_network, history = distillation.fit(TINY, split, CROPS, seed=3, folder=folder)
    assert len(snapshots) == STATES
    return Run(trained_network, history, snapshots)


def test_the_network_has_the_lectures_layers_and_learns(trained: Run, split: Split) -> None:
    probabilities = trained.network.predict(to_features(split.x_validation), verbose=0)

    assert trained.network.get_config() == network.build(RECIPES["lecture"]).get_config()
    assert (probabilities.argmax(axis=1) == split.y_validation).mean() > 0.6
    assert len(trained.history["val_accuracy"]) == TINY.epochs


def test_a_run_that_was_stopped_in_the_teachers_second_epoch_ends_with_the_same_weights(
    trained: Run, split: Split, tmp_path: Path
) -> None:
    shutil.copytree(trained.snapshots[0], tmp_path / "states")

    resumed, history = distillation.fit(TINY, split, CROPS, seed=3, folder=tmp_path / "states")

    assert history == trained.history
    assert all(map(np.array_equal, resumed.get_weights(), trained.network.get_weights()))


def test_the_last_epoch_learns_from_the_crops_too(trained: Run, split: Split, tmp_path: Path) -> None:
    shutil.copytree(trained.snapshots[-2], tmp_path / "states")
    pixels, labels = CROPS

    resumed, _ = distillation.fit(TINY, split, (255 - pixels, labels), seed=3, folder=tmp_path / "states")

    assert not all(map(np.array_equal, resumed.get_weights(), trained.network.get_weights()))


def test_the_command_line_trains_and_publishes_the_robust_recipe(
    command: Command, few: LabelledImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 90 held-back images are enough for a temperature, and too few for novelty.
    tiny = replace(TINY, copies=1, mild_copies=1, batch_size=256, teacher_epochs=1)
    monkeypatch.setitem(RECIPES, "robust", tiny)
    file = saved(tmp_path / "few.npz", {name: getattr(few, name) for name in data.ARRAYS})
    options = ("--recipe", "robust", "--allow-other-data", "--epochs", 1, "--force", "--output", tmp_path)

    outcome = command("train", "--data", file, *options)

    assert outcome.code == 0, outcome.err
    folder = published_in(tmp_path)
    manifest = read_manifest(folder)
    recipe = manifest.recipe
    assert recipe is not None
    assert (recipe["name"], recipe["epochs"]) == ("robust", 1)
    assert recipe["distortions"]["rotation_degrees"] > 0
    assert (recipe["crops"], recipe["finder"]) == (10, shipped_version())
    assert manifest.calibration is not None
    assert manifest.calibration.temperature.folded
    assert manifest.calibration.novelty is None
    assert [level.coverage for level in manifest.calibration.prediction_sets.levels] == [0.9, 0.95]
    Classifier.load(folder).self_test()
    card = (folder / "report" / "README.md").read_text()
    assert "calibrated" in card
    assert "distortions.rotation_degrees" in card
    assert "drawings of handwriting styles" in card
    assert f"cut out by version {recipe['finder']} of the finder" in card
    assert "reports that the picture is not a digit" not in card


def test_folding_the_temperature_divides_the_logits_of_an_overconfident_network(trained: Run, split: Split) -> None:
    *hidden, kernel, bias = trained.network.get_weights()
    overconfident = network.build(TINY)
    overconfident.set_weights([*hidden, 10 * kernel, 10 * bias])
    features = to_features(split.x_validation)
    before, (_, logits) = overconfident.predict(features, verbose=0), activations(overconfident, features)
    temperature = best_temperature(logits, split.y_validation)

    fold_temperature(overconfident, temperature)

    after = overconfident.predict(features, verbose=0)
    divided = np.exp((logits - logits.max(axis=1, keepdims=True)) / temperature)
    assert np.allclose(after, divided / divided.sum(axis=1, keepdims=True), atol=1e-5)
    assert temperature > 1
    true_digits = np.arange(len(features)), split.y_validation
    assert -np.log(after[true_digits]).mean() < -np.log(before[true_digits].clip(1e-30)).mean()
