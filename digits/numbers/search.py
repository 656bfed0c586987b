"""Choose the best reading of a segmented picture: the cheapest path through the candidates of each line.

This is the segmentation-recognition graph of Matan et al. (1992) and LeCun et al. (1998, section VII). The weights are
chosen on strings of MNIST's validation digits, by `python -m benchmarks.quality.numbers --from validation`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from digits.errors import TooManyDigits
from digits.model.choice import digit_costs
from digits.model.classifier import Scores
from digits.numbers.segment import Box, Candidate, Line, Segmentation

MAX_DIGITS = 500
"""Maximum number of digits that are read on one picture."""

LEFT_OUT = 10.0
"""Cost of leaving out a piece as large as a digit. It grows with the square of the size."""

_LARGE = 0.5
"""A piece of this many heights of a digit is counted when it is left out."""

_DASH = 1.5
"""A dash is at least this many times as wide as high."""

_TOUCHING = 0.05
"""A dash that is nearer to two digits than this, in heights of a digit, joins them."""

_ARM = 0.1
"""The shorter arm of a tick is longer than this, in heights of a digit."""

_POINT = 0.25
"""A mark of at most this many heights of a digit may be a point of a colon, or a speck."""


@dataclass(frozen=True, slots=True)
class FoundDigit:
    """A digit of the reading."""

    candidate: int
    """Its index in `Segmentation.pixels`."""
    line: int
    """The line that it is in, from 0 at the top."""
    digit: int
    box: Box
    other: int | None = None
    """What another look at the picture shows there, if that is plausible too."""
    is_cut: bool = False
    """As in `Candidate`."""
    is_stranger: bool = False
    """Whether it does not fit its line, from `strangers`."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The digits of a picture."""

    digits: list[FoundDigit]
    """In reading order."""
    left_out: int
    """Number of pieces about as large as a digit, of raised ones, and of equals and minus signs, that were not read."""
    cost: float
    """Of the path that was chosen."""


@dataclass(slots=True)
class _LineReading:
    chosen: list[int]
    """Indices of the line's candidates, from left to right."""
    left_out: list[int]
    """Indices of the line's pieces, from left to right."""
    cost: float


def best_reading(segmentation: Segmentation, scores: Scores) -> Reading:
    """Return the best reading of a picture. Raises TooManyDigits if it has more than MAX_DIGITS digits."""
    costs, best = digit_costs(scores), scores.probabilities.argmax(axis=1).tolist()
    digits: list[FoundDigit] = []
    left_out = start = lines = 0
    cost = 0.0
    for line in segmentation.lines:
        read = _read_line(line, costs[start : start + len(line.candidates)].tolist())
        for index in read.chosen:
            row, each = start + index, line.candidates[index]
            digits.append(FoundDigit(row, lines, best[row], line.box(each), is_cut=each.is_cut))
        left_out += sum(line.sizes[piece] > _LARGE for piece in read.left_out)
        left_out += _signs(line.corners[read.left_out].tolist()) + _raised_marks(line, read)
        left_out += _has_minus_or_bar(line, read)
        ones = [line.candidates[index] for index in read.chosen if best[start + index] == 1]
        left_out += sum(each.is_cut and _goes_on(line, read, each) for each in ones)
        cost += read.cost
        lines += bool(read.chosen)
        start += len(line.candidates)
    if len(digits) > MAX_DIGITS:
        raise TooManyDigits(f"expected a picture of at most {MAX_DIGITS} digits, found {len(digits)}")
    return Reading(digits, int(left_out), cost)


def _read_line(line: Line, costs: list[float]) -> _LineReading:
    """Return the cheapest path through a line (Dijkstra's algorithm on a graph whose arcs lead to the right)."""
    count = len(line.sizes)
    best = [0.0] + [np.inf] * count
    arrivals: list[int | None] = [None] * (count + 1)
    """The candidate that ends at each place on its cheapest path. None if the piece before it is left out."""
    starting: list[list[int]] = [[] for _ in range(count)]
    for index, candidate in enumerate(line.candidates):
        starting[candidate.first].append(index)
    for place, size in enumerate(line.sizes):
        without = best[place] + LEFT_OUT * size * size
        if without < best[place + 1]:
            best[place + 1], arrivals[place + 1] = without, None
        for index in starting[place]:
            candidate = line.candidates[index]
            cost = best[place] + costs[index] + candidate.cost
            if cost < best[candidate.last + 1]:
                best[candidate.last + 1], arrivals[candidate.last + 1] = cost, index
    chosen: list[int] = []
    left_out: list[int] = []
    place = count
    while place:
        arrival = arrivals[place]
        if arrival is None:
            place -= 1
            left_out.append(place)
        else:
            chosen.append(arrival)
            place = line.candidates[arrival].first
    return _LineReading(chosen[::-1], left_out[::-1], best[count])


def _signs(corners: list[list[int]]) -> int:
    """Return how many dashes have another dash or a point above or below them, as in an equals or a division sign."""
    return sum(
        (_is_dash(piece) or _is_dash(other))
        and abs(piece[0] + piece[2] - other[0] - other[2]) < 0.4 * max(piece[2] - piece[0], other[2] - other[0])
        for piece, other in pairwise(corners)
    )


def _is_dash(corners: Sequence[float]) -> bool:
    left, top, right, bottom = corners
    return right - left >= _DASH * (bottom - top)


def _has_minus_or_bar(line: Line, read: _LineReading) -> bool:
    """Return whether a dash at half height is left out before the first digit, as a minus, or joins two, as in an H."""
    chosen = [line.candidates[index] for index in read.chosen]
    for piece in read.left_out:
        left, top, right, bottom = dash = line.corners[piece].tolist()
        before, behind = ([line.box(each) for each in chosen if (each.first > piece) == side] for side in (False, True))
        if not behind or not _is_dash(dash):
            continue
        box = behind[0]
        gaps = [max(left - each.x - each.width, box.x - right) for each in before[-1:]]
        is_in_middle = box.y + box.height / 4 < (top + bottom) / 2 < box.y + box.height * 3 / 4
        if is_in_middle and max(gaps, default=0) <= _TOUCHING * box.height:
            return True
    return False


def _goes_on(line: Line, read: _LineReading, one: Candidate) -> bool:
    """Return whether a piece beside a 1 was left out. The 1 may then be the longer arm of a tick."""
    return any(line.sizes[piece] > _ARM for piece in (one.first - 1, one.last + 1) if piece in read.left_out)


def _raised_marks(line: Line, read: _LineReading) -> int:
    """Return how many small marks were left out that are no points and commas: rings, degree signs, pieces of digits.

    They begin in the upper half of the line. A mark as small as a point counts only if it ends there, and another one
    follows behind the digit after it, as in a percent sign.
    """
    middles = [box.y + box.height / 2 for box in (line.box(line.candidates[index]) for index in read.chosen)]
    middle = np.median(middles) if middles else 0
    after = {line.candidates[index].first - 1: line.candidates[index].last + 1 for index in read.chosen}
    count = 0
    for piece in read.left_out:
        _, top, _, bottom = line.corners[piece].tolist()
        if line.sizes[piece] <= _POINT:
            count += bottom < middle and after.get(piece) in read.left_out
        elif line.sizes[piece] <= _LARGE:
            count += top < middle
    return count
