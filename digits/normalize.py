"""Bring a grey picture to MNIST form: light ink on dark, a 20x20 box, the centre of mass in the middle of 28x28.

LeCun et al. (1998) made MNIST like this, from black and white scans. Other pictures have paper, uneven light and
specks, and may be of any size. These steps remove the differences. Words in quotes are the steps that a reply reports:

    _locate           reduce or enlarge the picture, even out the light, and turn dark ink on light into light ink on
                      dark ("inverted"). Keep only the parts of the digit ("cropped"). If the digit is small in its
                      picture, repeat this on its surroundings.
    _set_strokes      make faint strokes as strong as the others near them, and draw the digit with strokes as wide as
                      MNIST's ("thickened" or "thinned")
    _fit              resize the digit to the box, and
    _centre_on_field  place its centre of mass in the middle ("centered")
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from digits.errors import NoInk, WrongSize
from digits.features import SIDE, Floats, Grey, to_features
from digits.mnist_form import BOX, MIDDLE, Mode, are_mnist_form

# The service normalizes one picture per thread. OpenCV would start as many threads again for each of them.
cv2.setNumThreads(1)

_Box = tuple[slice, slice]
"""Rows and columns."""

_WORKING_SIDE = 160
"""Longer side of the reduced picture in which the digit is located. A stroke is about 15 pixels wide in it."""

_LIGHT_SIDE = 40
"""Longer side of the reduced picture in which the light is measured."""

_TINY_SIDE = 20
"""If a side has fewer pixels, uneven light cannot be distinguished from ink."""

_CANVAS_SIDE = 80
"""Longer side of the digit when its stroke width is set: 4 pixels per pixel of the box."""

_ENLARGED_SIDE = 64
"""Smaller pictures are enlarged to at least this longer side, so that thin faint strokes stay connected."""

_MIN_ENLARGED_SIDE = 12
"""Pictures of fewer pixels are not enlarged. Their digit is sharpened instead, when its stroke width is set."""

_SHARPEN_ABOVE = 7.0
"""A digit that is enlarged by more than this (one of 11 pixels or fewer) is sharpened."""

_LARGE_DIGIT = 50
"""Longer side in pixels from which on a larger picture of the digit would not be read better."""

_MIN_STROKE, _MAX_STROKE = 9.0, 14.0
"""Stroke widths in canvas pixels. Half of MNIST's strokes are between 8.4 and 11.6 canvas pixels wide."""

_MIN_CONTRAST = 4.0
"""Grey values. A difference below this is not ink."""

_NOISE_SIDE = 80
"""Maximum number of pixels along a side from which the background's noise is estimated."""

_REWEIGHTINGS = 3
"""How often the fit of the light is repeated. More do not improve the accuracy."""

_INK_LEVELS = 4
"""Steps per grey value in which ink is counted."""

_MAX_PAPER_RANGE = 0.15
"""Paper is even if its grey values, without 5 % at both ends, differ by less than this share of the contrast."""

_MIN_SHARPNESS = 0.25
"""A mark beside the digit is a shadow if its edges are less steep than this share of the digit's."""

_MAX_HALF_STROKE = 0.3
"""Half of the widest stroke, as a share of the longer side. What is wider is a shadow."""

_WEAKEST_STROKE = 0.3
"""A stroke that is fainter than the darkest one near it is amplified, but no stroke below this share of full ink."""


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


def normalize_large_digit(preview: Grey) -> Normalized | None:
    """Bring a picture to MNIST form, or return None if it shows no digit of at least _LARGE_DIGIT pixels."""
    try:
        located = _locate(preview)
    except NoInk:
        return None
    if max(located.digit.shape) < _LARGE_DIGIT:
        return None
    return _to_mnist_form(located.digit, located.is_dark, located.left_out)


