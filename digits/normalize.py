"""Bring a grey picture to MNIST form: light ink on dark, a 20x20 box, the centre of mass in the middle of 28x28.

LeCun et al. (1998) made MNIST like this, from black and white scans. Other pictures have paper, uneven light, specks
and any size. Each step removes one of these differences:

    locate      reduce the picture, even out the light, separate ink from ground, keep the parts of the digit.
                Repeat on the digit's surroundings if the digit is small in its picture.
    set strokes draw the digit with strokes as wide as MNIST's
    fit         resize it to the box and centre it by its centre of mass
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digits import ndimage
from digits.errors import NoInk, WrongSize
from digits.features import SIDE, Floats, Grey, to_features
from digits.mnist_form import BOX, MIDDLE, Mode, are_mnist_form

_Box = tuple[slice, slice]
"""Rows and columns, as `ndimage.find_objects` gives them."""

_WORKING_SIDE = 160
"""Longer side of the reduced picture in which the digit is located. A stroke is about 15 pixels wide in it."""

_LIGHT_SIDE = 40
"""Longer side of the reduced picture in which the light is measured."""

_TINY_SIDE = 20
"""If a side has fewer pixels, uneven light cannot be distinguished from ink."""

_CANVAS_SIDE = 80
"""Longer side of the digit when its stroke width is set: 4 pixels per pixel of the box."""

_SHARPEN_ABOVE = 7.0
"""A digit that is enlarged by more than this (one of 11 pixels or fewer) is sharpened."""

_MIN_STROKE, _MAX_STROKE = 9.0, 14.0
"""Stroke widths on the canvas, 2.2 to 3.5 pixels of the box. Half of MNIST's strokes are between 8.4 and 11.6."""

_MIN_CONTRAST = 4.0
"""Grey values. A difference below this is not ink."""

_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)
"""Pixels that touch at a corner are connected."""


@dataclass(frozen=True, slots=True)
class Normalized:
    """A picture in MNIST form."""

    pixels: NDArray[Any]
    """uint8 (28, 28), or the unchanged input if there are no steps."""
    steps: tuple[str, ...]
    """What was done, in order. () means that the picture is unchanged."""


def _is_mnist_form(picture: NDArray[Any]) -> bool:
    return picture.shape == (SIDE, SIDE) and bool(are_mnist_form(to_features(picture[None]))[0])


