"""A training run gives the same weights each time, even if it is stopped and resumed."""

import signal
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from digits.features import to_features
from tests.conftest import Mnist, file_size_limit
from tests.training.conftest import Command, published_in, saved
from training.assess.assessment import assess
from training.data.images import LabelledImages, load, split_training_images
from training.errors import CannotWrite, Interrupted, NothingToResume
from training.fit import epochs
from training.fit.epochs import fit, training_state
from training.network.recipes import Recipe

EPOCHS = 3


@pytest.fixture(scope="module")
def few(mnist: Mnist, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 250 digits for training and for testing."""
    x, y = mnist.pixels[::20], mnist.labels[::20].astype(np.uint8)
    arrays = {"x_train": x, "y_train": y, "x_test": x, "y_test": y}
    return saved(tmp_path_factory.mktemp("data") / "few.npz", arrays)


@pytest.fixture(scope="module")
def digits(few: Path) -> LabelledImages:
    return load(str(few), allow_other_data=True)


def run(few: Path, output: Path, *options: str) -> tuple[object, ...]:
    # Nothing is held back, so that no time is spent on temperature and novelty.
    choices = ("--recipe", "lecture", "--epochs", EPOCHS, "--seed", 7, "--validation-split", 0)
    return ("train", "--data", few, "--allow-other-data", *choices, "--output", output, *options)


def test_ctrl_c_publishes_nothing_and_a_resumed_run_ends_with_the_same_weights(
    tmp_path: Path, command: Command, few: Path, digits: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = split_training_images(digits, validation_split=0)
    network, _ = fit(Recipe("lecture", epochs=EPOCHS), split, seed=7, folder=tmp_path / "uninterrupted")
    write = epochs.State.write

    def interrupt_before_the_second(state: epochs.State, file: Path) -> None:
        if len(state.history["loss"]) == 2:
            signal.raise_signal(signal.SIGINT)
        write(state, file)

    with monkeypatch.context() as patch:
        patch.setattr(epochs.State, "write", interrupt_before_the_second)
        stopped = command(*run(few, tmp_path))

    assert stopped.code == 130
    assert stopped.err.count("\n") == 1
    assert "--resume" in stopped.err
    assert [entry.name for entry in (tmp_path / "mnist-dense").iterdir()] == [".training"]

    resumed = command(*run(few, tmp_path, "--resume"))

    assert resumed.code == 0, resumed.err
    assert [f"Epoch {epoch}/3" in resumed.out for epoch in (1, 2, 3)] == [False, True, True]
    weights = keras.saving.load_model(published_in(tmp_path) / "model.keras").get_weights()
    np.testing.assert_equal(weights, network.get_weights())
    assert [entry.name for entry in (tmp_path / "mnist-dense" / ".training").iterdir()] == ["lock"]

    again = command(*run(few, tmp_path, "--resume"))

    assert again.code == 0, again.err
    assert "this run is finished: it was published as version" in again.out
    assert "Epoch" not in again.out
    assert published_in(tmp_path).is_dir()


def test_training_stops_without_progress_and_keeps_the_best_weights(tmp_path: Path, digits: LabelledImages) -> None:
    split = split_training_images(digits, validation_split=0.2)
    recipe = Recipe("lecture", epochs=60, batch_size=32)

    network, history = fit(recipe, split, seed=0, folder=tmp_path, patience=3)
    resumed, _ = fit(recipe, split, seed=0, folder=tmp_path, patience=3)

    losses = np.array(history["val_loss"]).round(3)
    probabilities = network.predict(to_features(split.x_validation), verbose=0)
    assert len(losses) == losses.argmin() + 1 + 3 < 60
    assert assess(probabilities, split.y_validation).loss == pytest.approx(losses.min(), abs=1e-3)
    np.testing.assert_equal(resumed.get_weights(), network.get_weights())


def test_resuming_without_a_state_is_refused(
    tmp_path: Path, command: Command, few: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MAKELEVEL", raising=False)  # `make test` sets it
    outcome = command(*run(few, tmp_path, "--resume"))

    assert outcome.is_refusal_in_one_line
    assert "leave out --resume" in outcome.err


def test_a_run_that_stopped_after_its_last_epoch_is_resumed_without_more_pictures(
    tmp_path: Path, digits: LabelledImages
) -> None:
    split, recipe = split_training_images(digits, validation_split=0), Recipe("lecture", epochs=1)
    network, history = fit(recipe, split, seed=7, folder=tmp_path)

    def examples(epoch: int) -> tuple[Any, Any]:
        raise AssertionError(f"expected no pictures, asked for those of epoch {epoch}")

    resumed, its_history = fit(recipe, split, seed=7, folder=tmp_path, examples=examples)

    assert its_history == history
    np.testing.assert_equal(resumed.get_weights(), network.get_weights())


def test_resuming_with_another_setting_says_which_one(tmp_path: Path) -> None:
    stopped = training_state(tmp_path, Recipe("lecture", batch_size=64), 1, "abc", resume=False)
    with pytest.raises(Interrupted), stopped:
        raise KeyboardInterrupt

    with (
        pytest.raises(NothingToResume, match="received one with batch_size 64 instead of 128, seed 1 instead of 2; "),
        training_state(tmp_path, Recipe("lecture"), 2, "abc", resume=True),
    ):
        pass


def test_a_state_that_cannot_be_written_keeps_that_of_the_epoch_before(tmp_path: Path) -> None:
    file = tmp_path / "state.npz"
    epochs.State({"loss": [2.0]}, [np.arange(9)]).write(file)

    with file_size_limit(4_000), pytest.raises(OSError, match="File too large"):
        epochs.State({"loss": [2.0, 1.0]}, [np.arange(9_000)]).write(file)

    kept = epochs.State.read(file)
    assert kept.history == {"loss": [2.0]}
    np.testing.assert_equal(kept.variables, [np.arange(9)])
    assert list(tmp_path.iterdir()) == [file]


def test_a_damaged_state_is_refused_by_name(tmp_path: Path, digits: LabelledImages) -> None:
    (tmp_path / "state.npz").write_bytes(b"torn")

    with pytest.raises(CannotWrite, match=f"{tmp_path}: the training state cannot be saved or read: "):
        fit(Recipe("lecture"), split_training_images(digits, validation_split=0), seed=0, folder=tmp_path)
