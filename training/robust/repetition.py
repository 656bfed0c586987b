"""Repeat few pictures until an epoch is as long as one of many, never twice the same."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digits.features import SIDE, Floats, Grey, to_features
from training.data.images import Split
from training.fit.epochs import Examples, one_hot
from training.network.recipes import Own
from training.robust.augmentation import distort, enlarge

_NO_STYLE = 255
"""The label of pictures of other things, which are drawn in no digit's styles."""


@dataclass(frozen=True, slots=True)
class Copies:
    """What a network sees in one epoch, in training order."""

    pixels: Grey
    """uint8 (N, 28, 28)."""
    targets: Floats
    """(N, classes)"""
    rows: NDArray[np.int64]
    """(N,), the training image that each copy shows. Pictures of other things follow the training images."""

    def examples(self) -> tuple[Floats, Floats]:
        """Return them as features and targets."""
        return to_features(self.pixels), self.targets

    def without(self, rows: NDArray[np.int64]) -> "Copies":
        """Return the same without the copies of these training images."""
        kept = ~np.isin(self.rows, rows)
        return Copies(self.pixels[kept], self.targets[kept], self.rows[kept])


def copies(recipe: Own, split: Split, others: Grey, *, seed: int) -> Callable[[int], Copies]:
    """Return a function from an epoch to its copies, in an order that a resumed run repeats.

    Each picture is distorted, or only shifted, in another way each time, as the recipe says. The `others`, uint8
    (N, 28, 28), show none of the classes. All classes are equally probable in their targets, so that the network learns
    what tells them apart from the classes (outlier exposure: Hendrycks, Mazeika and Dietterich 2019).
    """
    pictures = np.concatenate([split.x_train, others])
    labels = np.concatenate([split.y_train, np.full(len(others), _NO_STYLE, np.uint8)])
    even = np.full((len(others), split.classes), 1 / split.classes, np.float32)
    targets = np.concatenate([one_hot(split.y_train, split.classes), even])
    fine = enlarge(pictures) if recipe.distortions else None
    repeated = np.resize(np.arange(len(targets)), max(len(targets), recipe.pictures_per_epoch))

    def of_epoch(epoch: int) -> Copies:
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(repeated)
        if fine is None or recipe.distortions is None:
            pixels = _shift(pictures[order], recipe.shift_pixels, rng)
        else:
            pixels = distort(fine[order], labels[order], recipe.distortions, [seed, epoch])
        return Copies(pixels, targets[order], order)

    return of_epoch


def examples(recipe: Own, split: Split, others: Grey, *, seed: int) -> Examples:
    """Return a function from an epoch to the features and targets of its copies."""
    of_epoch = copies(recipe, split, others, seed=seed)
    return lambda epoch: of_epoch(epoch).examples()


def _shift(pictures: Grey, pixels: int, rng: np.random.Generator) -> Grey:
    """Move each picture, uint8 (N, 28, 28), by at most `pixels` both ways. The edge is repeated."""
    framed = np.pad(pictures, ((0, 0), (pixels, pixels), (pixels, pixels)), mode="edge")
    top, left = rng.integers(0, 2 * pixels + 1, (2, len(pictures), 1))
    side = np.arange(SIDE)
    moved: Grey = framed[np.arange(len(pictures))[:, None, None], (top + side)[:, :, None], (left + side)[:, None, :]]
    return moved
