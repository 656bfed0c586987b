"""Any grey picture to MNIST form: light ink on dark, a 20x20 box, its centre of mass in the middle of 28x28.

LeCun et al. (1998) made MNIST so, from scans of black and white. What people send has paper, light, specks and any
size; the steps below take one of these away each:

    locate      reduce, flatten the light, part ink from ground, keep what belongs to the digit;
                once more from nearer where the digit is small in its picture
    set strokes draw it with strokes as wide as MNIST's
    fit         into the box, by its centre of mass
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

_WORKING = 160
"""Longer side of the picture in which the digit is looked for; a stroke of MNIST's width in it has about 15 pixels."""

_GROUND = 40
"""Longer side of the picture in which the light is measured."""

_TINY = 20
"""Below this many pixels there is no telling uneven light from ink."""

_CANVAS = 80
"""Longer side of the digit when its strokes are set: 4 pixels to each of the box."""

_COARSE = 7.0
"""From this enlargement on, that of a digit of 11 pixels, its details are sharpened."""

_NARROW, _WIDE = 9.0, 14.0
"""Strokes on the canvas, from 2.2 to 3.5 pixels of the box: half of MNIST's are between 8.4 and 11.6."""

_FAINTEST = 4.0
"""Grey values; less contrast is no ink."""

_EIGHT = np.ones((3, 3), dtype=bool)
"""Pixels that touch at a corner belong together."""


@dataclass(frozen=True, slots=True)
class Normalized:
    """A picture in MNIST form."""

    pixels: NDArray[Any]
    """(28, 28) uint8; where it passed through untouched, whatever it was"""
    steps: tuple[str, ...]
    """What was done, in order; () where it passed through untouched."""


def _is_mnist_form(picture: NDArray[Any]) -> bool:
    return picture.shape == (SIDE, SIDE) and bool(are_mnist_form(to_features(picture[None]))[0])


