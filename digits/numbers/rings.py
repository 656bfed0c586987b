"""Divide a part into pieces: along its seams, and where round digits share a wall, by their holes.

Zeros that are written in one stroke, or into each other, share a wall or cross. A seam leaves a piece of one ring with
the other. The holes tell the rings apart: each pixel belongs to the nearest hole, a wall between two holes is a piece
of its own, which both digits have, and of two rings that cross, each gets its own arcs.
"""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from digits.features import Floats
from digits.normalization.parts import Ints, Mask
from digits.numbers.cuts import Cuts
from digits.numbers.work import Work

_MIN_HOLE = 0.25
"""Height of the hole of a digit, as a share of its part's height."""

_NEAR = 1.3
"""How far from its hole a ring's pixels are at most, in widths of a stroke."""

_MIN_WALL = 0.15
"""Height of a wall, as a share of its part's height. Seams cross lower ones."""

_MAX_LENS = 0.6
"""Width of the hole where two rings cross, as a share of that of the holes beside it."""

_STROKES = 1.0
"""What a division between two rings counts as, in widths of a stroke that a seam crosses."""

_MOST_PIXELS = 4_000_000
"""Maximum number of pixels of a part, times its holes. More are a texture. They take 0.2 s and 40 MB."""

_Seam = tuple[Ints, float]
"""The first column right of a seam in each row, and how much ink it crosses."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a part."""

    mask: Mask
    """(height, width): the piece inside of its box."""
    left: int
    strokes: float
    """How much ink the cut at its left crosses, in widths of a stroke. 0 if its left is where the part begins."""
    is_wall: bool = False
    """Whether it lies between two holes, so that the digits on both sides may have it."""
    top: int = 0
    part: int = 0
    """Index of its part."""

    @property
    def height(self) -> int:
        return len(self.mask)

    @property
    def right(self) -> int:
        return self.left + int(self.mask.shape[1])

    @property
    def bottom(self) -> int:
        return self.top + len(self.mask)

    @property
    def side(self) -> int:
        return max(self.height, self.right - self.left)

    def is_dash(self, height: float) -> bool:
        """Return whether it may be a part of a digit of this height, but not a whole one."""
        return self.right - self.left >= 2.2 * self.height and self.height <= 0.5 * height

    def size(self, height: float) -> float:
        """Return its size in heights of a digit."""
        return (self.height if self.is_dash(height) else self.side) / height


@dataclass(frozen=True, slots=True)
class _Ring:
    hole: Mask
    distance: Floats
    """How far each pixel is from the hole."""
    edge: Mask
    """The part's pixels around the hole."""
    size: int
    """Number of these pixels."""

    @property
    def width(self) -> int:
        return int(np.count_nonzero(self.hole.any(axis=0)))

    def is_beside(self, other: "_Ring") -> bool:
        """Return whether the two share a wall that is high enough."""
        wall = (self.edge & other.edge).any(axis=1)
        return bool(np.count_nonzero(wall) >= max(2.0, _MIN_WALL * wall.size))


@dataclass(frozen=True, slots=True)
class _Wall:
    """What two rings side by side share."""

    both: Mask
    """Pixels of both rings."""
    first: Mask
    """Arcs of the first ring that are inside of the second one."""
    second: Mask
    """Arcs of the second ring that are inside of the first one."""


def divide(mask: Mask, cuts: Cuts, stroke: float, work: Work) -> list[Piece]:
    """Return the pieces of a part, from left to right. Each has all rows of the part.

    Args:
        mask: (height, width): the part inside of its box.
        cuts: of the part.
        stroke: the width of a stroke in pixels.
        work: counts the steps.

    Raises:
        TooManyDigits: it takes too much work.
    """
    rings, walls = _rings(mask, _NEAR * stroke, work)
    spans = [
        np.flatnonzero((before.hole | after.hole).any(axis=0))[[0, -1]].tolist()
        for (before, after), wall in zip(pairwise(rings), walls, strict=True)
        if wall is not None
    ]
    around, through = list[_Seam](), list[_Seam]()
    for columns, strokes in zip(cuts.columns, cuts.strokes, strict=True):
        is_through = any(left < columns.mean() < right for left, right in spans)
        (through if is_through else around).append((columns, strokes))
    pieces = _along(Piece(mask, 0, 0.0), around)
    if spans:
        pieces = [piece for strip in pieces for piece in _apart(strip, rings, walls)]
    # What looks like a wall may be the side of a 3 beside an 8, so the seams remain a possibility.
    return [part for piece in pieces for part in _along(piece, through)]


