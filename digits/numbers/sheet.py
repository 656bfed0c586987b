"""Find the ink on a picture of several digits, as connected parts without shadows, specks, ruled lines and frames.

`digits/normalization/normalize.py` looks for one digit and may drop everything else. A sheet has to keep all of them.
"""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from digits.errors import NoInk, TooManyDigits
from digits.features import Floats, Grey
from digits.normalization import ink_map
from digits.normalization.light import without_shadows
from digits.normalization.look import Look, OtherLook
from digits.normalization.paper import LIGHT_SIDE, EvenPaper
from digits.normalization.parts import Ints, Labels, Mask, find_parts, inside_frame, without_mark
from digits.numbers.work import NETWORK, Work
from digits.pictures.downscale import downscale, downscale_factor

MAX_PARTS = 1500
"""Maximum number of parts. More are a texture, or a sheet with more digits than can be read."""

SHEET_SIDE = 400
"""Longer side of the reduced picture in which digits are looked for first on even paper."""

_FINE_LIGHT_SIDE = 200
"""Longer side of the reduced picture in which light is measured between many small digits."""

_MAP_SIDES = 256, 512, 1024
"""Longer sides of the reduced pictures in which digits are looked for on other paper, one after the other.

Where digits are lower than _SURE, the network may miss some, and looks at the next size.
"""

_LEGIBLE = 36
"""Height in pixels that digits should have. They are looked for again in as many pixels."""

_SURE = 14
"""Where digits are at least as high, everything else that was seen in fewer pixels is a mark of another kind."""

_TALL = 60
"""Digits that are higher than this are looked for again in fewer pixels."""

_MAX_PIXELS = 1_000_000
"""Maximum number of pixels in which digits are looked for."""

_SURE_IN_MAP = 20
"""The same as _SURE for the network, which misses more digits in few pixels."""

_MARGIN_LINE, _SPECK = 4, 8
"""A line at the upper or lower edge is at least this many times as high as wide, and twice as high as the digits beside
it. Marks lower than the highest one by the second factor are specks."""

_MOST_DEGREES = 15
"""The largest slope of a line of digits."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """The connected parts of a picture, with its lines of digits level."""

    to_picture: NDArray[np.float64]
    """(3, 3): maps x, y and 1 of the middle of a pixel to shares of the picture's width and height."""
    distance: Floats
    """(height, width): how deep each pixel is inside of a stroke, in pixels. It is negative outside of strokes."""
    labels: Labels
    """(height, width): the part that each pixel belongs to. Most other values are paper or were dropped."""
    numbers: Ints
    """(parts,): the label of each part."""
    boxes: Ints
    """(parts, 4): left, top, width and height of each part in pixels of the sheet."""
    stroke: float
    """Width of a stroke in pixels."""
    ink: Grey | None
    """Where the ink network saw ink in the picture, from `ink_map.reduced`. None if it was not needed."""
    cut_off: int = 0
    """Number of low marks beside the others that the left or right edge cuts off. They were dropped."""
    other_look: OtherLook | None = None
    """How `find_sheet` can look at the picture again. None if it cannot."""

    @property
    def digit_height(self) -> float:
        """The height of a typical digit in pixels."""
        return typical_height(self.boxes[:, 3])

    def mask(self, part: int) -> Mask:
        """Return which pixels of the box of a part are its own."""
        left, top, width, height = self.boxes[part].tolist()
        return np.asarray(self.labels[top : top + height, left : left + width] == self.numbers[part])

    @property
    def is_legible(self) -> bool:
        """Whether a larger picture of the sheet would hardly be read better."""
        return self.digit_height >= 0.75 * _LEGIBLE


class SheetLook(Look):
    """A look that finds several digits, which may be small."""

    light_sides = LIGHT_SIDE, _FINE_LIGHT_SIDE

    @staticmethod
    def view_of(picture: Grey) -> Grey:
        """Return the view, at most SHEET_SIDE pixels along the longer side."""
        return downscale(picture, downscale_factor(picture, SHEET_SIDE))


def find_sheet(picture: Grey, work: Work, other: OtherLook | None = None) -> Sheet:
    """Find the ink on a picture.

    Args:
        picture: uint8 (height, width). 0 is black.
        work: counts the steps.
        other: how to look at it. None: as is best.

    Raises:
        NoInk: the picture is blank, of one colour or noise.
        TooManyDigits: the picture has more than MAX_PARTS parts, or takes too much work.
    """
    if other == "without shadows":
        picture = without_shadows(picture)
    look = next(SheetLook.in_order(picture)) if other is None else SheetLook.again(picture, other)
    if look.page is None:
        sheet = _sheet(picture, look.paper, work)
        return replace(sheet, other_look=look.other if other is None else None)
    flat, matrix = look.page.from_above(picture)
    sheet = _sheet(flat, look.paper, work)
    scaled = np.diag([*flat.shape[::-1], 1.0])
    to_picture = np.diag([*(1 / np.array(picture.shape[::-1])), 1.0]) @ matrix @ scaled @ sheet.to_picture
    return replace(sheet, to_picture=to_picture, other_look=look.other)


