"""A prediction set has exactly the digits whose probability reaches the stored threshold."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from digits.features import CLASSES, Floats
from digits.model.artifact import Calibration
from digits.model.prediction_sets import Thresholds, prediction_sets, stored_thresholds
from tests.conftest import make_calibration

SHARES = st.floats(0, 1, width=32)


def floats(*shape: int) -> st.SearchStrategy[Floats]:
    return arrays(np.float32, shape, elements=SHARES)


@given(st.integers(0, 20).flatmap(lambda count: floats(count, CLASSES)), floats(CLASSES))
@example(np.eye(CLASSES, dtype=np.float32), np.zeros(CLASSES, dtype=np.float32))
@example(np.eye(CLASSES, dtype=np.float32), np.ones(CLASSES, dtype=np.float32))
@example(np.full((1, CLASSES), 0.1, dtype=np.float32), np.full(CLASSES, 0.2, dtype=np.float32))
def test_a_set_has_each_digit_whose_probability_is_at_least_its_threshold(probabilities: Floats, least: Floats) -> None:
    sets = prediction_sets(probabilities, least)

    assert sets == [[digit for digit in range(CLASSES) if row[digit] >= least[digit]] for row in probabilities]


def rows(*probabilities: float) -> Floats:
    """Return a row for each probability, which its first digit has."""
    return np.array([[each, *[0] * 9] for each in probabilities], dtype=np.float32)


def limits(threshold: float) -> Floats:
    return np.full(CLASSES, threshold, dtype=np.float32)


@pytest.mark.parametrize(
    ("thresholds", "normalized", "sets", "calibrations"),
    [
        (Thresholds(limits(0.6), limits(0.3)), [False, True, True], [[], [0], []], ["mnist", *["normalized"] * 2]),
        (Thresholds(limits(0.6), limits(0.3)), None, [[], [], []], ["mnist"] * 3),
        (Thresholds(limits(0.6)), [False, True, True], [[], [], []], ["mnist"] * 3),
    ],
    ids=["each picture has its own", "all pictures in MNIST form", "calibrated on MNIST only"],
)
def test_sets_use_the_calibration_that_they_name(
    thresholds: Thresholds, normalized: list[bool] | None, sets: list[list[int]], calibrations: list[str]
) -> None:
    were_normalized = None if normalized is None else np.array(normalized)

    computed = prediction_sets(rows(0.5, 0.4, 0.2), thresholds.of_pictures(were_normalized))
    named = list(islice(thresholds.calibrations(were_normalized), 3))

    assert (computed, named) == (sets, calibrations)


def test_a_level_that_only_mnist_has_serves_every_picture() -> None:
    calibration = make_calibration(normalized_threshold=0.1)
    calibration["normalized_sets"]["levels"] = calibration["normalized_sets"]["levels"][:2]

    stored = stored_thresholds(Calibration.model_validate(calibration))

    assert stored[0.95, False].normalized is not None
    assert stored[0.99, False].normalized is None
