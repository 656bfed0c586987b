"""Prediction sets: the classes that a picture may belong to, at a stated coverage.

Training computes the thresholds (training/trust/conformal.py) and the manifest stores them. This module applies them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import compress, count, repeat
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from digits.features import Floats
from digits.model.artifact import Calibration, Level, PredictionSets

CalibrationName = Literal["mnist", "normalized"]
"""Whose thresholds a set has: those for pictures in MNIST form, or those for pictures that were normalized."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The smallest probability with which each class is in the set, float32 (classes,)."""

    mnist: Floats
    """For pictures in MNIST form."""
    normalized: Floats | None = None
    """For pictures that were normalized. None if the version is calibrated on MNIST only. `mnist` then serves all."""

    def of_pictures(self, normalized: NDArray[np.bool_] | None) -> Floats:
        """Return the thresholds of N pictures. `normalized`, (N,), is None if all of them came in MNIST form."""
        if normalized is None or self.normalized is None:
            return self.mnist
        return np.where(normalized[:, None], self.normalized, self.mnist)

    def calibrations(self, normalized: NDArray[np.bool_] | None) -> Iterable[CalibrationName]:
        """Return whose thresholds each picture has. The iterable may be infinite."""
        if normalized is None or self.normalized is None:
            return repeat("mnist")
        return ["normalized" if each else "mnist" for each in normalized.tolist()]


def class_thresholds(level: Level, *, per_class: bool = False, classes: int) -> Floats:
    """Return the smallest probability with which each class is in the set, float32 (classes,)."""
    values = level.per_class if per_class else (level.threshold,) * classes
    assert values is not None, level
    return np.array(values, dtype=np.float32)


def stored_thresholds(calibration: Calibration | None, classes: int) -> dict[tuple[float, bool], Thresholds]:
    """Return a version's thresholds by (coverage, whether each class has its own threshold)."""
    if calibration is None:
        return {}
    normalized = _by_level(calibration.normalized_sets, classes)
    return {
        key: Thresholds(own, normalized.get(key))
        for key, own in _by_level(calibration.prediction_sets, classes).items()
    }


def _by_level(sets: PredictionSets | None, classes: int) -> dict[tuple[float, bool], Floats]:
    return {
        (level.coverage, per_class): class_thresholds(level, per_class=per_class, classes=classes)
        for level in (() if sets is None else sets.levels)
        for per_class in ((False,) if level.per_class is None else (False, True))
    }


def prediction_sets(probabilities: Floats, thresholds: Floats) -> list[list[int]]:
    """Return each picture's prediction set, in ascending order. An empty set means that no class is probable enough.

    `probabilities` are (N, classes), as served. `thresholds` are (classes,) for all pictures, or (N, classes), as from
    `Thresholds.of_pictures`.
    """
    return [list(compress(count(), row)) for row in (probabilities >= thresholds).tolist()]
