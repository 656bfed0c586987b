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
from training.data.images import Split
from training.network.layers import activations
from training.trust.conformal import quantile
from training.trust.imitations import imitations
from training.trust.outlier_exposure import outliers

METHOD = "a head with outlier exposure"

_CLASSES_PICTURES, _CLASSES_COPIES = 2_500, 1_000
"""Numbers of pictures to learn from and to choose the threshold with. Fewer pictures are repeated, each time distorted
in another way."""

MAX_DIGITS = 10_000
"""Maximum number of training images for the head. It also learns from a distorted copy of each."""

_THOROUGH = 3
"""How often each training image is taken if novelty is to be learned thoroughly, each time with another copy."""

_OUTLIERS = 2
"""Number of outliers per training image, each with a distorted copy."""

_CHUNK = 20_000
"""The hidden layer is computed for this many pictures at a time, which takes 100 MB."""

_HEADS = 2
"""Number of heads that are trained from different random numbers. Their mean errs less than one of them."""

_HEAD_UNITS = 128
_DROPOUT = 0.1
_EPOCHS = 20
_BATCH_SIZE = 512
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


def false_alarms(*, has_digits: bool) -> tuple[float, float]:
    """Return the maximum shares of calibration images and of their distorted copies with a novelty above 1.

    Most pictures that people send are clearer than the copies, so that fewer than 2 % of their digits have one. Other
    classes have few pictures.
    """
    return (0.0035, 0.0275) if has_digits else (0.05, 0.05)


def fit(
    network: Any,
    split: Split,
    crops: Grey | None = None,
    *,
    seed: int,
    has_digits: bool = True,
    is_thorough: bool = False,
) -> Head | None:
    """Fit the head of a trained network, which does not change.

    The crops are more pictures of the classes, uint8 (N, 28, 28), which are not distorted.

    The head learns from at most MAX_DIGITS training images, or thoroughly: from all of them, _THOROUGH times. These and
    the other things that go with them, take longer, and separate letters and signs better. The other two parts of the
    split set scale and threshold. Return None if one of these parts has fewer than 286 images of digits, which is too
    few for a threshold.
    """
    most = false_alarms(has_digits=has_digits)[0]
    if has_digits and min(len(split.y_validation), len(split.y_calibration)) < 1 / most:
        return None
    chosen = np.arange(len(split.y_train))
    if has_digits:
        count = _THOROUGH * len(chosen) if is_thorough else min(MAX_DIGITS, len(chosen))
        chosen = np.resize(np.random.default_rng(seed).permutation(chosen), count)
    else:
        chosen = np.resize(chosen, _CLASSES_PICTURES)
    images, labels = split.x_train[chosen], split.y_train[chosen]
    copies = imitations(images, labels, seed, has_digits=has_digits)
    others = outliers(images, labels, _OUTLIERS * len(images), seed, has_digits=has_digits)
    distorted = imitations(others, np.zeros(len(others), np.uint8), seed, has_digits=False)
    known = [images, copies, *([] if crops is None else [crops])]
    kinds = *known, others, distorted
    chunks = (kind[start : start + _CHUNK] for kind in kinds for start in range(0, len(kind), _CHUNK))
    hidden = np.concatenate([activations(network, to_features(chunk))[0].astype(np.float16) for chunk in chunks])
    targets = np.repeat(np.array([0, 1], dtype=np.float32), [sum(map(len, known)), 2 * len(others)])
    head = mean([_train(hidden, targets, seed + number) for number in range(_HEADS)])
    return scaled(head, network, split, has_digits=has_digits)


def scaled(head: Head, network: Any, split: Split, *, has_digits: bool = True) -> Head:
    """Return the head with another scale and threshold, for a network that has changed since it was trained or not."""

    def novelty(pictures: Grey) -> NDArray[np.float64]:
        return head.novelty(activations(network, to_features(pictures))[0])

    head = replace(head, bias=head.bias - float(np.median(novelty(split.x_validation))))
    count = len(split.y_calibration) if has_digits else _CLASSES_COPIES
    repeated = np.resize(np.arange(len(split.y_calibration)), count)
    copies = imitations(split.x_calibration[repeated], split.y_calibration[repeated], has_digits=has_digits)
    limits = [
        quantile(novelty(pictures), 1 - share)
        for pictures, share in zip((split.x_calibration, copies), false_alarms(has_digits=has_digits), strict=True)
    ]
    limit = max(limit for limit in limits if limit is not None)
    return replace(head, kernel=head.kernel / limit, bias=head.bias / limit)


def _train(hidden: NDArray[np.float16], targets: Floats, seed: int) -> Head:
    make_reproducible(seed)
    layers = keras().layers
    head = keras().Sequential(
        [
            keras().Input(hidden.shape[1:]),
            layers.Dropout(_DROPOUT),
            layers.Dense(_HEAD_UNITS, activation="relu"),
            layers.Dense(1),
        ]
    )
    steps = _EPOCHS * math.ceil(len(hidden) / _BATCH_SIZE)
    schedule = keras().optimizers.schedules.CosineDecay(_LEARNING_RATE, steps)
    head.compile(keras().optimizers.Adam(schedule), keras().losses.BinaryCrossentropy(from_logits=True))
    head.fit(hidden, targets, batch_size=_BATCH_SIZE, epochs=_EPOCHS, verbose=0)
    hidden_kernel, hidden_bias, kernel, bias = (weights.astype(np.float64) for weights in head.get_weights())
    return Head(hidden_kernel, hidden_bias, kernel[:, 0], float(bias[0]))
