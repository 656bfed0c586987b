"""Any grey picture to MNIST form: light ink on dark, a 20x20 box, its centre of mass in the middle of 28x28."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from digits.errors import NoInk, WrongSize
from digits.features import SIDE, Floats, Grey

Mode = Literal["auto", "always", "never"]

BOX = 20
"""Longer side of the digit in MNIST (LeCun et al. 1998)."""

MIDDLE = 14
"""Row, and column, of MNIST's centre of mass."""

_WORKING = 160
_CANVAS = 80


@dataclass(frozen=True, slots=True)
class Normalized:
    """A picture in MNIST form."""

    pixels: NDArray[Any]
    """uint8 (28, 28)"""
    steps: tuple[str, ...]
    """What was done, in order; () where it passed through untouched."""


def is_mnist_form(picture: NDArray[Any]) -> bool:
    """Whether a picture is as MNIST's own are, to be passed through untouched.

    All 70 000 images of MNIST have a longer side of ink (above 0) of 19 or 20 pixels and a centre of mass within half
    a pixel of row and column 14, since that is how they were made. Nothing else has both by chance.

    Args:
        picture: uint8, or floats on any scale from 0 up.
    """
    if picture.shape != (SIDE, SIDE):
        return False
    rows, columns = picture.any(axis=1).nonzero()[0], picture.any(axis=0).nonzero()[0]
    if not len(rows) or max(np.ptp(rows), np.ptp(columns)) + 1 not in (BOX - 1, BOX):
        return False
    return bool(np.abs(_centre(picture) - MIDDLE).max() < 0.53)


def normalize(picture: NDArray[Any], mode: Mode = "auto") -> Normalized:
    """Bring a picture to MNIST form.

    Raises:
        NoInk: blank, one colour or noise.
        WrongSize: mode "never" and not 28x28.
    """
    if mode == "never":
        if picture.shape != (SIDE, SIDE):
            height, width = picture.shape
            raise WrongSize(f"expected {SIDE}x{SIDE} pixels, received {width}x{height} (width x height)")
        return Normalized(picture, ())
    if mode == "auto" and is_mnist_form(picture):
        return Normalized(picture, ())
    working = _reduced(picture, _WORKING)
    ink, inverted = _ink(working)
    digit = _digit(ink)
    pixels = _centred(_boxed(_stroked(digit)))
    steps = ("inverted",) * inverted + ("cropped", "centered")
    return Normalized(pixels, steps)


def _centre(picture: NDArray[Any]) -> Floats:
    weights = picture.astype(np.float64)
    total = weights.sum()
    return np.array([weights.sum(axis=1 - axis) @ np.arange(picture.shape[axis]) / total for axis in (0, 1)])


