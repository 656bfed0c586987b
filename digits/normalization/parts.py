"""The connected parts of a picture's ink."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from digits.features import Floats

# The service prepares one picture per thread. OpenCV would start as many threads again for each of them.
cv2.setNumThreads(1)

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Labels = NDArray[np.int32]
Slices = tuple[slice, slice]
"""Rows and columns."""

Part = tuple[float, float, float, float]
"""A rectangle of a picture: left, top, right and bottom as shares of its width and height."""

WHOLE: Part = (0.0, 0.0, 1.0, 1.0)

LEAST_COVERAGE = 0.15
"""A pixel of which less than this share is ink is paper, or the faint edge of a stroke."""

COVERED = 0.5
"""A pixel is clearly ink if more than this share of it is, or if the network says so with more."""

SOLID = 0.7
"""A solid shape fills more than this share of its hull, or of the box around it. Strokes that enclose something fill
less."""

FULL = 0.9
"""A shape has the form of its hull, or of the rectangle around it, if it fills more than this share of it."""

_LONG = 1.5
"""A straight run of ink that is longer than this, in heights of the tallest part, is no digit's stroke."""

_THIN = 0.25
"""Pixels of a frame are at most this far inside of its convex hull, as a share of its shorter side. What is in it is
higher than this share of it."""

_STRAIGHT = 0.03
"""The sides of a frame are at most this far from straight, as a share of their length."""

_ALONG = np.linspace(0, 1, 32)[:, None, None]
"""The places along a frame's sides that are looked at."""

_INKED, _EMPTY = 0.8, 0.4
"""The sides of a frame are inked by more than the first, and end where less than the second is."""

_FLAT = 2.5
"""A line below or above digits is this many times as wide as high, and they are this many times as high as it."""

_APART = 0.05
"""A line above digits is this far from them, as a share of their height."""


@dataclass(frozen=True)
class Parts:
    """The connected parts of ink. Pixels that touch at a corner are connected. Label 0 is paper."""

    labels: Labels
    """(height, width): the label of each pixel's part, from 1 on."""
    boxes: Ints
    """(1 + parts, 4), by label: left, top, width and height."""
    areas: Ints
    """(1 + parts,), by label: number of pixels."""
    ink: Floats
    """(height, width), in [0, 1]."""

    @cached_property
    def totals(self) -> Floats:
        """(1 + parts,), by label: the sum of the part's ink, of pixels that are clearly ink. 0 for paper."""
        dark = np.flatnonzero(self.ink >= COVERED)
        totals = np.bincount(self.labels.ravel()[dark], self.ink.ravel()[dark], minlength=len(self.areas))
        return totals.astype(np.float32)

    @cached_property
    def sides(self) -> Ints:
        """The longer side of each part, by label."""
        sides: Ints = self.boxes[:, 2:].max(axis=1)
        return sides

    @cached_property
    def corners(self) -> Ints:
        """(1 + parts, 4), by label: left, top, right and bottom."""
        return np.hstack([self.boxes[:, :2], self.boxes[:, :2] + self.boxes[:, 2:]])

    @cached_property
    def margins(self) -> Ints:
        """(1 + parts, 4), by label: the distances to the left, top, right and bottom edge of the picture."""
        rows, columns = self.labels.shape
        return np.asarray(np.abs(self.corners - (0, 0, columns, rows)))

    @cached_property
    def large(self) -> Ints:
        """The labels of the parts that are not much smaller than the largest, from top to bottom."""
        large = np.flatnonzero((self.sides >= self.sides[1:].max(initial=1) / 5) & (self.totals > 0))
        return np.asarray(large[self.boxes[large, 1].argsort(kind="stable")])

    def inside(self, label: int) -> Mask:
        """Return which parts are inside of the box of another one and do not reach its sides, by label."""
        corners = self.corners
        starts, stops = corners[:, :2] > corners[label, :2], corners[:, 2:] < corners[label, 2:]
        return np.asarray((starts & stops).all(axis=1))

    def box(self, label: int) -> Slices:
        """Return the rows and columns of a part."""
        left, top, width, height = self.boxes[label].tolist()
        return slice(top, top + height), slice(left, left + width)


def find_parts(ink: Floats, threshold: float = COVERED) -> Parts:
    """Find the connected parts of ink above a threshold.

    Args:
        ink: (height, width), in [0, 1].
        threshold: what is at most this is paper.
    """
    mask = ink > threshold
    _, labels, statistics, _ = cv2.connectedComponentsWithStatsWithAlgorithm(
        mask.view(np.uint8), 8, cv2.CV_32S, cv2.CCL_BBDT
    )
    statistics = statistics.astype(np.int64)
    return Parts(labels, statistics[:, :4], statistics[:, 4], ink)


def without_mark(parts: Parts) -> Mask | None:
    """Leave out a mark that somebody has added. Return which parts remain, (1 + parts,). None if there is no mark.

    A mark is a frame or a circle around all other large parts, or lines below them. What is outside of a frame, such as
    its label, is gone with it.
    """
    large = parts.large
    if len(large) < 2:
        return None
    (_, top, _, bottom), (width, height) = parts.corners.T, parts.boxes[:, 2:].T
    outer = int(large[(width * height)[large].argmax()])
    inside = parts.inside(outer)
    inner, outside = large[inside[large]], large[~inside[large] & (large != outer)]
    if len(inner):
        high = bottom[inner].max() - top[inner].min()
        is_around = high > _THIN * height[outer] and 2 * height[outside].max(initial=0) < high
        if is_around and _is_outline(parts.labels[parts.box(outer)] == outer):
            return inside
    *others, lowest = large.tolist()
    lines: list[int] = []
    while others and 2 * bottom[others].max() <= top[lowest] + bottom[lowest] and _is_line(parts, lowest, others):
        lines.append(lowest)
        *others, lowest = others
    return _all_but(parts, lines) if lines else None


