"""Bring a grey picture to MNIST form: light ink on dark, a 20x20 box, the centre of mass in the middle of 28x28.

LeCun et al. (1998) made MNIST like this, from black and white scans. Other pictures have paper, uneven light and
specks, and may be of any size. These steps remove the differences. Words in quotes are the steps that a reply reports:

    _locate           reduce the picture, even out the light, and turn dark ink on light into light ink on dark
                      ("inverted"). Keep only the parts of the digit ("cropped"). If the digit is small in its
                      picture, repeat this on its surroundings.
    _set_strokes      draw the digit with strokes as wide as MNIST's ("thickened" or "thinned")
    _fit              resize the digit to the box, and
    _centre_on_field  place its centre of mass in the middle ("centered")
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
"""Stroke widths in canvas pixels. Half of MNIST's strokes are between 8.4 and 11.6 canvas pixels wide."""

_MIN_CONTRAST = 4.0
"""Grey values. A difference below this is not ink."""

_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)
"""Pixels that touch at a corner are connected."""


@dataclass(frozen=True, slots=True)
class Normalized:
    """A picture in MNIST form."""

    pixels: NDArray[Any]
    """uint8 (28, 28). If there are no steps, the unchanged input: uint8, or floats in [0, 1]."""
    steps: tuple[str, ...]
    """The steps that changed the picture, in order. () if it is unchanged."""


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
    digit, is_dark = _locate(grey)
    strokes, change = _set_strokes(digit)
    steps = ["inverted"] if is_dark else []
    steps.append("cropped")
    if change:
        steps.append(change)
    steps.append("centered")
    return Normalized(_centre_on_field(_fit(strokes)), tuple(steps))


def _locate(picture: Grey) -> tuple[Floats, bool]:
    """Return the digit alone, as light ink in [0, 1], float32, and whether its ink was dark."""
    is_whole = True
    while True:
        factor = _reduction(picture, _WORKING_SIDE)
        working = _reduce(picture, factor)
        if is_whole and _is_noise(working):
            raise NoInk("no ink found: the picture is noise")
        ink, is_dark = _to_light_ink(working)
        digit, box = _separate_digit(ink, check_ink=is_whole)
        margin = _side(box) // 4 + 2
        rows, columns = (slice(max(0, part.start - margin) * factor, (part.stop + margin) * factor) for part in box)
        surroundings = picture[rows, columns]
        if _reduction(surroundings, _WORKING_SIDE) == factor:
            return digit, is_dark
        picture, is_whole = surroundings, False


def _to_light_ink(picture: Floats) -> tuple[Floats, bool]:
    """Return each pixel's difference from the background, positive for ink, and whether the ink was dark.

    The background is estimated by a morphological closing (for dark ink): the maximum in a window, then the minimum of
    that. It paints over strokes and follows shadows, even hard ones. Pixels that differ from most of their surroundings
    are ink.
    """
    small = _reduce(picture, _reduction(picture, _LIGHT_SIDE))
    tiny = min(small.shape) < _TINY_SIDE
    if np.ptp(picture) < _MIN_CONTRAST:
        raise NoInk("no ink found: the picture is blank")
    trend = np.zeros_like(small) if tiny else _trend(small)
    small = small - trend
    window = max(small.shape) * 2 // (1 if tiny else 5)
    lightest, darkest = ndimage.maximum_filter(small, window), ndimage.minimum_filter(small, window)
    contrast = np.maximum(lightest - darkest, 1e-3)
    near_ink = contrast > contrast.max() / 2
    # Each pixel near ink votes: above 0 is light, below 0 is dark. If light pixels dominate, the background is light
    # and the ink dark. The rim votes again at half weight, because it is mostly background.
    votes = np.where(near_ink, (small - darkest) / contrast - 0.5, 0)
    is_dark = bool(votes[near_ink].mean() + votes[_rim(small.shape, 1)].mean() / 2 > 0)
    background = ndimage.minimum_filter(lightest, window) if is_dark else ndimage.maximum_filter(darkest, window)
    background = np.asarray(Image.fromarray(background + trend).resize(picture.shape[::-1], Image.Resampling.BILINEAR))
    return (background - picture if is_dark else picture - background), is_dark


