"""A prediction set has exactly the digits whose probability reaches the stored threshold."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from digits.features import CLASSES, Floats
from digits.model.prediction_sets import prediction_sets

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