def _reduced(picture: Grey, side: int) -> Floats:
    factor = -(-max(picture.shape) // side)
    image = Image.fromarray(picture)
    return np.asarray(image.reduce(factor) if factor > 1 else image, dtype=np.float32)


def _ink(picture: Floats) -> tuple[Floats, bool]:
    """How much ink is where, in grey values above the ground, and whether it was dark on light."""
    factor = -(-max(picture.shape) // 40)
    small = np.asarray(Image.fromarray(picture).reduce(factor), dtype=np.float32)
    trend = _trend(small)
    small = small - trend
    window = [max(3, side // 2) for side in small.shape]
    light, dark = ndimage.maximum_filter(small, window), ndimage.minimum_filter(small, window)
    span = light - dark
    if span.max() < 4:
        raise NoInk("no ink found: the picture is blank")
    near = span > span.max() / 2
    on_light = bool(((small - dark)[near] / span[near]).mean() > 0.5)
    ground = ndimage.minimum_filter(light, window) if on_light else ndimage.maximum_filter(dark, window)
    ground = np.asarray(Image.fromarray(ground + trend).resize(picture.shape[::-1], Image.Resampling.BILINEAR))
    return (ground - picture if on_light else picture - ground), on_light


def _trend(small: Floats) -> Floats:
    """The light's slope: a quadratic surface through the picture's rim, where there is mostly ground."""
    rows, columns = (np.linspace(-1, 1, side, dtype=np.float32) for side in small.shape)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    rim = np.maximum(np.abs(x), np.abs(y)) > 0.8
    basis, level = terms[rim], small[rim]
    weight = np.ones_like(level)
    surface = np.zeros(6, dtype=np.float32)
    for _ in range(6):  # reweighted to the least absolute deviations, which strokes across the rim hardly move
        weighted = basis * weight[:, None]
        surface = np.linalg.lstsq(weighted.T @ basis, weighted.T @ level, rcond=1e-4)[0]
        weight = 1 / (np.abs(level - basis @ surface) + 1)
    return (terms @ surface).astype(np.float32)


def _digit(ink: Floats) -> Floats:
    """The digit alone, cropped, 1 at full ink."""
    middle = float(np.median(ink))
    noise = 1.4826 * float(np.median(np.abs(ink - middle)))
    ink = ink - middle
    peak = float(ink.max())
    if noise > 0.08 * peak:
        ink = ndimage.gaussian_filter(ink, 1)
        noise = 1.4826 * float(np.median(np.abs(ink)))
        peak = float(ink.max())
    floor = min(max(4.0, 4 * noise), 0.4 * peak)
    labels, count = ndimage.label(ink > floor, np.ones((3, 3)))
    if not count:
        raise NoInk("no ink found: the picture is blank, or noise")
    strength = ndimage.sum_labels(ink * ink, labels, np.arange(1, count + 1))
    main = labels == strength.argmax() + 1
    full = float(np.percentile(ink[main], 90))
    labels, count = ndimage.label(ink > max(floor, 0.3 * full), np.ones((3, 3)))
    numbers = np.arange(1, count + 1)
    strength = ndimage.sum_labels(ink * ink, labels, numbers)
    boxes = ndimage.find_objects(labels)
    sides = np.array([max(s.stop - s.start for s in box) for box in boxes])
    largest = int(strength.argmax())
    kept = np.isin(labels, numbers[(sides >= 0.25 * sides[largest])])
    rows, columns = kept.any(axis=1).nonzero()[0], kept.any(axis=0).nonzero()[0]
    around = ndimage.binary_dilation(kept, np.ones((3, 3)))
    part = np.s_[max(0, rows[0] - 1) : rows[-1] + 2, max(0, columns[0] - 1) : columns[-1] + 2]
    return np.clip(ink[part] * around[part] / full, 0, 1)


def _stroked(digit: Floats) -> Floats:
    scale = _CANVAS / max(digit.shape)
    size = [max(1, round(side * scale)) for side in digit.shape[::-1]]
    canvas = np.pad(np.asarray(Image.fromarray(digit).resize(size, Image.Resampling.BICUBIC)), 12)
    body = canvas > 0.5 * min(1, scale * 2) if canvas.max() > 0.5 else canvas > canvas.max() / 2
    inside, outside = ndimage.distance_transform_edt(body), ndimage.distance_transform_edt(~body)
    width = 4 * float(inside[body].mean()) - 1
    wanted = np.clip(width, 8, 14)
    return np.clip((wanted - width) / 2 + 0.5 + inside - outside, 0, 1).astype(np.float32)


def _boxed(digit: Floats) -> Floats:
    rows, columns = digit.any(axis=1).nonzero()[0], digit.any(axis=0).nonzero()[0]
    digit = digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = BOX / max(digit.shape)
    size = [max(1, round(side * scale)) for side in digit.shape[::-1]]
    return np.asarray(Image.fromarray(digit).resize(size, Image.Resampling.BOX))


def _centred(digit: Floats) -> Grey:
    field = np.zeros((SIDE, SIDE), dtype=np.uint8)
    top, left = (
        int(np.clip(np.floor(MIDDLE + 0.5 - centre), 0, SIDE - side))
        for centre, side in zip(_centre(digit), digit.shape, strict=True)
    )
    pixels = np.rint(255 * digit / digit.max()).astype(np.uint8)
    field[top : top + digit.shape[0], left : left + digit.shape[1]] = pixels
    return field
