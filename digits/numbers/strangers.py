"""Find signs among a number's digits that look like digits: commas, slashes, brackets, bars, rings of percent signs."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from digits.normalization.parts import Ints
from digits.numbers.search import FoundDigit
from digits.numbers.segment import Box

_SMALL = 0.55
"""A digit lower than this, in heights of the others of its line, may be a ring of a percent sign, or an exponent. If
the others are lower than this, in heights of a 0, the 0 may be a ring around a digit."""

_COMMA = 0.4
"""A 1 that is lower than this, in the same heights, and below the middle of its line, is a comma."""

_REACH = {1: 0.05, 7: 0.1}
"""A 1 or a 7 that reaches further than this above and below its line's other digits, in their heights, may be a slash
or a bracket."""

_MOST_ONES = 4
"""A line of more ones than this, and of nothing else, may be a barcode or tally marks."""


def strangers(digits: Sequence[FoundDigit]) -> list[bool]:
    """Return for each digit of a reading whether its size or its reach does not fit its line."""
    found, ones = [], Counter(each.line for each in digits if each.digit == 1)
    for digit, others in zip(digits, _others(digits), strict=True):
        if not len(others):
            below = [each.box for each in digits if each.line == digit.line + 1]
            found.append(any(_is_exponent(digit.box, base) for base in below))
            continue
        typical = float(np.median(others[:, 3] - others[:, 1]))
        _, others_top, _, others_bottom = np.median(others, axis=0)
        _, top, _, bottom = digit.box.corners
        is_sign = min(others_top - top, bottom - others_bottom) > _REACH.get(digit.digit, np.inf) * typical
        is_bar = ones[digit.line] == 1 + len(others) > _MOST_ONES
        is_ring = digit.digit == 0 and typical < _SMALL * digit.box.height
        found.append(bool(digit.box.height < _SMALL * typical or is_ring or is_sign or is_bar))
    for at, (left, right) in enumerate(pairwise(digits)):
        # The rings of a percent sign share its slash.
        if (left.digit, right.digit) == (9, 6) and left.box.x + left.box.width > right.box.x:
            found[at] = found[at + 1] = found[at] or left.line == right.line
    return found


def _is_exponent(box: Box, base: Box) -> bool:
    return box.height < _SMALL * base.height and 0 <= box.x - base.x - base.width < base.height


def commas(digits: Sequence[FoundDigit]) -> list[bool]:
    """Return for each digit of a reading whether it is a comma."""
    return [
        each.digit == 1
        and len(others) > 0
        and each.box.height < _COMMA * np.median(others[:, 3] - others[:, 1])
        and each.box.y > np.median(others[:, 1] + others[:, 3]) / 2
        for each, others in zip(digits, _others(digits), strict=True)
    ]


def _others(digits: Sequence[FoundDigit]) -> list[Ints]:
    """Return the corners of the other digits of each digit's line, (N, 4)."""
    corners = np.array([each.box.corners for each in digits])
    lines = np.array([each.line for each in digits])
    return [corners[(lines == each.line) & (np.arange(len(digits)) != index)] for index, each in enumerate(digits)]
