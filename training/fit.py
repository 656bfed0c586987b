"""Fit a network epoch by epoch, so that a stopped run can be resumed and ends with exactly the same weights.

After each epoch the complete state (weights, optimizer, history) is saved in one file. The order of the images
depends only on the seed and the epoch. The state, recipe, seed and data therefore determine the next epoch.
"""

import hashlib
import json
import os
import shutil
import sys
import uuid
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from digits.features import Floats, to_features
from training import network
from training.backend import keras, make_reproducible
from training.data import Labels, Split
from training.errors import CannotWrite, NothingToResume
from training.recipes import Recipe

History = dict[str, list[float]]
"""Column (loss, accuracy, val_loss, val_accuracy) to one value per epoch."""

_FILE = "state.npz"

STATES = ".training"
"""The folder of all states, beside the published versions."""

UNFINISHED = ".unfinished"
"""The end of the name of a state that is being written."""


@dataclass(slots=True)
class State:
    """The state after an epoch. With recipe, seed and data it determines the next epoch."""

    variables: list[NDArray[Any]]
    """The network's variables, followed by the optimizer's."""
    history: History = field(default_factory=dict)
    best: list[NDArray[Any]] = field(default_factory=list)
    """The network's variables after the epoch with the smallest validation loss, if the training needs them."""

    @property
    def epochs(self) -> int:
        """Number of finished epochs."""
        return len(self.history.get("loss", []))

    def save(self, folder: Path) -> None:
        """Replace the folder's state by one rename, so that a killed process leaves the old state or the new one.

        Raises CannotWrite.
        """
        unfinished = folder / f"{uuid.uuid4().hex}{UNFINISHED}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as stream:
                arrays: dict[str, Any] = {
                    f"{name}_{index}": value
                    for name, values in (("variable", self.variables), ("best", self.best))
                    for index, value in enumerate(values)
                }
                np.savez(stream, history=np.array(json.dumps(self.history)), **arrays)
                stream.flush()
                os.fsync(stream.fileno())
            unfinished.replace(folder / _FILE)
        except OSError as exc:
            raise CannotWrite(f"{folder}: the training state cannot be saved: {exc.strerror or exc}") from exc
        finally:
            with suppress(OSError):  # after a successful rename it does not exist any more
                unfinished.unlink()

    @staticmethod
    def exists(folder: Path) -> bool:
        """Whether the folder contains a state, usable or not."""
        return (folder / _FILE).exists()

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the folder's state. Raises NothingToResume if there is no state, or if it cannot be read."""
        try:
            with (folder / _FILE).open("rb") as stream, np.load(stream, allow_pickle=False) as content:
                variables, best = (
                    [content[f"{name}_{index}"] for index in range(sum(key.startswith(name) for key in content))]
                    for name in ("variable", "best")
                )
                return cls(variables, json.loads(str(content["history"])), best)
        except FileNotFoundError as exc:
            raise NothingToResume(
                f"{folder}: expected the state of a training run with this recipe, seed, split and data, received no "
                f"such state; leave out --resume to start a run"
            ) from exc
        except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile) as exc:
            raise NothingToResume(
                f"{folder / _FILE}: cannot be read ({exc}); leave out --resume to start again"
            ) from exc


def state_folder(parent: Path, recipe: Any, seed: int, dataset_sha256: str) -> Path:
    """Return the folder below `parent` for the state of this training run.

    The recipe, which is a dataclass, the seed and the dataset determine it.
    """
    identity = json.dumps([asdict(recipe), seed, dataset_sha256], sort_keys=True)
    return parent / STATES / hashlib.sha256(identity.encode()).hexdigest()[:16]


Examples = Callable[[int], tuple[Floats, Floats]]
"""Maps an epoch to its features and targets, in training order."""


