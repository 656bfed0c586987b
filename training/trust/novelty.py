"""Novelty: a score that separates non-digits from digits, computed from the network's hidden layer.

A small head on the hidden layer is trained to separate digits from non-digits (outlier exposure: Hendrycks, Mazeika and
Dietterich 2019). 0 is the median of the validation images. Calibration images and their distorted copies set the scale,
so that few of them are above 1. The network itself does not change.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits.features import Floats, to_features
from training.backend import keras, make_reproducible
from training.data import Split
from training.network import activations
from training.trust.conformal import quantile
from training.trust.imitations import imitations
from training.trust.outlier_exposure import non_digits

METHOD = "a head with outlier exposure"

FALSE_ALARMS = 0.0035
"""Maximum share of digits like the calibration images that get a novelty above 1."""

COPIES_FALSE_ALARMS = 0.04
"""Maximum share of their distorted copies that get a novelty above 1. Most pictures that people send are clearer, so
that fewer than 2 % of their digits do."""

MAX_DIGITS = 10_000
"""Maximum number of training images for the head. It also learns from a distorted copy of each."""

_OUTLIERS = 2
"""Number of non-digits per training image, each with a distorted copy."""

_HEAD_UNITS = 128
_DROPOUT = 0.1
_EPOCHS = 12
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
    energy: float = 0.0
    """Factor of the energy of the logits (Liu et al. 2020), which versions 1 to 3 add."""
    energy_bias: float = 0.0
    """Added to the scaled energy. A negative sum counts as 0."""

    def novelty(self, hidden: Floats, logits: Floats) -> NDArray[np.float64]:
        """Return the novelty, (N,): about 0 for a usual digit, above 1 for a picture that is not a digit."""
        unsupported = self.energy * energy(logits) + self.energy_bias
        return _head_output(self, hidden) + np.maximum(unsupported, 0)


def fit(network: Any, split: Split, *, seed: int, max_digits: int = MAX_DIGITS) -> Head | None:
    """Fit the head of a trained network.

    Args:
        network: the lecture's network. It does not change.
        split: the head learns from the training part. The other two parts set scale and threshold.
        seed: the seed of all random numbers.
        max_digits: maximum number of training images. More of them, and the other things that go with them, take
            longer, and separate letters better.

    Returns:
        The head, or None if a held-back part has fewer than 286 images, which is too few for a threshold.
    """
    if min(len(split.y_validation), len(split.y_calibration)) < 1 / FALSE_ALARMS:
        return None
    head = _train(network, split, seed, max_digits)
    hidden, _ = activations(network, to_features(split.x_validation))
    head = replace(head, bias=head.bias - float(np.median(_head_output(head, hidden))))
    copies = imitations(split.x_calibration, split.y_calibration)
    limits = [
        quantile(head.novelty(*activations(network, to_features(pictures))), 1 - share)
        for pictures, share in ((split.x_calibration, FALSE_ALARMS), (copies, COPIES_FALSE_ALARMS))
    ]
    limit = max(limit for limit in limits if limit is not None)
    return replace(head, kernel=head.kernel / limit, bias=head.bias / limit)


def _train(network: Any, split: Split, seed: int, max_digits: int) -> Head:
    chosen = np.random.default_rng(seed).permutation(len(split.y_train))[:max_digits]
    images, labels = split.x_train[chosen], split.y_train[chosen]
    copies = imitations(images, labels, seed)
    outliers = non_digits(images, labels, _OUTLIERS * len(images), seed)
    distorted = imitations(outliers, np.zeros(len(outliers), np.uint8), seed, has_digits=False)
    hidden, _ = activations(network, to_features(np.concatenate([images, copies, outliers, distorted])))
    targets = np.repeat(np.array([0, 1], dtype=np.float32), [2 * len(images), 2 * len(outliers)])

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


def _head_output(head: Head, hidden: Floats) -> NDArray[np.float64]:
    output: NDArray[np.float64] = (
        np.maximum(hidden @ head.hidden_kernel + head.hidden_bias, 0) @ head.kernel + head.bias
    )
    return output


def energy(logits: Floats) -> NDArray[np.float64]:
    """Return the negative logarithm of the sum of exponentials, (N,), of logits (N, classes)."""
    from scipy.special import logsumexp

    return np.asarray(-logsumexp(logits.astype(np.float64), axis=1), dtype=np.float64)
