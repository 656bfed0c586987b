"""Bring a grey picture to MNIST form: light ink on dark, a 20x20 box, the centre of mass in the middle of 28x28.

LeCun et al. (1998) made MNIST like this, from black and white scans. Other pictures have paper, uneven light and
specks, and may be of any size. These steps remove the differences. Words in quotes are the steps that a reply reports:

    _locate           reduce or enlarge the picture, even out the light, and turn dark ink on light into light ink on
                      dark ("inverted"). Keep only the parts of the digit ("cropped"). If the digit is small in its
                      picture, repeat this on its surroundings.
    redraw            draw the digit with strokes as wide as MNIST's ("thickened" or "thinned"), resize it to the box,
                      and place its centre of mass in the middle ("centered")
"""

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from digits.errors import NoInk, WrongSize
from digits.features import SIDE, Floats, Grey, to_features
from digits.normalization.ink import (
    LIGHT_SIDE,
    MIN_CONTRAST,
    TINY_SIDE,
    WORKING_SIDE,
    Ink,
    Slices,
    background_noise,
    extent,
    is_background_light,
    is_ink,
    is_noise,
    light_side,
    light_trend,
    longer_side,
    rim_mask,
    squared_slopes,
)
from digits.normalization.mnist_form import Mode, are_mnist_form
from digits.normalization.redraw import redraw
from digits.normalization.strips import beside_strip
from digits.pictures.downscale import downscale, downscale_factor

_ENLARGED_SIDE = 64
"""Smaller pictures are enlarged to at least this longer side, so that thin faint strokes stay connected."""

_MIN_ENLARGED_SIDE = 12
"""Pictures of fewer pixels are not enlarged. Their digit is sharpened instead, when its stroke width is set."""

_LARGE_DIGIT = 50
"""Longer side in pixels from which on a larger picture of the digit would not be read better."""

_INK_LEVELS = 4
"""Steps per grey value in which ink is counted."""

_MAX_PAPER_RANGE = 0.15
"""Paper is even if its grey values, without 5 % at both ends, differ by less than this share of the contrast."""

_MIN_SHARPNESS = 0.25
"""A mark beside the digit is a shadow if its edges are less steep than this share of the digit's."""

_ALONG_EDGE = 0.7
"""A part lies along the picture's edge if it touches it over more than this share of its longer side."""

_MAX_HALF_STROKE = 0.3
"""Half of the widest stroke, as a share of the longer side. What is wider is a shadow."""


@dataclass(frozen=True, slots=True)
class Normalized:
    """A picture in MNIST form."""

    pixels: NDArray[Any]
    """uint8 (28, 28). If there are no steps, the unchanged input: uint8, or floats in [0, 1]."""
    steps: tuple[str, ...]
    """The steps that changed the picture, in order. () if it is unchanged."""
    left_out: int = 0
    """Number of marks beside the digit that look like other digits of a number."""


def _is_mnist_form(picture: NDArray[Any]) -> bool:
    return picture.shape == (SIDE, SIDE) and bool(are_mnist_form(to_features(picture[None]))[0])


def normalize(picture: NDArray[Any], mode: Mode = "auto") -> Normalized:
    """Bring a picture to MNIST form.

    Args:
        picture: (height, width), uint8 or floats in [0, 1]. 0 is black.
        mode: "auto": leave pictures in MNIST form unchanged. "never": leave every picture unchanged. "always":
            normalize every picture.

    Raises:
        NoInk: the picture is blank, of one colour or noise.
        WrongSize: the mode is "never" and the picture is not 28x28.
    """
    if mode == "never":
        if picture.shape != (SIDE, SIDE):
            height, width = picture.shape
            raise WrongSize(f"expected {SIDE}x{SIDE} pixels, received {width}x{height} (width x height)")
        return Normalized(picture, ())
    if mode == "auto" and _is_mnist_form(picture):
        return Normalized(picture, ())
    grey: Grey = picture if picture.dtype == np.uint8 else np.rint(picture * 255).astype(np.uint8)
    if mode == "auto" and _is_mnist_form(255 - grey):
        return Normalized(255 - grey, ("inverted",))
    located = _locate(grey)
    return _to_mnist_form(located.digit, located.is_dark, located.left_out)