def fit(
    recipe: Recipe,
    split: Split,
    *,
    seed: int,
    folder: Path,
    resume: bool = False,
    examples: Examples | None = None,
    patience: int | None = None,
    callbacks: Sequence[Any] = (),
) -> tuple[Any, History]:
    """Train the recipe's network.

    Args:
        recipe: the hyper-parameters.
        split: the images. If it has a validation part, the history contains its loss and accuracy.
        seed: of the initial weights and of the order of the images.
        folder: for the state after each epoch. `discard` removes it.
        resume: continue from the state in `folder`.
        examples: what the network sees in each epoch. None means the training images, shuffled.
        patience: see `fit_epochs`.
        callbacks: Keras' callbacks, which look on.

    Returns:
        The network without its optimizer, and the history.

    Raises:
        NothingToResume: `resume` is true and there is no usable state.
        CannotWrite: the state cannot be saved.
    """
    saved = State.read(folder) if resume else None
    make_reproducible(seed)
    model = network.build_for_training(recipe, split.classes)
    x, y = to_features(split.x_train), one_hot(split.y_train, split.classes)

    def shuffled(epoch: int) -> tuple[Floats, Floats]:
        order = np.random.default_rng([seed, epoch]).permutation(len(x))
        return x[order], y[order]

    history = fit_epochs(
        model,
        examples or shuffled,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        validation=held_back(split),
        folder=folder,
        saved=saved,
        patience=patience,
        callbacks=callbacks,
    )
    trained = network.build(recipe, split.classes)
    trained.set_weights(model.get_weights())
    return trained, history


def fit_epochs(
    model: Any,
    examples: Examples,
    *,
    epochs: int,
    batch_size: int,
    validation: tuple[Floats, Floats] | None,
    folder: Path,
    saved: State | None,
    patience: int | None = None,
    callbacks: Sequence[Any] = (),
) -> History:
    """Train a compiled network and save its state after each epoch.

    Args:
        model: a compiled Keras model. Its optimizer's variables must exist.
        examples: what the network sees in each epoch.
        epochs: the total number of epochs.
        batch_size: images per step.
        validation: features and targets whose loss and metrics the history contains, or None.
        folder: for the state.
        saved: the state to continue from, or None to start.
        patience: stop after as many epochs without a smaller validation loss, and give the model the weights of the
            epoch with the smallest one. None, or no validation part: train all epochs and keep the last weights.
        callbacks: Keras' callbacks, which look on.

    Returns:
        The history of all epochs, including those before `saved`.
    """
    variables = [*model.variables, *model.optimizer.variables]
    state = saved
    if state is None:
        # Save the initial weights too, so that a run that stops during its first epoch can be resumed.
        state = State([variable.numpy() for variable in variables])
        state.save(folder)
    else:
        if [variable.shape for variable in variables] != [value.shape for value in state.variables]:
            raise NothingToResume(f"{folder}: expected the state of this network, received that of another one")
        for variable, value in zip(variables, state.variables, strict=True):
            variable.assign(value)

    # Keras gets the total number of epochs, so that its progress shows "Epoch 3/5". This callback ends each call of
    # `model.fit` after one epoch.
    stop_after_epoch = keras().callbacks.LambdaCallback(
        on_epoch_end=lambda _epoch, _logs: setattr(model, "stop_training", True)
    )
    while state.epochs < epochs and (patience is None or _epochs_without_progress(state.history) < patience):
        epoch = state.epochs
        x, y = examples(epoch)
        measured = model.fit(
            x,
            y,
            batch_size=batch_size,
            initial_epoch=epoch,
            epochs=epochs,
            callbacks=[stop_after_epoch, *callbacks],
            shuffle=False,  # `examples` shuffles, in an order that a resumed run repeats
            validation_data=validation,
            verbose=1 if sys.stdout.isatty() else 2,
        ).history
        history = {column: [*state.history.get(column, []), float(value[0])] for column, value in measured.items()}
        values = [variable.numpy() for variable in variables]
        best = state.best
        if patience is not None and validation is not None and _epochs_without_progress(history) == 0:
            best = values[: len(model.variables)]
        state = State(values, history, best)
        state.save(folder)
    if state.best:
        model.set_weights(state.best)
    return state.history


def _epochs_without_progress(history: History) -> int:
    """Return the number of epochs since the first with the smallest validation loss, in thousandths.

    Without a validation part it is 0.
    """
    losses = history.get("val_loss", [])
    return len(losses) - 1 - int(np.round(losses, 3).argmin()) if losses else 0


def held_back(split: Split) -> tuple[Floats, Floats] | None:
    """Return the features and targets of the validation part, or None if it is empty."""
    if not len(split.x_validation):
        return None
    return to_features(split.x_validation), one_hot(split.y_validation, split.classes)


def one_hot(labels: Labels, classes: int) -> Floats:
    """Encode labels, uint8 (N,), as float32 (N, classes)."""
    encoded: Floats = keras().utils.to_categorical(labels, classes)
    return encoded


def discard(folder: Path) -> None:
    """Remove the state."""
    shutil.rmtree(folder, ignore_errors=True)
