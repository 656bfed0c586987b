"""Cut a picture of several digits into candidates, each of which may be one digit.

The pieces of a line are its connected parts. A part that may hold several digits is cut into several pieces. A
candidate is the union of neighbouring pieces. `digits/numbers/search.py` chooses among them, once the network has
judged them all in one batch.
"""

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from digits.errors import TooManyDigits
from digits.features import FEATURES, Grey
from digits.normalization.parts import Ints, Labels, extent
from digits.numbers.candidates import redraw_all
from digits.numbers.cuts import Cuts, propose_cuts
from digits.numbers.rings import Piece, divide
from digits.numbers.sheet import Sheet, extents, typical_height
from digits.numbers.work import CANDIDATE, PIECE, UNION, Work

MAX_CANDIDATES = 6000
"""Maximum number of candidates of a picture. 500 digits have up to 4 100. They take 10 MB."""

_MASK_PASSES, _DRAWING_PASSES = 32, 4
"""Steps for each pixel of a part's box, so that masks take at most 30 MB, and of the box of a candidate."""

_MOST_PIECES = 8
"""Maximum number of pieces of one candidate."""

_WIDEST = 1.5
"""A union of pieces that is wider than this, in heights of a digit, is not one digit."""

_LOWEST_CUT = 0.5
"""What was cut off a part, and is lower than this, in heights of a digit of its line, is not one digit."""

_LOW = 0.4
"""A part that is lower than this, in heights of a line, and no further from it, may be the bar of one of its digits."""


_CUT, _JOIN, _SIZE, _BREADTH = 0.2, 0.35, 0.2, 1.0
"""What weighs against a candidate, beside the costs of digits, which `digits/model/choice.py` has: the squares of the
strokes that its cuts cross, how often it joins different parts, the squared logarithm of its height in heights of a
digit of its line, and by how much its width exceeds 1.1 of its height, as a share of its height."""

_LEAST_CUT = 0.15
"""A cut that crosses less than this, in widths of a stroke, is beside the stroke."""

_MARK, _WHOLE = 0.5, 0.7
"""A mark that is smaller than the first, in heights of a digit, is no part of a higher digit than the second."""

_BELOW, _BESIDE = 0.25, 0.1
"""It is beside the digit if it begins at most the first above its end, and ends below it, as a comma does, or if it is
more than the second away, as a ring of a percent sign is. Both are in heights of a digit."""


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

    @classmethod
    def around(cls, corners: ArrayLike) -> Self:
        """Return the box of whole pixels around at least one other, (N, 4): the `corners` of each."""
        left, top, right, bottom = np.transpose(corners)
        x, y = int(left.min() + 1e-3), int(top.min() + 1e-3)  # 46 may be 45.999...
        return cls(x, y, max(1, round(float(right.max())) - x), max(1, round(float(bottom.max())) - y))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A union of neighbouring pieces of a line."""

    first: int
    """Index of its first piece in the line."""
    last: int
    """Index of its last piece in the line."""
    cost: float
    """What speaks against it, whatever the network says: cuts, joins, and an unusual height or width."""
    is_cut: bool
    """Whether one of its ends cuts through a stroke."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of pieces, from left to right."""

    sizes: list[float]
    """The longer side of each piece, or the height of a dash, in heights of a digit."""
    corners: NDArray[np.float64]
    """(pieces, 4): left, top, right and bottom of each piece in pixels of the picture."""
    candidates: list[Candidate]

    def box(self, candidate: Candidate) -> Box:
        """Return the box around a candidate."""
        return Box.around(self.corners[candidate.first : candidate.last + 1])


@dataclass(frozen=True, slots=True)
class Segmentation:
    """The candidates of a picture."""

    lines: list[Line]
    """From top to bottom."""
    pixels: Grey
    """uint8 (N, 28, 28): the candidates of all lines in MNIST form, in order."""


def segment(sheet: Sheet, width: int, height: int, work: Work) -> Segmentation:
    """Propose candidates for the digits of a sheet.

    The width and height are those of the picture, which may have been reduced before its sheet was found. Raises
    TooManyDigits if there are more than MAX_CANDIDATES candidates, or they take too much work.
    """
    area = int(sheet.boxes[:, 2:].prod(axis=1).sum())
    work.spend(len(sheet.boxes) * PIECE + _MASK_PASSES * area, area)
    cuts = propose_cuts(sheet, work)
    written = [
        sorted(
            (piece for part in line for piece in _pieces(sheet, part, cuts.get(part), work)),
            key=lambda piece: piece.left + piece.right,
        )
        for line in _lines(sheet.boxes)
    ]
    labels = _label(sheet, written)
    shares = extents(labels, int(labels.max()) + 1, sheet.to_picture)[1:].clip(0, 1)
    corners = shares * [width, height, width, height]
    lines: list[Line] = []
    unions: list[tuple[int, ...]] = []
    start = 1
    for pieces in written:
        typical = typical_height(np.array([piece.height for piece in pieces]))
        lefts, tops, rights, bottoms = zip(
            *((each.left, each.top, each.right, each.bottom) for each in pieces), strict=True
        )
        candidates = []
        for first in range(len(pieces)):
            lasts = range(first, min(len(pieces), first + _MOST_PIECES))
            work.spend(len(lasts) * UNION)
            for last in lasts:
                own = slice(first, last + 1)
                around = min(lefts[own]), min(tops[own]), max(rights[own]), max(bottoms[own])
                candidate = _candidate(pieces, first, last, typical, around)
                if candidate is None:
                    continue
                if len(unions) == MAX_CANDIDATES:
                    raise TooManyDigits(
                        f"expected a picture with at most {MAX_CANDIDATES} candidates for digits, received more"
                    )
                left, top, right, bottom = around
                work.spend(CANDIDATE + _DRAWING_PASSES * (right - left) * (bottom - top), FEATURES)
                candidates.append(candidate)
                unions.append((start + first, start + last, *around))
        stop = start + len(pieces)
        lines.append(Line([piece.size(typical) for piece in pieces], corners[start - 1 : stop - 1], candidates))
        start = stop
    return Segmentation(lines, redraw_all(sheet.distance, labels, np.array(unions, dtype=np.int64).reshape(-1, 6)))