def normalize(picture: NDArray[Any], mode: Mode = "auto") -> Normalized:
    """Bring a picture to MNIST form.

    Args:
        picture: (height, width), uint8 or floats in [0, 1]. 0 is black.
        mode: "auto" returns pictures in MNIST form unchanged, "never" all pictures. "always" normalizes all pictures.

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
    digit, dark = _locate(grey)
    strokes, change = _set_strokes(digit)
    steps = ("inverted",) * dark + ("cropped",) + (change,) * bool(change) + ("centered",)
    return Normalized(_centre_on_field(_fit(strokes)), steps)


def _locate(picture: Grey) -> tuple[Floats, bool]:
    """Return the digit alone, float32 in [0, 1], and whether it is dark. Zoom in if it is small in a large picture."""
    first = True
    while True:
        factor = _factor(picture, _WORKING_SIDE)
        working = _reduce(picture, factor)
        if first and _is_noise(working):
            raise NoInk("no ink found: the picture is noise")
        ink, dark = _ink(working)
        digit, box = _separate_digit(ink, first=first)
        margin = _side(box) // 4 + 2
        rows, columns = (slice(max(0, part.start - margin) * factor, (part.stop + margin) * factor) for part in box)
        surroundings = picture[rows, columns]
        if _factor(surroundings, _WORKING_SIDE) == factor:
            return digit, dark
        picture, first = surroundings, False


def _ink(picture: Floats) -> tuple[Floats, bool]:
    """Return how far each pixel is from the ground towards the ink, and whether the ink is dark.

    The ground is estimated by a morphological closing (for dark ink): the maximum in a window, then the minimum of
    that. It paints over strokes and follows shadows, even hard ones. Pixels that differ from most of their surroundings
    are ink.
    """
    small = _reduce(picture, _factor(picture, _LIGHT_SIDE))
    tiny = min(small.shape) < _TINY_SIDE
    if np.ptp(picture) < _MIN_CONTRAST:
        raise NoInk("no ink found: the picture is blank")
    trend = np.zeros_like(small) if tiny else _trend(small)
    small = small - trend
    window = max(small.shape) * 2 // (1 if tiny else 5)
    light, dark = ndimage.maximum_filter(small, window), ndimage.minimum_filter(small, window)
    span = np.maximum(light - dark, 1e-3)
    around = span > span.max() / 2
    majority = np.where(around, (small - dark) / span - 0.5, 0)  # its mean is above 0 if most pixels are light
    # The rim counts again, because a digit that fills its picture touches the rim in few places.
    is_dark = bool(majority[around].mean() + majority[_rim(small.shape, 1)].mean() / 2 > 0)
    ground = ndimage.minimum_filter(light, window) if is_dark else ndimage.maximum_filter(dark, window)
    ground = np.asarray(Image.fromarray(ground + trend).resize(picture.shape[::-1], Image.Resampling.BILINEAR))
    return (ground - picture if is_dark else picture - ground), is_dark


def _trend(small: Floats) -> Floats:
    """Return the slope of the light: a quadratic surface fitted to the rim, which is mostly ground."""
    rows, columns = (np.linspace(-1, 1, side, dtype=np.float32) for side in small.shape)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    rim = _rim(small.shape, 4)
    basis, level = terms[rim], small[rim]
    weight = np.ones_like(level)
    surface = np.zeros(6, dtype=np.float32)
    for _ in range(6):  # reweighting fits the least absolute deviations, which strokes across the rim hardly change
        weighted = basis * weight[:, None]
        surface = np.linalg.lstsq(weighted.T @ basis, weighted.T @ level, rcond=1e-4)[0]
        deviation = np.abs(level - basis @ surface)
        if deviation.max() < 1:
            break
        weight = 1 / (deviation + 1)
    if deviation.mean() > 0.1 * np.ptp(small):
        return np.zeros_like(small)  # the rim has a digit or the edge of a shadow instead of a slope
    trend: Floats = (terms @ surface).astype(np.float32)
    return trend


def _rim(shape: tuple[int, ...], width: int) -> NDArray[np.bool_]:
    rim = np.ones(shape, dtype=bool)
    rim[width:-width, width:-width] = False
    return rim


def _separate_digit(ink: Floats, *, first: bool) -> tuple[Floats, _Box]:
    """Return the digit without other marks, cropped and scaled to [0, 1], and its box."""
    middle, noise = _ground_noise(ink)
    if noise > 0.08 * ink.max():
        ink = ndimage.gaussian_filter(ink, 1)
        middle, noise = _ground_noise(ink)
    ink = ink - middle
    floor = min(max(_MIN_CONTRAST, 4 * noise), 0.4 * float(ink.max()))
    steepness = _steepness(ink)
    full = _full_ink(ink, steepness, floor)
    kept = _digit_pixels(ink, steepness, max(floor, 0.35 * full))
    if first and not _is_ink(ink, steepness, kept, full, noise):
        raise NoInk("no ink found: the picture has only noise and uneven light")
    rows, columns = (slice(max(0, part.start - 1), part.stop + 1) for part in _extent(kept))
    box = rows, columns
    around = ndimage.maximum_filter(kept[box], 3)  # includes the antialiased edges of the strokes
    return np.clip(ink[box] * around / full, 0, 1), box


def _ground_noise(ink: Floats) -> tuple[float, float]:
    """Return mean and standard deviation of the ground, from its lower tail, because half the picture may be ink."""
    low, lower = _percentiles(ink, 5, 30)
    noise = (lower - low) / 1.12  # 1.12 standard deviations lie between these two percentiles of a normal distribution
    return float(lower + 0.52 * noise), float(noise)


def _percentiles(values: Floats, *percents: float) -> list[float]:
    """Return what `np.percentile` returns, without loading NumPy's masked arrays (8 MB)."""
    last = values.size - 1
    places = [percent / 100 * last for percent in percents]
    below = [int(place) for place in places]
    above = [min(index + 1, last) for index in below]
    ordered = np.partition(values, [*below, *above], axis=None)
    return [
        float(ordered[low] + (place - low) * (ordered[high] - ordered[low]))
        for place, low, high in zip(places, below, above, strict=True)
    ]


