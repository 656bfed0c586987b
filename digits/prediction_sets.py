"""Prediction sets: the digits that a picture may show, at a stated coverage.

Training computes the thresholds (training/trust/conformal.py) and the manifest stores them. This module applies them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import compress, repeat
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from digits.artifact import Calibration, Level, PredictionSets
from digits.features import CLASSES, Floats

DEFAULT_COVERAGE = 0.99

CalibrationName = Literal["mnist", "normalized"]
"""Whose thresholds a set has: those for pictures in MNIST form, or those for pictures that were normalized."""

_DIGITS = range(CLASSES)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The smallest probability with which each digit is in the set, float32 (10,)."""

    mnist: Floats
    """For pictures in MNIST form."""
    normalized: Floats | None = None
    """For pictures that were normalized. None if the version is calibrated on MNIST only. `mnist` then serves all."""

    def of_pictures(self, normalized: NDArray[np.bool_] | None) -> Floats:
        """Return the thresholds of N pictures for `prediction_sets`.

        Args:
            normalized: (N,), from `are_normalized`. None means that all pictures came in MNIST form.
        """
        if normalized is None or self.normalized is None:
            return self.mnist
        return np.where(normalized[:, None], self.normalized, self.mnist)

    def calibrations(self, normalized: NDArray[np.bool_] | None) -> Iterable[CalibrationName]:
        """Return whose thresholds each picture has. The iterable may be infinite."""
        if normalized is None or self.normalized is None:
            return repeat("mnist")
        return ["normalized" if each else "mnist" for each in normalized.tolist()]


def digit_thresholds(level: Level, *, per_class: bool = False) -> Floats:
    """Return the smallest probability with which each digit is in the set, float32 (10,).

    Args:
        level: the coverage and its thresholds.
        per_class: whether each digit has its own threshold.
    """
    values = level.per_class if per_class else (level.threshold,) * CLASSES
    assert values is not None, level
    return np.array(values, dtype=np.float32)


def stored_thresholds(calibration: Calibration | None) -> dict[tuple[float, bool], Thresholds]:
    """Return a version's thresholds by (coverage, whether each digit has its own threshold)."""
    if calibration is None:
        return {}
    mnist, normalized = _by_level(calibration.prediction_sets), _by_level(calibration.normalized_sets)
    return {key: Thresholds(thresholds, normalized.get(key)) for key, thresholds in mnist.items()}


def _by_level(sets: PredictionSets | None) -> dict[tuple[float, bool], Floats]:
    if sets is None:
        return {}
    return {
        (level.coverage, per_class): digit_thresholds(level, per_class=per_class)
        for level in sets.levels
        for per_class in ((False,) if level.per_class is None else (False, True))
    }


def prediction_sets(probabilities: Floats, thresholds: Floats) -> list[list[int]]:
    """Return each picture's prediction set, in ascending order. An empty set means that no digit is probable enough.

    Args:
        probabilities: float32 (N, 10), as served.
        thresholds: float32, (10,) for all pictures, or (N, 10). `Thresholds.of_pictures` returns them.
    """
    return [list(compress(_DIGITS, row)) for row in (probabilities >= thresholds).tolist()]