def normalize_large_digit(reduced: Grey) -> Normalized | None:
    """Bring a reduced picture to MNIST form. Return None if it shows no digit of at least _LARGE_DIGIT pixels."""
    try:
        located = _locate(reduced)
    except NoInk:
        return None
    if max(located.digit.shape) < _LARGE_DIGIT:
        return None
    return _to_mnist_form(located.digit, located.is_dark, located.left_out)


def _to_mnist_form(digit: Floats, is_dark: bool, left_out: int = 0) -> Normalized:
    redrawn = redraw(digit)
    steps = ["inverted"] if is_dark else []
    steps.append("cropped")
    if redrawn.change:
        steps.append(redrawn.change)
    steps.append("centered")
    return Normalized(redrawn.pixels, tuple(steps), left_out)


@dataclass(frozen=True, slots=True)
class _Located:
    """The digit of a picture."""

    digit: Floats
    """The digit alone, as light ink in [0, 1]."""
    is_dark: bool
    """Whether its ink was dark."""
    left_out: int
    """As in `Normalized`."""


def _locate(picture: Grey) -> _Located:
    """Find the digit."""
    is_whole, left_out = True, 0
    while True:
        factor = downscale_factor(picture, WORKING_SIDE)
        working = downscale(picture, factor).astype(np.float32)
        small = downscale(working, downscale_factor(working, LIGHT_SIDE))
        if is_whole and is_noise(small):
            raise NoInk("no ink found: the picture is noise")
        light = light_side(small)
        beside = beside_strip(small, light, picture.shape) if is_whole else None
        if beside:
            picture = picture[beside]
            continue
        ink = _to_light_ink(working, small, light)
        if factor == 1:
            separated = _separate_digit(_enlarge(ink), check_ink=is_whole)
            return _Located(separated.digit, ink.is_dark, separated.left_out if is_whole else left_out)
        separated = _separate_digit(ink, check_ink=is_whole)
        if is_whole:
            left_out = separated.left_out
        margin = longer_side(separated.box) // 4 + 2
        rows, columns = (
            slice(max(0, part.start - margin) * factor, (part.stop + margin) * factor) for part in separated.box
        )
        surroundings = picture[rows, columns]
        if downscale_factor(surroundings, WORKING_SIDE) == factor:
            return _Located(separated.digit, ink.is_dark, left_out)
        picture, is_whole = surroundings, False


