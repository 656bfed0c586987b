"""Find the ink on a picture of several digits, as connected parts without shadows, specks, ruled lines and frames.

`digits/normalization/normalize.py` looks for one digit and may drop everything else. A sheet has to keep all of them,
so the light is measured in more pixels, and the limits of ink follow each part's own strength.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from digits.errors import NoInk, TooManyDigits
from digits.features import Floats, Grey
from digits.normalization.ink import (
    LIGHT_SIDE,
    MIN_CONTRAST,
    WORKING_SIDE,
    background_noise,
    is_background_light,
    is_noise,
    light_side,
    light_trend,
    squared_slopes,
)
from digits.normalization.strips import beside_strip
from digits.numbers.ruled_lines import Connected, Labels, Mask, connect, without_frames, without_rules
from digits.pictures.downscale import downscale, downscale_factor

Ints = NDArray[np.int64]

MAX_PARTS = 1500
"""Maximum number of parts. More are a texture, or a sheet with more digits than can be read."""

SHEET_SIDE = 400
"""Longer side of the reduced picture in which digits are looked for first."""

_LEGIBLE = 36
"""Height in pixels that digits should have. Lower ones are looked for again in more pixels, if there are more."""

_LIGHT_SIDE = 80
"""Longer side of the reduced picture in which the light is measured."""

_MIN_SHARPNESS = 0.35
"""A part is a shadow if its edges are less steep than this share of the sheet's."""

_SHARP = 0.35
"""A slope of this share of full ink per pixel is steeper than those of shadows."""

_MIN_STRENGTH = 0.2
"""Strength is thickness times darkness of strokes. A part with less than this share of the mean strength is dropped."""

