"""Whether a picture shows a digit at all: a score beside the probabilities, from what the network computes anyway.

Two signs are added. A small head on the hidden layer tells digits from pictures of none that were shown to it (outlier
exposure: Hendrycks, Mazeika and Dietterich 2019); the energy of the logits (Liu et al. 2020) is high where no digit is
well supported, and only then does it count. Each is measured in units of its own on validation images: 0 is their
median, 1 their 99 % quantile. The sum is then scaled so that one in a hundred calibration images is above 1. The
network itself stays as it is.
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
from training.recipes import Distortions
from training.robust.augmentation import distorted, enlarge
from training.trust.conformal import quantile
from training.trust.outlier_exposure import nondigits

METHOD = "a head with outlier exposure, and energy"

FALSE_ALARMS = 0.01
"""Share of digits like the calibration images that are called none."""

_HEAD_UNITS = 32
_DROPOUT = 0.3
_EPOCHS = 12
_BATCH_SIZE = 256
_MOST_DIGITS = 20_000
"""Images that the head learns digits from, and as many distorted copies."""
_DIGITS_TO_NONE = 3
"""Images to each picture of no digit."""


@dataclass(frozen=True, slots=True)
class Head:
    """Novelty as a function of the hidden layer (N, 512) and the logits (N, 10), in float64."""

    hidden_kernel: NDArray[np.float64]
    """(512, 32)"""
    hidden_bias: NDArray[np.float64]
    """(32,)"""
    kernel: NDArray[np.float64]
    """(32,)"""
    bias: float
    energy: float = 0.0
    """What the energy is multiplied by before it counts."""
    energy_bias: float = 0.0
    """What is added to it; negative is none."""

    def novelty(self, hidden: Floats, logits: Floats) -> NDArray[np.float64]:
        """(N,): 0 is a usual digit, above 1 it is taken for none."""
        unsupported = self.energy * energy(logits) + self.energy_bias
        return _answers(self, hidden) + np.maximum(unsupported, 0)


def fit(network: Any, split: Split, *, seed: int) -> Head | None:
    """The head of a trained network.

    Args:
        network: the lecture's; what it computes is not changed.
        split: digits to learn from; the other two parts set the units and the threshold.
        seed: of all that is random.

    Returns:
        None where too few images were held back for a threshold.
    """
    if min(len(split.y_validation), len(split.y_calibration)) < 1 / FALSE_ALARMS:
        return None
    head = _learn(network, split, seed)
    hidden, logits = activations(network, to_features(split.x_validation))
    (low, high), (low_energy, high_energy) = (
        (float(np.median(score)), float(np.quantile(score, 1 - FALSE_ALARMS)))
        for score in (_answers(head, hidden), energy(logits))
    )
    head = replace(
        head,
        kernel=head.kernel / (high - low),
        bias=(head.bias - low) / (high - low),
        energy=1 / (high_energy - low_energy),
        energy_bias=-low_energy / (high_energy - low_energy),
    )
    limit = quantile(head.novelty(*activations(network, to_features(split.x_calibration))), 1 - FALSE_ALARMS)
    assert limit is not None
    return replace(
        head,
        kernel=head.kernel / limit,
        bias=head.bias / limit,
        energy=head.energy / limit,
        energy_bias=head.energy_bias / limit,
    )


def _learn(network: Any, split: Split, seed: int) -> Head:
    """Digits, plain and distorted, against pictures of none."""
    few = np.random.default_rng(seed).permutation(len(split.y_train))[:_MOST_DIGITS]
    images, labels = split.x_train[few], split.y_train[few]
    copies = distorted(enlarge(images), labels, Distortions(), [seed, 0])
    none = nondigits(images, labels, len(images) // _DIGITS_TO_NONE, seed)
    hidden, _ = activations(network, to_features(np.concatenate([images, copies, none])))
    targets = np.repeat(np.array([0, 1], dtype=np.float32), [2 * len(images), len(none)])

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
    schedule = keras().optimizers.schedules.CosineDecay(2e-3, steps)
    head.compile(keras().optimizers.Adam(schedule), keras().losses.BinaryCrossentropy(from_logits=True))
    head.fit(hidden, targets, batch_size=_BATCH_SIZE, epochs=_EPOCHS, verbose=0)
    hidden_kernel, hidden_bias, kernel, bias = (weights.astype(np.float64) for weights in head.get_weights())
    return Head(hidden_kernel, hidden_bias, kernel[:, 0], float(bias[0]))


def _answers(head: Head, hidden: Floats) -> NDArray[np.float64]:
    """Of the layers alone, without the energy; (N,)."""
    found: NDArray[np.float64] = np.maximum(hidden @ head.hidden_kernel + head.hidden_bias, 0) @ head.kernel + head.bias
    return found


def energy(logits: Floats) -> NDArray[np.float64]:
    """Minus the logarithm of the sum of exponentials, (N, 10) to (N,)."""
    from scipy.special import logsumexp

    found: NDArray[np.float64] = -logsumexp(logits.astype(np.float64), axis=1)
    return found
