"""Prediction sets: the digits that a picture may be, at a stated coverage."""

import numpy as np

from digits.artifact import Calibration, Level
from digits.features import CLASSES, Floats

DEFAULT_COVERAGE = 0.99

_SETS = [[digit for digit in range(CLASSES) if bits >> (CLASSES - 1 - digit) & 1] for bits in range(1 << CLASSES)]
"""The set of each row of ten bits, the first for 0."""


def thresholds(level: Level, *, per_class: bool = False) -> Floats:
    """The smallest probability with which each digit is in the set, (10,)."""
    values = level.per_class if per_class else (level.threshold,) * CLASSES
    assert values is not None, level
    return np.array(values, dtype=np.float32)


def stored_thresholds(calibration: Calibration | None) -> dict[tuple[float, bool], Floats]:
    """All that there are, by coverage and whether they are each digit's own."""
    if calibration is None:
        return {}
    return {
        (level.coverage, per_class): thresholds(level, per_class=per_class)
        for level in calibration.prediction_sets.levels
        for per_class in ((False,) if level.per_class is None else (False, True))
    }


def prediction_sets(probabilities: Floats, thresholds: Floats) -> list[list[int]]:
    """Those of each picture, in order; an empty one says that no digit is probable enough.

    Args:
        probabilities: (N, 10), as served.
        thresholds: (10,), from `thresholds`.

    Returns:
        N lists, shared: not to be changed.
    """
    # A row of ten bits as a number of 16, so that no list is made: 2 us for one picture, 10 us for a hundred.
    numbers = np.packbits(probabilities >= thresholds, axis=1).view(">u2").ravel()
    return [_SETS[number >> 6] for number in numbers.tolist()]
