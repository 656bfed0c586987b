"""Fit a network so that a stopped run can be resumed and ends with the same weights.

Weights, optimizer and history are saved after each epoch. The order of the images depends only on the seed and the
epoch. The saved state, recipe, seed and data therefore determine the next epoch.
"""

import csv
import hashlib
import json
import math
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits.features import Floats, Grey, to_features
from digits.npz import READ_ERRORS
from training.backend import keras, make_reproducible
from training.data.images import Labels, Split
from training.errors import CannotWrite, Interrupted, NothingToResume, NotPublished
from training.network import layers as network
from training.network.recipes import Recipe

History = dict[str, list[float]]
"""Column (loss, accuracy, val_loss, val_accuracy) to one value per epoch."""

STATES = ".training"
"""The folder of all states, beside the published versions."""

_SETTINGS, _STATE = "settings.json", "state.npz"

_MOST_STEPS = 2**16
"""More than an epoch has. Each step takes one of dropout's random numbers."""

Settings = Mapping[str, Any]
"""What determines a training run: the recipe, the seed and the data."""


@contextmanager
def training_state(parent: Path, recipe: Any, seed: int, data_sha256: str, *, resume: bool) -> Iterator[Path]:
    """Create the folder of a run's state below `parent`, or find it if the run is resumed. Remove it after the run.

    The recipe is a dataclass. The state stays after Ctrl-C and after errors, except for NotPublished.

    Raises:
        NothingToResume: `resume` is true and there is no state. The message says what the newest other run had.
        CannotWrite: the file system refused.
        Interrupted: the user pressed Ctrl-C inside of the context.
    """
    settings = {**asdict(recipe), "seed": seed, "data": data_sha256}
    identity = json.dumps(settings, sort_keys=True)
    folder = parent / STATES / hashlib.sha256(identity.encode()).hexdigest()[:16]
    if not resume:
        shutil.rmtree(folder, ignore_errors=True)
        try:
            folder.mkdir(parents=True)
            (folder / _SETTINGS).write_text(identity)
        except OSError as exc:
            shutil.rmtree(folder, ignore_errors=True)
            raise CannotWrite(f"{folder}: the training state cannot be saved: {exc.strerror or exc}") from exc
    elif not (folder / _SETTINGS).exists():
        raise NothingToResume(f"{folder}: {_other_run(folder.parent, settings)}; leave out --resume to start a run")
    try:
        yield folder
    except KeyboardInterrupt as exc:
        raise Interrupted("stopped, nothing was published. Repeat the command with --resume to continue.") from exc
    except NotPublished:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


def _other_run(states: Path, settings: Settings) -> str:
    """Say how the newest stopped run differs from one with these settings."""
    expected = "expected the state of a training run with this recipe, seed, split and data"
    runs = sorted(states.glob(f"*/{_SETTINGS}"), key=lambda file: file.stat().st_mtime)
    if not runs:
        return f"{expected}, received none"
    other: Settings = json.loads(runs[-1].read_text())
    wanted: Settings = json.loads(json.dumps(settings))
    received = ", ".join(
        f"{name} {other.get(name)!r} instead of {wanted.get(name)!r}"
        for name in sorted({*other, *wanted})
        if other.get(name) != wanted.get(name)
    )
    return f"{expected}, received one with {received}"


Examples = Callable[[int], tuple[Any, Any]]
"""Maps an epoch to its features and targets, in training order. Several outputs have a tuple of targets."""


