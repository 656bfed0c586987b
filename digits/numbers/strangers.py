"""Find signs among a number's digits that look like digits: commas, slashes, brackets, and rings of percent signs."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from digits.features import SIDE, Floats, Grey
from digits.numbers.search import FoundDigit

_SMALL = 0.55
"""A digit that is lower than this, in heights of its line's other digits, may be a ring of a percent sign."""

_COMMA = 0.4
"""A 1 that is lower than this, in the same heights, and below the middle of its line, is a comma."""

_REACH, _LEAN, _BOW, _ROUGH = 0.05, 0.2, 1.2, 0.8
"""A 1 may be a slash or a bracket if it reaches further than _REACH above and below its line's other digits, in their
heights. Its middle line leans by more than _LEAN, or bows by more than _BOW pixels of the network's input. It is
smooth: within _ROUGH pixels of an arc."""


def strangers(digits: Sequence[FoundDigit], pixels: Grey) -> list[bool]:
    """Return for each digit of a reading whether its size, or its slant and reach, do not fit its line.

    Args:
        digits: the N digits of the reading.
        pixels: uint8 (N, 28, 28), in MNIST form.
    """
    extents = np.array([(each.box.y, each.box.y + each.box.height) for each in digits], dtype=float).reshape(-1, 2)
    lines = np.array([each.line for each in digits])
    found = []
    for index, digit in enumerate(digits):
        is_other = lines == digit.line
        is_other[index] = False
        others = extents[is_other]
        if not len(others):
            found.append(False)
            continue
        typical = float(np.median(np.ptp(others, axis=1)))
        (top, bottom), (others_top, others_bottom) = extents[index], np.median(others, axis=0)
        reaches_out = min(others_top - top, bottom - others_bottom) > _REACH * typical
        is_sign = digit.digit == 1 and reaches_out and _leans_or_bows(pixels[index].astype(np.float32))
        found.append(bottom - top < _SMALL * typical or is_sign)
    for at, (left, right) in enumerate(pairwise(digits)):
        # The rings of a percent sign share its slash.
        if (left.digit, right.digit) == (9, 6) and left.box.x + left.box.width > right.box.x:
            found[at] = found[at + 1] = found[at] or left.line == right.line
    return found


def _leans_or_bows(pixels: Floats) -> bool:
    """Return whether the middles of the ink in each row lie on a line that leans to the right, or on an arc."""
    ink = pixels.sum(axis=1)
    rows = np.flatnonzero(ink > 0.1 * ink.max())
    middles = pixels[rows] @ np.arange(SIDE) / ink[rows]
    arc = np.polyfit(rows, middles, 2)
    leans = np.polyfit(rows, middles, 1)[0] < -_LEAN
    bows = abs(arc[0]) * (np.ptp(rows) / 2) ** 2 > _BOW
    return bool((leans or bows) and np.std(middles - np.polyval(arc, rows)) < _ROUGH)


def commas(digits: Sequence[FoundDigit]) -> list[bool]:
    """Return for each digit of a reading whether it is a comma."""
    return [
        bool(
            others
            and each.digit == 1
            and each.box.height < _COMMA * np.median([other.height for other in others])
            and each.box.y > np.median([other.y + other.height / 2 for other in others])
        )
        for each in digits
        for others in [[other.box for other in digits if other.line == each.line and other is not each]]
    ]
