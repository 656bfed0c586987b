"""Prediction sets: the digits that a picture may show, at a stated coverage.

Training computes the thresholds (training/trust/conformal.py) and the manifest stores them. This module applies them.
"""

from itertools import compress

import numpy as np

from digits.artifact import Calibration, Level
from digits.features import CLASSES, Floats

DEFAULT_COVERAGE = 0.99

_DIGITS = range(CLASSES)


def digit_thresholds(level: Level, *, per_class: bool = False) -> Floats:
    """Return the smallest probability with which each digit is in the set, float32 (10,).

    Args:
        level: the coverage and its thresholds.
        per_class: whether each digit has its own threshold.
    """
    values = level.per_class if per_class else (level.threshold,) * CLASSES
    assert values is not None, level
    return np.array(values, dtype=np.float32)


def stored_thresholds(calibration: Calibration | None) -> dict[tuple[float, bool], Floats]:
    """Return a version's thresholds, float32 (10,), by (coverage, whether each digit has its own threshold)."""
    if calibration is None:
        return {}
    return {
        (level.coverage, per_class): digit_thresholds(level, per_class=per_class)
        for level in calibration.prediction_sets.levels
        for per_class in ((False,) if level.per_class is None else (False, True))
    }


def prediction_sets(probabilities: Floats, thresholds: Floats) -> list[list[int]]:
    """Return each picture's prediction set, in ascending order. An empty set means that no digit is probable enough.

    Args:
        probabilities: float32 (N, 10), as served.
        thresholds: float32 (10,), from `digit_thresholds`.
    """
    return [list(compress(_DIGITS, row)) for row in (probabilities >= thresholds).tolist()]