def fit(
    recipe: Recipe,
    split: Split,
    *,
    seed: int,
    folder: Path,
    examples: Examples | None = None,
    patience: int | None = None,
    callbacks: Sequence[Any] = (),
) -> tuple[Any, History]:
    """Train the recipe's network, and return it without its optimizer, and the history. Raises CannotWrite.

    The seed determines the initial weights and the order of the images. If the split has a validation part, the history
    contains its loss and accuracy. Without `examples`, the network sees the training images. The rest is as for
    `fit_epochs`.
    """
    make_reproducible(seed)
    model = network.build_for_training(recipe, split.classes)
    history = fit_epochs(
        model,
        examples or shuffled([split.x_train], [one_hot(split.y_train, split.classes)], [seed]),
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        validation=held_back(split),
        folder=folder,
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
    validation: tuple[Any, Any] | None,
    folder: Path,
    patience: int | None = None,
    callbacks: Sequence[Any] = (),
) -> History:
    """Train a compiled network, save its state after each epoch, and return the history, also of an earlier run.

    Args:
        model: a compiled Keras model.
        examples: what the network sees in each epoch.
        epochs: the total number of epochs.
        batch_size: images per step.
        validation: features and targets whose loss and metrics the history contains.
        folder: for the state. If it has one, the training continues from there.
        patience: stop after as many epochs without a smaller validation loss, and give the model the weights of the
            epoch with the smallest one. None, or no validation part: train all epochs and keep the last weights.
        callbacks: Keras' callbacks, which look on.

    Raises:
        CannotWrite: the state cannot be saved or read.
    """
    state_file = folder / _STATE
    variables = _variables(model)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        state = State.read(state_file)
        for variable, value in zip(variables, state.variables, strict=bool(state.variables)):
            variable.assign(value)
    except READ_ERRORS as exc:
        raise _cannot_write(folder, exc) from exc
    first_epoch = len(state.history.get("loss", ()))

    def begin_epoch(epoch: int, _logs: object) -> None:
        pictures.begin(epoch)
        for variable in model.variables:  # the state does not have that of dropout's random numbers
            if variable.name == "seed_generator_state":
                variable.assign([variable.numpy()[0], epoch * _MOST_STEPS])

    def end_epoch(_epoch: int, logs: Mapping[str, float]) -> None:
        for name, value in sorted(logs.items()):
            state.history.setdefault(name, []).append(float(value))
        if patience is not None and validation is not None:
            *earlier, last = state.history["val_loss"]
            if last < min(earlier, default=math.inf):
                state.best = model.get_weights()
            model.stop_training = _epochs_without_progress(state.history) >= patience
        state.variables = [variable.numpy() for variable in variables]
        state.write(state_file)

    saving = keras().callbacks.LambdaCallback(on_epoch_begin=begin_epoch, on_epoch_end=end_epoch)
    try:
        has_patience = patience is None or _epochs_without_progress(state.history) < patience
        if first_epoch < epochs and has_patience:  # else the run stopped after its last epoch
            pictures = _epochs_of(examples, batch_size, first_epoch)
            model.fit(
                pictures,
                epochs=epochs,
                initial_epoch=first_epoch,
                callbacks=[saving, *callbacks],
                shuffle=False,  # `examples` shuffles, in an order that a resumed run repeats
                validation_data=validation,
                validation_batch_size=batch_size,
                verbose=1 if sys.stdout.isatty() else 2,
            )
    except OSError as exc:
        raise _cannot_write(folder, exc) from exc
    if state.best:
        model.set_weights(state.best)
    return state.history


@dataclass(slots=True)
class State:
    """A training run after an epoch. Without a history, the run has not finished any."""

    history: History = field(default_factory=dict)
    variables: list[NDArray[Any]] = field(default_factory=list)
    """The values of `_variables`."""
    best: list[NDArray[Any]] = field(default_factory=list)
    """The weights of the epoch with the smallest validation loss, if the run stops without progress."""

    @classmethod
    def read(cls, file: Path) -> "State":
        """Return the state in a file, or that of a new run without one. Raises READ_ERRORS."""
        state = cls()
        if file.exists():
            with np.load(file, allow_pickle=False) as arrays:
                for key, values in arrays.items():
                    part, _, name = key.partition("/")
                    if part == "history":
                        state.history[name] = values.tolist()
                    else:
                        getattr(state, part).append(values)
        return state

    def write(self, file: Path) -> None:
        """Replace a file with one rename, so that a failure keeps the earlier state. Raises OSError.

        Keras' own callbacks write HDF5 files. On a full disk, those end the process with a segmentation fault.
        """
        arrays: dict[str, Any] = {f"history/{name}": np.array(values) for name, values in self.history.items()}
        arrays |= {f"variables/{index}": values for index, values in enumerate(self.variables)}
        arrays |= {f"best/{index}": values for index, values in enumerate(self.best)}
        content = BytesIO()
        np.savez(content, **arrays)
        new = file.with_name(f".{file.name}")
        try:
            new.write_bytes(content.getbuffer())
            new.replace(file)
        finally:
            new.unlink(missing_ok=True)


