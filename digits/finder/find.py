"""Find the digits of a picture: each in MNIST form, with its line and its box, and the marks beside them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from digits.features import Floats, Grey
from digits.finder.centres import Centre, centres, contested, sureness
from digits.finder.network import CLASSES, DIGITS, FinderNetwork, written
from digits.finder.ownership import share_out
from digits.finder.page import corner_points
from digits.finder.views import MAX_VIEWS, SIDES, CopyOf, Eye, Matrix, View, look
from digits.normalization.digit import is_cut_off
from digits.normalization.ink_map import REDUCED_SIDE
from digits.normalization.mnist_form import BOX
from digits.normalization.normalize import Normalized, shape_doubts, steps_to
from digits.normalization.paper import is_darker
from digits.normalization.parts import COVERED, LEAST_COVERAGE, extent
from digits.normalization.redraw import Redrawn, redraw

_MAX_APART = 0.55
"""Digits of a line are at most this far above or below the one before, in heights of the higher one."""


SMALL_SEPARATORS = "point", "comma", "colon"
"""They do not count as left out."""

_OWN = 0.8
"""The share of digits' ink by which a single digit is cut out: a ring around it is ink of the pen, too."""


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

    ink: Floats
    """(height, width), in [0, 1]: how much of each pixel its ink covers."""
    redrawn: Redrawn
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

    @property
    def pixels(self) -> Grey:
        """uint8 (28, 28)"""
        return self.redrawn.pixels

    @property
    def worth(self) -> float:
        """How large it is and how surely it is seen."""
        return self.heat * max(self.reach.width, self.reach.height)


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
    is_dark: bool
    """Whether the digits are darker than their paper."""
    lost: float
    """Ink of digits that belongs to none, in pixels of the view."""


class Finder:
    """A view of a picture, from which doubtful digits can be taken out."""

    def __init__(self, network: FinderNetwork, size: tuple[int, int], copy_of: CopyOf) -> None:
        """Look at a small view of a picture of this width and height."""
        self._size = size
        self.decoding = network.decoding
        self._eye = Eye(network, size, copy_of)
        self._first = self._eye.first_view()
        self._see(self._first)

    def look_closer(self) -> None:
        """Look at the picture as often and as closely as its digits need.

        A sheet of paper that lies on something is looked at from above, and what is turned is turned back, unless fewer
        digits are seen then, and less surely.
        """
        eye, first, matrix, most = self._eye, self._first, None, MAX_VIEWS
        if (straightened := eye.straightened(first)) is not None:
            most -= 1
            seen = straightened[0].first_view(SIDES[1])
            is_as_sure = sureness(seen.digits) >= sureness(first.digits)
            if seen.digits and (is_as_sure or len(seen.digits) >= len(first.digits)):
                (eye, matrix), first = straightened, seen
        self._see(look(eye, first, most), matrix)

    def _see(self, view: View, matrix: Matrix | None = None) -> None:
        """Take what is seen in a view. If it shows a straightened picture, the matrix (3, 3) leads from its pixels to
        those of the picture.
        """
        self._view, self._matrix = view, matrix
        marks = centres(view.maps, 1, self.decoding.mark_heat)
        weight, rival = self.decoding.mark_weight, self.decoding.rival
        self._centres, self._marks, self._rivalled = contested(view.digits, marks, weight, rival)
        # What may be a digit and is a mark is reported once.
        self._doubts, _, _ = contested(view.doubts, self._marks, 1, 0)

    def find(self, digits_ink: float | None = None) -> Findings:
        """Return what is written. There may be no digit. `digits_ink` is that of the decoding, or another one."""
        share = self.decoding.digits_ink if digits_ink is None else digits_ink
        owner, coverage, doubts = share_out(self._view, [*self._centres, *self._marks], self._doubts, share)
        inks = {
            each: ink
            for number, each in enumerate(self._centres)
            if (ink := _ink_of(owner == number, coverage)) is not None
        }
        lines, count = in_lines(list(inks)), len(self._centres)
        self._centres = [each for row in lines for each in row]
        found = [
            FoundDigit(
                inks[each].coverage,
                redraw(inks[each].coverage),
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
        inked = set(owner[coverage > COVERED].tolist())
        marks = [
            FoundMark(self._kind(each), self._box(each.corners), each.heat)
            for number, each in enumerate(self._marks, count)
            if each.heat >= self.decoding.certain_heat or number in inked
        ]
        marks += [FoundMark("other", self._box(each.corners), 0) for each in doubts]
        is_dark = bool(found) and is_darker(self._view.grey, coverage, (owner >= 0) & (owner < count))
        lost = float(coverage[(owner < 0) & (written(self._view.maps.ink, share) > COVERED)].sum())
        return Findings(found, marks, is_dark, lost)

    def one_digit(self) -> Normalized | None:
        """Choose the digit that is largest and most surely seen, and cut it out. None if the finder sees no digit.

        It looks once more if the digit is small in the first view. Whatever else is written is a doubt.
        """
        self._see(self._first)
        findings = self.find(_OWN)
        if not any(max(digit.ink.shape) > BOX for digit in findings.digits):
            self._see(look(self._eye, self._first, most=2))
            findings = self.find(_OWN)
        if not findings.digits:
            return None
        best = max(findings.digits, key=lambda digit: digit.worth)
        marks = [mark for mark in findings.marks if mark.heat > 0 and mark.kind not in SMALL_SEPARATORS]
        others = len(findings.digits) - 1 + len(marks) + (findings.lost > COVERED * best.ink.sum())
        left, top, right, bottom = best.box.corners
        width, height = self._size
        is_cut = is_cut_off(best.box.corners, (height, width), max(best.box.width, best.box.height))
        return Normalized(
            best.pixels,
            steps_to(best.redrawn, is_dark=findings.is_dark),
            self.ink,
            (left / width, top / height, right / width, bottom / height),
            (*("neighbour",) * others, *("edge",) * is_cut, *shape_doubts(best.ink > LEAST_COVERAGE, best.redrawn)),
            is_alone=not others,
            finders_digit=int(best.classes.argmax()),
        )

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
        matrix = np.array([[1 / view.scale, 0, view.part[0]], [0, 1 / view.scale, view.part[1]], [0, 0, 1]])
        if self._matrix is not None:
            matrix = self._matrix @ matrix
        seen = np.rint(255 * written(view.maps.ink, self.decoding.digits_ink)).astype(np.uint8)
        ink: Grey = cv2.warpPerspective(seen, np.diag([scale, scale, 1]) @ matrix, shown)
        return ink

    @property
    def nbytes(self) -> int:
        """The memory of the views."""
        return sum(view.nbytes for view in {id(view): view for view in (self._first, self._view)}.values())

    def _box(self, *corners: "_Corners") -> Box:
        """Return the box in pixels of the picture, around corners in the view."""
        view = self._view
        places = np.array(corners) / view.scale + view.part[:2] * 2
        if self._matrix is not None:
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
