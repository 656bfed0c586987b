"""Find signs among the digits of a number that look like digits: commas, slashes, and the rings of percent signs."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from digits.features import SIDE, Floats, Grey
from digits.numbers.segment import Box

_SMALL = 0.55
"""A digit that is lower than this, in heights of its line's other digits, may be a ring of a percent sign."""

_COMMA = 0.4
"""A 1 that is lower than this, in the same heights, and below the middle of its line, is a comma."""

_LEAN, _REACH, _BENT = 0.2, 0.05, 0.8
"""A 1 may be a slash if it leans by more than _LEAN, and reaches further than _REACH above and below its line's other
digits, in their heights. Its middle line is straight, within _BENT pixels of the network's input."""


def strangers(boxes: Sequence[Box], lines: Sequence[int], digits: Sequence[int], pixels: Grey) -> list[bool]:
    """Return for each digit of a reading whether its size, or its slant and reach, do not fit its line.

    Args:
        boxes: of N digits.
        lines: the line of each digit.
        digits: what each is read as.
        pixels: uint8 (N, 28, 28), in MNIST form.
    """
    extents = np.array([(box.y, box.y + box.height) for box in boxes], dtype=float).reshape(-1, 2)
    line_of = np.array(lines)
    found = []
    for index, line in enumerate(lines):
        is_other = line_of == line
        is_other[index] = False
        others = extents[is_other]
        if not len(others):
            found.append(False)
            continue
        typical = float(np.median(np.ptp(others, axis=1)))
        (top, bottom), (others_top, others_bottom) = extents[index], np.median(others, axis=0)
        reaches_out = min(others_top - top, bottom - others_bottom) > _REACH * typical
        is_slash = digits[index] == 1 and reaches_out and _leans(pixels[index].astype(np.float32))
        found.append(bottom - top < _SMALL * typical or is_slash)
    for left, right in pairwise(range(len(boxes))):
        # The rings of a percent sign share its slash.
        if (digits[left], digits[right]) == (9, 6) and boxes[left].x + boxes[left].width > boxes[right].x:
            found[left] = found[right] = found[left] or lines[left] == lines[right]
    return found


def _leans(pixels: Floats) -> bool:
    """Return whether the middles of the ink in each row lie on a line that leans to the right."""
    ink = pixels.sum(axis=1)
    rows = np.flatnonzero(ink > 0.1 * ink.max())
    middles = pixels[rows] @ np.arange(SIDE) / ink[rows]
    line = np.polyfit(rows, middles, 1)
    return bool(line[0] < -_LEAN and np.std(middles - np.polyval(line, rows)) < _BENT)


def commas(boxes: Sequence[Box], lines: Sequence[int], digits: Sequence[int]) -> list[bool]:
    """Return for each digit of a reading whether it is a comma. The arguments are those of `strangers`."""
    return [
        bool(
            others
            and digits[index] == 1
            and box.height < _COMMA * np.median([other.height for other in others])
            and box.y > np.median([other.y + other.height / 2 for other in others])
        )
        for index, box in enumerate(boxes)
        for others in [[other for at, other in enumerate(boxes) if lines[at] == lines[index] and at != index]]
    ]