def _variables(model: Any) -> list[Any]:
    """Return the variables of a compiled network and of its optimizer, always in the same order."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    return [*model.weights, *model.optimizer.variables]


def _cannot_write(folder: Path, exc: Exception) -> CannotWrite:
    reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else " ".join(str(exc).split())
    return CannotWrite(
        f"{folder}: the training state cannot be saved or read: {reason}; without --resume, the run starts again"
    )


def _epochs_of(examples: Examples, batch_size: int, epoch: int) -> Any:
    """Return the pictures of one epoch at a time as a Keras data set. `begin` says which epoch."""

    class Pictures(keras().utils.PyDataset):  # type: ignore[misc] # Keras has no types, and is imported late
        def __init__(self) -> None:
            super().__init__()
            self.epoch, (self.x, self.y) = epoch, examples(epoch)

        def begin(self, epoch: int) -> None:
            if epoch != self.epoch:
                self.epoch, (self.x, self.y) = epoch, examples(epoch)

        def __len__(self) -> int:
            return math.ceil(len(self.x) / batch_size)

        def __getitem__(self, index: int) -> tuple[Any, Any]:
            part = slice(index * batch_size, (index + 1) * batch_size)
            return self.x[part], tuple(each[part] for each in self.y) if isinstance(self.y, tuple) else self.y[part]

    return Pictures()


def parse_history(content: bytes) -> History:
    """Return the history in the CSV file of a report."""
    rows = list(csv.DictReader(content.decode().splitlines()))
    names = [name for name in (rows[0] if rows else ()) if name != "epoch"]
    return {name: [float(row[name]) for row in rows] for name in names}


def _epochs_without_progress(history: History) -> int:
    """Return the number of epochs since the first with the smallest validation loss, in thousandths.

    Without a validation part it is 0.
    """
    losses = history.get("val_loss", [])
    return len(losses) - 1 - int(np.round(losses, 3).argmin()) if losses else 0


def shuffled(copies: Sequence[Grey], targets: Sequence[Floats], seed: Sequence[int]) -> Examples:
    """Return a function from an epoch to one of the copies with its targets, in an order that a resumed run repeats."""

    def examples(epoch: int) -> tuple[_Features, Floats]:
        index = epoch % len(copies)
        order = np.random.default_rng([*seed, epoch]).permutation(len(copies[index]))
        return _Features(copies[index], order), targets[index][order]

    return examples


class _Features:
    """The features of pictures in some order. They are made when a batch asks for them, while they are in the cache."""

    def __init__(self, pixels: Grey, order: NDArray[np.int64]) -> None:
        self._pixels, self._order = pixels, order

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, part: slice) -> Floats:
        return to_features(self._pixels[self._order[part]])


def held_back(split: Split) -> tuple[Floats, Floats] | None:
    """Return the features and targets of the validation part, or None if it is empty."""
    if not len(split.x_validation):
        return None
    return to_features(split.x_validation), one_hot(split.y_validation, split.classes)


def one_hot(labels: Labels, classes: int) -> Floats:
    """Encode labels, uint8 (N,), as float32 (N, classes)."""
    encoded: Floats = keras().utils.to_categorical(labels, classes)
    return encoded