def _enlarge(ink: Ink) -> Ink:
    """Enlarge the ink of a small picture to at least _ENLARGED_SIDE pixels."""
    side = max(ink.pixels.shape)
    if not _MIN_ENLARGED_SIDE <= side < _ENLARGED_SIDE:
        return ink
    times = -(-_ENLARGED_SIDE // side)
    pixels = cv2.resize(ink.pixels, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
    return replace(ink, pixels=pixels, enlarged=times)


@lru_cache(maxsize=64)
def _square(side: int) -> NDArray[np.uint8]:
    return np.ones((side, side), dtype=np.uint8)


def _to_light_ink(picture: Floats, small: Floats, light: NDArray[np.uint8]) -> Ink:
    """Separate ink from paper.

    If the light is even, the paper has one grey value. Otherwise, the background is estimated by a morphological
    closing (for dark ink): the maximum in a window, then the minimum of that. It paints over strokes and follows
    shadows, even hard ones. Pixels that differ from most of their surroundings are ink.

    Args:
        picture: (height, width).
        small: the picture, reduced to LIGHT_SIDE.
        light: its `light_side`.
    """
    if np.ptp(picture) < MIN_CONTRAST:
        raise NoInk("no ink found: the picture is blank")
    even = _even_paper(small, light)
    if even is not None:
        pixels = even.paper - picture if even.is_ink_dark else picture - even.paper
        return Ink(pixels, even.is_ink_dark, even.contrast)
    tiny = min(small.shape) < TINY_SIDE
    trend = np.zeros_like(small) if tiny else light_trend(small)
    small = small - trend
    window = _square(max(small.shape) * 2 // (1 if tiny else 5))
    lightest, darkest = cv2.dilate(small, window), cv2.erode(small, window)
    is_dark = is_background_light(small, lightest, darkest)
    background = cv2.erode(lightest, window) if is_dark else cv2.dilate(darkest, window)
    background = cv2.resize(background + trend, picture.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return Ink(background - picture if is_dark else picture - background, is_dark)


@dataclass(frozen=True, slots=True)
class _EvenPaper:
    """Paper in even light."""

    paper: float
    """Its grey value."""
    contrast: float
    """The difference between the mean grey values of paper and ink."""
    is_ink_dark: bool


def _even_paper(small: Floats, light: NDArray[np.uint8]) -> _EvenPaper | None:
    """Return the paper of a picture of two grey values, as a scan or a drawing is, or None in uneven light.

    This also reads digits that were cut to their ink, of which no background is left around the strokes.
    """
    dark = 1 - light
    inner = light[1:-1, 1:-1]
    light_rim = (int(light.sum()) - int(inner.sum())) / (light.size - inner.size)
    if 0 < light_rim < 1:
        light_side, dark_side = _side_of_threshold(light, light_rim), _side_of_threshold(dark, 1 - light_rim)
        is_ink_dark = dark_side.score < light_side.score
        if (dark_side if is_ink_dark else light_side).half_stroke > _MAX_HALF_STROKE:
            return None
    else:  # the rim is paper
        if _is_light_falling(small):
            return None
        is_ink_dark = light_rim == 1
    ink, paper = (dark, light) if is_ink_dark else (light, dark)
    eroded = cv2.erode(paper, None)  # without the edges of strokes
    greys = small[(eroded if cv2.countNonZero(eroded) > 8 else paper).view(bool)]
    few = len(greys) // 20
    ordered = np.partition(greys, (few, len(greys) // 2, len(greys) - 1 - few))
    grey = float(ordered[len(greys) // 2])
    contrast = abs(cv2.mean(small, ink)[0] - grey)
    if ordered[len(greys) - 1 - few] - ordered[few] > _MAX_PAPER_RANGE * contrast:
        return None
    return _EvenPaper(grey, contrast, is_ink_dark)


def _is_light_falling(small: Floats) -> bool:
    """Return whether the light is uneven: opposite sides of the picture differ much in brightness."""
    top, bottom, left, right = (cv2.mean(side)[0] for side in (small[:2], small[-2:], small[:, :2], small[:, -2:]))
    darkest, lightest, _, _ = cv2.minMaxLoc(small)
    return max(abs(top - bottom), abs(left - right)) > 0.2 * (lightest - darkest)


@dataclass(frozen=True, slots=True)
class _Side:
    """The pixels on one side of a threshold: ink or paper."""

    half_stroke: float
    """Half the width of the widest place, as a share of the picture's longer side."""
    score: float
    """The side with the smaller score is ink: it is narrow, takes little of the rim, and is in one piece."""


def _side_of_threshold(side: NDArray[np.uint8], rim: float) -> _Side:
    """Measure the pixels that are 1. `rim` is their share of the outermost pixels."""
    bordered = cv2.copyMakeBorder(side, 1, 1, 1, 1, cv2.BORDER_REPLICATE)  # a stroke at the edge goes on outside
    half_stroke = float(cv2.distanceTransform(bordered, cv2.DIST_L2, cv2.DIST_MASK_5).max()) / max(side.shape)
    areas = cv2.connectedComponentsWithStats(side)[2][1:, cv2.CC_STAT_AREA]
    return _Side(half_stroke, half_stroke + rim / 4 - 0.15 * float(areas.max() / areas.sum()))


@dataclass(frozen=True, slots=True)
class _Separated:
    """The digit without other marks."""

    digit: Floats
    """Cropped and scaled to [0, 1]."""
    box: Slices
    left_out: int
    """As in `Normalized`."""


def _separate_digit(ink: Ink, *, check_ink: bool) -> _Separated:
    """Separate the digit from other marks.

    Args:
        ink: from `_to_light_ink`.
        check_ink: whether to raise NoInk if the located digit is only noise or uneven light.
    """
    pixels = ink.pixels
    mean, noise = background_noise(pixels, ink.contrast)
    if noise > 0.08 * pixels.max():
        pixels = cv2.GaussianBlur(pixels, (0, 0), 1)
        mean, noise = background_noise(pixels, ink.contrast)
    pixels = pixels - mean
    ink = Ink(pixels, ink.is_dark, ink.contrast, ink.enlarged)  # in a tenth of the time of `replace`
    floor = min(max(MIN_CONTRAST, 4 * noise), 0.4 * float(pixels.max()))
    steepness = squared_slopes(pixels)
    is_even = ink.contrast is not None
    full_ink = _full_ink(pixels, steepness, floor, is_even=is_even)
    kept, left_out = _digit_pixels(pixels, steepness, max(floor, full_ink / 4), is_even=is_even)
    if check_ink and not is_ink(ink, steepness, kept, full_ink, noise):
        raise NoInk("no ink found: the picture has only noise and uneven light")
    rows, columns = (slice(max(0, part.start - 1), part.stop + 1) for part in extent(kept))
    box = rows, columns
    mask = cv2.dilate(kept[box].view(np.uint8), None)  # includes the antialiased edges of the strokes
    return _Separated(np.clip(pixels[box] * mask / full_ink, 0, 1), box, left_out)


def _full_ink(ink: Floats, steepness: Floats, floor: float, *, is_even: bool) -> float:
    """Return the grey value of full ink.

    It is the 70th percentile of the strongest part's ink values, weighted by steepness, so that soft shadows do not
    count.
    """
    parts = _connected_parts(ink > floor)
    if not parts.count:
        raise NoInk("no ink found: the picture is blank")
    label = _strongest_part(steepness, parts, is_even=is_even)
    main = parts.mask if parts.count == 1 else parts.labels == label
    levels = (ink[main] * _INK_LEVELS).astype(np.intp)
    strength = np.bincount(levels, steepness[main]).cumsum()
    full_ink = float(np.searchsorted(strength, 0.7 * strength[-1])) / _INK_LEVELS
    if not full_ink:  # such as a gradient, of which nothing remains once the light is even
        raise NoInk("no ink found: the picture has only noise and uneven light")
    return full_ink


def _digit_pixels(ink: Floats, steepness: Floats, threshold: float, *, is_even: bool) -> tuple[NDArray[np.bool_], int]:
    """Return the pixels of the digit: its strongest part and every other part that is large and near enough.

    Returns:
        The pixels, and the number of marks about as large as the digit that were left out.
    """
    parts = _connected_parts(ink > threshold)
    if parts.count == 1:
        return parts.mask, 0
    main = _strongest_part(steepness, parts, is_even=is_even)
    whole = parts.box(main)
    pixels: NDArray[np.bool_] = parts.labels == main
    large = np.flatnonzero(parts.sides.max(axis=1) >= longer_side(whole) / 4)
    others = {label: parts.box(label) for label in large.tolist() if label not in (0, main)}
    left_out = sum(_is_digit_like(label, main, parts, steepness) for label in others)
    if not _at_edge(whole, ink.shape):
        others = {
            label: box
            for label, box in others.items()
            if not _at_edge(box, ink.shape) or _is_stroke_to_edge(parts.labels == label, box, whole)
        }
    while added := [label for label, box in others.items() if _is_part(box, whole)]:
        for label in added:
            pixels |= parts.labels == label
            whole = _union(whole, others.pop(label))
    return pixels, left_out


def _is_digit_like(label: int, main: int, parts: "_Parts", steepness: Floats) -> bool:
    """Return whether a part is about as large and as sharp as the digit's main part, and clearly beside it."""
    box, main_box = parts.box(label), parts.box(main)
    height, width = (part.stop - part.start for part in box)
    main_height, main_width = (part.stop - part.start for part in main_box)
    is_large = 0.5 <= height / main_height <= 2 and width <= 2 * height and main_width <= 2 * main_height
    if not is_large or _gap(box, main_box) < 0.05 * main_height or _at_edge(box, parts.mask.shape):
        return False
    sharpness, main_sharpness = (
        float(steepness[part][parts.labels[part] == number].mean()) for number, part in ((label, box), (main, main_box))
    )
    return sharpness > _MIN_SHARPNESS * main_sharpness


@dataclass(frozen=True)
class _Parts:
    """The connected parts of a mask. Pixels that touch at a corner are connected."""

    mask: NDArray[np.bool_]
    """(height, width)"""
    labels: NDArray[np.int32]
    """(height, width): the label of each pixel's part, from 1 on. 0 is outside of the mask."""
    count: int
    """The number of parts."""

    @cached_property
    def boxes(self) -> NDArray[np.int32]:
        """(1 + parts, 4), by label: left, top, width and height.

        They take three times as long as the labels, and a mask with one part does not need them.
        """
        _, _, statistics, _ = cv2.connectedComponentsWithStatsWithAlgorithm(
            self.mask.view(np.uint8), 8, cv2.CV_32S, cv2.CCL_BBDT
        )
        boxes: NDArray[np.int32] = statistics[:, :4]
        return boxes

    @property
    def sides(self) -> NDArray[np.int32]:
        """The height and width of each part, by label."""
        return self.boxes[:, [3, 2]]

    def box(self, label: int) -> Slices:
        left, top, width, height = self.boxes[label].tolist()
        return slice(top, top + height), slice(left, left + width)


def _connected_parts(mask: NDArray[np.bool_]) -> _Parts:
    # OpenCV's default algorithm for eight neighbours takes twice as long with boxes.
    labelled, labels = cv2.connectedComponentsWithAlgorithm(mask.view(np.uint8), 8, cv2.CV_32S, cv2.CCL_BBDT)
    return _Parts(mask, labels, labelled - 1)


def _strongest_part(steepness: Floats, parts: _Parts, *, is_even: bool) -> int:
    """Return the label of the part with the most and sharpest edges.

    A part that touches the picture's edge counts less, and one that looks like a table, a frame or a ruled line counts
    far less. In even light, a part along the edge may be a digit that was cut to its ink.
    """
    if parts.count == 1:
        return 1
    labels = parts.labels
    inked = np.flatnonzero(labels)
    strength = np.bincount(labels.ravel()[inked], steepness.ravel()[inked])
    edges = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    touched = np.max([np.bincount(edge, minlength=len(strength)) for edge in edges], axis=0) / parts.sides.max(axis=1)
    at_edge, along_edge = (0.5, 0.3) if is_even else (0.3, 0.03)
    strength *= np.where(touched > _ALONG_EDGE, along_edge, np.where(touched > 0, at_edge, 1))
    for label in np.flatnonzero((parts.sides > np.array(labels.shape) / 2).all(axis=1)).tolist():
        pixels = labels[parts.box(label)] == label
        if pixels[rim_mask(pixels.shape, max(pixels.shape) // 8)].sum() > 0.95 * pixels.sum():
            strength[label] *= 0.03
    strength[0] = -1
    return int(strength.argmax())


def _is_part(box: Slices, whole: Slices) -> bool:
    """Return whether a box is near the digit's box (`whole`) and does not enclose it."""
    frames = all(part.start < other.start and part.stop > other.stop for part, other in zip(box, whole, strict=True))
    return not frames and _gap(box, whole) <= 0.3 * longer_side(whole)


def _is_stroke_to_edge(pixels: NDArray[np.bool_], box: Slices, whole: Slices) -> bool:
    """Return whether a part that touches the picture's edge is a stroke of the digit, and not another mark or a line.

    It nearly touches the digit, and only its end is on the edge.
    """
    on_edge = max(np.count_nonzero(edge) for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]))
    return _gap(box, whole) <= 0.1 * longer_side(whole) and bool(on_edge <= 0.4 * longer_side(box))


def _gap(box: Slices, other: Slices) -> int:
    """Return the distance between two boxes in pixels. It is negative if they overlap."""
    return max(int(max(b.start - a.stop, a.start - b.stop)) for a, b in zip(box, other, strict=True))


def _union(box: Slices, other: Slices) -> Slices:
    rows, columns = (slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(box, other, strict=True))
    return rows, columns


def _at_edge(box: Slices, shape: tuple[int, ...]) -> bool:
    return any(part.start == 0 or part.stop == side for part, side in zip(box, shape, strict=True))
