"""Novelty: a score that separates other pictures from those of the classes, computed from the network's hidden layer.

A small head on the hidden layer is trained to separate them (outlier exposure: Hendrycks, Mazeika and Dietterich 2019).
0 is the median of the validation images. Calibration images and their distorted copies set the scale, so that few of
them are above 1. The network itself does not change.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits.features import Floats, Grey, to_features
from training.backend import keras, make_reproducible
from training.data.images import Labels, Split
from training.network.layers import activations
from training.trust.conformal import quantile
from training.trust.imitations import imitations
from training.trust.outlier_exposure import outliers

METHOD = "a head with outlier exposure"

_OF_DIGITS, _OF_FEW = (0.0035, 0.0275), (0.05, 0.05)
"""Maximum shares of pictures and of their distorted copies with a novelty above 1: of many digits, or of others."""

_CLASSES_PICTURES, _CLASSES_COPIES = 2_500, 1_000
"""Numbers of pictures to learn from and to choose the threshold with. Fewer pictures are repeated, each time distorted
in another way."""

MAX_DIGITS = 10_000
"""Maximum number of training images for the head. It also learns from a distorted copy of each."""

_THOROUGH = 3
"""How often each training image is taken if novelty is to be learned thoroughly, each time with another copy."""

_OUTLIERS = 2
"""Number of outliers per training image, each with a distorted copy. One is drawn per different image, and repeated,
each time distorted in another way: as many different drawings take long, and teach hardly more."""

_CHUNK = 20_000
"""The hidden layer is computed for this many pictures at a time, which takes 100 MB."""

_HEADS = 2
"""Number of heads that are trained from different random numbers. Their mean errs less than one of them."""

_HEAD_UNITS = 128
_DROPOUT = 0.1
_EPOCHS = 20
_STEPS = 1000
"""Usual number of steps per epoch. The more pictures there are, the more are in a batch."""

_BATCH_SIZES = 512, 1024
"""Least and greatest number of pictures in a batch."""

_LEARNING_RATE = 3e-3


@dataclass(frozen=True, slots=True)
class Head:
    """Novelty as a function of the hidden layer (N, 512), in float64."""

    hidden_kernel: NDArray[np.float64]
    """(512, units)"""
    hidden_bias: NDArray[np.float64]
    """(units,)"""
    kernel: NDArray[np.float64]
    """(units,)"""
    bias: float

    def novelty(self, hidden: Floats) -> NDArray[np.float64]:
        """Return the novelty, (N,): about 0 for a usual picture, above 1 for one that shows none of the classes."""
        units = np.maximum(hidden @ self.hidden_kernel + self.hidden_bias, 0)
        score: NDArray[np.float64] = units @ self.kernel + self.bias
        return score


def mean(heads: Sequence[Head]) -> Head:
    """Return one head for several. Its novelty is the mean of theirs."""
    return Head(
        np.concatenate([head.hidden_kernel for head in heads], axis=1),
        np.concatenate([head.hidden_bias for head in heads]),
        np.concatenate([head.kernel for head in heads]) / len(heads),
        sum(head.bias for head in heads) / len(heads),
    )


def false_alarms(images: int, *, has_digits: bool) -> tuple[float, float]:
    """Return the maximum shares of calibration images and of their distorted copies with a novelty above 1.

    Most pictures that people send are clearer than the copies, so that fewer than 2 % of their digits have one. Few
    images, as of other classes, cannot promise as much.
    """
    return _OF_DIGITS if has_digits and are_enough(images) else _OF_FEW


def are_enough(images: int) -> bool:
    """Return whether this many calibration images can promise few false alarms for digits."""
    return images >= 1 / _OF_DIGITS[0]


@dataclass(frozen=True, slots=True)
class Lessons:
    """The pictures that a head learns from."""

    known: Grey
    """Pictures of the classes, uint8 (K, 28, 28)."""
    rows: NDArray[np.int64]
    """(K,), the training image that each of them shows, or -1."""
    others: Grey
    """Pictures of other things, uint8 (M, 28, 28)."""

    @classmethod
    def of(
        cls,
        images: Grey,
        labels: Labels,
        others: Grey,
        crops: Grey | None = None,
        *,
        seed: int,
        has_digits: bool,
        is_thorough: bool = False,
    ) -> "Lessons":
        """Make them from labelled training images and from the user's pictures of `others`, if there are any.

        The rest is as for `fit`.
        """
        rows = np.random.default_rng(seed).permutation(len(images)) if has_digits else np.arange(len(images))
        few = min(max(len(rows), _CLASSES_PICTURES), MAX_DIGITS) if has_digits else _CLASSES_PICTURES
        drawings = len(rows) if is_thorough else few
        rows = np.resize(rows, _THOROUGH * len(rows) if is_thorough else few)
        images, labels = images[rows], labels[rows]
        copies = imitations(images, labels, seed, has_digits=has_digits)
        made = outliers(images, labels, drawings, seed, has_digits=has_digits)
        made = np.resize(made, (_OUTLIERS * len(images), *made.shape[1:]))
        if len(others):
            made = np.concatenate([made, np.resize(others, (len(made) // 2, *others.shape[1:]))])
        distorted = imitations(made, np.zeros(len(made), np.uint8), seed, has_digits=False)
        crops = images[:0] if crops is None else crops
        rows = np.concatenate([rows, rows, np.full(len(crops), -1)])
        return cls(np.concatenate([images, copies, crops]), rows, np.concatenate([made, distorted]))

    def without(self, rows: NDArray[np.int64]) -> "Lessons":
        """Return the same without the pictures of these training images."""
        kept = ~np.isin(self.rows, rows)
        return replace(self, known=self.known[kept], rows=self.rows[kept])


def fit(
    network: Any,
    split: Split,
    others: Grey,
    crops: Grey | None = None,
    *,
    seed: int,
    has_digits: bool = True,
    is_thorough: bool = False,
) -> Head | None:
    """Fit the head of a trained network, which does not change.

    `others` are the user's own pictures of other things, uint8 (N, 28, 28), perhaps none. The crops
    are more pictures of the classes, uint8 (N, 28, 28), which are not distorted.

    The head learns from at most MAX_DIGITS training images, or thoroughly: from all of them, _THOROUGH times. These and
    the other things that go with them, take longer, and separate letters and signs better. The other two parts of the
    split set scale and threshold. Return None if one of these parts has fewer than 286 images of digits, which is too
    few for a threshold.
    """
    if has_digits and not are_enough(min(len(split.y_validation), len(split.y_calibration))):
        return None
    lessons = Lessons.of(
        *(split.x_train, split.y_train, others, crops), seed=seed, has_digits=has_digits, is_thorough=is_thorough
    )
    return scaled(learn(network, lessons, seed=seed), network, split, has_digits=has_digits)


def scaled(head: Head, network: Any, split: Split, *, has_digits: bool = True) -> Head:
    """Return the head with another scale and threshold, for a network that has changed since it was trained or not."""

    def novelty(pictures: Grey) -> NDArray[np.float64]:
        return head.novelty(activations(network, to_features(pictures))[0])

    copies, _ = copies_to_calibrate(split.x_calibration, split.y_calibration, has_digits=has_digits)
    held_back = novelty(split.x_calibration), novelty(copies)
    shares = false_alarms(len(split.y_calibration), has_digits=has_digits)
    return Scale.of(novelty(split.x_validation), held_back, shares).of_head(head)


def copies_to_calibrate(images: Grey, labels: Labels, *, has_digits: bool) -> tuple[Grey, NDArray[np.int64]]:
    """Return distorted copies of calibration images to choose the threshold with, and the image that each one shows."""
    rows = np.arange(len(images))
    if false_alarms(len(rows), has_digits=has_digits) == _OF_FEW:
        rows = np.resize(rows, _CLASSES_COPIES)
    return imitations(images[rows], labels[rows], has_digits=has_digits), rows


def learn(network: Any, lessons: Lessons, *, seed: int) -> Head:
    """Train a head on a network's hidden layer. Its scale is arbitrary."""
    kinds = lessons.known, lessons.others
    chunks = (kind[start : start + _CHUNK] for kind in kinds for start in range(0, len(kind), _CHUNK))
    hidden = np.concatenate([activations(network, to_features(chunk))[0].astype(np.float16) for chunk in chunks])
    targets = np.repeat(np.array([0, 1], dtype=np.float32), [len(kind) for kind in kinds])
    return _train(hidden, targets, seed)


_Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scale:
    """What makes an arbitrary scale that of the novelty: 0 is usual, and above 1 is something else."""

    middle: float
    limit: float

    @classmethod
    def of(cls, usual: _Values, held_back: tuple[_Values, _Values], shares: tuple[float, float]) -> "Scale":
        """Set 0 to the median of the `usual` values.

        At most these shares of the values that were held back, of images and of their copies, are above 1.
        """
        middle = float(np.median(usual))
        limits = [quantile(values - middle, 1 - share) for values, share in zip(held_back, shares, strict=True)]
        return cls(middle, max(limit for limit in limits if limit is not None))

    def of_values(self, values: _Values) -> Floats:
        scaled: Floats = ((values - self.middle) / self.limit).astype(np.float32)
        return scaled

    def of_head(self, head: Head) -> Head:
        return replace(head, kernel=head.kernel / self.limit, bias=(head.bias - self.middle) / self.limit)


def _train(hidden: NDArray[np.float16], targets: Floats, seed: int) -> Head:
    """Train _HEADS heads side by side, which takes less time than one after the other, and return their mean."""
    make_reproducible(seed)
    layers = keras().layers
    heads = [
        keras().Sequential([layers.Dropout(_DROPOUT), layers.Dense(_HEAD_UNITS, activation="relu"), layers.Dense(1)])
        for _ in range(_HEADS)
    ]
    given = keras().Input(hidden.shape[1:])
    together = keras().Model(given, layers.Concatenate()([head(given) for head in heads]))
    batch_size = int(np.clip(len(hidden) // _STEPS, *_BATCH_SIZES))
    steps = _EPOCHS * math.ceil(len(hidden) / batch_size)
    schedule = keras().optimizers.schedules.CosineDecay(_LEARNING_RATE, steps)
    together.compile(keras().optimizers.Adam(schedule), keras().losses.BinaryCrossentropy(from_logits=True))
    of_each = np.repeat(targets[:, None], _HEADS, axis=1)
    together.fit(hidden, of_each, batch_size=batch_size, epochs=_EPOCHS, verbose=0)
    return mean([_of_weights(*head.get_weights()) for head in heads])


def _of_weights(hidden_kernel: Floats, hidden_bias: Floats, kernel: Floats, bias: Floats) -> Head:
    exact = np.float64
    return Head(hidden_kernel.astype(exact), hidden_bias.astype(exact), kernel[:, 0].astype(exact), float(bias[0]))
