"""A prediction set has exactly the digits whose probability reaches the stored threshold."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from digits.artifact import Calibration, Level
from digits.features import CLASSES, Floats
from digits.prediction_sets import digit_thresholds, prediction_sets, stored_thresholds
from tests.conftest import make_calibration

SHARES = st.floats(0, 1, width=32)
LEVEL = Level(coverage=0.9, threshold=0.3, per_class=(0.1, *(0.2,) * 8, 0.7))


def floats(*shape: int) -> st.SearchStrategy[Floats]:
    return arrays(np.float32, shape, elements=SHARES)


@given(st.integers(0, 20).flatmap(lambda count: floats(count, CLASSES)), floats(CLASSES))
@example(np.eye(CLASSES, dtype=np.float32), np.zeros(CLASSES, dtype=np.float32))
@example(np.eye(CLASSES, dtype=np.float32), np.ones(CLASSES, dtype=np.float32))
@example(np.full((1, CLASSES), 0.1, dtype=np.float32), np.full(CLASSES, 0.2, dtype=np.float32))
def test_a_set_has_each_digit_whose_probability_is_at_least_its_threshold(probabilities: Floats, least: Floats) -> None:
    sets = prediction_sets(probabilities, least)

    assert sets == [[digit for digit in range(CLASSES) if row[digit] >= least[digit]] for row in probabilities]


@given(st.floats(2**-20, 1, width=32), st.integers(0, CLASSES - 1))
def test_the_threshold_is_inclusive_to_the_next_float(threshold: float, digit: int) -> None:
    least = digit_thresholds(Level(coverage=0.9, threshold=threshold))
    probabilities = np.zeros((2, CLASSES), dtype=np.float32)
    probabilities[0, digit] = threshold
    probabilities[1, digit] = np.nextafter(np.float32(threshold), np.float32(0))

    assert prediction_sets(probabilities, least) == [[digit], []]


@pytest.mark.parametrize(
    ("per_class", "expected"),
    [pytest.param(False, [0.3] * 10, id="all"), pytest.param(True, [0.1, *[0.2] * 8, 0.7], id="per class")],
)
def test_a_level_has_one_threshold_for_all_or_one_per_class(expected: list[float], *, per_class: bool) -> None:
    np.testing.assert_array_equal(digit_thresholds(LEVEL, per_class=per_class), np.array(expected, dtype=np.float32))


def test_thresholds_are_stored_by_coverage_and_per_class() -> None:
    stored = stored_thresholds(Calibration.model_validate(make_calibration()))

    both = [(coverage, per_class) for coverage in (0.9, 0.95, 0.99) for per_class in (False, True)]
    assert sorted(stored) == [*both, (0.999, False)]
    assert stored[0.99, True].tolist() == np.array([0.2] * 9 + [0.1], dtype=np.float32).tolist()


def test_without_calibration_there_are_no_thresholds() -> None:
    assert stored_thresholds(None) == {}
