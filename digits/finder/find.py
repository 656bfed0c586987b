"""Find the digits of a picture: each in MNIST form, with its line and its box, and the marks beside them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from digits.features import Floats, Grey
from digits.finder.centres import Centre, centres, contested
from digits.finder.network import CLASSES, DIGITS, FinderNetwork, written
from digits.finder.ownership import share_out
from digits.finder.views import MAX_VIEWS, CopyOf, Eye, Matrix, View, look
from digits.normalization.ink_map import REDUCED_SIDE
from digits.normalization.parts import LEAST_COVERAGE, corner_points, extent
from digits.normalization.redraw import redraw

_MAX_APART = 0.55
"""Digits of a line are at most this far above or below the one before, in heights of the higher one."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels of a picture."""

    x: int
    y: int
    width: int
    height: int

    @property
    def corners(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom."""
        return self.x, self.y, self.x + self.width, self.y + self.height

    @property
    def middle(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y + self.height / 2

    def holds(self, other: "Box") -> bool:
        """Return whether the middle of another box is in this one."""
        x, y = other.middle
        return self.x <= x <= self.x + self.width and self.y <= y <= self.y + self.height

    @classmethod
    def around(cls, corners: ArrayLike) -> Self:
        """Return the box of whole pixels around at least one other, (N, 4): the `corners` of each."""
        left, top, right, bottom = np.transpose(corners)
        x, y = int(left.min() + 1e-3), int(top.min() + 1e-3)  # 46 may be 45.999...
        return cls(x, y, max(1, round(float(right.max())) - x), max(1, round(float(bottom.max())) - y))


@dataclass(frozen=True, slots=True)
class FoundDigit:
    """A digit."""

    pixels: Grey
    """uint8 (28, 28)"""
    box: Box
    """Around its ink."""
    reach: Box
    """Around its ink and where the finder expects it."""
    line: int
    """From 0 at the top."""
    heat: float
    classes: Floats
    """The finder's probability of each digit, float32 (10,)."""
    mark: float
    """The finder's probability that it is a mark, in [0, 1]."""


@dataclass(frozen=True, slots=True)
class FoundMark:
    """What is written beside the digits and is no digit, or may be none."""

    kind: str
    """One of CLASSES behind the digits."""
    box: Box
    heat: float
    """Of marks, in [0, 1]. 0 for what may be a digit, and for other ink."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What is written on a picture."""

    digits: list[FoundDigit]
    """In reading order."""
    marks: list[FoundMark]


class Finder:
    """A view of a picture, from which doubtful digits can be taken out."""

    def __init__(self, network: FinderNetwork, size: tuple[int, int], copy_of: CopyOf) -> None:
        """Look at a small view of a picture of this width and height."""
        self._size = size
        self._matrix: Matrix = np.eye(3)
        self.decoding = network.decoding
        self._eye = Eye(network, size, copy_of)
        self._see(self._eye.first_view())

    def look_closer(self) -> None:
        """Look at the picture as often and as closely as its digits need."""
        most = MAX_VIEWS
        if not self._view.digits and (sheet := self._eye.sheet()) is not None:
            eye, matrix = sheet
            most -= 2
            view = look(eye, eye.first_view(), most)
            if view.digits:
                self._eye, self._matrix = eye, matrix
                self._see(view)
                return
        self._see(look(self._eye, self._view, most))

    def _see(self, view: View) -> None:
        self._view = view
        marks = centres(view.maps, 1, self.decoding.mark_heat)
        weight, rival = self.decoding.mark_weight, self.decoding.rival
        self._centres, self._marks, self._rivalled = contested(view.digits, marks, weight, rival)
        # What may be a digit and is a mark is reported once.
        self._doubts, _, _ = contested(view.doubts, self._marks, 1, 0)

    def find(self) -> Findings:
        """Return what is written. There may be no digit."""
        owner, coverage, doubts = share_out(
            self._view, [*self._centres, *self._marks], self._doubts, self.decoding.digits_ink
        )
        inks = {
            each: ink
            for number, each in enumerate(self._centres)
            if (ink := _ink_of(owner == number, coverage)) is not None
        }
        lines = in_lines(list(inks))
        self._centres = [each for row in lines for each in row]
        found = [
            FoundDigit(
                redraw(inks[each].coverage).pixels,
                self._box(inks[each].corners),
                self._box(inks[each].corners, each.corners),
                line,
                each.heat,
                each.classes[:DIGITS] / max(each.classes[:DIGITS].sum(), 1e-6),
                float(each.classes[DIGITS:].sum()),
            )
            for line, row in enumerate(lines)
            for each in row
        ]
        marks = [FoundMark(self._kind(each), self._box(each.corners), each.heat) for each in self._marks]
        marks += [FoundMark("other", self._box(each.corners), 0) for each in doubts]
        return Findings(found, marks)

    def _kind(self, mark: Centre) -> str:
        """Return the class of a mark. What may be a digit is no separator."""
        return mark.kind if mark.kind in CLASSES[DIGITS:] and mark not in self._rivalled else "other"

    def without(self, indices: Collection[int]) -> Findings:
        """Take these digits of the last findings out, and return what is written then. Others may take their ink."""
        self._doubts += [each for number, each in enumerate(self._centres) if number in indices]
        self._centres = [each for number, each in enumerate(self._centres) if number not in indices]
        return self.find()

    @property
    def ink(self) -> Grey:
        """Where the finder saw the ink of digits: grey values, uint8, at most 128 pixels along the longer side."""
        view, scale = self._view, min(1.0, REDUCED_SIDE / max(self._size))
        shown = [max(1, round(side * scale)) for side in self._size]
        to_eye = np.array([[1 / view.scale, 0, view.part[0]], [0, 1 / view.scale, view.part[1]], [0, 0, 1]])
        matrix = np.diag([scale, scale, 1]) @ self._matrix @ to_eye
        ink: Grey = cv2.warpPerspective(
            np.rint(255 * written(view.maps.ink, self.decoding.digits_ink)).astype(np.uint8), matrix, shown
        )
        return ink

    @property
    def nbytes(self) -> int:
        """The memory of the view."""
        maps = self._view.maps
        return sum(each.nbytes for each in (self._view.grey, maps.heat, maps.votes, maps.sizes, maps.classes, maps.ink))

    def _box(self, *corners: "_Corners") -> Box:
        """Return the box in pixels of the picture, around corners in the view."""
        view = self._view
        places = np.array(corners) / view.scale + view.part[:2] * 2
        if self._eye.size != self._size:  # of a sheet
            points = corner_points(places.astype(np.float32))
            places = cv2.perspectiveTransform(points, self._matrix).reshape(-1, 2)[:, [0, 1, 0, 1]]
        width, height = self._size
        return Box.around(np.clip(places, 0, [width - 1, height - 1, width, height]))


def found_on(network: FinderNetwork, grey: Grey) -> Findings:
    """Return what is written on a picture, uint8 (height, width), after all looks at it."""
    finder = Finder(network, grey.shape[::-1], lambda _side: grey)
    finder.look_closer()
    return finder.find()


_Corners = tuple[float, float, float, float]
"""Left, top, right and bottom in the view."""


@dataclass(frozen=True, slots=True)
class _Ink:
    """The ink of a digit."""

    coverage: Floats
    """float32 (height, width) in [0, 1]"""
    corners: _Corners


def _ink_of(mine: NDArray[np.bool_], coverage: Floats) -> _Ink | None:
    """Return the ink of the pixels that belong to a digit. None if no ink covers them."""
    covered = mine & (coverage > LEAST_COVERAGE)
    if not covered.any():
        return None
    rows, columns = extent(covered)
    whole = extent(mine)
    digit = np.ascontiguousarray(coverage[whole] * mine[whole], dtype=np.float32)
    return _Ink(digit, (columns.start, rows.start, columns.stop, rows.stop))


def in_lines(digits: Sequence[Centre]) -> list[list[Centre]]:
    """Return the digits of each line from left to right. The lines may slope."""
    lines: list[list[Centre]] = []
    for digit in sorted(digits, key=lambda each: each.x):
        best, least = None, _MAX_APART
        for line in lines:
            last = line[-1]
            apart = abs(digit.y - last.y) / max(digit.height, last.height, 0.6 * digit.width)
            if apart < least:
                best, least = line, apart
        if best is None:
            lines.append([digit])
        else:
            best.append(digit)
    return sorted(lines, key=lambda line: float(np.mean([each.y for each in line])))