def _sheet(picture: Grey, paper: EvenPaper | None, work: Work) -> Sheet:
    """Find the ink on a flat picture. Raises NoInk and TooManyDigits."""
    if paper is None:
        marks = _first_marks(picture, work)
    else:
        marks = _find_marks(paper.ink, downscale_factor(picture, SHEET_SIDE))
    factor, ink, cut_off = marks.factor, marks.ink, marks.cut_off
    seen = None if paper is not None else ink_map.reduced(ink)
    height, origin = typical_height(marks.boxes[:, 3]), (0, 0)
    left, top = np.maximum(marks.boxes[:, :2].min(axis=0) - int(height), 0).tolist()
    right, bottom = ((marks.boxes[:, :2] + marks.boxes[:, 2:]).max(axis=0) + int(height)).tolist()
    region = picture[top * factor : bottom * factor, left * factor : right * factor]
    nearest = int(factor * height / _LEGIBLE + (0 if paper else 0.5))
    finer = max(1, nearest, math.ceil(math.sqrt(region.size / _MAX_PIXELS)))
    if finer < factor or (height > _TALL and finer > factor):
        coarse, closer = ink[top:bottom, left:right], downscale(region, finer)
        if paper is None:  # each of the two maps may miss a stroke that the other has
            work.spend(NETWORK * ink_map.seen_pixels(*closer.shape), closer.size)
            ink = ink_map.shipped().coverage(closer)
            ink = np.maximum(ink, cv2.resize(coarse, ink.shape[::-1]))
        else:
            high, wide = picture.shape
            start, stop = (left * factor, top * factor), (min(right * factor, wide), min(bottom * factor, high))
            ink = paper.coverage(closer, (start[0] / wide, start[1] / high, stop[0] / wide, stop[1] / high))
        if height >= (_SURE_IN_MAP if paper is None else _SURE):
            near = cv2.dilate(marks.inside[top:bottom, left:right], np.ones((5, 5), np.uint8))
            ink = ink * cv2.resize(near, ink.shape[::-1], interpolation=cv2.INTER_NEAREST)
        marks, origin = _find_marks(ink, finer), (left * factor, top * factor)
    stroke, distance = _strokes(ink, marks.inside)
    size, factor = np.array(picture.shape[::-1]), marks.factor
    scaled = np.column_stack([np.eye(2) * factor, np.array(origin) + factor / 2]) / size[:, None]
    to_picture = np.vstack([scaled, (0, 0, 1)])
    return _levelled(Sheet(to_picture, distance, marks.labels, marks.numbers, marks.boxes, stroke, seen, cut_off))


def _first_marks(picture: Grey, work: Work) -> "_Marks":
    """Return what the ink network sees in the first of _MAP_SIDES in which digits are high enough, or in the last one.

    Raises NoInk if there are no marks in the last size, and TooManyDigits as `find_sheet` does.
    """
    for side in _MAP_SIDES:
        factor = downscale_factor(picture, side)
        view = downscale(picture, factor)
        work.spend(NETWORK * ink_map.seen_pixels(*view.shape), view.size)
        is_last = side == _MAP_SIDES[-1] or factor == 1
        try:
            marks = _find_marks(ink_map.shipped().coverage(view), factor)
        except NoInk:
            if is_last:
                raise
            continue
        if is_last or typical_height(marks.boxes[:, 3]) >= _SURE:
            break
    return marks


def typical_height(heights: Ints) -> float:
    """Return the median of the heights, weighted by their squares, so that specks hardly count."""
    ordered = np.sort(heights)
    weights = (ordered.astype(float) ** 2).cumsum()
    return float(ordered[np.searchsorted(weights, weights[-1] / 2)])