def _to_mnist_form(digit: Floats, is_dark: bool, left_out: int = 0) -> Normalized:
    strokes, change = _set_strokes(digit)
    steps = ["inverted"] if is_dark else []
    steps.append("cropped")
    if change:
        steps.append(change)
    steps.append("centered")
    return Normalized(_centre_on_field(_fit(strokes)), tuple(steps), left_out)


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
        factor = _reduction(picture, _WORKING_SIDE)
        working = _reduce(picture, factor).astype(np.float32)
        small = _reduce(working, _reduction(working, _LIGHT_SIDE))
        if is_whole and _is_noise(small):
            raise NoInk("no ink found: the picture is noise")
        ink = _to_light_ink(working, small)
        if factor == 1:
            separated = _separate_digit(_enlarge(ink), check_ink=is_whole)
            return _Located(separated.digit, ink.is_dark, separated.left_out if is_whole else left_out)
        separated = _separate_digit(ink, check_ink=is_whole)
        if is_whole:
            left_out = separated.left_out
        margin = _side(separated.box) // 4 + 2
        rows, columns = (
            slice(max(0, part.start - margin) * factor, (part.stop + margin) * factor) for part in separated.box
        )
        surroundings = picture[rows, columns]
        if _reduction(surroundings, _WORKING_SIDE) == factor:
            return _Located(separated.digit, ink.is_dark, left_out)
        picture, is_whole = surroundings, False


@dataclass(frozen=True, slots=True)
class _Ink:
    """The ink of a picture, as light ink on dark."""

    pixels: Floats
    """(height, width): each pixel's difference from the paper in grey values, positive for ink."""
    is_dark: bool
    """Whether the ink was darker than its paper."""
    contrast: float | None = None
    """The difference between ink and paper in grey values if the light is even, else None."""
    enlarged: int = 1
    """How many of these pixels are as wide as a pixel of the picture."""


