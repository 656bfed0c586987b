"""Fitting: epoch by epoch, so that a run that was stopped goes on to exactly the weights of one that was not.

After each epoch the whole state (weights, optimizer, history) lies in one file, replaced by one rename. The order of
the images is a function of seed and epoch alone. So a state and the recipe are all that the next epoch depends on.
"""

import hashlib
import json
import os
import shutil
import sys
import uuid
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from digits.features import CLASSES, Floats, to_features
from training import network
from training.backend import keras, make_reproducible
from training.data import Labels, Split
from training.errors import CannotWrite, NothingToResume
from training.recipes import Recipe

History = dict[str, list[float]]
"""Column (loss, accuracy, val_loss, val_accuracy) to one value an epoch."""

_FILE = "state.npz"


@dataclass(slots=True)
class State:
    """All that the next epoch depends on, beside recipe, seed and data."""

    variables: list[NDArray[Any]]
    """The network's, then the optimizer's."""
    history: History = field(default_factory=dict)

    @property
    def epochs(self) -> int:
        """How many are finished."""
        return len(self.history.get("loss", []))

    def save(self, folder: Path) -> None:
        """Replace the folder's state at one stroke: a process killed at any moment leaves the old one or the new."""
        unfinished = folder / f"{uuid.uuid4().hex}.unfinished"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as stream:
                arrays: dict[str, Any] = {f"variable_{index}": value for index, value in enumerate(self.variables)}
                np.savez(stream, history=np.array(json.dumps(self.history)), **arrays)
                stream.flush()
                os.fsync(stream.fileno())
            unfinished.replace(folder / _FILE)
        except OSError as exc:
            raise CannotWrite(f"{folder}: the state of the training cannot be saved: {exc.strerror or exc}") from exc

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Whether there is one, usable or not."""
        return (folder / _FILE).exists()

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Raises NothingToResume when there is none, or none that can be read."""
        try:
            with (folder / _FILE).open("rb") as stream, np.load(stream, allow_pickle=False) as content:
                variables = [content[f"variable_{index}"] for index in range(len(content) - 1)]
                return cls(variables, json.loads(str(content["history"])))
        except FileNotFoundError as exc:
            raise NothingToResume(
                f"{folder}: expected the state of a training with this recipe, seed, split and data, received none; "
                f"leave --resume out to begin one"
            ) from exc
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as exc:
            raise NothingToResume(
                f"{folder / _FILE}: cannot be read ({exc}); leave --resume out to begin anew"
            ) from exc


def state_folder(parent: Path, recipe: Recipe, seed: int, dataset_sha256: str) -> Path:
    """Where the state of just this training lies below `parent`; another recipe, seed or dataset has another."""
    decisive = json.dumps([asdict(recipe), seed, dataset_sha256], sort_keys=True)
    return parent / ".training" / hashlib.sha256(decisive.encode()).hexdigest()[:16]


def fit(recipe: Recipe, split: Split, *, seed: int, folder: Path, resume: bool = False) -> tuple[Any, History]:
    """Train the recipe's network.

    Args:
        recipe: its hyper-parameters.
        split: the images; accuracy on the validation part is followed, where there is one.
        seed: of the first weights and of the order of the images.
        folder: where the state is kept after each epoch; left for `discard`.
        resume: go on from the state in `folder`.

    Returns:
        The network, free of its optimizer, and the history.

    Raises:
        NothingToResume: `resume` without a usable state.
        CannotWrite: the state cannot be saved.
    """
    kept = State.read(folder) if resume else None
    make_reproducible(seed)
    training = network.build_for_training(recipe)
    x, y = to_features(split.x_train), one_hot(split.y_train)

    def shuffled(epoch: int) -> tuple[Floats, Floats]:
        order = np.random.default_rng([seed, epoch]).permutation(len(x))
        return x[order], y[order]

    size = recipe.batch_size
    history = fit_epochs(
        training, shuffled, epochs=recipe.epochs, batch_size=size, split=split, folder=folder, kept=kept
    )
    trained = network.build(recipe)
    trained.set_weights(training.get_weights())
    return trained, history


def fit_epochs(
    training: Any,
    examples: Callable[[int], tuple[Floats, Floats]],
    *,
    epochs: int,
    batch_size: int,
    split: Split,
    folder: Path,
    kept: State | None,
) -> History:
    """Train a compiled network, keeping its state after each epoch.

    Args:
        training: the network; its optimizer's variables exist.
        examples: epoch to features and targets, in the order in which they are to be seen.
        epochs: up to which it is trained.
        batch_size: images a step.
        split: accuracy on its validation part is followed, where there is one.
        folder: where the state is kept.
        kept: the state to go on from; None begins.
    """
    variables = [*training.variables, *training.optimizer.variables]
    if kept is None:
        # The first weights are a state too: from here on there is always one to go on from.
        kept = State([variable.numpy() for variable in variables])
        kept.save(folder)
    else:
        for variable, value in zip(variables, kept.variables, strict=True):
            variable.assign(value)

    validation = None
    if len(split.x_validation):
        validation = to_features(split.x_validation), one_hot(split.y_validation)
    after_one_epoch = keras().callbacks.LambdaCallback(
        on_epoch_end=lambda _epoch, _logs: setattr(training, "stop_training", True)
    )
    for epoch in range(kept.epochs, epochs):
        x, y = examples(epoch)
        measured = training.fit(
            x,
            y,
            batch_size=batch_size,
            initial_epoch=epoch,
            epochs=epochs,
            callbacks=[after_one_epoch],
            shuffle=False,  # done already, in an order that a resumed run repeats
            validation_data=validation,
            verbose=1 if sys.stdout.isatty() else 2,
        ).history
        history = {column: [*kept.history.get(column, []), float(value[0])] for column, value in measured.items()}
        kept = State([variable.numpy() for variable in variables], history)
        kept.save(folder)
    return kept.history


def one_hot(labels: Labels) -> Floats:
    """(N,) to (N, 10)."""
    encoded: Floats = keras().utils.to_categorical(labels, CLASSES)
    return encoded


def discard(folder: Path) -> None:
    """Remove the state, and the folder of states when it was the last."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.parent.rmdir()
    except OSError:  # another training's state is there, or there was none
        return
