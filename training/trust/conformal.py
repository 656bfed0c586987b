"""Split conformal prediction: thresholds whose prediction sets hold the true digit as often as they say.

For images exchangeable with the calibration images, whatever the network: the score of the true digit of a new one is
at most the k-th smallest of n calibration scores with probability k / (n + 1), or a little more where scores are equal
(Vovk, Gammerman and Shafer 2005; Papadopoulos et al. 2002). Arrays only, no Keras.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from digits.artifact import Level, PredictionSets
from digits.features import CLASSES, Floats
from training.data import Labels

COVERAGES = (0.9, 0.95, 0.99, 0.999)
"""The levels that are stored."""

Score = Callable[[Floats], NDArray[np.float64]]
"""Probabilities (N, 10) to the nonconformity of each digit, (N, 10): the less, the better it fits."""


def lac(probabilities: Floats) -> NDArray[np.float64]:
    """1 minus the digit's probability: least ambiguous set-valued classifier (Sadinle, Lei and Wasserman 2019)."""
    return 1 - probabilities.astype(np.float64)


def aps(probabilities: Floats, *, rng: np.random.Generator | None = None) -> NDArray[np.float64]:
    """The probability of all digits at least as probable: adaptive prediction sets (Romano, Sesia and Candès 2020).

    With `rng` a random share of the digit's own is left out, which makes the coverage exact; without, sets are larger.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    ordered = np.take_along_axis(probabilities.astype(np.float64), order, axis=1)
    scores = ordered.cumsum(axis=1)
    if rng is not None:
        scores -= rng.random((len(probabilities), 1)) * ordered
    found = np.empty_like(scores)
    np.put_along_axis(found, order, scores, axis=1)
    return found


def raps(
    probabilities: Floats, *, penalty: float = 0.01, free: int = 2, rng: np.random.Generator | None = None
) -> NDArray[np.float64]:
    """APS, and a penalty for each digit of lower rank than `free`: regularized (Angelopoulos et al. 2021)."""
    rank = np.argsort(np.argsort(-probabilities, axis=1, kind="stable"), axis=1)
    return aps(probabilities, rng=rng) + penalty * (rank + 1 - free).clip(0)


def quantile(scores: NDArray[np.float64], coverage: float) -> float | None:
    """The k-th smallest, k the whole number from (n + 1) times the coverage up; None where n scores carry no such k."""
    k = _rank(coverage, len(scores))
    return float(np.sort(scores)[k - 1]) if k <= len(scores) else None


def calibrate(probabilities: Floats, labels: Labels) -> PredictionSets:
    """The thresholds that a manifest holds, by LAC.

    Args:
        probabilities: (N, 10) of the calibration images, as they will be served.
        labels: (N,)
    """
    of_truth = probabilities[np.arange(len(labels)), labels]
    levels = []
    for coverage in COVERAGES:
        threshold = _threshold(of_truth, coverage)
        per_class = [_threshold(of_truth[labels == digit], coverage) for digit in range(CLASSES)]
        if threshold is not None:
            whole = tuple(each for each in per_class if each is not None)
            levels.append(
                Level(coverage=coverage, threshold=threshold, per_class=whole if len(whole) == CLASSES else None)
            )
    return PredictionSets(levels=tuple(levels))


def _threshold(of_truth: Floats, coverage: float) -> float | None:
    """On probabilities themselves, not on 1 minus them: what is compared when serving is to the bit what was here."""
    found = quantile(-of_truth.astype(np.float64), coverage)
    return None if found is None else -found


def coverage_band(coverage: float, calibration: int, test: int, *, error: float) -> tuple[float, float]:
    """Within which the share of covered test images lies with probability 1 - error, for exchangeable images.

    The number covered of `test` is beta-binomial with k and n + 1 - k (Vovk 2012), n the calibration images.
    """
    from scipy.stats import betabinom

    k = _rank(coverage, calibration)
    covered = betabinom(test, k, calibration + 1 - k)
    return float(covered.ppf(error / 2) / test), float(covered.ppf(1 - error / 2) / test)


def _rank(coverage: float, images: int) -> int:
    """Which smallest of so many scores is the threshold; more than there are where they do not carry the coverage."""
    # 0.9 is no binary number: 10 times it may be 9.000000000000002.
    return math.ceil((images + 1) * coverage - 1e-9)
