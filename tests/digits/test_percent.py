"""Probabilities as people read them."""

import pytest

from digits.percent import percent


@pytest.mark.parametrize(
    ("p", "shown"),
    [(0, "0.0 %"), (0.0009, "0.0 %"), (0.59999, "59.9 %"), (0.999, "99.9 %"), (0.9991, ">99.9 %"), (1, ">99.9 %")],
)
def test_a_probability_is_rounded_down_and_never_to_100_percent(p: float, shown: str) -> None:
    assert percent(p) == shown