_MOST_DEGREES = 15
"""The largest slope of a line of digits."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """The connected parts of a picture, with its lines of digits level."""

    picture_shape: tuple[int, ...]
    """Height and width of the picture in pixels."""
    factor: int
    """Pixels of the picture per pixel of the sheet."""
    origin: tuple[int, int]
    """Left and top of the sheet in pixels of the picture."""
    is_dark: bool
    """Whether the ink was darker than its paper."""
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
    is_doubtful: bool
    """Whether its ink may be noise or uneven light."""
    to_unturned: NDArray[np.float64] | None
    """(2, 3): maps x, y and 1 to pixels of the sheet before it was turned. None if it was not."""

    @property
    def digit_height(self) -> float:
        """The height of a typical digit in pixels."""
        return typical_height(self.boxes[:, 3])

    @property
    def is_legible(self) -> bool:
        """Whether a larger picture of the sheet would hardly be read better."""
        return self.digit_height >= 0.75 * _LEGIBLE


def find_sheet(picture: Grey) -> Sheet:
    """Find the ink on a picture.

    Args:
        picture: uint8 (height, width). 0 is black.

    Raises:
        NoInk: the picture is blank, of one colour or noise.
        TooManyDigits: the picture has more than MAX_PARTS parts.
    """
    factor = downscale_factor(picture, SHEET_SIDE)
    reduced = downscale(picture, factor).astype(np.float32)
    small = downscale(reduced, downscale_factor(reduced, LIGHT_SIDE))
    beside = beside_strip(small, light_side(small), picture.shape)
    if beside:
        rows, columns = beside
        sheet = find_sheet(picture[beside])
        left, top = sheet.origin
        return replace(sheet, picture_shape=picture.shape, origin=(left + columns.start, top + rows.start))
    if np.ptp(reduced) < MIN_CONTRAST:
        raise NoInk("no ink found: the picture is blank")
    if is_noise(reduced):
        raise NoInk("no ink found: the picture is noise")
    light = _find_light(reduced)
    parts = _find_parts(reduced, light)
    height = parts.digit_height
    finer = max(1, int(factor * height / _LEGIBLE))
    if finer == factor:
        return _levelled(_to_sheet(parts, light.is_dark, picture.shape, factor, (0, 0)))
    left, top = np.maximum(parts.boxes[:, :2].min(axis=0) - int(height), 0).tolist()
    right, bottom = ((parts.boxes[:, :2] + parts.boxes[:, 2:]).max(axis=0) + int(height)).tolist()
    region = picture[top * factor : bottom * factor, left * factor : right * factor]
    near = cv2.dilate(parts.inside[top:bottom, left:right], np.ones((5, 5), np.uint8))
    nearby_light = _Light(light.paper[top:bottom, left:right], light.gain[top:bottom, left:right], light.is_dark)
    full_ink = parts.full_ink if finer < factor else None  # thin strokes are fainter in fewer pixels
    first_look = _FirstLook(near, full_ink, parts.is_doubtful)
    parts = _find_parts(downscale(region, finer).astype(np.float32), nearby_light, first_look)
    return _levelled(_to_sheet(parts, light.is_dark, picture.shape, finer, (left * factor, top * factor)))


def typical_height(heights: Ints) -> float:
    """Return the median of the heights, weighted by their squares, so that specks hardly count."""
    ordered = np.sort(heights)
    weights = (ordered.astype(float) ** 2).cumsum()
    return float(ordered[np.searchsorted(weights, weights[-1] / 2)])


def extents(labels: Labels, count: int, to_unturned: NDArray[np.float64] | None = None) -> Ints:
    """Return left, top, right and bottom of each label, (count, 4), in the pixels that `to_unturned` maps to.

    A label without pixels has a right of 0.
    """
    rows, columns = np.nonzero(labels)
    owner = labels[rows, columns]
    if to_unturned is not None:
        x, y = to_unturned[:, :2] @ np.stack([columns, rows]) + to_unturned[:, 2:]
        columns, rows = np.rint(x).astype(np.int64), np.rint(y).astype(np.int64)
    found = np.zeros((count, 4), dtype=np.int64)
    found[:, :2] = np.iinfo(np.int64).max
    np.minimum.at(found[:, 0], owner, columns)
    np.minimum.at(found[:, 1], owner, rows)
    np.maximum.at(found[:, 2], owner, columns + 1)
    np.maximum.at(found[:, 3], owner, rows + 1)
    return found


@dataclass(frozen=True, slots=True)
class _Light:
    """The light on a picture, or on a part of one. Ink is `(paper - picture) * gain`."""

    paper: Floats
    """The grey value of the paper."""
    gain: Floats
    """The mean brightness of the paper, as a multiple of the brightness here. It is -1 if ink is light."""
    is_dark: bool
    """Whether ink is darker than the paper."""


def _find_light(picture: Floats) -> _Light:
    """Measure the light on a picture, (height, width)."""
    small = downscale(picture, downscale_factor(picture, _LIGHT_SIDE))
    is_tiny = min(small.shape) < 12
    trend = np.zeros_like(small) if is_tiny else light_trend(small)
    small = small - trend
    side = 2 * max(small.shape) if is_tiny else max(9, 2 * min(small.shape) // 5)
    window = np.ones((side, side), dtype=np.uint8)
    lightest, darkest = cv2.dilate(small, window), cv2.erode(small, window)
    is_dark = is_background_light(small, lightest, darkest)
    background = cv2.erode(lightest, window) if is_dark else cv2.dilate(darkest, window)
    if not is_tiny:
        background = cv2.blur(background, (side // 2, side // 2))
    background = background + trend
    # In a shadow, ink and paper differ by less.
    brightness = np.maximum(background, 0.25 * float(background.max()))
    gain = float(brightness.mean()) / brightness if is_dark else np.full_like(background, -1)
    size = picture.shape[::-1]
    return _Light(cv2.resize(background, size), cv2.resize(gain, size), bool(is_dark))


@dataclass(frozen=True, slots=True)
class _Parts:
    """The connected parts of a picture. The fields are as in `Sheet`, before it was turned."""

    ink: Floats
    """(height, width), in [0, 1]. 1 is full ink."""
    inside: NDArray[np.uint8]
    """(height, width): 1 inside of the parts, else 0."""
    labels: Labels
    numbers: Ints
    boxes: Ints
    full_ink: float
    """As in `_Marks`."""
    is_doubtful: bool

    @property
    def digit_height(self) -> float:
        """The height of a typical digit in pixels."""
        return typical_height(self.boxes[:, 3])


@dataclass(frozen=True, slots=True)
class _FirstLook:
    """What the first look has found."""

    near: NDArray[np.uint8]
    """(height, width): 1 in the parts and on the paper near them, else 0. Nothing else is looked for again."""
    full_ink: float | None
    """As in `_Marks`. None if it has to be measured again."""
    is_doubtful: bool
    """As in `Sheet`."""


def _find_parts(picture: Floats, light: _Light, first_look: _FirstLook | None = None) -> _Parts:
    """Find the connected parts that may be digits.

    Args:
        picture: (height, width).
        light: of the picture.
        first_look: what it has found in fewer or more pixels. It has dropped shadows and faint marks.

    Raises:
        NoInk, TooManyDigits.
    """
    marks = _find_marks(picture, light, None if first_look is None else first_look.full_ink)
    mask = marks.mask
    connected = connect(mask)
    for clean in (without_frames, without_rules):
        cleaned = clean(connected)
        if cleaned is not mask:
            mask = cleaned
            connected = connect(mask)
    labels, statistics = connected.labels, connected.statistics
    count = len(statistics)
    boxes, areas = statistics[1:, :4].astype(np.int64), statistics[1:, 4].astype(np.int64)
    sides = boxes[:, 2:].max(axis=1)
    kept = (sides >= 4) & ~_are_frames(labels, boxes, areas)
    if marks.steepness is not None:
        kept &= _are_sharp(connected, marks.steepness)
    if first_look is not None:
        found = cv2.resize(first_look.near, mask.shape[::-1], interpolation=cv2.INTER_NEAREST)
        kept &= np.bincount(labels[found.view(bool)], minlength=count)[1:] > 0
    if kept.any():
        height = typical_height(boxes[kept, 3])
        is_rule = (boxes[:, 2] >= 2.5 * height) & (boxes[:, 3] <= 0.4 * height)
        is_cut_off = _touch_edge(boxes, mask.shape) & (boxes[:, 3] < 0.5 * height)
        kept &= (sides >= 0.14 * height) & ~is_rule & ~is_cut_off
    if first_look is None and kept.any():
        kept &= _are_strong(connected, areas, kept, marks.ink, height)
    if not kept.any():
        raise NoInk("no ink found: the picture has only specks and lines")
    if np.count_nonzero(kept) > MAX_PARTS:
        raise TooManyDigits(f"expected a picture of at most {MAX_PARTS} marks, received one with more")
    inside = np.take(np.concatenate([[False], kept]).view(np.uint8), labels)
    is_doubtful = _is_doubtful(marks.ink, inside, marks.full_ink) if first_look is None else first_look.is_doubtful
    ink = np.clip(marks.ink / (1.05 * marks.level), 0, 1)
    return _Parts(ink, inside, labels, np.flatnonzero(kept) + 1, boxes[kept], marks.full_ink, is_doubtful)


def _to_sheet(
    parts: _Parts, is_dark: bool, picture_shape: tuple[int, ...], factor: int, origin: tuple[int, int]
) -> Sheet:
    inside = parts.inside
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_5)
    stroke = max(1.0, 4 * cv2.mean(depth, inside)[0] - 2)  # as in `redraw`
    distance = depth - cv2.distanceTransform(1 - inside, cv2.DIST_L2, cv2.DIST_MASK_3)
    # How much ink the pixels at the edge have tells where in them the edge is.
    distance += parts.ink + (np.float32(0.5) - 2 * inside)
    return Sheet(
        picture_shape,
        factor,
        origin,
        is_dark,
        distance,
        parts.labels,
        parts.numbers,
        parts.boxes,
        stroke,
        parts.is_doubtful,
        None,
    )


@dataclass(frozen=True, slots=True)
class _Marks:
    """The marks of a picture, before lines and shadows were dropped. Each array has a value per pixel."""

    ink: Floats
    """In grey values, positive for ink."""
    level: Floats
    """The mean ink of the mark."""
    mask: Mask
    """Which pixels are inside of a mark."""
    steepness: Floats | None
    """The squared slopes. None if full ink was known."""
    full_ink: float
    """In grey values."""


def _find_marks(picture: Floats, light: _Light, full_ink: float | None) -> _Marks:
    """Find the marks of a picture, (height, width).

    `full_ink` is as in `_Marks`, or None if it is not known.

    Raises:
        NoInk: the picture is blank.
    """
    size = picture.shape[::-1]
    ink = (cv2.resize(light.paper, size) - picture) * cv2.resize(light.gain, size)
    mean, noise = background_noise(ink, None)
    if noise > 0.06 * ink.max():
        ink = cv2.GaussianBlur(ink, (0, 0), 1)
        mean, noise = background_noise(ink, None)
    ink = ink - mean
    floor = min(max(MIN_CONTRAST, 4 * noise), 0.4 * float(ink.max()))
    steepness = None
    if full_ink is None:
        steepness = squared_slopes(ink)
        full_ink = _full_ink(ink, steepness, floor)
    above = ink > max(floor, 0.2 * full_ink)
    level = _levels(ink, above, full_ink)
    return _Marks(ink, level, above & (ink > 0.5 * level), steepness, full_ink)


def _full_ink(ink: Floats, steepness: Floats, floor: float) -> float:
    """Return the grey value of full ink: the 70th percentile above the floor, weighted by steepness."""
    above = np.flatnonzero(ink > floor)
    if not len(above):
        raise NoInk("no ink found: the picture is blank")
    levels = (ink.ravel()[above] * 4).astype(np.intp)
    strength = np.bincount(levels, steepness.ravel()[above]).cumsum()
    full_ink = float(np.searchsorted(strength, 0.7 * strength[-1])) / 4
    if full_ink < MIN_CONTRAST:
        raise NoInk("no ink found: the picture is blank")
    return full_ink


def _levels(ink: Floats, above: Mask, full_ink: float) -> Floats:
    """Return for each pixel the mean ink of its connected part of `above`, weighted by ink, or `full_ink`."""
    count, labels = cv2.connectedComponentsWithAlgorithm(above.view(np.uint8), 8, cv2.CV_32S, cv2.CCL_BBDT)
    inked = np.flatnonzero(above)
    values, owner = ink.ravel()[inked], labels.ravel()[inked]
    weight = np.bincount(owner, values, minlength=count)
    level = np.bincount(owner, values * values, minlength=count) / np.maximum(weight, 1e-6)
    found = np.full_like(ink, full_ink)
    found.ravel()[inked] = level[owner]
    return found


def _is_doubtful(ink: Floats, mask: NDArray[np.uint8], full_ink: float) -> bool:
    """Return whether the mask may still be noise or uneven light.

    Ink exceeds 4 times the noise, and its edges have a slope of 0.1 of full ink per pixel of a picture as large as
    those in which `normalize` looks for a digit. Ink along the picture's edge may be a shadow, so it needs 0.35.
    Textures reach 7 times the noise, and shadows 0.35, so ink below one of these is doubtful.

    Raises:
        NoInk: the mask is noise or uneven light.
    """
    factor = downscale_factor(ink, WORKING_SIDE)
    coarse, kept = downscale(ink, factor), downscale(mask.astype(np.float32), factor) > 0.25
    if not kept.any():
        raise NoInk("no ink found: the picture has only specks")
    steepness = squared_slopes(coarse)
    full_ink = _full_ink(coarse, steepness, 0.2 * full_ink)
    noise = background_noise(coarse, None)[1]
    if noise > 1:
        steepness = squared_slopes(cv2.GaussianBlur(coarse, (0, 0), 1))
    slopes = steepness[kept]
    percentile_98 = len(slopes) * 98 // 100
    sharpness = float(np.partition(slopes, percentile_98)[percentile_98]) ** 0.5 / full_ink
    rim = np.concatenate([kept[0], kept[-1], kept[:, 0], kept[:, -1]])
    may_be_shadow = np.count_nonzero(rim) > 0.25 * max(kept.shape)
    least = _SHARP if may_be_shadow else 0.1
    if full_ink <= 4 * noise or sharpness <= least:
        raise NoInk("no ink found: the picture has only noise and uneven light")
    return sharpness <= _SHARP or full_ink <= 7 * noise


def _are_strong(connected: Connected, areas: Ints, kept: Mask, ink: Floats, height: float) -> Mask:
    """Return which parts have strokes about as thick and dark as most. Lines of squared paper and stains do not."""
    window = max(3, round(0.12 * height))
    thickness = cv2.blur(connected.mask.view(np.uint8) * 255, (window, window))  # more is left of a thick stroke
    inked = np.flatnonzero(connected.mask)
    strength = ink.ravel()[inked] * thickness.ravel()[inked]
    total = np.bincount(connected.labels.ravel()[inked], strength, minlength=1 + len(areas))[1:]
    strong: Mask = total / areas > _MIN_STRENGTH * total[kept].sum() / areas[kept].sum()
    return strong


def _are_sharp(connected: Connected, steepness: Floats) -> Mask:
    """Return which parts have edges about as steep as most ink. Those of shadows are not."""
    inked, count = np.flatnonzero(connected.mask), len(connected.statistics)
    owner, steep = connected.labels.ravel()[inked], steepness.ravel()[inked]
    total = np.bincount(owner, steep, minlength=count)[1:]
    squares = np.bincount(owner, steep * steep, minlength=count)[1:]
    slopes = np.sqrt(squares / np.maximum(total, 1e-9))
    typical = np.sqrt(squares.sum() / max(float(total.sum()), 1e-9))
    sharp: Mask = slopes > _MIN_SHARPNESS * typical
    return sharp


def _are_frames(labels: Labels, boxes: Ints, areas: Ints) -> Mask:
    """Return which parts are frames or tables, which enclose other parts, or run along an edge of the picture."""
    if len(boxes) < 2:
        return np.zeros(len(boxes), dtype=bool)
    left, top, width, height = boxes.T
    right, bottom = left + width, top + height
    shape = labels.shape
    frames = np.zeros(len(boxes), dtype=bool)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        frames |= np.bincount(edge, minlength=1 + len(boxes))[1:] > 0.5 * len(edge)
    is_thin = areas < 0.3 * width * height
    for part in np.flatnonzero(is_thin & ((width > 0.3 * shape[1]) | (height > 0.3 * shape[0]))).tolist():
        inside = (left > left[part]) & (right < right[part]) & (top > top[part]) & (bottom < bottom[part])
        frames[part] |= bool((inside & (height > 0.3 * height[part])).any())
    return frames


def _touch_edge(boxes: Ints, shape: tuple[int, ...]) -> Mask:
    left, top, width, height = boxes.T
    touch: Mask = (left == 0) | (top == 0) | (left + width == shape[1]) | (top + height == shape[0])
    return touch


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
    corners = extents(labels, int(sheet.labels.max()) + 1)[sheet.numbers]
    present = corners[:, 2] > 0
    corners = corners[present]
    boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    to_unturned = cv2.invertAffineTransform(matrix)
    return replace(
        sheet, distance=distance, labels=labels, numbers=sheet.numbers[present], boxes=boxes, to_unturned=to_unturned
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