def _trend(small: Floats) -> Floats:
    """Return how the light changes across the picture: a quadratic surface fitted to the rim, mostly background."""
    rows, columns = (np.linspace(-1, 1, side, dtype=np.float32) for side in small.shape)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    rim = _rim(small.shape, 4)
    basis, level = terms[rim], small[rim]
    weight = np.ones_like(level)
    surface = np.zeros(6, dtype=np.float32)
    # Reweighting approximates a least-absolute-deviation fit, which strokes on the rim hardly affect.
    for _ in range(6):
        weighted = basis * weight[:, None]
        surface = np.linalg.lstsq(weighted.T @ basis, weighted.T @ level, rcond=1e-4)[0]
        deviation = np.abs(level - basis @ surface)
        if deviation.max() < 1:
            break
        weight = 1 / (deviation + 1)
    if deviation.mean() > 0.1 * np.ptp(small):
        # The fit is poor: the rim contains a digit or a shadow's edge, so there is no smooth trend to remove.
        return np.zeros_like(small)
    trend: Floats = (terms @ surface).astype(np.float32)
    return trend


def _rim(shape: tuple[int, ...], width: int) -> NDArray[np.bool_]:
    rim = np.ones(shape, dtype=bool)
    rim[width:-width, width:-width] = False
    return rim


def _separate_digit(ink: Floats, *, check_ink: bool) -> tuple[Floats, _Box]:
    """Return the digit without other marks, cropped and scaled to [0, 1], and its box.

    Args:
        ink: from `_to_light_ink`.
        check_ink: whether to raise NoInk if the located digit is only noise or uneven light.
    """
    mean, noise = _background_noise(ink)
    if noise > 0.08 * ink.max():
        ink = ndimage.gaussian_filter(ink, 1)
        mean, noise = _background_noise(ink)
    ink = ink - mean
    floor = min(max(_MIN_CONTRAST, 4 * noise), 0.4 * float(ink.max()))
    steepness = _steepness(ink)
    full_ink = _full_ink(ink, steepness, floor)
    kept = _digit_pixels(ink, steepness, max(floor, 0.35 * full_ink))
    if check_ink and not _is_ink(ink, steepness, kept, full_ink, noise):
        raise NoInk("no ink found: the picture has only noise and uneven light")
    rows, columns = (slice(max(0, part.start - 1), part.stop + 1) for part in _extent(kept))
    box = rows, columns
    mask = ndimage.maximum_filter(kept[box], 3)  # includes the antialiased edges of the strokes
    return np.clip(ink[box] * mask / full_ink, 0, 1), box


def _background_noise(ink: Floats) -> tuple[float, float]:
    """Return the background's mean and its noise, which is its standard deviation.

    Both are estimated from the 5th and the 30th percentile, because up to half the picture may be ink. In a normal
    distribution these lie 1.12 standard deviations apart, and the 30th lies 0.52 below the mean.
    """
    percentile_5, percentile_30 = _percentiles(ink, 5, 30)
    noise = (percentile_30 - percentile_5) / 1.12
    return float(percentile_30 + 0.52 * noise), float(noise)


def _percentiles(values: Floats, *percents: float) -> list[float]:
    """Return what `np.percentile` returns, without loading NumPy's masked arrays (8 MB)."""
    last = values.size - 1
    positions = [percent / 100 * last for percent in percents]
    below = [int(position) for position in positions]
    above = [min(index + 1, last) for index in below]
    ordered = np.partition(values, [*below, *above], axis=None)
    return [
        float(ordered[low] + (position - low) * (ordered[high] - ordered[low]))
        for position, low, high in zip(positions, below, above, strict=True)
    ]


def _is_noise(picture: Floats) -> bool:
    """Return whether neighbouring pixels are uncorrelated."""
    small = _reduce(picture, _reduction(picture, _LIGHT_SIDE))
    flat = small - small.mean()
    pairs = (flat[1:] * flat[:-1]).sum() + (flat[:, 1:] * flat[:, :-1]).sum()
    # The thinnest drawings have a correlation of 0.18. In a tiny picture, noise may reach that by chance.
    return bool(pairs < (0.2 if min(small.shape) < _TINY_SIDE else 0.12) * 2 * (flat * flat).sum())