def normalize(picture: NDArray[Any], mode: Mode = "auto") -> Normalized:
    """Bring a picture to MNIST form.

    Args:
        picture: of any size, uint8, or floats in [0, 1]; 0 is black.
        mode: "auto" leaves alone what already is in MNIST form, "always" nothing, "never" everything.

    Raises:
        NoInk: blank, one colour or noise.
        WrongSize: mode "never" and not 28x28.
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
    return Normalized(_centred(_fitted(strokes)), steps)


def _locate(picture: Grey) -> tuple[Floats, bool]:
    """The digit alone, and whether it is dark; looked at again from nearer where it is small in a large picture."""
    first = True
    while True:
        factor = _factor(picture, _WORKING)
        working = _reduced(picture, factor)
        if first and _is_noise(working):
            raise NoInk("no ink found: the picture is noise")
        ink, dark = _ink(working)
        digit, box = _parted(ink, first=first)
        margin = _side(box) // 4 + 2
        rows, columns = (slice(max(0, part.start - margin) * factor, (part.stop + margin) * factor) for part in box)
        nearer = picture[rows, columns]
        if _factor(nearer, _WORKING) == factor:
            return digit, dark
        picture, first = nearer, False


def _ink(picture: Floats) -> tuple[Floats, bool]:
    """How far each pixel is from the ground on the side of the ink, and whether that is the dark side.

    The ground is what is left where every stroke is painted over by the brightest (of dark ink) in a window about it
    and the darkest of that: a morphological closing, which follows shadows, even hard ones. The ink is what differs
    from most of its surroundings.
    """
    small = _reduced(picture, _factor(picture, _GROUND))
    tiny = min(small.shape) < _TINY
    if np.ptp(picture) < _FAINTEST:
        raise NoInk("no ink found: the picture is blank")
    trend = np.zeros_like(small) if tiny else _trend(small)
    small = small - trend
    window = max(small.shape) * 2 // (1 if tiny else 5)
    light, dark = ndimage.maximum_filter(small, window), ndimage.minimum_filter(small, window)
    span = np.maximum(light - dark, 1e-3)
    around = span > span.max() / 2
    majority = np.where(around, (small - dark) / span - 0.5, 0)  # above 0 where most is light
    # The rim counts again: a digit that fills its picture touches it in few places.
    is_dark = bool(majority[around].mean() + majority[_rim(small.shape, 1)].mean() / 2 > 0)
    ground = ndimage.minimum_filter(light, window) if is_dark else ndimage.maximum_filter(dark, window)
    ground = np.asarray(Image.fromarray(ground + trend).resize(picture.shape[::-1], Image.Resampling.BILINEAR))
    return (ground - picture if is_dark else picture - ground), is_dark


def _trend(small: Floats) -> Floats:
    """The light's slope: a quadratic surface through the picture's rim, where there is mostly ground."""
    rows, columns = (np.linspace(-1, 1, side, dtype=np.float32) for side in small.shape)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    rim = _rim(small.shape, 4)
    basis, level = terms[rim], small[rim]
    weight = np.ones_like(level)
    surface = np.zeros(6, dtype=np.float32)
    for _ in range(6):  # reweighted to the least absolute deviations, which strokes across the rim hardly move
        weighted = basis * weight[:, None]
        surface = np.linalg.lstsq(weighted.T @ basis, weighted.T @ level, rcond=1e-4)[0]
        off = np.abs(level - basis @ surface)
        if off.max() < 1:
            break
        weight = 1 / (off + 1)
    if off.mean() > 0.1 * np.ptp(small):
        return np.zeros_like(small)  # a digit up to the edges, or the edge of a shadow: no slope
    trend: Floats = (terms @ surface).astype(np.float32)
    return trend


def _rim(shape: tuple[int, ...], width: int) -> NDArray[np.bool_]:
    rim = np.ones(shape, dtype=bool)
    rim[width:-width, width:-width] = False
    return rim


def _parted(ink: Floats, *, first: bool) -> tuple[Floats, _Box]:
    """The digit without what else is on the picture, cropped and scaled to [0, 1], and where it was."""
    middle, noise = _ground_noise(ink)
    if noise > 0.08 * ink.max():
        ink = ndimage.gaussian_filter(ink, 1)
        middle, noise = _ground_noise(ink)
    ink = ink - middle
    floor = min(max(_FAINTEST, 4 * noise), 0.4 * float(ink.max()))
    steepness = _steepness(ink)
    full = _full_ink(ink, steepness, floor)
    kept = _belonging(ink, steepness, max(floor, 0.35 * full))
    if first and not _is_ink(ink, steepness, kept, full, noise):
        raise NoInk("no ink found: there is nothing on the picture but noise and light")
    rows, columns = (slice(max(0, part.start - 1), part.stop + 1) for part in _extent(kept))
    box = rows, columns
    around = ndimage.maximum_filter(kept[box], 3)  # with what antialiasing left around the strokes
    return np.clip(ink[box] * around / full, 0, 1), box


def _ground_noise(ink: Floats) -> tuple[float, float]:
    """Mean and standard deviation of the ground, from the lower tail alone: half of the picture may be ink."""
    low, lower = _percentiles(ink, 5, 30)
    noise = (lower - low) / 1.12  # the distance of these two in a normal distribution
    return float(lower + 0.52 * noise), float(noise)


def _percentiles(values: Floats, *percents: float) -> list[float]:
    """As `np.percentile`, which would have NumPy load its masked arrays, 8 MB."""
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
    """Whether neighbouring pixels have nothing to do with each other; the thinnest drawings have 0.18."""
    small = _reduced(picture, _factor(picture, _GROUND))
    flat = small - small.mean()
    pairs = (flat[1:] * flat[:-1]).sum() + (flat[:, 1:] * flat[:, :-1]).sum()
    # Of fewer pixels more is chance.
    return bool(pairs < (0.2 if min(small.shape) < _TINY else 0.12) * 2 * (flat * flat).sum())


def _full_ink(ink: Floats, steepness: Floats, floor: float) -> float:
    """The grey value of full ink: what the strongest part has at its edges; a soft shadow in it is no matter."""
    labels, count = ndimage.label(ink > floor, _EIGHT)
    if not count:
        raise NoInk("no ink found: the picture is blank")
    main = labels == _strongest(steepness, labels, count)
    levels, weights = ink[main], steepness[main]
    order = levels.argsort()
    weights = weights[order].cumsum()
    return float(levels[order[np.searchsorted(weights, 0.7 * weights[-1])]])


def _belonging(ink: Floats, steepness: Floats, threshold: float) -> NDArray[np.bool_]:
    """The pixels of the digit: its strongest part, and what is large and near enough to be another part of it."""
    labels, count = ndimage.label(ink > threshold, _EIGHT)
    main = _strongest(steepness, labels, count)
    boxes = ndimage.find_objects(labels)
    whole, smallest = boxes[main - 1], _side(boxes[main - 1]) / 4
    kept, others = {main}, {number for number, box in enumerate(boxes, 1) if _side(box) >= smallest} - {main}
    while found := {number for number in others if _is_part(boxes[number - 1], whole, ink.shape)}:
        kept |= found
        others -= found
        for number in found:
            whole = _union(whole, boxes[number - 1])
    belongs = np.zeros(count + 1, dtype=np.bool_)
    belongs[list(kept)] = True
    belonging: NDArray[np.bool_] = belongs[labels]
    return belonging


def _strongest(steepness: Floats, labels: NDArray[np.int32], count: int) -> int:
    """The part with most and sharpest edges, unless it is rather a table, a frame, or a line of the paper."""
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
    """Squared slope: ink has edges, light has hardly any."""
    down, across = np.diff(ink, axis=0, append=ink[-1:]), np.diff(ink, axis=1, append=ink[:, -1:])
    return down * down + across * across


def _is_ink(ink: Floats, steepness: Floats, kept: NDArray[np.bool_], full: float, noise: float) -> bool:
    """Whether what was found stands out, and has edges, which light has not.

    Blank photos came up to 14 times their noise and a slope of 0.24 full inks a pixel; fainter or softer ink is given
    up. A clean picture may be soft from having been enlarged.
    """
    if noise > 1:
        steepness = _steepness(ndimage.gaussian_filter(ink, 1))
    sharpness = _percentiles(steepness[kept], 98)[0] ** 0.5 / full
    return full > 4 * noise and sharpness > (0.25 if full < 20 * noise else 0.1)


def _is_part(box: _Box, whole: _Box, shape: tuple[int, ...]) -> bool:
    """Near the whole, not around it like a frame, and not from beyond the edge where the whole is not."""
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
    """The digit on the canvas with strokes as wide as MNIST's, and "thickened", "thinned" or ""."""
    scale = _CANVAS / max(digit.shape)
    size = [max(1, round(side * scale)) for side in digit.shape[::-1]]
    canvas = np.pad(np.asarray(Image.fromarray(digit).resize(size, Image.Resampling.LANCZOS)), 8)
    if scale > _COARSE:  # each of so few pixels is the mean of what is white and what is black
        canvas = 2 * canvas - ndimage.gaussian_filter(canvas, scale)
    body = canvas > min(0.5, canvas.max() / 2)
    distance = ndimage.distance_transform_edt(body) - ndimage.distance_transform_edt(~body)
    width = 4 * float(distance[body].mean()) - 2  # a bar of w pixels is (w + 2) / 4 deep, on average
    grown = (np.clip(width, _NARROW, _WIDE) - width) / 2
    change = "thickened" if grown > 0.5 else "thinned" if grown < -0.5 else ""
    return np.clip(distance + 0.5 + grown, 0, 1).astype(np.float32), change