def _lines(boxes: Ints) -> list[list[int]]:
    """Return the parts of each line, from top to bottom.

    A part joins the line that most of its height is in. A low part, such as the bar of a 5, may also be just above or
    below its line.
    """
    tops, bottoms = boxes[:, 1], boxes[:, 1] + boxes[:, 3]
    bands: list[tuple[int, int]] = []
    members: list[list[int]] = []
    for part in np.argsort(-boxes[:, 3]).tolist():  # the tallest parts make the lines
        top, bottom = int(tops[part]), int(bottoms[part])
        inside = [min(bottom, high) - max(top, low) for low, high in bands]  # below 0 is the distance
        best = int(np.argmax(inside or [0]))
        height, line_height = bottom - top, bands[best][1] - bands[best][0] if bands else 0
        if inside and inside[best] > (-_LOW * line_height if height < _LOW * line_height else 0.5 * height):
            members[best].append(part)
        else:
            bands.append((top, bottom))
            members.append([part])
    order = sorted(range(len(bands)), key=lambda line: sum(bands[line]))
    return [members[line] for line in order]


def _pieces(sheet: Sheet, part: int, cuts: Cuts | None, work: Work) -> list[Piece]:
    """Return the pieces of a part, from left to right."""
    left, top = sheet.boxes[part, :2].tolist()
    mask = sheet.mask(part)
    if cuts is None:
        return [Piece(mask, left, 0.0, top=top, part=part)]
    pieces = []
    for piece in divide(mask, cuts, sheet.stroke, work):
        rows, _ = extent(piece.mask)
        pieces.append(replace(piece, mask=piece.mask[rows], left=left + piece.left, top=top + rows.start, part=part))
    return pieces


def _label(sheet: Sheet, lines: list[list[Piece]]) -> Labels:
    """Return the sheet with the number of each pixel's piece. They are numbered from 1 on, in reading order."""
    labels = np.zeros(sheet.labels.shape, dtype=np.int32)
    for number, piece in enumerate((piece for line in lines for piece in line), 1):
        labels[piece.top : piece.bottom, piece.left : piece.right][piece.mask] = number
    return labels


def _candidate(
    pieces: list[Piece], first: int, last: int, height: float, around: tuple[int, int, int, int]
) -> Candidate | None:
    """Return a union of pieces as a candidate, or None if it cannot be one digit.

    Args:
        pieces: the pieces of the line.
        first: index of the union's first piece.
        last: index of its last piece.
        height: of a digit of this line, in pixels.
        around: left, top, right and bottom of the union, in pixels.
    """
    union = pieces[first : last + 1]
    left, top, right, bottom = around
    width, high = right - left, bottom - top
    if last > first and width > _WIDEST * max(high, height):
        return None
    left_cut = union[0].strokes
    right_cut = pieces[last + 1].strokes if last + 1 < len(pieces) and pieces[last + 1].part == union[-1].part else 0.0
    if (left_cut or right_cut) and high < _LOWEST_CUT * height:
        return None
    joins = 0
    for before, after in pairwise(union):
        if before.part == after.part:
            continue
        gap = after.left - before.right
        low, tall = sorted((before.height, after.height))
        if gap > 0.4 * height or (gap > 0.04 * height and low > 0.8 * tall):
            return None
        joins += 1
    ends = (union[-1], union[:-1]), (union[0], union[1:])
    if joins and any(_is_mark_beside(mark, rest, height) for mark, rest in ends):
        return None
    # A cut counts half for each side.
    cost = _CUT * ((left_cut**2 + right_cut**2) / 2) + _JOIN * joins + _SIZE * math.log(high / height) ** 2
    cost += _BREADTH * max(0.0, width / high - 1.1)
    return Candidate(first, last, cost, max(left_cut, right_cut) > _LEAST_CUT)


def _is_mark_beside(mark: Piece, rest: list[Piece], height: float) -> bool:
    """Return whether the first or the last piece of a union is no part of the digit that the rest of it is."""
    top, bottom = min(piece.top for piece in rest), max(piece.bottom for piece in rest)
    before, after = min(piece.left for piece in rest) - mark.right, mark.left - max(piece.right for piece in rest)
    is_comma = before < after and mark.bottom > bottom and mark.top > bottom - _BELOW * height
    is_beside = max(before, after) > _BESIDE * height and not mark.is_dash(height)
    return (is_comma or is_beside) and mark.side < _MARK * height and bottom - top > _WHOLE * height