def _is_noise(picture: Floats) -> bool:
    """Return whether neighbouring pixels are uncorrelated. Even the thinnest drawings have a correlation of 0.18."""
    small = _reduce(picture, _factor(picture, _LIGHT_SIDE))
    flat = small - small.mean()
    pairs = (flat[1:] * flat[:-1]).sum() + (flat[:, 1:] * flat[:, :-1]).sum()
    # Fewer pixels are correlated more by chance.
    return bool(pairs < (0.2 if min(small.shape) < _TINY_SIDE else 0.12) * 2 * (flat * flat).sum())


def _full_ink(ink: Floats, steepness: Floats, floor: float) -> float:
    """Return the grey value of full ink, measured at the strongest part's edges, so that soft shadows do not count."""
    labels, count = ndimage.label(ink > floor, _EIGHT_NEIGHBOURS)
    if not count:
        raise NoInk("no ink found: the picture is blank")
    main = labels == _strongest_part(steepness, labels, count)
    levels, weights = ink[main], steepness[main]
    order = levels.argsort()
    weights = weights[order].cumsum()
    return float(levels[order[np.searchsorted(weights, 0.7 * weights[-1])]])


def _digit_pixels(ink: Floats, steepness: Floats, threshold: float) -> NDArray[np.bool_]:
    """Return the pixels of the digit: its strongest part and every other part that is large and near enough."""
    labels, count = ndimage.label(ink > threshold, _EIGHT_NEIGHBOURS)
    main = _strongest_part(steepness, labels, count)
    boxes = ndimage.find_objects(labels)
    whole, smallest = boxes[main - 1], _side(boxes[main - 1]) / 4
    kept, others = {main}, {number for number, box in enumerate(boxes, 1) if _side(box) >= smallest} - {main}
    while parts := {number for number in others if _is_part(boxes[number - 1], whole, ink.shape)}:
        kept |= parts
        others -= parts
        for number in parts:
            whole = _union(whole, boxes[number - 1])
    is_kept = np.zeros(count + 1, dtype=np.bool_)
    is_kept[list(kept)] = True
    pixels: NDArray[np.bool_] = is_kept[labels]
    return pixels