def _enlarge(ink: _Ink) -> _Ink:
    """Enlarge the ink of a small picture to at least _ENLARGED_SIDE pixels."""
    side = max(ink.pixels.shape)
    if not _MIN_ENLARGED_SIDE <= side < _ENLARGED_SIDE:
        return ink
    times = -(-_ENLARGED_SIDE // side)
    pixels = cv2.resize(ink.pixels, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
    return replace(ink, pixels=pixels, enlarged=times)


def _to_light_ink(picture: Floats, small: Floats) -> _Ink:
    """Separate ink from paper.

    If the light is even, the paper has one grey value. Otherwise, the background is estimated by a morphological
    closing (for dark ink): the maximum in a window, then the minimum of that. It paints over strokes and follows
    shadows, even hard ones. Pixels that differ from most of their surroundings are ink.

    Args:
        picture: (height, width).
        small: the picture, reduced to _LIGHT_SIDE.
    """
    if np.ptp(picture) < _MIN_CONTRAST:
        raise NoInk("no ink found: the picture is blank")
    even = _even_paper(small)
    if even is not None:
        pixels = even.paper - picture if even.is_ink_dark else picture - even.paper
        return _Ink(pixels, even.is_ink_dark, even.contrast)
    tiny = min(small.shape) < _TINY_SIDE
    trend = np.zeros_like(small) if tiny else _trend(small)
    small = small - trend
    window = np.ones(2 * [max(small.shape) * 2 // (1 if tiny else 5)], dtype=np.uint8)
    lightest, darkest = cv2.dilate(small, window), cv2.erode(small, window)
    is_dark = _is_background_light(small, lightest, darkest)
    background = cv2.erode(lightest, window) if is_dark else cv2.dilate(darkest, window)
    background = cv2.resize(background + trend, picture.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return _Ink(background - picture if is_dark else picture - background, is_dark)


@dataclass(frozen=True, slots=True)
class _EvenPaper:
    """Paper in even light."""

    paper: float
    """Its grey value."""
    contrast: float
    """The difference between the mean grey values of paper and ink."""
    is_ink_dark: bool


def _even_paper(small: Floats) -> _EvenPaper | None:
    """Return the paper of a picture of two grey values, as a scan or a drawing is, or None in uneven light.

    This also reads digits that were cut to their ink, of which no background is left around the strokes.
    """
    levels = cv2.normalize(small, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
    _, light = cv2.threshold(levels, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    dark = 1 - light
    light_rim = float(light[_rim(light.shape, 1)].mean())
    if 0 < light_rim < 1:
        light_side, dark_side = _side_of_threshold(light, light_rim), _side_of_threshold(dark, 1 - light_rim)
        is_ink_dark = dark_side.score < light_side.score
        if (dark_side if is_ink_dark else light_side).half_stroke > _MAX_HALF_STROKE:
            return None
    else:  # the rim is paper
        is_ink_dark = light_rim == 1
    ink, paper = (dark, light) if is_ink_dark else (light, dark)
    inner = cv2.erode(paper, np.ones((3, 3)))  # without the edges of strokes
    greys = small[(inner if cv2.countNonZero(inner) > 8 else paper).view(bool)]
    few = len(greys) // 20
    ordered = np.partition(greys, (few, len(greys) // 2, len(greys) - 1 - few))
    grey = float(ordered[len(greys) // 2])
    contrast = abs(cv2.mean(small, ink)[0] - grey)
    if ordered[len(greys) - 1 - few] - ordered[few] > _MAX_PAPER_RANGE * contrast:
        return None
    return _EvenPaper(grey, contrast, is_ink_dark)


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


def _is_background_light(small: Floats, lightest: Floats, darkest: Floats) -> bool:
    """Return whether most pixels near ink are nearer to the lightest than to the darkest of their surroundings."""
    contrast = np.maximum(lightest - darkest, 1e-3)
    near_ink = contrast > contrast.max() / 2
    # Each pixel near ink votes: above 0 is light, below 0 is dark.
    votes = ((small - darkest) / contrast - 0.5) * near_ink
    inner = votes[1:-1, 1:-1]
    vote, rim_vote = votes.sum(), votes.sum() - inner.sum()
    # The rim votes again at half weight, because it is mostly background.
    return bool(vote / np.count_nonzero(near_ink) + rim_vote / (votes.size - inner.size) / 2 > 0)


def _trend(small: Floats) -> Floats:
    """Return how the light changes across the picture: a quadratic surface fitted to the rim, mostly background."""
    quadratic = _quadratic(*small.shape)
    level, basis = small.ravel()[quadratic.rim], quadratic.rim_terms
    if level.max() - level.min() < 1:
        return np.zeros_like(small)
    surface: NDArray[Any] = quadratic.least_squares @ level
    deviation = np.abs(level - surface @ basis)
    # Reweighting approximates a least-absolute-deviation fit, which strokes on the rim hardly affect.
    for _ in range(_REWEIGHTINGS):
        if deviation.max() < 1:
            break
        weighted = basis / (deviation + 1)
        # OpenCV solves so few equations in a quarter of NumPy's time.
        surface = cv2.solve(weighted @ basis.T, (weighted @ level)[:, None], flags=cv2.DECOMP_CHOLESKY)[1].ravel()
        deviation = np.abs(level - surface @ basis)
    if deviation.mean() > 0.1 * (small.max() - small.min()):
        # The fit is poor: the rim contains a digit or a shadow's edge, so there is no smooth trend to remove.
        return np.zeros_like(small)
    trend: Floats = (surface @ quadratic.terms).reshape(small.shape)
    return trend


@dataclass(frozen=True, slots=True)
class _Quadratic:
    """The terms of a quadratic surface over the pixels of a picture."""

    terms: Floats
    """(6, pixels): 1, x, y, x², xy and y², with x and y in [-1, 1]."""
    rim: NDArray[np.int64]
    """The indices of the pixels in the outer four rows and columns."""
    rim_terms: Floats
    """(6, rim pixels)"""
    least_squares: Floats
    """(6, rim pixels): maps the grey values of the rim to the surface that fits them best."""


@lru_cache(maxsize=32)
def _quadratic(height: int, width: int) -> _Quadratic:
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y]).astype(np.float32).reshape(6, -1)
    rim = np.flatnonzero(_rim((height, width), 4))
    return _Quadratic(terms, rim, terms[:, rim], np.linalg.pinv(terms[:, rim].T))


@lru_cache(maxsize=64)
def _rim(shape: tuple[int, ...], width: int) -> NDArray[np.bool_]:
    rim = np.ones(shape, dtype=bool)
    rim[width:-width, width:-width] = False
    return rim


@dataclass(frozen=True, slots=True)
class _Separated:
    """The digit without other marks."""

    digit: Floats
    """Cropped and scaled to [0, 1]."""
    box: _Box
    left_out: int
    """As in `Normalized`."""


def _separate_digit(ink: _Ink, *, check_ink: bool) -> _Separated:
    """Separate the digit from other marks.

    Args:
        ink: from `_to_light_ink`.
        check_ink: whether to raise NoInk if the located digit is only noise or uneven light.
    """
    pixels = ink.pixels
    mean, noise = _background_noise(pixels, ink.contrast)
    if noise > 0.08 * pixels.max():
        pixels = cv2.GaussianBlur(pixels, (0, 0), 1)
        mean, noise = _background_noise(pixels, ink.contrast)
    ink = replace(ink, pixels=pixels - mean)
    pixels = ink.pixels
    floor = min(max(_MIN_CONTRAST, 4 * noise), 0.4 * float(pixels.max()))
    steepness = _steepness(pixels)
    is_even = ink.contrast is not None
    full_ink = _full_ink(pixels, steepness, floor, is_even=is_even)
    kept, left_out = _digit_pixels(pixels, steepness, max(floor, full_ink / 4), is_even=is_even)
    if check_ink and not _is_ink(ink, steepness, kept, full_ink, noise):
        raise NoInk("no ink found: the picture has only noise and uneven light")
    rows, columns = (slice(max(0, part.start - 1), part.stop + 1) for part in _extent(kept))
    box = rows, columns
    mask = cv2.dilate(kept[box].view(np.uint8), np.ones((3, 3)))  # includes the antialiased edges of the strokes
    return _Separated(np.clip(pixels[box] * mask / full_ink, 0, 1), box, left_out)


def _background_noise(ink: Floats, contrast: float | None) -> tuple[float, float]:
    """Return the background's mean and its noise, which is its standard deviation.

    Both are estimated from the 5th and the 30th percentile, because up to half the picture may be ink. In a normal
    distribution these lie 1.12 standard deviations apart, and the 30th lies 0.52 below the mean. If the contrast is
    known, only pixels that are nearer to the paper count.
    """
    step = -(-max(ink.shape) // _NOISE_SIDE)
    sample = ink[::step, ::step]
    if contrast is not None:
        sample = sample[sample < contrast / 2]
    ranks = sample.size * 5 // 100, sample.size * 30 // 100
    ordered = np.partition(sample, ranks, axis=None)
    percentile_5, percentile_30 = (float(ordered[rank]) for rank in ranks)
    noise = (percentile_30 - percentile_5) / 1.12
    return percentile_30 + 0.52 * noise, noise


def _is_noise(small: Floats) -> bool:
    """Return whether neighbouring pixels are uncorrelated."""
    flat = small - small.mean()
    pairs = np.vdot(flat[1:], flat[:-1]) + np.vdot(flat[:, 1:], flat[:, :-1])
    # The thinnest drawings have a correlation of 0.18. In a tiny picture, noise may reach that by chance.
    return bool(pairs < (0.2 if min(small.shape) < _TINY_SIDE else 0.12) * 2 * np.vdot(flat, flat))


def _full_ink(ink: Floats, steepness: Floats, floor: float, *, is_even: bool) -> float:
    """Return the grey value of full ink.

    It is the 70th percentile of the strongest part's ink values, weighted by steepness, so that soft shadows do not
    count.
    """
    parts = _connected_parts(ink > floor)
    if not parts.count:
        raise NoInk("no ink found: the picture is blank")
    label = _strongest_part(steepness, parts, is_even=is_even)
    main = np.flatnonzero(parts.mask if parts.count == 1 else parts.labels == label)
    levels = (ink.ravel()[main] * _INK_LEVELS).astype(np.intp)
    strength = np.bincount(levels, steepness.ravel()[main]).cumsum()
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
    large = np.flatnonzero(parts.sides.max(axis=1) >= _side(whole) / 4)
    others = {label: parts.box(label) for label in large.tolist() if label not in (0, main)}
    left_out = sum(_is_digit_like(label, main, parts, steepness) for label in others)
    while added := [label for label, box in others.items() if _is_part(box, whole, ink.shape)]:
        for label in added:
            pixels |= parts.labels == label
            whole = _union(whole, others.pop(label))
    return pixels, left_out


def _is_digit_like(label: int, main: int, parts: "_Parts", steepness: Floats) -> bool:
    """Return whether a part is about as large and as sharp as the digit's main part, and clearly beside it."""
    box, main_box = parts.box(label), parts.box(main)
    height, width = (part.stop - part.start for part in box)
    main_height, main_width = (part.stop - part.start for part in main_box)
    gap = max(max(other.start - part.stop, part.start - other.stop) for part, other in zip(box, main_box, strict=True))
    is_large = 0.5 <= height / main_height <= 2 and width <= 2 * height and main_width <= 2 * main_height
    if not is_large or gap < 0.05 * main_height or _at_edge(box, parts.mask.shape):
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

    def box(self, label: int) -> _Box:
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
    touched = np.max([np.bincount(edge, minlength=len(strength)) / len(edge) for edge in edges], axis=0)
    at_edge, along_edge = (0.5, 0.3) if is_even else (0.3, 0.03)
    strength *= np.where(touched > 1 / 3, along_edge, np.where(touched > 0, at_edge, 1))
    for label in np.flatnonzero((parts.sides > np.array(labels.shape) / 2).all(axis=1)).tolist():
        pixels = labels[parts.box(label)] == label
        if pixels[_rim(pixels.shape, max(pixels.shape) // 8)].sum() > 0.95 * pixels.sum():
            strength[label] *= 0.03
    strength[0] = -1
    return int(strength.argmax())


def _steepness(ink: Floats) -> Floats:
    """Return the squared slope of each pixel. Ink has sharp edges, and shading does not."""
    down, across = np.zeros_like(ink), np.zeros_like(ink)
    cv2.subtract(ink[1:], ink[:-1], down[:-1])
    cv2.subtract(ink[:, 1:], ink[:, :-1], across[:, :-1])
    steepness: Floats = cv2.accumulateSquare(across, cv2.multiply(down, down))
    return steepness


def _is_ink(ink: _Ink, steepness: Floats, kept: NDArray[np.bool_], full_ink: float, noise: float) -> bool:
    """Return whether the located digit is ink, and not noise or uneven light.

    Ink must exceed the noise: 7 times, because textures reach that, or 4 times in even light. Its edges must be steep:
    a slope of 0.1 of full ink per pixel is enough, because enlarged pictures have soft edges. What may be a shadow must
    have a slope of 0.35.
    """
    if noise > 1:
        steepness = _steepness(cv2.GaussianBlur(ink.pixels, (0, 0), 1))
    slopes = steepness[kept]
    percentile_98 = len(slopes) * 98 // 100
    sharpness = float(np.partition(slopes, percentile_98)[percentile_98]) ** 0.5 / full_ink * ink.enlarged
    if full_ink <= (7 if ink.contrast is None else 4) * noise or sharpness <= 0.1:
        return False
    return sharpness > 0.35 or not _may_be_shadow(kept, is_even=ink.contrast is not None)


def _may_be_shadow(kept: NDArray[np.bool_], *, is_even: bool) -> bool:
    """Return whether the located digit lies in the picture as shadows do.

    In even light, a shadow fills one side of the picture and does not reach the opposite one. In uneven light, anything
    along the edge or across the whole picture may be one.
    """
    edges = kept[0], kept[-1], kept[:, 0], kept[:, -1]
    if is_even:
        top, bottom, left, right = (float(edge.mean()) for edge in edges)
        opposites = (top, bottom), (bottom, top), (left, right), (right, left)
        return any(filled > 0.9 and not opposite for filled, opposite in opposites)
    box = _extent(kept)
    across = max((part.stop - part.start) / side for part, side in zip(box, kept.shape, strict=True))
    return across > 0.9 or bool(sum(np.count_nonzero(edge) for edge in edges) > _side(box) / 2)


def _is_part(box: _Box, whole: _Box, shape: tuple[int, ...]) -> bool:
    """Return whether a box belongs to the digit whose box is `whole`.

    It must be near the digit, must not frame it, and must not touch the picture's edge unless the digit does.
    """
    frames = all(part.start < other.start and part.stop > other.stop for part, other in zip(box, whole, strict=True))
    gap = max(max(other.start - part.stop, part.start - other.stop) for part, other in zip(box, whole, strict=True))
    return not frames and gap <= 0.3 * _side(whole) and (not _at_edge(box, shape) or _at_edge(whole, shape))


def _side(box: _Box) -> int:
    return max(int(part.stop - part.start) for part in box)


def _union(box: _Box, other: _Box) -> _Box:
    rows, columns = (slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(box, other, strict=True))
    return rows, columns


def _at_edge(box: _Box, shape: tuple[int, ...]) -> bool:
    return any(part.start == 0 or part.stop == side for part, side in zip(box, shape, strict=True))


def _set_strokes(digit: Floats) -> tuple[Floats, str]:
    """Return the digit on the canvas with strokes as wide as MNIST's, and "thickened", "thinned" or ""."""
    scale = _CANVAS_SIDE / max(digit.shape)
    size = [max(1, round(side * scale)) for side in digit.shape[::-1]]
    canvas = cv2.resize(digit, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    canvas = cv2.copyMakeBorder(canvas, 8, 8, 8, 8, cv2.BORDER_CONSTANT)
    window = _CANVAS_SIDE // 4
    nearby = cv2.blur(cv2.dilate(canvas, np.ones((window, window))), (window, window))
    canvas /= np.clip(nearby, _WEAKEST_STROKE, 1)  # faint strokes become as dark as the darkest ones near them
    if scale > _SHARPEN_ABOVE:  # a pixel of such a small digit is the mean of white and black areas
        canvas = 2 * canvas - cv2.GaussianBlur(canvas, (0, 0), scale)
    inside = (canvas > min(0.5, canvas.max() / 2)).view(np.uint8)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_5)
    # Inside a bar w pixels wide, the mean distance to its edge is (w + 2) / 4.
    width = 4 * cv2.mean(distance, inside)[0] - 2
    growth = (min(max(width, _MIN_STROKE), _MAX_STROKE) - width) / 2
    change = "thickened" if growth > 0.5 else "thinned" if growth < -0.5 else ""
    outside = 1 - inside
    if change == "thickened":  # otherwise no stroke reaches further out than the first pixel
        outside = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_5)
    return np.clip(distance - outside + (0.5 + growth), 0, 1), change


def _fit(digit: Floats) -> Floats:
    """Resize the digit to the box, or smaller if centring its centre of mass would push it out of the 28x28 field."""
    digit = digit[_extent(digit > 0)]
    reach = [max(centre + 0.5, side - centre - 0.5) for centre, side in zip(_centre(digit), digit.shape, strict=True)]
    scale = min(BOX / max(digit.shape), (MIDDLE - 0.5) / max(reach))
    size = [max(1, round(side * scale)) for side in digit.shape[::-1]]
    fitted: Floats = cv2.resize(digit, size, interpolation=cv2.INTER_AREA)
    return fitted


def _centre_on_field(digit: Floats) -> Grey:
    """Place the digit on a 28x28 field with its centre of mass in the middle, to whole pixels as LeCun did."""
    field = np.zeros((SIDE, SIDE), dtype=np.uint8)
    top, left = (
        min(max(math.floor(MIDDLE + 0.5 - centre), 0), SIDE - side)
        for centre, side in zip(_centre(digit), digit.shape, strict=True)
    )
    field[top : top + digit.shape[0], left : left + digit.shape[1]] = np.rint(255 * digit / digit.max())
    return field


def _reduction(picture: NDArray[Any], side: int) -> int:
    """Return the whole number by which to reduce a picture so that its longer side is at most `side`."""
    return int(-(-max(picture.shape) // side))


def _reduce(picture: NDArray[Any], factor: int) -> NDArray[Any]:
    """Reduce a picture: each new pixel is the mean of factor x factor pixels."""
    height, width = (-(-side // factor) * factor for side in picture.shape)
    if (height, width) != picture.shape:
        missing = height - picture.shape[0], width - picture.shape[1]
        picture = cv2.copyMakeBorder(picture, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE)
    while factor % 2 == 0:  # OpenCV halves a picture ten times as fast as it reduces it by other factors
        height, width, factor = height // 2, width // 2, factor // 2
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    reduced: NDArray[Any] = cv2.resize(picture, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
    return reduced


def _extent(mask: NDArray[np.bool_]) -> _Box:
    """Return the smallest box that holds all pixels of a mask."""
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    return slice(top, top + height), slice(left, left + width)


def _centre(picture: Floats) -> tuple[float, float]:
    """Return the row and column of the centre of mass."""
    by_row, by_column = picture.sum(axis=1), picture.sum(axis=0)
    total = float(by_row.sum())
    return float(by_row @ np.arange(len(by_row))) / total, float(by_column @ np.arange(len(by_column))) / total
