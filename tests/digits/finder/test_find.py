"""Centres, ownership and lines are decoded from maps, whatever network made them."""

import math

import numpy as np
import pytest

from digits.features import Floats
from digits.finder.centres import Centre, centres, contested, typical_height
from digits.finder.find import in_lines
from digits.finder.network import CLASSES, Maps
from digits.finder.ownership import share_out
from digits.finder.views import View

SIDE = 64
DIGITS_INK = 0.4


def maps(*digits: tuple[float, float, float, float], heat: float = 0.9) -> Maps:
    """Return what a network says of digits: x and y of the middle, width and height in pixels."""
    half, quarter = SIDE // 2, SIDE // 4
    found = Maps(
        np.zeros((2, half, half), np.float32),
        np.zeros((2, half, half), np.float32),
        np.ones((2, quarter, quarter), np.float32),
        np.full((len(CLASSES), quarter, quarter), 1 / len(CLASSES), np.float32),
        np.zeros((2, SIDE, SIDE), np.float32),
    )
    rows, columns = np.mgrid[:half, :half] + 0.5
    for x, y, width, height in digits:
        hill = heat * np.exp(-((columns - x / 2) ** 2 + (rows - y / 2) ** 2) / 2)
        np.maximum(found.heat[0], hill, out=found.heat[0])
        found.sizes[:, int(y) // 4, int(x) // 4] = math.log(width), math.log(height)
    return found


def centre(x: float, y: float, width: float = 8, height: float = 16, heat: float = 0.9) -> Centre:
    return Centre(x, y, width, height, heat, np.eye(len(CLASSES), dtype=np.float32)[7])


def view(ink: Floats, votes: Floats | None = None) -> View:
    """Return a view of black ink on white paper."""
    grey = (255 * (1 - ink)).astype(np.uint8)
    empty = maps()
    votes = empty.votes if votes is None else votes
    said = Maps(empty.heat, votes, empty.sizes, empty.classes, np.stack([ink, ink]).astype(np.float32))
    return View(grey, said, [], [], 1.0, (0, 0, SIDE, SIDE))


@pytest.mark.parametrize(("kind", "heat"), [(0, 0.3), (1, 0.9)], ids=["weaker than asked", "of digits"])
def test_other_heat_is_no_centre(kind: int, heat: float) -> None:
    assert not centres(maps((21, 33, 12, 24), heat=heat), kind, 0.36)


@pytest.mark.parametrize(
    ("apart", "count"),
    [pytest.param(4, 1, id="two maxima of one digit"), pytest.param(14, 2, id="two digits beside each other")],
)
def test_maxima_that_are_near_each_other_are_one_digit(apart: int, count: int) -> None:
    said = maps((21, 33, 20, 28), (21 + apart, 33, 20, 28))

    assert len(centres(said, 0, 0.3)) == count


def test_the_typical_height_is_that_of_the_large_digits() -> None:
    found = [centre(10, 10, height=6), centre(20, 10, height=6), centre(30, 10, height=30)]

    assert typical_height(found) == 30


def test_ink_between_two_digits_belongs_to_the_one_that_it_votes_for() -> None:
    ink = np.zeros((SIDE, SIDE), np.float32)
    ink[24:40, 14:18] = ink[24:40, 34:38] = ink[31:33, 14:30] = 1  # the second digit is a bar without the middle stroke
    votes = maps().votes.copy()
    columns = np.arange(SIDE // 2) + 0.5
    votes[0] = np.where(columns < 15, 11 - columns, 18 - columns)

    owner, coverage, _ = share_out(view(ink, votes), [centre(22, 32, 18), centre(36, 32)], [], DIGITS_INK)

    assert set(np.unique(owner[ink > 0])) == {0, 1}
    assert (owner[31:33, 16:28] == 0).all()
    assert coverage[30, 15] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("bottom", "owners"),
    [pytest.param(44, {0}, id="as long as a digit"), pytest.param(60, {0, -1}, id="longer than a digit")],
)
def test_a_stroke_that_is_no_longer_than_a_digit_is_not_divided(bottom: int, owners: set[int]) -> None:
    ink = np.zeros((SIDE, SIDE), np.float32)
    ink[24:bottom, 14:18] = 1
    votes = maps().votes.copy()
    votes[0, 19:] = 20  # the lower end votes for a place where nothing is

    owner, _, _ = share_out(view(ink, votes), [centre(16, 34, 8, 20)], [], DIGITS_INK)

    assert set(np.unique(owner[ink > 0])) == owners


def test_ink_far_from_all_digits_is_nobodys() -> None:
    ink = np.zeros((SIDE, SIDE), np.float32)
    ink[24:40, 14:18] = ink[50:60, 50:54] = 1

    owner, _, _ = share_out(view(ink), [centre(16, 32)], [], DIGITS_INK)

    assert (owner[50:60, 50:54] == -1).all()
    assert (owner[26:38, 15:17] == 0).all()


def test_what_may_be_a_digit_counts_if_ink_votes_for_it() -> None:
    ink = np.zeros((SIDE, SIDE), np.float32)
    ink[24:40, 14:18] = ink[24:40, 46:50] = 1
    written, between = centre(48, 32), centre(24, 32)

    owner, _, claims = share_out(view(ink), [centre(16, 32)], [between, written], DIGITS_INK)

    assert claims == [written]
    assert (owner[26:38, 47:49] == -1).all()


@pytest.mark.parametrize(("lower", "lines"), [(8.5, 1), (9.5, 2)], ids=["by half its height", "by six tenths of it"])
def test_a_digit_is_in_the_line_of_one_that_is_a_little_higher(lower: float, lines: int) -> None:
    assert len(in_lines([centre(10, 10), centre(300, 10 + lower)])) == lines


@pytest.mark.parametrize(
    ("slash", "digits", "marks", "rivalled"),
    [
        pytest.param(0.1, 1, 0, 0, id="a 1"),
        pytest.param(0.45, 1, 1, 0, id="a 1 that may be a slash"),
        pytest.param(0.6, 0, 1, 1, id="a slash that may be a 1"),
        pytest.param(0.9, 0, 1, 0, id="a slash"),
    ],
)
def test_a_digit_and_a_mark_at_one_place_are_decided_by_their_probabilities(
    slash: float, digits: int, marks: int, rivalled: int
) -> None:
    classes = np.zeros(len(CLASSES), np.float32)
    classes[[1, CLASSES.index("slash")]] = 1 - slash, slash
    found = [Centre(20, 20, 6, 24, 0.8, classes)]

    kept = contested(found, found, weight=0.8, rival=0.4)

    assert [len(each) for each in kept] == [digits, marks, rivalled]
