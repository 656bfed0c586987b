"""Make pictures of digits that are plain to see: in a thin pen, with long stems, or with a mark in the same pen around.

MARKED["underlined"](digit, rng)    a digit of MNIST, as `families.FAMILIES` has it
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from benchmarks.quality.families import Array, Generator, cut, encoded, on_paper, photographed, stroked
from digits.features import Grey

STEMMED = (1, 4, 7, 9)
"""The digits with a stem at the bottom, which "long stems" has."""

_Mark = Callable[[ImageDraw.ImageDraw, Array, int, Generator], None]
"""Draws a mark around a box (left, top, right, bottom), with a pen of this width."""


def _on_page(ink: Array, rng: Generator) -> Array:
    """Place ink on a page, with between a fifth and the whole of its height of paper at each side."""
    margins = (max(ink.shape) * rng.uniform(0.2, 1.0, (2, 2))).astype(int)
    return np.pad(ink, margins)


def _thin(digit: Grey, rng: Generator) -> bytes:
    """Write a digit with a pen of 1:28 to 1:50 of its height and photograph it in falling light."""
    side = int(rng.integers(200, 500))
    height = side * 20 / 28
    return photographed(_on_page(cut(stroked(digit, side, height / rng.uniform(28, 50))), rng), rng)


def _stemmed(digit: Grey, rng: Generator) -> bytes:
    """Stretch the lower half of a digit to 1.3 to 2.2 of its height, which makes its stem long and straight."""
    rows = np.flatnonzero(digit.any(axis=1))
    middle = (rows[0] + rows[-1]) // 2 + 2
    times = rng.uniform(1.3, 2.2)
    lower = Image.fromarray(digit[middle:]).resize((28, int((28 - middle) * times)), Image.Resampling.BICUBIC)
    tall = np.concatenate([digit[:middle], np.asarray(lower)])
    beside = (len(tall) - 28) // 2
    square = np.pad(tall, ((0, 0), (beside, len(tall) - 28 - beside)))
    small = np.asarray(Image.fromarray(square).resize((28, 28), Image.Resampling.BICUBIC))
    side = int(rng.integers(250, 500))
    ink = cut(stroked(small, side, side * 20 / 28 / rng.uniform(14, 40)))
    return photographed(_on_page(ink, rng), rng)


def _with_mark(digit: Grey, rng: Generator, draw: _Mark) -> bytes:
    """Write a digit and add a mark with the same pen. Half of the pictures are scans, the others photos."""
    side = int(rng.integers(150, 400))
    height = side * 20 / 28
    width = max(2, int(height * rng.uniform(0.03, 0.09)))
    digit_ink = cut(stroked(digit, side, width))
    around = int(0.75 * max(digit_ink.shape))
    ink = np.pad(digit_ink, around)
    page = Image.new("L", ink.shape[::-1])
    box = np.array([around, around, ink.shape[1] - around, ink.shape[0] - around])
    draw(ImageDraw.Draw(page), box, width, rng)
    drawn = np.asarray(page, dtype=np.float32) / 255
    shape = ink.shape  # a hand draws no straight lines
    waves = [ndimage.gaussian_filter(rng.normal(0, 1, shape), side / 6) for _ in range(2)]
    at = [axis + 0.012 * side * wave / wave.std() for axis, wave in zip(np.indices(shape), waves, strict=True)]
    drawn = np.clip(ndimage.map_coordinates(ndimage.gaussian_filter(drawn, 0.6), at, order=1), 0, 1)
    marked = cut(np.maximum(ink, drawn).astype(np.float32), above=0.3)
    beside = (height * rng.uniform(0.15, 0.6, (2, 2))).astype(int)
    page_ink = np.pad(marked, beside)
    if rng.random() < 0.5:
        return encoded(on_paper(page_ink), format="JPEG", quality=int(rng.integers(60, 96)))
    return photographed(page_ink, rng)


def _underline(pen: ImageDraw.ImageDraw, box: Array, width: int, rng: Generator) -> None:
    left, _, right, bottom = box
    height = box[3] - box[1]
    y = bottom + height * rng.uniform(0.08, 0.22) + width / 2
    beyond = height * rng.uniform(0.0, 0.3, 2)
    pen.line([left - beyond[0], y, right + beyond[1], y + height * rng.uniform(-0.03, 0.03)], fill=255, width=width)


def _overline(pen: ImageDraw.ImageDraw, box: Array, width: int, rng: Generator) -> None:
    _underline(pen, box - (0, 1.3 * (box[3] - box[1]) + width) * 2, width, rng)


def _circle(pen: ImageDraw.ImageDraw, box: Array, width: int, rng: Generator) -> None:
    left, top, right, bottom = box
    height = bottom - top
    middle = np.array([left + right, top + bottom]) / 2
    apart = height * rng.uniform(0.15, 0.32)
    # The ellipse through the corners of the box, so that it is `apart` from the ink where it is nearest.
    half = np.array([max(right - left, 0.5 * height), height]) / 2 * rng.uniform(1.2, 1.4) + apart
    start = int(rng.integers(0, 360))
    pen.arc([*(middle - half), *(middle + half)], start, start + int(rng.integers(345, 375)), fill=255, width=width)


def _box(pen: ImageDraw.ImageDraw, box: Array, width: int, rng: Generator) -> None:
    gaps = (box[3] - box[1]) * rng.uniform(0.15, 0.32, 4) * (-1, -1, 1, 1)
    pen.rectangle([*(box + gaps)], outline=255, width=width)


def _plot(digit: Grey, rng: Generator) -> bytes:
    """Draw white pixels on black, and a title on the white border, as plotting libraries do."""
    side = 28 * int(rng.integers(5, 14))
    page = Image.new("L", (side + 90, side + 90), 255)
    page.paste(Image.fromarray(digit).resize((side, side), Image.Resampling.NEAREST), (45, 45))
    ImageDraw.Draw(page).text((60, 20), "label: 5", fill=0, font_size=18)
    return encoded(np.asarray(page), format="PNG")


MARKED: dict[str, Callable[[Grey, Generator], bytes]] = {
    "thin pen": _thin,
    "long stems": _stemmed,
    "underlined": lambda digit, rng: _with_mark(digit, rng, _underline),
    "overlined": lambda digit, rng: _with_mark(digit, rng, _overline),
    "circled": lambda digit, rng: _with_mark(digit, rng, _circle),
    "boxed": lambda digit, rng: _with_mark(digit, rng, _box),
    "plot": _plot,
}
"""By name, in the order of the table."""