def extents(labels: Labels, count: int, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return left, top, right and bottom of each label, (count, 4), in the units that a matrix maps its pixels to.

    The matrix is (3, 3), for the middles of the pixels. A label without pixels has a right of 0.
    """
    rows, columns = np.nonzero(labels)
    owner = labels[rows, columns]
    places = matrix @ np.stack([columns, rows, np.ones_like(rows)])
    found = np.zeros((count, 4))
    found[:, :2] = np.inf
    for axis, half in enumerate(np.hypot(matrix[:2, 0], matrix[:2, 1]) / 2):
        middles = places[axis] / places[2]
        np.minimum.at(found[:, axis], owner, middles - half)
        np.maximum.at(found[:, axis + 2], owner, middles + half)
    return found


@dataclass(frozen=True, slots=True)
class _Marks:
    """The parts of a reduced picture that may be digits. The fields are as in `Sheet`, before it was turned."""

    factor: int
    ink: Floats
    """(height, width), in [0, 1]."""
    inside: NDArray[np.uint8]
    """(height, width): 1 inside of the parts, else 0."""
    labels: Labels
    numbers: Ints
    boxes: Ints
    cut_off: int


def _find_marks(ink: Floats, factor: int) -> _Marks:
    """Find the parts of ink that may be digits. Raises NoInk and TooManyDigits."""
    parts = find_parts(ink)
    unmarked = without_mark(parts)
    if unmarked is None and (framed := inside_frame(parts)) is not None:
        parts = find_parts(ink * framed)
    heights, widths = parts.boxes[:, 3], parts.boxes[:, 2]
    kept = parts.totals >= 4
    if unmarked is not None:
        kept &= unmarked
    is_margin = (parts.margins[:, 1::2].min(axis=1) == 0) & (heights >= _MARGIN_LINE * widths)
    if (written := kept & ~is_margin & (_SPECK * heights >= heights[kept].max(initial=0))).any():
        kept &= ~is_margin | (heights < 2 * typical_height(heights[written]))
    if kept.any():
        height = typical_height(heights[kept])
        is_rule = (widths >= 2.5 * height) & (heights <= 0.4 * height)
        kept &= (parts.sides >= 0.14 * height) & ~is_rule
        at_edge = kept & (parts.margins.min(axis=1) == 0) & (heights < 0.5 * height)
        kept &= ~at_edge
    if not kept.any():
        raise NoInk("no ink found: the picture has only specks and lines")
    if np.count_nonzero(kept) > MAX_PARTS:
        raise TooManyDigits(f"expected a picture of at most {MAX_PARTS} marks, received one with more")
    inside = np.take(kept.view(np.uint8), parts.labels)
    tops, bottoms = parts.corners[:, 1::2].T
    is_beside = (parts.margins[:, ::2].min(axis=1) == 0) & (bottoms > tops[kept].min()) & (tops < bottoms[kept].max())
    cut_off = int(np.count_nonzero(at_edge & is_beside))
    return _Marks(factor, ink, inside, parts.labels, np.flatnonzero(kept), parts.boxes[kept], cut_off)


def _strokes(ink: Floats, inside: NDArray[np.uint8]) -> tuple[float, Floats]:
    """Return the width of a stroke, and how deep each pixel is inside of a stroke."""
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_5)
    np.minimum(depth, max(inside.shape), out=depth)  # it is infinite if there is no paper
    stroke = max(1.0, 4 * cv2.mean(depth, inside)[0] - 2)  # as in `redraw`
    distance = depth - cv2.distanceTransform(1 - inside, cv2.DIST_L2, cv2.DIST_MASK_3)
    # How much ink the pixels at the edge have tells where in them the edge is.
    distance += ink + (np.float32(0.5) - 2 * inside)
    return stroke, distance


def _levelled(sheet: Sheet) -> Sheet:
    """Turn the sheet so that its lines of text are level."""
    angle = _slope(sheet)
    if not angle:
        return sheet
    height, width = sheet.distance.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    cosine, sine = abs(matrix[0, 0]), abs(matrix[0, 1])
    size = int(width * cosine + height * sine) + 1, int(width * sine + height * cosine) + 1
    matrix[:, 2] += size[0] / 2 - width / 2, size[1] / 2 - height / 2
    outside = float(sheet.distance.min())
    distance = cv2.warpAffine(sheet.distance, matrix, size, flags=cv2.INTER_LINEAR, borderValue=outside)
    labels = cv2.warpAffine(sheet.labels.astype(np.float32), matrix, size, flags=cv2.INTER_NEAREST).astype(np.int32)
    corners = extents(labels, int(sheet.labels.max()) + 1, np.eye(3))[sheet.numbers] + 0.5
    present = corners[:, 2] > 0
    corners = corners[present].astype(np.int64)
    boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    to_picture = sheet.to_picture @ np.vstack([cv2.invertAffineTransform(matrix), (0, 0, 1)])
    return replace(
        sheet, distance=distance, labels=labels, numbers=sheet.numbers[present], boxes=boxes, to_picture=to_picture
    )


def _slope(sheet: Sheet) -> int:
    """Return the slope of the lines in whole degrees. 0 unless another one separates the lines clearly better.

    At the right slope, the parts cover the fewest rows.
    """
    height = sheet.digit_height
    left, top, width, high = sheet.boxes[sheet.boxes[:, 3] > 0.5 * height].T.astype(float)
    if len(left) < 3:
        return 0
    degrees = np.arange(-_MOST_DEGREES, _MOST_DEGREES + 1)
    middle = top + high / 2 - np.tan(np.deg2rad(degrees))[:, None] * (left + width / 2)
    row = height / 8
    first = np.floor((middle - 0.4 * high) / row).astype(np.int64)
    last = np.ceil((middle + 0.4 * high) / row).astype(np.int64)
    # How many parts begin and end in each row, for one slope after the other.
    rows = int(last.max() - first.min()) + 1
    starts = np.arange(len(degrees))[:, None] * rows - first.min()
    size = len(degrees) * rows
    changes = np.bincount((first + starts).ravel(), minlength=size) - np.bincount(
        (last + starts).ravel(), minlength=size
    )
    covered = np.count_nonzero(changes.reshape(-1, rows).cumsum(axis=1), axis=1)
    best = int((covered * (1 + 0.01 * np.abs(degrees))).argmin())
    return int(degrees[best]) if covered[best] < 0.85 * covered[_MOST_DEGREES] else 0
