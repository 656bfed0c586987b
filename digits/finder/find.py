"""Find the digits of a picture: each in MNIST form, with its line and its box, and the marks beside them."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from digits.features import Floats, Grey
from digits.finder.centres import Centre, centres, typical_height
from digits.finder.network import CLASSES, FinderNetwork
from digits.finder.ownership import share_out
from digits.finder.views import View, look
from digits.normalization.redraw import redraw

LEAST_HEAT, DOUBTFUL_HEAT = 0.36, 0.2
"""A centre has at least the first. Between both, something may be a digit that is not read."""

MARK_HEAT = 0.4
"""A mark beside the digits has at least this heat."""

_MIN_PIXELS, _MIN_COVERAGE = 6, 0.1
"""Of a digit: inked pixels of the view, and coverage of the darkest."""

_MAX_APART = 0.55
"""Digits of a line are at most this far above or below the one before, in heights of the higher one."""

_MAX_GAP = 12
"""Digits of a line are at most this far from the one before, in heights of the higher one."""

_AS_LARGE = 0.45
"""Ink without a digit or mark counts if it is at least this high, in heights of a digit."""


@dataclass(frozen=True, slots=True)
class FoundDigit:
    """A digit. Its box is in pixels of the picture."""

    pixels: Grey
    """uint8 (28, 28)"""
    box: tuple[float, float, float, float]
    """Left, top, right and bottom."""
    line: int
    """From 0 at the top."""
    heat: float
    classes: Floats
    """The finder's probability of each digit, float32 (10,)."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What is written beside the digits and is no digit. Its box is in pixels of the picture."""

    kind: str
    """One of CLASSES behind the digits."""
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Findings:
    """What is written on a picture."""

    digits: list[FoundDigit]
    """In reading order."""
    marks: list[Mark]
    doubts: int
    """Number of centres that may be digits, and were not taken for one."""
    strange: int
    """Number of connected marks about as large as a digit that belong to no digit and to no mark."""


class Finder:
    """A view of a picture, from which doubtful digits can be taken out."""

    def __init__(self, network: FinderNetwork, grey: Grey) -> None:
        """Look at a picture, uint8 (height, width)."""
        self._view = look(network, grey, LEAST_HEAT)
        self._centres = self._view.digits
        self._marks = centres(self._view.maps, 1, MARK_HEAT)
        self._doubts = len(centres(self._view.maps, 0, DOUBTFUL_HEAT)) - len(self._centres)

    def find(self) -> Findings:
        """Return what is written. There may be no digit."""
        owner, coverage = share_out(self._view, [*self._centres, *self._marks])
        digits: list[tuple[Centre, Grey]] = []
        for number, each in enumerate(self._centres):
            if (pixels := _redrawn(owner == number, coverage)) is not None:
                digits.append((each, pixels))
        lines = in_lines(digits)
        self._centres = [each for row in lines for each, _ in row]
        found = [
            FoundDigit(pixels, self._box(each), line, each.heat, each.classes[:10] / max(each.classes[:10].sum(), 1e-6))
            for line, row in enumerate(lines)
            for each, pixels in row
        ]
        marks = [Mark(each.kind if each.kind in CLASSES[10:] else "other", self._box(each)) for each in self._marks]
        return Findings(found, marks, self._doubts, _strange(self._view, owner, self._centres))

    def without(self, index: int) -> Findings:
        """Return what is written if this digit of the last findings is no digit. The others may take its ink."""
        self._centres = [each for number, each in enumerate(self._centres) if number != index]
        self._doubts += 1
        return self.find()

    def _box(self, centre: Centre) -> tuple[float, float, float, float]:
        view = self._view
        left, top, right, bottom = (
            each / view.scale + (view.left, view.top)[axis % 2] for axis, each in enumerate(centre.corners)
        )
        return left, top, right, bottom


def _redrawn(mine: NDArray[np.bool_], coverage: Floats) -> Grey | None:
    """Return a digit in MNIST form, uint8 (28, 28). None if it has no ink."""
    if np.count_nonzero(mine) < _MIN_PIXELS:
        return None
    rows, columns = np.flatnonzero(mine.any(axis=1)), np.flatnonzero(mine.any(axis=0))
    window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    digit = np.ascontiguousarray(coverage[window] * mine[window], dtype=np.float32)
    return redraw(digit).pixels if digit.max() >= _MIN_COVERAGE else None


def in_lines(digits: Sequence[tuple[Centre, Grey]]) -> list[list[tuple[Centre, Grey]]]:
    """Return the digits of each line from left to right. The lines may slope."""
    lines: list[list[tuple[Centre, Grey]]] = []
    for digit in sorted(digits, key=lambda each: each[0].x):
        best, least = None, _MAX_APART
        for line in lines:
            last, each = line[-1][0], digit[0]
            apart = abs(each.y - last.y) / max(each.height, last.height, 0.6 * each.width)
            if apart < least and each.x - last.x < _MAX_GAP * max(each.height, last.height):
                best, least = line, apart
        if best is None:
            lines.append([digit])
        else:
            best.append(digit)
    return sorted(lines, key=lambda line: float(np.mean([each.y for each, _ in line])))


def _strange(view: View, owner: NDArray[np.int16], digits: Sequence[Centre]) -> int:
    """Return how many connected marks of the pen are about as large as a digit, and belong to no digit or mark."""
    if not digits:
        return 0
    owned = cv2.dilate((owner >= 0).astype(np.uint8), np.ones((5, 5), np.uint8))
    free = ((view.maps.ink[1] > 0.5) & (owned == 0)).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(free)
    height = typical_height(digits)
    widths, heights, areas = stats[1:, cv2.CC_STAT_WIDTH], stats[1:, cv2.CC_STAT_HEIGHT], stats[1:, cv2.CC_STAT_AREA]
    return int(np.sum((heights > _AS_LARGE * height) & (widths < 2.5 * height) & (areas > 0.5 * height)))