def _along(piece: Piece, seams: list[_Seam]) -> list[Piece]:
    """Return the parts of a piece between seams. A wall stays whole."""
    if piece.is_wall:
        return [piece]
    places = piece.left + np.arange(piece.mask.shape[1])
    owner = np.zeros(piece.mask.shape, dtype=np.int64)
    strokes = [piece.strokes]
    for columns, crossed in seams:
        if columns.max() <= places[0] or columns.min() > places[-1]:  # beside the piece
            continue
        owner += piece.mask & (places >= columns[:, None])
        strokes.append(crossed)
    return _divided(piece, owner, strokes)


def _divided(piece: Piece, owner: Ints, strokes: list[float], *, has_walls: bool = False) -> list[Piece]:
    """Return the parts of a piece that have pixels. The owner of a pixel is the index of its part."""
    parts = []
    for index, crossed in enumerate(strokes):
        mask = piece.mask & (owner == index)
        x, _, columns, _ = cv2.boundingRect(mask.view(np.uint8))
        if columns:
            # The copy does not keep the whole mask.
            own = mask[:, x : x + columns].copy()
            parts.append(Piece(own, piece.left + x, crossed, is_wall=has_walls and index % 2 == 1))
    return parts


def _apart(strip: Piece, rings: list[_Ring], walls: list[_Wall | None]) -> list[Piece]:
    """Return the rings and the walls of a piece, if it has at least two rings that share one."""
    own = np.s_[:, strip.left : strip.left + strip.mask.shape[1]]
    inside = [index for index, ring in enumerate(rings) if 2 * (strip.mask & ring.edge[own]).sum() > ring.size]
    shared = [walls[index] for index in inside[:-1]]
    if not any(shared):
        return [strip]
    owner = np.argmin([rings[index].distance[own] for index in inside], axis=0) * 2
    for index, wall in enumerate(shared):
        if wall is not None:
            owner[wall.first[own]], owner[wall.second[own]] = 2 * index, 2 * index + 2
            owner[wall.both[own]] = 2 * index + 1
    strokes = [strip.strokes, *[_STROKES] * (2 * len(inside) - 2)]
    return _divided(strip, owner, strokes, has_walls=True)


def _rings(mask: Mask, near: float, work: Work) -> tuple[list[_Ring], list[_Wall | None]]:
    """Return the rings of a part from left to right, and what each and the next one share."""
    rings = []
    for hole in _holes(mask, work):
        distance = cv2.distanceTransform((~hole).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
        edge = mask & (distance <= near)
        rings.append(_Ring(hole, distance, edge, int(edge.sum())))
    lenses = {
        index
        for index, (before, ring, after) in enumerate(zip(rings, rings[1:], rings[2:], strict=False), 1)
        if ring.width <= _MAX_LENS * min(before.width, after.width) and before.is_beside(ring) and ring.is_beside(after)
    }
    kept = [index for index in range(len(rings)) if index not in lenses]
    walls: list[_Wall | None] = []
    nothing = np.zeros_like(mask)
    for first, second in pairwise(kept):
        before, after = rings[first], rings[second]
        if second - first > 1:
            lens = rings[first + 1].edge
            inner, outer = before.edge & lens, lens & after.edge
            walls.append(_Wall(inner & outer, outer & ~inner, inner & ~outer))
        else:
            walls.append(_Wall(before.edge & after.edge, nothing, nothing) if before.is_beside(after) else None)
    return [rings[index] for index in kept], walls


def _holes(mask: Mask, work: Work) -> list[Mask]:
    """Return the holes that round digits may have, from left to right. Holes above each other, as in an 8, are one.

    There are none if they are too many.
    """
    paper = np.pad(~mask, 1, constant_values=True).view(np.uint8)
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(paper, connectivity=4)
    tall = np.flatnonzero(boxes[:, cv2.CC_STAT_HEIGHT] >= _MIN_HOLE * len(mask))
    numbers = [number for number in tall.tolist() if number not in (0, labels[0, 0])]
    if len(numbers) * mask.size > _MOST_PIXELS:
        return []
    work.spend(0, len(numbers) * mask.size)
    holes: list[Mask] = []
    for number in sorted(numbers, key=lambda number: int(boxes[number, cv2.CC_STAT_LEFT])):
        hole: Mask = labels[1:-1, 1:-1] == number
        if holes and _overlap(holes[-1], hole, axis=0) > _overlap(holes[-1], hole, axis=1):
            holes[-1] = holes[-1] | hole
        else:
            holes.append(hole)
    return holes


def _overlap(first: Mask, second: Mask, axis: int) -> float:
    """Return how many columns (axis 0) or rows (axis 1) two holes share, as a share of the smaller number of theirs."""
    ours, theirs = first.any(axis=axis), second.any(axis=axis)
    return float((ours & theirs).sum() / min(ours.sum(), theirs.sum()))
