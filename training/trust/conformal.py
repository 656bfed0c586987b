"""Split conformal prediction: thresholds whose prediction sets contain the true digit as often as promised.

The promise holds for any network, on images that are exchangeable with the calibration images. The score of a new
image's true digit is at most the k-th smallest of n calibration scores with probability k / (n + 1). If scores are
equal, the probability is slightly higher (Vovk, Gammerman and Shafer 2005; Papadopoulos et al. 2002). This module uses
arrays only, no Keras.
"""

import math
from itertools import count

import numpy as np
from numpy.typing import NDArray

from digits.features import Floats
from digits.model.artifact import DEFAULT_COVERAGE, Level, PredictionSets
from training.data.images import Labels

COVERAGES = (0.9, 0.95, 0.99, 0.999)
"""The coverage levels in the manifest."""


def supported_coverage(images: int) -> float | None:
    """Return the highest coverage, up to the usual one, that this many calibration images can promise, or None."""
    supported = [level for level in COVERAGES if level <= DEFAULT_COVERAGE and _rank(level, images) <= images]
    return max(supported, default=None)


def needed_images() -> int:
    """Return how many calibration images the lowest coverage needs."""
    return next(images for images in count(1) if supported_coverage(images))


def calibrate(probabilities: Floats, labels: Labels) -> PredictionSets:
    """Return the thresholds for the manifest, by the LAC score (Sadinle, Lei and Wasserman 2019).

    LAC stands for least ambiguous set-valued classifier. Its score is 1 minus the digit's probability. The
    probabilities, float32 (N, classes), are those of the calibration images as served. The labels are uint8 (N,).
    """
    classes = probabilities.shape[1]
    true_probabilities = probabilities[np.arange(len(labels)), labels]
    levels = []
    for coverage in COVERAGES:
        threshold = _threshold(true_probabilities, coverage)
        if threshold is None:
            continue
        limits = [_threshold(true_probabilities[labels == digit], coverage) for digit in range(classes)]
        known = tuple(limit for limit in limits if limit is not None)
        per_class = known if len(known) == classes else None
        levels.append(Level(coverage=coverage, threshold=threshold, per_class=per_class))
    return PredictionSets(levels=tuple(levels))


def _threshold(true_probabilities: Floats, coverage: float) -> float | None:
    # The score is -p instead of 1 - p, because the subtraction would round. Serving compares p itself.
    limit = quantile(-true_probabilities.astype(np.float64), coverage)
    return None if limit is None else -limit


def other_folds_thresholds(probabilities: Floats, labels: Labels, folds: NDArray[np.int64], coverage: float) -> Floats:
    """Return for each image the threshold that the images of the other folds give, float32 (N, 1).

    `folds`, (N,), says which network scored an image. If the others are too few, it is the least of them.
    """
    scores = -probabilities[np.arange(len(labels)), labels].astype(np.float64)
    thresholds = np.zeros((len(labels), 1), np.float32)
    for fold in np.unique(folds):
        others = np.sort(scores[folds != fold])
        thresholds[folds == fold] = -others[min(_rank(coverage, len(others)), len(others)) - 1]
    return thresholds


def quantile(scores: NDArray[np.float64], coverage: float) -> float | None:
    """Return the k-th smallest of n scores, with k = ceil((n + 1) * coverage), or None if k exceeds n."""
    k = _rank(coverage, len(scores))
    return float(np.sort(scores)[k - 1]) if k <= len(scores) else None


def coverage_band(coverage: float, calibration: int, test: int, *, error: float) -> tuple[float, float]:
    """Return the range that contains the share of covered test images with probability 1 - error.

    The number of covered images is beta-binomial with the parameters k and n + 1 - k (Vovk 2012), if the `test` images
    are exchangeable with the n = `calibration` images. Half of the error is on either side.
    """
    from scipy.stats import betabinom

    k = _rank(coverage, calibration)
    covered = betabinom(test, k, calibration + 1 - k)
    return float(covered.ppf(error / 2) / test), float(covered.ppf(1 - error / 2) / test)


def _rank(coverage: float, images: int) -> int:
    # 0.9 has no exact binary form: 10 times 0.9 may be 9.000000000000002, which ceil() would turn into 10.
    return math.ceil((images + 1) * coverage - 1e-9)
