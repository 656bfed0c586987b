"""Of two looks at a picture, the better one is chosen, and what the other one shows is not lost."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from digits.model.choice import Seen, better, judged
from digits.model.classifier import Scores
from digits.normalization.normalize import Normalized

PIXELS = np.zeros((28, 28), np.uint8)
INK = np.zeros((100, 100), np.uint8)
HALF, OTHER_HALF = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)


def seen(digit: int, cost: float, *, finders: int | None = None, **options: Any) -> Seen:
    """Return a look. The finder's has `finders`, the digit that it takes it for."""
    normalized = Normalized(PIXELS, ("centered",), finders_digit=finders, **options)
    return Seen(normalized, 0, digit, cost, None if finders == digit else finders)


@dataclass(frozen=True)
class Case:
    first: Seen
    second: Seen
    digit: int
    other: int | None = None


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(Case(seen(3, 0.5), seen(3, 0.6, finders=3, is_alone=True), 3), id="both show the same"),
        pytest.param(Case(seen(3, 2.0), seen(7, 1.0, finders=7, is_alone=True), 7), id="the cheaper one is better"),
        pytest.param(
            Case(seen(3, 0.9), seen(7, 1.0, finders=7, is_alone=True), 7, other=3),
            id="the finder and the network agree, and the first look is plausible",
        ),
        pytest.param(Case(seen(3, 0.9), seen(7, 1.0, finders=7), 3, other=7), id="they agree on one among others"),
        pytest.param(
            Case(seen(3, 0.5), seen(7, 1.0, finders=7), 3, other=7), id="the finder's digit is always plausible"
        ),
        pytest.param(Case(seen(3, 2.0), seen(7, 1.0, finders=9), 7, other=9), id="the finder and the network differ"),
        pytest.param(Case(seen(3, 1.2), seen(7, 1.0, finders=9), 7, other=3), id="the first look is as plausible"),
    ],
)
def test_the_better_look_is_chosen_and_names_what_else_is_plausible(case: Case) -> None:
    chosen = better(case.first, case.second)

    assert (chosen.digit, chosen.other) == (case.digit, case.other)


FIRST: tuple[str, ...] = ("neighbour", "edge", "dotted")


@pytest.mark.parametrize(
    ("ink", "part", "kept"),
    [
        pytest.param(None, HALF, ("dotted", "edge", "neighbour"), id="the same part of even paper"),
        pytest.param(None, OTHER_HALF, ("edge", "neighbour"), id="another part of even paper"),
        pytest.param(INK, HALF, ("dotted",), id="the same part of uneven paper"),
        pytest.param(INK, OTHER_HALF, (), id="another part of uneven paper"),
    ],
)
def test_doubts_of_the_first_look_last_if_it_can_see_what_they_are_about(
    ink: Any, part: tuple[float, ...], kept: tuple[str, ...]
) -> None:
    first = seen(3, 2.0, ink=ink, part=HALF, doubts=FIRST)

    chosen = better(first, seen(3, 1.0, finders=3, is_alone=True, part=part))

    assert tuple(sorted(chosen.normalized.doubts)) == kept


def test_marks_that_the_finder_saw_last() -> None:
    chosen = better(seen(3, 0.5, part=HALF), seen(3, 1.0, finders=3, part=OTHER_HALF, doubts=("neighbour",)))

    assert chosen.normalized.part == HALF
    assert chosen.normalized.doubts == ("neighbour",)


def test_what_the_finder_takes_a_digit_for_is_kept_if_the_network_differs() -> None:
    scores = Scores(np.eye(10, dtype=np.float32)[[3, 3]], None)
    looks = [Normalized(PIXELS, (), finders_digit=digit) for digit in (3, 7)]

    same, different = judged(looks, scores, first_row=5)

    assert (same.row, same.digit, same.other) == (5, 3, None)
    assert (different.row, different.digit, different.other) == (6, 3, 7)
