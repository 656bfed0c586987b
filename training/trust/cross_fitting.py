"""Let few pictures calibrate without losing them for the training: cross-conformal prediction (Vovk 2015).

Each fifth of the training images is scored by a network that has not seen it. The served network learns from all of
them. It has seen more than the five have, so that thresholds from their scores usually keep the promise, but that is
not proved.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from digits.features import Floats, to_features
from digits.model.artifact import Temperature
from digits.model.classifier import Scores
from training.data.images import LabelledImages, Split, all_training_images, split_into_folds
from training.fit import epochs
from training.network.layers import activations
from training.network.recipes import Own
from training.robust import repetition
from training.trust import novelty
from training.trust.calibration import HeldBack, best_temperature
from training.trust.imitations import imitations

_Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CrossFitted:
    """A network that was trained on all training images, and what other networks say about these images."""

    network: Any
    history: epochs.History
    temperature: Temperature
    head: novelty.Head | None
    """None if pictures are only resized: a head learns from strokes as other things."""
    held_back: HeldBack


def fit(recipe: Own, data: LabelledImages, *, seed: int, folder: Path, say: Callable[[str], None]) -> CrossFitted:
    """Train a network for each fold of the training images, and then the one that is served, on all of them.

    The network of a fold scores it, and stops by the next fold. The served network is trained for as many epochs as the
    others had in the median. `folder` is for the state of the training, and `say` prints a line. Raises
    SplitTooSmall and CannotWrite.
    """
    folds, splits = split_into_folds(data)
    x, y, has_digits = data.x_train, data.y_train, data.has_digits
    pictures, rows, lessons = x, np.arange(len(y)), None
    if data.preprocessing == "normalize":
        lessons = novelty.Lessons.of(x, y, data.x_other, seed=seed, has_digits=has_digits)
        copies, shown = novelty.copies_to_calibrate(x, y, has_digits=has_digits)
        pictures = np.concatenate([x, imitations(x, y, has_digits=has_digits), copies])
        rows = np.concatenate([rows, rows, shown])
    logits, strangeness = np.zeros((len(rows), len(data.classes)), np.float32), np.zeros(len(rows))
    everything = all_training_images(data)
    # All networks see the same copies, which take longer to make than to learn from.
    copies_of = cache(repetition.copies(recipe, everything, data.x_other, seed=seed))

    def fit_network(recipe: Own, split: Split, name: str, left_out: _Rows) -> tuple[Any, epochs.History]:
        return epochs.fit(
            *(recipe, split),
            seed=seed,
            folder=folder / name,
            examples=lambda epoch: copies_of(epoch).without(left_out).examples(),
            patience=recipe.patience,
        )

    best_epochs = []
    for fold, split in enumerate(splits):
        say(f"training network {fold + 1} of {len(splits)} that score pictures which they have not seen")
        left_out = np.flatnonzero((folds == fold) | (folds == (fold + 1) % len(splits)))
        network, history = fit_network(recipe, split, str(fold), left_out)
        best_epochs.append(np.argmin(history["val_loss"]) + 1)
        chosen = np.flatnonzero(folds[rows] == fold)
        hidden, logits[chosen] = activations(network, to_features(pictures[chosen]))
        if lessons is not None:
            fold_head = novelty.learn(network, lessons.without(np.flatnonzero(folds == fold)), seed=seed)
            strangeness[chosen] = fold_head.novelty(hidden)
    say("training the network that is served, on all pictures that are not held back")
    served = replace(recipe, epochs=int(np.median(best_epochs)))
    network, history = fit_network(served, everything, "served", rows[:0])
    head, own_novelty = None, None
    if lessons is not None:
        of_images, of_copies = strangeness[: len(y)], strangeness[2 * len(y) :]
        shares = novelty.false_alarms(len(y), has_digits=has_digits)
        scale = novelty.Scale.of(of_images, (of_images, of_copies), shares)
        own_novelty = scale.of_values(strangeness)
        head = scale.of_head(novelty.learn(network, lessons, seed=seed))
    probabilities: Floats = softmax(logits, axis=1)
    scores = Scores(probabilities, own_novelty)
    copies_scores = None if lessons is None else scores.select(slice(len(y), 2 * len(y)))
    held_back = HeldBack(x, y, scores.select(slice(len(y))), copies_scores, folds)
    temperature = Temperature(value=best_temperature(logits[: len(y)], y), folded=False)
    return CrossFitted(network, history, temperature, head, held_back)
