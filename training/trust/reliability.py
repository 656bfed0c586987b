"""Measure whether probabilities match frequencies: calibration errors, proper scores and the reliability diagram.

This module uses arrays only, no Keras.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from digits.features import Floats
from training.data.images import Labels

BINS = 15
"""Number of bins of equal width, as in Guo et al. (2017)."""

_SIMULATIONS = 2000


@dataclass(frozen=True, slots=True)
class Reliability:
    """The reliability of a network's probabilities on N images. Confidence is the probability of the predicted digit.

    An empty bin has a confidence and an accuracy of NaN.
    """

    ece: float
    """Expected calibration error: the gap between a bin's accuracy and its mean confidence, averaged over images."""
    mce: float
    """Maximum calibration error: the largest gap of any bin, however few images it has."""
    nll: float
    """Mean negative logarithm of the true digit's probability."""
    brier: float
    """Mean squared distance between the probabilities and the truth, from 0 to 2 (Brier 1950)."""
    ece_by_chance: float
    """95 % quantile of the simulated ECE of a network with these confidences, if all of them were exactly right."""
    confidence: NDArray[np.float64]
    """(15,), the mean of each bin."""
    accuracy: NDArray[np.float64]
    """(15,), of each bin."""
    images: NDArray[np.int64]
    """(15,), the number of images in each bin."""


def reliability(probabilities: Floats, labels: Labels) -> Reliability:
    """Compare probabilities, float32 (N, classes), with the true digits, uint8 (N,)."""
    exact = probabilities.astype(np.float64)
    confidence = exact.max(axis=1)
    correct = exact.argmax(axis=1) == labels
    # Bins are open below and closed above, so that a confidence of 1 falls into the last bin.
    bins = (np.ceil(confidence * BINS).astype(int) - 1).clip(0, BINS - 1)
    images = np.bincount(bins, minlength=BINS)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(bins, confidence, BINS) / images
        accuracy = np.bincount(bins, correct, BINS) / images
    gaps = np.abs(accuracy - mean_confidence)
    true_probabilities = exact[np.arange(len(labels)), labels]
    return Reliability(
        ece=_ece(bins, confidence, correct),
        mce=float(np.nanmax(gaps)),
        nll=abs(float(np.log(true_probabilities.clip(1e-12, 1)).mean())),  # abs, because -0.0 looks wrong
        brier=float(((exact - np.eye(exact.shape[1])[labels]) ** 2).sum(axis=1).mean()),
        ece_by_chance=_ece_by_chance(bins, confidence),
        confidence=mean_confidence,
        accuracy=accuracy,
        images=images,
    )


def rescale(probabilities: Floats, temperature: float) -> Floats:
    """Return the probabilities, float32 (N, classes), after dividing their logits by a temperature."""
    # The logarithm of a probability is its logit minus a constant, and the softmax ignores constants.
    logits = np.log(probabilities.astype(np.float64).clip(np.finfo(np.float32).tiny))
    rescaled: Floats = softmax(logits / temperature, axis=1).astype(np.float32)
    return rescaled


def _ece(bins: NDArray[np.int64], confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> float:
    gaps = np.bincount(bins, correct - confidence, BINS)
    return float(np.abs(gaps).sum() / len(bins))


def _ece_by_chance(bins: NDArray[np.int64], confidence: NDArray[np.float64]) -> float:
    # Consistency resampling (Bröcker and Smith 2007): each image is correct with the probability of its confidence.
    rng = np.random.default_rng(0)
    simulated = [_ece(bins, confidence, rng.random(len(bins)) < confidence) for _ in range(_SIMULATIONS)]
    return float(np.quantile(simulated, 0.95))
