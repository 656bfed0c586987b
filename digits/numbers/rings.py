"""Divide a part into pieces: along its seams, and where round digits share a wall, by their holes.

Zeros that are written in one stroke, or into each other, share a wall. A seam leaves a piece of one ring with the
other. The holes tell the rings apart: each pixel belongs to the nearest hole.
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

_STROKES = 1.0
"""What a division between two rings counts as, in widths of a stroke that a seam crosses."""

_MOST_PIXELS = 4_000_000
"""Maximum number of pixels of a part, times its holes. More are a texture. They take 0.2 s and 40 MB."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a part."""

    mask: Mask
    """(height, width): the piece inside of its box."""
    left: int
    strokes: float
    """How much ink the cut at its left crosses, in widths of a stroke. 0 if its left is where the part begins."""
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
    distance: Floats
    """How far each pixel is from the hole."""
    edge: Mask
    """The part's pixels around the hole."""


def divide(mask: Mask, cuts: Cuts, stroke: float, work: Work) -> list[Piece]:
    """Return the pieces of a part, from left to right. Each has all rows of the part.

    The mask is the part inside of its box, and `stroke` the width of a stroke in pixels. Raises TooManyDigits.
    """
    rings = []
    for hole in _holes(mask, work):
        distance = cv2.distanceTransform((~hole).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
        rings.append(_Ring(distance, mask & (distance <= _NEAR * stroke)))
    # A seam through two rings that share a wall leaves a piece of one with the other.
    spans = [
        np.flatnonzero((np.minimum(before.distance, after.distance) == 0).any(axis=0))[[0, -1]].tolist()
        for before, after in pairwise(rings)
        if (before.edge & after.edge).any()
    ]
    places = np.arange(mask.shape[1])
    owner, strokes = np.zeros(mask.shape, dtype=np.int64), [0.0]
    for columns, crossed in zip(cuts.columns, cuts.strokes, strict=True):
        if not any(left < columns.mean() < right for left, right in spans):
            owner += places >= columns[:, None]
            strokes.append(crossed)
    strips = _divided(Piece(mask, 0, 0.0), owner, strokes)
    return [piece for strip in strips for piece in _apart(strip, rings)] if spans else strips


def _divided(piece: Piece, owner: Ints, strokes: list[float]) -> list[Piece]:
    """Return the parts of a piece that have pixels. The owner of a pixel is the index of its part."""
    parts = []
    for index, crossed in enumerate(strokes):
        mask = piece.mask & (owner == index)
        x, _, columns, _ = cv2.boundingRect(mask.view(np.uint8))
        if columns:
            # The copy does not keep the whole mask.
            parts.append(Piece(mask[:, x : x + columns].copy(), piece.left + x, crossed))
    return parts


def _apart(strip: Piece, rings: list[_Ring]) -> list[Piece]:
    """Return the rings of a piece, if it has at least two rings that share a wall."""
    own = np.s_[:, strip.left : strip.left + strip.mask.shape[1]]
    inside = [ring for ring in rings if 2 * (strip.mask & ring.edge[own]).sum() > ring.edge.sum()]
    if not any((before.edge & after.edge).any() for before, after in pairwise(inside)):
        return [strip]
    owner = np.argmin([ring.distance[own] for ring in inside], axis=0)
    return _divided(strip, owner, [strip.strokes, *[_STROKES] * (len(inside) - 1)])


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
