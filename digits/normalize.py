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
    factor = -(-max(picture.shape) // 40)
    small = np.asarray(Image.fromarray(picture).reduce(factor))
    window = [max(3, side // 2) for side in small.shape]
    light, dark = ndimage.maximum_filter(small, window), ndimage.minimum_filter(small, window)
    span = light - dark
    if span.max() < 4:
        raise NoInk("no ink found: the picture is blank")
    near = span > span.max() / 2
    on_light = bool(((small - dark)[near] / span[near]).mean() > 0.5)
    ground = ndimage.minimum_filter(light, window) if on_light else ndimage.maximum_filter(dark, window)
    ground = np.asarray(Image.fromarray(ground).resize(picture.shape[::-1], Image.Resampling.BILINEAR))
    return np.maximum(ground - picture if on_light else picture - ground, 0), on_light


def _digit(ink: Floats) -> Floats:
    """The digit alone, cropped, 1 at full ink."""
    slope = ink[1:, 1:] - ink[:-1, 1:] - ink[1:, :-1] + ink[:-1, :-1]
    noise = float(np.median(np.abs(slope))) / 0.6745 / 2 if slope.size else 0.0
    floor = max(4.0, 4 * noise)
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