def without_line_above(parts: Parts) -> Mask | None:
    """Leave out a line above all other parts. Return which parts remain, (1 + parts,). None if there is no such line.

    The bar of a 5 or of a 7 is nearer to the rest, or narrower.
    """
    large = parts.large.tolist()
    if len(large) < 2 or not _is_line(parts, large[0], large[1:]):
        return None
    (start, _, stop, end), (left, top, right, bottom) = parts.corners[large[0]], parts.corners[large[1:]].T
    is_apart = top.min() - end >= _APART * (bottom.max() - top.min())
    return _all_but(parts, large[:1]) if is_apart and start <= left.min() and stop >= right.max() else None


def _is_line(parts: Parts, label: int, others: list[int]) -> bool:
    """Return whether a part is flat, more than half as wide as the others together, and much lower."""
    (left, top, right, bottom), (width, height) = parts.corners[others].T, parts.boxes[label, 2:]
    is_wide = 2 * width > right.max() - left.min()
    return bool(is_wide and min(width, bottom.max() - top.min()) > _FLAT * height)


def _all_but(parts: Parts, labels: list[int]) -> Mask:
    return np.isin(np.arange(len(parts.areas)), [0, *labels], invert=True)


def inside_frame(parts: Parts) -> Mask | None:
    """Return which pixels are inside of the largest part if it is a frame of four straight sides, else None.

    What is written in the frame may touch it, so that it is of the same part.
    """
    if len(parts.areas) < 2:
        return None
    outer = int((parts.boxes[1:, 2] * parts.boxes[1:, 3]).argmax()) + 1
    box = parts.box(outer)
    mask = np.asarray(parts.labels[box] == outer)
    corners = _frame_corners(mask) if parts.margins[outer].all() else None
    if corners is None:
        return None
    filled = cv2.fillConvexPoly(np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), np.uint8), corners + 1, 1)
    depth = cv2.distanceTransform(filled, cv2.DIST_L2, cv2.DIST_MASK_3)[1:-1, 1:-1].astype(int)
    inked = np.bincount(depth[mask], minlength=depth.max() + 1) / np.bincount(depth.ravel()).clip(1)
    within = depth > 2 + int(np.append(inked[2:] < _EMPTY, True).argmax())  # nothing is, if it is inked to its middle
    if np.count_nonzero((within & (parts.labels[box] > 0)).any(axis=1)) < _THIN * len(mask):  # the bar of an 8
        return None
    inside = np.zeros(parts.labels.shape, dtype=bool)
    inside[box] = within
    return inside


def _frame_corners(mask: Mask) -> NDArray[np.int32] | None:
    """Return the corners of a part, x and y, (4, 2), if it has four straight sides that are inked from end to end."""
    fifth = 1 + mask.shape[1] // 5
    # The sides of most digits are not inked from top to bottom.
    if any(np.count_nonzero(side.any(axis=1)) < _INKED * len(mask) for side in (mask[:, :fifth], mask[:, -fifth:])):
        return None
    part = mask.view(np.uint8)
    outlines = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
    hull = cv2.convexHull(max(outlines, key=len))
    corners: NDArray[np.int32] = cv2.approxPolyDP(hull, _STRAIGHT * cv2.arcLength(hull, True), True)[:, 0]
    if len(corners) != 4:
        return None
    sides = corners + (np.roll(corners, -1, axis=0) - corners) * _ALONG
    x, y = np.moveaxis(np.rint(sides).astype(int), 2, 0)
    inked = cv2.dilate(part, np.ones((3, 3), np.uint8))[y, x].mean(axis=0)
    return corners if inked.min() >= _INKED else None


def _is_outline(mask: Mask) -> bool:
    """Return whether all pixels of a part are near its convex hull. Those of a table or a touching digit are not."""
    hull = cv2.convexHull(cv2.findNonZero(mask.view(np.uint8)))
    inside = cv2.fillConvexPoly(np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), np.uint8), hull + 1, 1)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_3)[1:-1, 1:-1]
    return bool(depth[mask].max() <= _THIN * min(mask.shape))


def has_lines(parts: Parts) -> bool:
    """Return whether there are lines or frames besides other parts, as on ruled paper and forms.

    They are longer than a digit's stroke. A mark that can be left out does not count.
    """
    kept = without_mark(parts)
    is_part = np.arange(len(parts.areas)) > 0 if kept is None else kept
    width, height = (parts.boxes[:, 2:] * is_part[:, None]).max(axis=0)
    longest = int(_LONG * height) + 1
    if width < longest:
        return False
    ink = is_part[parts.labels].view(np.uint8)
    return bool(cv2.erode(ink, np.ones((1, longest), np.uint8), borderValue=0).any())


def corner_points(corners: NDArray[Any]) -> NDArray[Any]:
    """Return x and y of the four corners of boxes, (N, 4, 2), from their left, top, right and bottom, (N, 4)."""
    points: NDArray[Any] = corners[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]
    return points


def smallest_rectangle(points: NDArray[np.int32]) -> list[float]:
    """Return the shorter and the longer side of the smallest rectangle around pixels, at any angle."""
    return sorted(1 + side for side in cv2.minAreaRect(points)[1])


def extent(mask: Mask) -> Slices:
    """Return the smallest box that holds all pixels of a mask."""
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    return slice(top, top + height), slice(left, left + width)