def _full_ink(ink: Floats, steepness: Floats, floor: float) -> float:
    """Return the grey value of full ink.

    It is the 70th percentile of the strongest part's ink values, weighted by steepness, so that soft shadows do not
    count.
    """
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
    while added := {number for number in others if _is_part(boxes[number - 1], whole, ink.shape)}:
        kept |= added
        others -= added
        for number in added:
            whole = _union(whole, boxes[number - 1])
    is_kept = np.zeros(count + 1, dtype=np.bool_)
    is_kept[list(kept)] = True
    pixels: NDArray[np.bool_] = is_kept[labels]
    return pixels


def _strongest_part(steepness: Floats, labels: NDArray[np.int32], count: int) -> int:
    """Return the label of the part with the most and sharpest edges.

    A part that touches the picture's edge counts less, and one that looks like a table, a frame or a ruled line counts
    far less.
    """
    strength = np.bincount(labels.ravel(), steepness.ravel(), count + 1)
    edges = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    touched = np.max([np.bincount(edge, minlength=count + 1) / len(edge) for edge in edges], axis=0)
    strength *= np.where(touched > 1 / 3, 0.03, np.where(touched > 0, 0.3, 1))
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        shape = [part.stop - part.start for part in box]
        if all(side > whole / 2 for side, whole in zip(shape, labels.shape, strict=True)):
            pixels = labels[box] == number
            if pixels[_rim(pixels.shape, max(shape) // 8)].sum() > 0.95 * pixels.sum():
                strength[number] *= 0.03
    strength[0] = -1
    return int(strength.argmax())


def _steepness(ink: Floats) -> Floats:
    """Return the squared slope of each pixel. Ink has sharp edges, and shading does not."""
    down, across = np.diff(ink, axis=0, append=ink[-1:]), np.diff(ink, axis=1, append=ink[:, -1:])
    return down * down + across * across


def _is_ink(ink: Floats, steepness: Floats, kept: NDArray[np.bool_], full_ink: float, noise: float) -> bool:
    """Return whether the located digit is ink, and not noise or uneven light.

    Ink must exceed 4 times the noise. Below 20 times the noise, its edges must also be steep (a slope of 0.25 of full
    ink per pixel), because blank photos reached 14 times and 0.24. With less noise a slope of 0.1 is enough, because
    enlarged pictures have soft edges.
    """
    if noise > 1:
        steepness = _steepness(ndimage.gaussian_filter(ink, 1))
    sharpness = _percentiles(steepness[kept], 98)[0] ** 0.5 / full_ink
    return full_ink > 4 * noise and sharpness > (0.25 if full_ink < 20 * noise else 0.1)


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
    canvas = np.pad(np.asarray(Image.fromarray(digit).resize(size, Image.Resampling.LANCZOS)), 8)
    if scale > _SHARPEN_ABOVE:  # a pixel of such a small digit is the mean of white and black areas
        canvas = 2 * canvas - ndimage.gaussian_filter(canvas, scale)
    inside = canvas > min(0.5, canvas.max() / 2)
    distance = ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside)
    # Inside a bar w pixels wide, the mean distance to its edge is (w + 2) / 4.
    width = 4 * float(distance[inside].mean()) - 2
    growth = (np.clip(width, _MIN_STROKE, _MAX_STROKE) - width) / 2
    change = "thickened" if growth > 0.5 else "thinned" if growth < -0.5 else ""
    return np.clip(distance + 0.5 + growth, 0, 1).astype(np.float32), change


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


def _reduction(picture: NDArray[Any], side: int) -> int:
    """Return the whole number by which to reduce a picture so that its longer side is at most `side`."""
    return int(-(-max(picture.shape) // side))


def _reduce(picture: NDArray[Any], factor: int) -> Floats:
    """Reduce a picture: each new pixel is the mean of factor x factor pixels."""
    image = Image.fromarray(picture)
    return np.asarray(image.reduce(factor) if factor > 1 else image, dtype=np.float32)


def _extent(picture: NDArray[Any]) -> _Box:
    """Return the smallest box that holds all non-empty pixels, or the whole picture if all are empty."""
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
