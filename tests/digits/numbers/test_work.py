"""Pictures that were drawn to be costly. What reading them takes is counted by the code itself, before it is spent."""

from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchmarks.faults.hostile import KINDS, hostile, png
from digits.errors import DigitsError, TooManyDigits
from digits.features import FEATURES
from digits.numbers.read import prepare
from digits.numbers.segment import MAX_CANDIDATES
from digits.numbers.work import CANDIDATE, MAX_STEPS, STEPS_PER_PIXEL, Work
from digits.picture import Picture


@settings(max_examples=10)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    width=st.integers(50, 1500),
    height=st.integers(50, 600),
    gap=st.integers(3, 60),
    pen=st.integers(1, 6),
    light_ink=st.booleans(),
)
@example(kind="zigzag", width=2999, height=250, gap=20, pen=4, light_ink=True)
@example(kind="rings", width=999, height=250, gap=16, pen=2, light_ink=False)
@example(kind="dust", width=700, height=700, gap=20, pen=2, light_ink=False)
@example(kind="spiral", width=7000, height=7000, gap=90, pen=6, light_ink=False)
def test_reading_any_picture_takes_a_bounded_number_of_steps_and_of_pixels(
    kind: str, width: int, height: int, gap: int, pen: int, *, light_ink: bool
) -> None:
    picture = Picture(png(hostile(kind, width, height, gap, pen, light_ink=light_ink)))
    work = Work()

    drawn = 0
    with suppress(DigitsError):
        prepared = prepare(picture, work)
        drawn = 0 if prepared.segmentation is None else len(prepared.segmentation.pixels)

    assert drawn <= MAX_CANDIDATES
    assert drawn * CANDIDATE <= work.steps
    assert drawn * FEATURES <= work.pixels <= work.steps / STEPS_PER_PIXEL
    assert work.steps <= MAX_STEPS or work.is_exceeded


def test_work_beyond_the_limit_is_refused_before_it_is_done() -> None:
    picture = Picture(png(hostile("rings", 999, 250, 16, 2)))
    work = Work(max_steps=1_000_000)

    with pytest.raises(TooManyDigits, match="at most 1000000 steps"):
        prepare(picture, work)

    assert work.is_exceeded