def _fitted(digit: Floats) -> Floats:
    """Resized to the box; to less where its centre of mass, once in the middle, would push it out of the field."""
    digit = digit[_extent(digit)]
    shape = np.array(digit.shape)
    centre = _centre(digit) + 0.5
    scale = min(BOX / shape.max(), (MIDDLE - 0.5) / np.maximum(centre, shape - centre).max())
    size = [max(1, round(side * scale)) for side in digit.shape[::-1]]
    return np.asarray(Image.fromarray(digit).resize(size, Image.Resampling.BOX))


def _centred(digit: Floats) -> Grey:
    """On the field of 28x28, its centre of mass in the middle, by whole pixels as LeCun did."""
    field = np.zeros((SIDE, SIDE), dtype=np.uint8)
    top, left = (
        int(np.clip(np.floor(MIDDLE + 0.5 - centre), 0, SIDE - side))
        for centre, side in zip(_centre(digit), digit.shape, strict=True)
    )
    field[top : top + digit.shape[0], left : left + digit.shape[1]] = np.rint(255 * digit / digit.max())
    return field


def _factor(picture: NDArray[Any], side: int) -> int:
    """By how much a picture is reduced so that its longer side is at most `side`."""
    return int(-(-max(picture.shape) // side))


def _reduced(picture: NDArray[Any], factor: int) -> Floats:
    """Each pixel the mean of factor x factor of them."""
    image = Image.fromarray(picture)
    return np.asarray(image.reduce(factor) if factor > 1 else image, dtype=np.float32)


def _extent(picture: NDArray[Any]) -> _Box:
    """The rows and columns between the first and the last that are not empty; all of them where there are none."""
    rows, columns = np.flatnonzero(picture.any(axis=1)), np.flatnonzero(picture.any(axis=0))
    if not len(rows):
        return slice(0, picture.shape[0]), slice(0, picture.shape[1])
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _centre(picture: NDArray[Any]) -> NDArray[np.float64]:
    """Row and column of the centre of mass."""
    weights = picture.astype(np.float64)
    by_row, by_column = weights.sum(axis=1), weights.sum(axis=0)
    total = by_row.sum()
    moments = [float(by_row @ np.arange(len(by_row))), float(by_column @ np.arange(len(by_column)))]
    centre: NDArray[np.float64] = np.array(moments) / total
    return centre
