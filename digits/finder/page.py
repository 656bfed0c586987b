"""Find a sheet of paper that lies on something else, and look at it from above.

A sheet is a region with four straight sides. It is lighter or darker than what is around it, and something is written
on it. Its sides are steps: the brightness changes within a few pixels, and it is still different further away. The
lines of frames and tables, whose two sides are equally bright, and the slopes of shadows are no steps.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from digits.features import Floats, Grey
from digits.normalization.paper import SMALL_SIDE, VIEW_SIDE
from digits.normalization.parts import FULL, SOLID, Mask
from digits.pictures.downscale import downscale, halving_factor

_LEAST_CONTRAST = 12
"""The least contrast of a sheet with what is around it, and of what is written on it with the sheet, in grey values."""

_WIDEST_STROKE = 11
"""Strokes are narrower than half of this, in pixels. A large region has more pixels than its square."""

_INSET = 0.02
"""How far inside of its sides a sheet is cut out, as a share of its shorter side."""

_NEAR = 2
"""The least distance from a side at which its step is measured, in pixels. A side nearer to the edge is outside."""

_ALONG = np.linspace(0.08, 0.92, 32)[:, None]
"""The places along a side at which its step is measured."""


@dataclass(frozen=True, slots=True)
class _Sheet:
    """A sheet in the reduced picture."""

    hull: NDArray[np.int32]
    """(N, 1, 2): the points of its convex outline."""
    corners: Floats
    """(4, 2)"""
    is_blank: bool
    """Whether nothing is written on it."""
    within: Mask
    outside: Mask


@dataclass(frozen=True, slots=True)
class Page:
    """A sheet of paper in a picture."""

    corners: Floats
    """(4, 2): x and y of its corners, top left first and clockwise, as shares of the picture's width and height."""

    def from_above(self, picture: Grey) -> tuple[Grey, NDArray[np.float64]]:
        """Return the sheet without its edges, and the matrix (3, 3) from its pixels to those of the picture.

        It is enlarged if it has fewer than VIEW_SIDE pixels along its longer side.
        """
        corners = (self.corners * picture.shape[::-1] - 0.5).astype(np.float32)
        lengths = _lengths(corners)
        times = max(1, VIEW_SIDE / lengths.max())
        width, height = (max(8, int(times * opposite.max())) for opposite in (lengths[::2], lengths[1::2]))
        margin = _INSET * min(width, height) + 1
        target = corner_points(np.array([(-margin, -margin, width + margin, height + margin)], np.float32))[0]
        matrix = cv2.getPerspectiveTransform(corners, target)
        seen = cv2.warpPerspective(picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        return seen, np.linalg.inv(matrix)


def find_page(picture: Grey) -> Page | None:
    """Return the largest sheet of paper that lies on something else. None if there is none.

    Args:
        picture: uint8 (height, width).
    """
    if max(picture.shape) < SMALL_SIDE:
        return None
    small = downscale(picture, halving_factor(picture, 2 * VIEW_SIDE))
    scale = min(1, VIEW_SIDE / max(small.shape))
    size = [max(8, round(side * scale)) for side in small.shape[::-1]]
    small = small if scale == 1 else cv2.resize(small, size, interpolation=cv2.INTER_AREA)
    smooth = cv2.blur(small, (3, 3))
    for light in _light_sides(smooth):
        if found := [sheet for side in (light, 1 - light) for sheet in _pages(small, smooth, side)]:
            largest = max(found, key=lambda sheet: cv2.contourArea(sheet.hull))
            return Page(_clockwise(((largest.corners + 0.5) / small.shape[::-1]).astype(np.float32)))
    return None


def corner_points(corners: NDArray[Any]) -> NDArray[Any]:
    """Return x and y of the four corners of boxes, (N, 4, 2), from their left, top, right and bottom, (N, 4)."""
    points: NDArray[Any] = corners[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]
    return points


def _light_sides(smooth: Grey) -> Iterator[NDArray[np.uint8]]:
    """Yield 1 for the pixels above a threshold: Otsu's (1979), and then his for the lighter and the darker part.

    In uneven light, and on a table of two brightnesses, the first one may separate something else.
    """
    first, light = cv2.threshold(smooth, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    yield light
    for part in (smooth[smooth > first], smooth[smooth <= first]):
        if part.size > 0.2 * smooth.size:
            second = cv2.threshold(part, 0, 1, cv2.THRESH_OTSU)[0]
            yield (smooth > second).view(np.uint8)


def _pages(small: Grey, smooth: Grey, side: NDArray[np.uint8]) -> Iterator[_Sheet]:
    """Yield each region of pixels that are 1, if it is a sheet with something written on it.

    If there are other large regions, a sheet has at least as many strokes on it as beside it, but for those on blank
    sheets. A region with fewer is a part of a sheet, such as a shadow.
    """
    # With a border of 0, a sheet that goes on outside of the picture has an outline too.
    bordered = cv2.copyMakeBorder(side, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    outlines = cv2.findContours(bordered, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(-1, -1))[0]
    large = [each for each in outlines if cv2.contourArea(each) > _WIDEST_STROKE**2]
    sheets = [sheet for each in large if (sheet := _sheet(each, small, smooth, side)) is not None]
    strokes = cv2.absdiff(small, cv2.medianBlur(small, _WIDEST_STROKE)) if sheets else small
    elsewhere = np.ones(small.shape, dtype=bool)
    for blank in (sheet for sheet in sheets if sheet.is_blank):
        elsewhere &= blank.outside
    for sheet in (sheet for sheet in sheets if not sheet.is_blank):
        strong = strokes > np.sort(strokes[sheet.within])[-1 - np.count_nonzero(sheet.within) // 100] / 2
        inner, beside = strong & sheet.within, strong & sheet.outside & elsewhere
        if len(large) == 1 or np.count_nonzero(beside) <= np.count_nonzero(inner):
            yield sheet


def _sheet(outline: Any, small: Grey, smooth: Grey, side: NDArray[np.uint8]) -> _Sheet | None:
    """Measure the sheet of paper that a region of pixels shows. Return None if it shows no sheet."""
    hull: NDArray[np.int32] = cv2.convexHull(outline)
    if cv2.contourArea(outline) < FULL * cv2.contourArea(hull):
        return None
    filled = cv2.mean(side, cv2.fillConvexPoly(np.zeros_like(side), hull, 1))[0]
    corners = _corners(hull, side.shape) if filled > SOLID else None
    if corners is None or not _has_steps(smooth, corners):
        return None
    within, outside = _within_and_outside(small, hull)
    if not within.any():
        return None
    low, paper, high = np.percentile(small[within], (0.5, 50, 99.5)).tolist()
    is_blank = max(high - paper, paper - low) < _LEAST_CONTRAST
    return _Sheet(hull, corners, is_blank, within, outside)


def _within_and_outside(small: Grey, hull: NDArray[np.int32]) -> tuple[Mask, Mask]:
    """Return which pixels are clearly inside of a sheet, and which are clearly outside."""
    inside = cv2.fillConvexPoly(np.zeros_like(small), hull, 1)
    side = np.sqrt(cv2.countNonZero(inside))
    rim = np.ones((2 * int(0.1 * side) + 5,) * 2, np.uint8)
    return cv2.erode(inside, rim, borderValue=1).view(bool), cv2.dilate(inside, rim[:7, :7]) == 0


def _corners(hull: NDArray[np.int32], shape: tuple[int, ...]) -> Floats | None:
    """Return the four corners of an outline in a picture of this shape. None if it has no four sides.

    Corners outside of the picture are cut off, so that the outline has more sides. Those are dropped whose neighbours
    meet nearest.
    """
    points = cv2.approxPolyDP(hull, 0.012 * cv2.arcLength(hull, True), True)
    if len(points) < 4:
        return None
    corners = cv2.approxPolyN(points.astype(np.float32), 4).reshape(-1, 2)
    right, bottom = shape[1] - 1, shape[0] - 1
    field = np.array([(0, 0), (right, 0), (right, bottom), (0, bottom)], np.float32)
    if len(corners) != 4 or FULL * cv2.intersectConvexConvex(corners, field)[0] > cv2.contourArea(hull):
        return None
    return np.asarray(corners, np.float64)


def _lengths(corners: Floats) -> Floats:
    lengths: Floats = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    return lengths


def _has_steps(smooth: Grey, corners: Floats) -> bool:
    """Return whether at least two of the sides are steps of the same direction, and all others are outside of the
    picture.
    """
    height, width = smooth.shape
    far = max(4.0, min(0.04 * max(smooth.shape), 0.1 * _lengths(corners).max()))
    spans = np.roll(corners, -1, axis=0) - corners
    points = corners[:, None] + spans[:, None] * _ALONG
    is_inside = (points > _NEAR) & (points < (width - 1 - _NEAR, height - 1 - _NEAR))
    outwards = spans[:, ::-1] * (-1, 1) / (_lengths(corners) + 1e-9)[:, None]
    outwards *= np.sign(((points.mean(axis=1) - corners.mean(axis=0)) * outwards).sum(axis=1, keepdims=True))
    changes = []
    for reach in (_NEAR, far):
        beyond, within = (
            np.rint(points + way * outwards[:, None]).astype(int).clip(0, (width - 1, height - 1))
            for way in (reach, -reach)
        )
        changes.append(smooth[beyond[..., 1], beyond[..., 0]] - smooth[within[..., 1], within[..., 0]].astype(float))
    signs: list[float] = []
    for index in range(len(corners)):
        is_seen = is_inside[index].all(axis=1)
        if np.count_nonzero(is_seen) < 8:
            continue
        side = np.array([change[index, is_seen] for change in changes])
        near, further = np.median(side, axis=1)
        sign = np.sign(near)
        is_step = sign * near >= _LEAST_CONTRAST and 0.55 * near * sign <= further * sign <= near * sign / 0.35
        shares = (sign * side > np.array([[0.4], [0.3]]) * sign * near).mean(axis=1)
        if not is_step or shares.min() < 0.65:
            return False
        signs.append(float(sign))
    return len(signs) >= 2 and len(set(signs)) == 1


def _clockwise(corners: Floats) -> Floats:
    """Return corners with the top left one first, and clockwise."""
    x, y = (corners - corners.mean(axis=0)).T
    around = np.arctan2(y, x).argsort()
    ordered: Floats = corners[np.roll(around, -int((x + y)[around].argmin()))]
    return ordered
