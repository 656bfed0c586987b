"""Divide a part into pieces: along its seams, and where round digits share a wall, by their holes.

Zeros that are written in one stroke, or into each other, share a wall or cross. A seam leaves a piece of one ring with the
other. The holes tell the rings apart: each pixel belongs to the nearest hole, a wall between two holes is a piece of its
own, which both digits have, and of two rings that cross each gets its own arc.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from digits.features import Floats
from digits.normalization.parts import Ints, Mask
from digits.numbers.cuts import Cuts

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


_MIN_SLICE = 0.15
"""The smallest piece of a ring, as a share of its pixels."""

_Seam = tuple[Ints, float]
"""The first column right of a seam in each row, and how much ink it crosses."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a part."""

    mask: Mask
    """(height, width) of the part."""
    strokes: float
    """How much ink the cut at its left crosses, in widths of a stroke. 0 if its left is where the part begins."""
    is_wall: bool = False
    """Whether the pieces on both of its sides may have it."""


@dataclass(frozen=True, slots=True)
class _Ring:
    mask: Mask
    left: int
    right: int
    distance: Floats
    """(height, width): how far each pixel is from it."""
    edge: Mask
    """(height, width): the part's pixels around it."""

    @property
    def width(self) -> int:
        return self.right - self.left


@dataclass(frozen=True, slots=True)
class _Wall:
    """What two rings that are side by side share. The fields are (height, width)."""

    both: Mask
    """Pixels of both rings."""
    first: Mask
    """Arcs of the first ring that are inside of the second one."""
    second: Mask
    """Arcs of the second ring that are inside of the first one."""


@dataclass(frozen=True, slots=True)
class _Box:
    """The box around holes, in pixels of the part, and their labels."""

    left: int
    top: int
    right: int
    bottom: int
    numbers: list[int]

    def is_stacked(self, other: "_Box") -> bool:
        """Return whether holes are above each other rather than side by side."""
        across = (min(self.right, other.right) - max(self.left, other.left)) / min(
            self.right - self.left, other.right - other.left
        )
        down = (min(self.bottom, other.bottom) - max(self.top, other.top)) / min(
            self.bottom - self.top, other.bottom - other.top
        )
        return across > max(0, down)

    def with_(self, other: "_Box") -> "_Box":
        """Return the box around both."""
        return _Box(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
            self.numbers + other.numbers,
        )


def divide(mask: Mask, cuts: Cuts, stroke: float) -> list[Piece]:
    """Return the pieces of a part, from left to right.

    Args:
        mask: (height, width): the part inside of its box.
        cuts: of the part.
        stroke: the width of a stroke in pixels.
    """
    rings, walls = _rings(mask, _NEAR * stroke)
    spans = [(before.left, after.right) for before, after, wall in zip(rings, rings[1:], walls, strict=False) if wall]
    around, through = list[_Seam](), list[_Seam]()
    for columns, strokes in zip(cuts.columns, cuts.strokes, strict=True):
        is_through = any(left < columns.mean() < right for left, right in spans)
        (through if is_through else around).append((columns, strokes))
    strips = _along(Piece(mask, 0.0), around)
    pieces = [piece for strip in strips for piece in _apart(strip, rings, walls)] if spans else strips
    # What looks like a wall may be the side of a 3 beside an 8, so the seams remain a possibility.
    return [part for piece in pieces for part in _along(piece, through, _MIN_SLICE)]


def _along(piece: Piece, seams: list[_Seam], least: float = 0.0) -> list[Piece]:
    """Return the parts of a piece between seams, each with at least this share of its pixels. A wall stays whole."""
    if piece.is_wall or not seams:
        return [piece]
    places = np.arange(piece.mask.shape[1])
    owner = np.zeros(piece.mask.shape, dtype=np.int64)
    cut = [piece.strokes]
    total = np.count_nonzero(piece.mask)
    done = 0
    for columns, strokes in seams:
        right = piece.mask & (places >= columns[:, None])
        before = total - np.count_nonzero(right)
        if before - done >= least * total and total - before >= least * total:
            owner += right
            cut.append(strokes)
            done = before
    return [Piece(piece.mask & (owner == index), strokes) for index, strokes in enumerate(cut)]


def _rings(mask: Mask, near: float) -> tuple[list[_Ring], list[_Wall | None]]:
    """Return the holes of a part from left to right, and what the rings of each and the next one share."""
    holes = _holes(mask, near)
    least = max(2.0, _MIN_WALL * len(mask))

    def wall(before: _Ring, after: _Ring) -> Mask | None:
        between: Mask = before.edge & after.edge
        return between if np.count_nonzero(between.any(axis=1)) >= least else None

    rings, walls = holes[:1], list[_Wall | None]()
    lens: _Ring | None = None
    for index, hole in enumerate(holes[1:], 2):
        before, following = rings[-1], holes[index] if index < len(holes) else None
        if lens is None and following is not None and hole.width <= _MAX_LENS * min(before.width, following.width):
            if wall(before, hole) is not None and wall(hole, following) is not None:
                lens = hole
                continue
        if lens is not None:
            inner, outer = wall(before, lens), wall(lens, hole)
            assert inner is not None and outer is not None
            walls.append(_Wall(inner & outer, outer & ~inner, inner & ~outer))
        else:
            both = wall(before, hole)
            nothing = np.zeros_like(mask)
            walls.append(None if both is None else _Wall(both, nothing, nothing))
        rings.append(hole)
        lens = None
    return rings, walls


def _holes(mask: Mask, near: float) -> list[_Ring]:
    """Return the holes of a part that may be those of round digits. Holes above each other, as in an 8, count as one."""
    paper = np.pad(~mask, 1, constant_values=True).view(np.uint8)
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(paper, connectivity=4)
    large = [number for number in range(1, count) if boxes[number, cv2.CC_STAT_HEIGHT] >= _MIN_HOLE * len(mask)]
    groups: list[_Box] = []
    for number in sorted(large, key=lambda each: int(boxes[each, cv2.CC_STAT_LEFT])):
        if number == labels[0, 0]:
            continue
        left, top, width, height = boxes[number, :4].tolist()
        box = _Box(left - 1, top, left - 1 + width, top + height, [number])
        if groups and groups[-1].is_stacked(box):
            groups[-1] = groups[-1].with_(box)
        else:
            groups.append(box)
    if len(groups) < 2:
        return []
    holes = []
    for group in groups:
        inside = np.isin(labels[1:-1, 1:-1], group.numbers)
        distance = cv2.distanceTransform((~inside).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
        holes.append(_Ring(inside, group.left, group.right, distance, mask & (distance <= near)))
    return holes


def _apart(strip: Piece, rings: list[_Ring], walls: list[_Wall | None]) -> list[Piece]:
    """Return the rings and the walls of a piece, if it has at least two rings that share one."""
    inside = [
        number
        for number, ring in enumerate(rings)
        if np.count_nonzero(strip.mask & ring.edge) > 0.5 * np.count_nonzero(ring.edge)
    ]
    own_walls = [walls[number] for number in inside[:-1]]
    if not any(own_walls):
        return [strip]
    owner = np.argmin([rings[number].distance for number in inside], axis=0) * 2
    for index, wall in enumerate(own_walls):
        if wall is not None:
            owner[wall.first], owner[wall.second], owner[wall.both] = 2 * index, 2 * index + 2, 2 * index + 1
    return [
        Piece(strip.mask & (owner == index), _STROKES if index else strip.strokes, index % 2 == 1)
        for index in range(2 * len(inside) - 1)
    ]