def _strongest_part(steepness: Floats, labels: NDArray[np.int32], count: int) -> int:
    """Return the label of the part with the most and sharpest edges that is not a table, a frame or a ruled line."""
    strength = np.bincount(labels.ravel(), steepness.ravel(), count + 1)
    edges = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    touched = np.max([np.bincount(edge, minlength=count + 1) / len(edge) for edge in edges], axis=0)
    strength *= np.where(touched > 1 / 3, 0.03, np.where(touched > 0, 0.3, 1))
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        shape = [part.stop - part.start for part in box]
        if all(side > whole / 2 for side, whole in zip(shape, labels.shape, strict=True)):
            own = labels[box] == number
            if own[_rim(own.shape, max(shape) // 8)].sum() > 0.95 * own.sum():
                strength[number] *= 0.03
    strength[0] = -1
    return int(strength.argmax())


def _steepness(ink: Floats) -> Floats:
    """Return the squared slope. Ink has edges, light has hardly any."""
    down, across = np.diff(ink, axis=0, append=ink[-1:]), np.diff(ink, axis=1, append=ink[:, -1:])
    return down * down + across * across


def _is_ink(ink: Floats, steepness: Floats, kept: NDArray[np.bool_], full: float, noise: float) -> bool:
    """Return whether the located digit stands out from the noise and has edges, which light does not have.

    Blank photos reached 14 times their noise and a slope of 0.24 of full ink per pixel. Fainter or softer ink is not
    recognized. Without noise, a picture may be soft, because it may have been enlarged.
    """
    if noise > 1:
        steepness = _steepness(ndimage.gaussian_filter(ink, 1))
    sharpness = _percentiles(steepness[kept], 98)[0] ** 0.5 / full
    return full > 4 * noise and sharpness > (0.25 if full < 20 * noise else 0.1)


def _is_part(box: _Box, whole: _Box, shape: tuple[int, ...]) -> bool:
    """Return whether a box is near the whole, does not frame it, and touches the edge only if the whole does."""
    around = all(part.start < other.start and part.stop > other.stop for part, other in zip(box, whole, strict=True))
    gap = max(max(other.start - part.stop, part.start - other.stop) for part, other in zip(box, whole, strict=True))
    return not around and gap <= 0.3 * _side(whole) and (not _at_edge(box, shape) or _at_edge(whole, shape))


def _side(box: _Box) -> int:
    return max(int(part.stop - part.start) for part in box)


def _union(one: _Box, other: _Box) -> _Box:
    rows, columns = (slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, other, strict=True))
    return rows, columns


def _at_edge(box: _Box, shape: tuple[int, ...]) -> bool:
    return any(part.start == 0 or part.stop == side for part, side in zip(box, shape, strict=True))


def _set_strokes(digit: Floats) -> tuple[Floats, str]:
    """Return the digit on the canvas with strokes as wide as MNIST's, and "thickened", "thinned" or ""."""
    scale = _CANVAS_SIDE / max(digit.shape)
    size = [max(1, round(side * scale)) for side in digit.shape[::-1]]
    canvas = np.pad(np.asarray(Image.fromarray(digit).resize(size, Image.Resampling.LANCZOS)), 8)
    if scale > _SHARPEN_ABOVE:  # a pixel of such a small digit is the mean of white and black areas
        canvas = 2 * canvas - ndimage.gaussian_filter(canvas, scale)
    body = canvas > min(0.5, canvas.max() / 2)
    distance = ndimage.distance_transform_edt(body) - ndimage.distance_transform_edt(~body)
    width = 4 * float(distance[body].mean()) - 2  # a bar of w pixels is (w + 2) / 4 deep, on average
    grown = (np.clip(width, _MIN_STROKE, _MAX_STROKE) - width) / 2
    change = "thickened" if grown > 0.5 else "thinned" if grown < -0.5 else ""
    return np.clip(distance + 0.5 + grown, 0, 1).astype(np.float32), change


def _fit(digit: Floats) -> Floats:
    """Resize the digit to the box, or smaller if centring its centre of mass would push it out of the 28x28 field."""
    digit = digit[_extent(digit)]
    shape = np.array(digit.shape)
    centre = _centre(digit) + 0.5
    scale = min(BOX / shape.max(), (MIDDLE - 0.5) / np.maximum(centre, shape - centre).max())
    size = [max(1, round(side * scale)) for side in digit.shape[::-1]]
    return np.asarray(Image.fromarray(digit).resize(size, Image.Resampling.BOX))


def _centre_on_field(digit: Floats) -> Grey:
    """Place the digit on a 28x28 field with its centre of mass in the middle, to whole pixels as LeCun did."""
    field = np.zeros((SIDE, SIDE), dtype=np.uint8)
    top, left = (
        int(np.clip(np.floor(MIDDLE + 0.5 - centre), 0, SIDE - side))
        for centre, side in zip(_centre(digit), digit.shape, strict=True)
    )
    field[top : top + digit.shape[0], left : left + digit.shape[1]] = np.rint(255 * digit / digit.max())
    return field


def _factor(picture: NDArray[Any], side: int) -> int:
    """Return the whole number by which to reduce a picture so that its longer side is at most `side`."""
    return int(-(-max(picture.shape) // side))


def _reduce(picture: NDArray[Any], factor: int) -> Floats:
    """Reduce a picture: each new pixel is the mean of factor x factor pixels."""
    image = Image.fromarray(picture)
    return np.asarray(image.reduce(factor) if factor > 1 else image, dtype=np.float32)


def _extent(picture: NDArray[Any]) -> _Box:
    """Return the rows and columns from the first to the last that is not empty, or all if the picture is empty."""
    rows, columns = np.flatnonzero(picture.any(axis=1)), np.flatnonzero(picture.any(axis=0))
    if not len(rows):
        return slice(0, picture.shape[0]), slice(0, picture.shape[1])
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _centre(picture: NDArray[Any]) -> NDArray[np.float64]:
    """Return the row and column of the centre of mass."""
    weights = picture.astype(np.float64)
    by_row, by_column = weights.sum(axis=1), weights.sum(axis=0)
    total = by_row.sum()
    moments = [float(by_row @ np.arange(len(by_row))), float(by_column @ np.arange(len(by_column)))]
    centre: NDArray[np.float64] = np.array(moments) / total
    return centre
