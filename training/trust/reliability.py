"""Whether a probability is as frequent as it says: calibration errors, proper scores, the reliability diagram.

Arrays only, no Keras.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digits.features import CLASSES, Floats
from training.data import Labels

BINS = 15
"""Of equal width, as is usual since Guo et al. (2017)."""

_DRAWS = 2000


@dataclass(frozen=True, slots=True)
class Reliability:
    """Of one network's probabilities on one split."""

    ece: float
    """Expected calibration error: mean over images of how far their bin's accuracy is from its mean confidence."""
    mce: float
    """Maximum calibration error: that of the worst bin, however few images it has."""
    nll: float
    """Mean negative logarithm of the true digit's probability."""
    brier: float
    """Mean squared distance of the ten probabilities from the truth, 0 to 2 (Brier 1950)."""
    ece_by_chance: float
    """95 % quantile of the ECE of a network whose confidences are these and exactly right, by simulation."""
    confidence: NDArray[np.float64]
    """(15,): mean of each bin; NaN where it is empty."""
    accuracy: NDArray[np.float64]
    """(15,)"""
    images: NDArray[np.int64]
    """(15,)"""

    def metrics(self) -> dict[str, float]:
        """The figures alone."""
        return {name: getattr(self, name) for name in ("ece", "mce", "nll", "brier", "ece_by_chance")}


def reliability(probabilities: Floats, labels: Labels) -> Reliability:
    """Hold probabilities (N, 10) against labels (N,)."""
    exact = probabilities.astype(np.float64)
    confidence = exact.max(axis=1)
    right = exact.argmax(axis=1) == labels
    # Bins are open below and closed above, so that a confidence of 1 is in the last.
    bins = (np.ceil(confidence * BINS).astype(int) - 1).clip(0, BINS - 1)
    images = np.bincount(bins, minlength=BINS)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(bins, confidence, BINS) / images
        accuracy = np.bincount(bins, right, BINS) / images
    gaps = np.abs(accuracy - mean_confidence)
    of_the_truth = exact[np.arange(len(labels)), labels]
    return Reliability(
        ece=_ece(bins, confidence, right),
        mce=float(np.nanmax(gaps)),
        nll=float(-np.log(of_the_truth.clip(1e-12)).mean()),
        brier=float(((exact - np.eye(CLASSES)[labels]) ** 2).sum(axis=1).mean()),
        ece_by_chance=_ece_by_chance(bins, confidence),
        confidence=mean_confidence,
        accuracy=accuracy,
        images=images,
    )


def scaled(probabilities: Floats, temperature: float) -> Floats:
    """What the same logits give when they are divided by a temperature; (N, 10)."""
    from scipy.special import softmax

    # Logarithms of probabilities are logits but for a constant, which the softmax does not see.
    logits = np.log(probabilities.astype(np.float64).clip(np.finfo(np.float32).tiny))
    found: Floats = softmax(logits / temperature, axis=1).astype(np.float32)
    return found


def _ece(bins: NDArray[np.int64], confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    gaps = np.bincount(bins, right - confidence, BINS)
    return float(np.abs(gaps).sum() / len(bins))


def _ece_by_chance(bins: NDArray[np.int64], confidence: NDArray[np.float64]) -> float:
    """Each image is right with the probability that its confidence says, many times over (consistency resampling)."""
    rng = np.random.default_rng(0)
    draws = [_ece(bins, confidence, rng.random(len(bins)) < confidence) for _ in range(_DRAWS)]
    return float(np.quantile(draws, 0.95))
