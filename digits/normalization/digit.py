"""Find the digit among the connected parts of a picture's ink."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from digits.errors import NoInk
from digits.features import Floats
from digits.normalization.paper import SMALL_SIDE
from digits.normalization.parts import Ints, Mask, Parts, Slices, extent, find_parts

_MIN_INK = 0.2
"""A pixel belongs to the digit if at least this share of it is ink."""

MIN_TOTAL = 6.0
"""A digit, or what counts beside it or in it, covers at least this many pixels of the view."""

_AT_EDGE = 0.25
"""How much a part that touches the picture's edge counts, compared with others."""

_NEAR = 0.3
"""A large part that is nearer to the digit than this, in longer sides of the digit, belongs to it. A small one above or
below it is a dot."""

_FREE = 0.6
"""An edge that a digit touches cuts it off if the opposite edge is further away than this share of its longer side."""

_NO_STROKES = "no ink found: the picture has no strokes of a digit"


@dataclass(frozen=True, slots=True)
class Found:
    """The digit in a view."""

    ink: Floats
    """(height, width): how much of each pixel is ink."""
    kept: Mask
    """(height, width): the pixels of the digit."""
    doubts: tuple[str, ...]
    is_alone: bool

    @property
    def side(self) -> int:
        """Longer side of the digit in pixels of the view."""
        return longer_side(extent(self.kept))


def find_digit(ink: Floats, near: Mask | None = None) -> Found:
    """Find the digit of a view. Raises NoInk.

    Args:
        ink: float32 (height, width) in [0, 1]: how much of each pixel is ink.
        near: where the digit may be, in other pixels. None: anywhere.
    """
    if near is not None:
        around = cv2.dilate(near.view(np.uint8), np.ones((5, 5), np.uint8))
        ink = ink * cv2.resize(around.astype(np.float32), ink.shape[::-1])
    parts = find_parts(ink, _MIN_INK)
    if parts.totals.max() < MIN_TOTAL:
        raise NoInk(_NO_STROKES)
    return _digit(ink, parts)


def _digit(ink: Floats, parts: Parts) -> Found:
    """Return the main part, what is inside of its box, and other parts that are large and near enough."""
    totals = parts.totals
    if np.count_nonzero(totals) == 1:
        only = int(totals.argmax())
        is_cut = is_cut_off(parts.corners[only].tolist(), ink.shape, parts.sides[only])
        return Found(ink, parts.labels == only, ("edge",) * is_cut, is_alone=True)
    at_edge = np.asarray(parts.margins.min(axis=1) == 0)
    main = int((totals * np.where(at_edge, _AT_EDGE, 1)).argmax())
    corners, side = parts.corners, parts.sides[main]
    gaps = _gaps(corners, corners[main])
    apart = gaps.max(axis=1)
    is_other = (parts.sides >= side / 5) & (totals > 0)
    is_other[main] = False
    is_alone = not is_other.any()
    # A digit of the same number is about as high, and clearly beside it or far from it.
    heights = parts.boxes[:, 3] / parts.boxes[main, 3]
    is_digit_like = (heights >= 0.35) & (heights <= 2)
    is_digit_like &= (gaps[:, 0] >= 0.05 * parts.boxes[main, 3]) | (apart > _NEAR * side)
    neighbours = ("neighbour",) * int(np.count_nonzero(is_other & is_digit_like & ~at_edge))
    if not at_edge[main]:
        is_other &= ~at_edge | (np.maximum(apart, parts.margins[main].min()) <= 0.1 * side)
    is_within = ((corners[:, :2] >= corners[main, :2]) & (corners[:, 2:] <= corners[main, 2:])).all(axis=1)
    is_kept = is_within & (totals >= MIN_TOTAL)  # as the eyes of a face
    is_kept[main] = True
    while (added := is_other & ~is_kept & (apart <= _NEAR * side)).any():
        is_kept |= added
        whole = np.concatenate([corners[is_kept, :2].min(axis=0), corners[is_kept, 2:].max(axis=0)])
        apart, side = _gaps(corners, whole).max(axis=1), (whole[2:] - whole[:2]).max()
    return Found(ink, is_kept[parts.labels], (*neighbours, *_doubts(parts, is_kept)), is_alone)


def _doubts(parts: Parts, is_kept: Mask) -> tuple[str, ...]:
    """Return a doubt for each dot right above or below the digit and for each mark in the loops of its largest part,
    and one if an edge of the picture cuts it off.
    """
    left, top = parts.corners[is_kept, :2].min(axis=0).tolist()
    right, bottom = parts.corners[is_kept, 2:].max(axis=0).tolist()
    side = max(right - left, bottom - top)
    is_cut = is_cut_off([left, top, right, bottom], parts.labels.shape, side)
    middles = parts.corners[:, 0] + parts.boxes[:, 2] / 2
    beyond = np.maximum(top - parts.corners[:, 3], parts.corners[:, 1] - bottom)
    is_dot = (parts.totals >= MIN_TOTAL) & (parts.sides < side / 5) & ~is_kept
    is_dot &= (middles >= left) & (middles <= right) & (beyond > 0) & (beyond < _NEAR * side)
    main = int((parts.totals * is_kept).argmax())
    dots = int(np.count_nonzero(is_dot))
    return (*("dotted",) * dots, *("inside",) * _marks_in_loops(parts, main), *("edge",) * is_cut)


def is_cut_off(corners: Sequence[int], shape: tuple[int, ...], side: int) -> bool:
    """Return whether an edge of the picture cuts off a digit or a number: it touches the edge, and is far from the
    opposite one. Small pictures cut nothing off.

    Args:
        corners: left, top, right and bottom, in pixels.
        shape: height and width of the picture.
        side: the longer side of a digit, or the height of a number.
    """
    left, top, right, bottom = corners
    margins = [left, top, shape[1] - right, shape[0] - bottom]
    free = _FREE * side
    opposite = margins[2:] + margins[:2]
    return max(shape) >= SMALL_SIDE and any(
        not near and far > free for near, far in zip(margins, opposite, strict=True)
    )


def _marks_in_loops(parts: Parts, main: int) -> int:
    """Return how many other parts are inside of a loop of a part, as the eyes of a face are.

    Those with a loop of their own do not count, because a digit that is drawn as an outline has them.
    """
    corners = parts.corners
    is_inside = (corners[:, :2] > corners[main, :2]) & (corners[:, 2:] < corners[main, 2:])
    inside = np.flatnonzero(is_inside.all(axis=1) & (parts.totals >= MIN_TOTAL))
    if not len(inside):
        return 0
    labels = parts.labels[parts.box(main)]
    part = np.equal(labels, main).view(np.uint8)
    outlines = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
    filled = cv2.drawContours(part, outlines, -1, 1, cv2.FILLED).view(bool)
    marks = (filled & np.isin(labels, inside)).view(np.uint8)
    nested = cv2.findContours(marks, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)[1]
    return 0 if nested is None else int(np.count_nonzero((nested[0, :, 2:] < 0).all(axis=1)))


def _gaps(corners: Ints, box: Ints) -> Ints:
    """Return the distances across and down, (N, 2), between boxes and another one. They are negative if both overlap.

    Args:
        corners: (N, 4): left, top, right and bottom of each box.
        box: (4,): the same of the other one.
    """
    gaps: Ints = np.maximum(corners[:, :2] - box[2:], box[:2] - corners[:, 2:])
    return gaps


def longer_side(box: Slices) -> int:
    """Return the longer side of a box in pixels."""
    return max(int(side.stop - side.start) for side in box)
