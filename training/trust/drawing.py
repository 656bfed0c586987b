"""Draw pictures with Pillow and bring them to MNIST form."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from digits.errors import NoInk
from digits.features import SIDE, Grey
from digits.normalization.normalize import normalize

FIELD = 96
"""Side of the drawing area in pixels, before normalization."""


def draw_picture(draw: Callable[[ImageDraw.ImageDraw], Any]) -> Grey:
    """Draw on a black square and return it, uint8 (96, 96)."""
    page = Image.new("L", (FIELD, FIELD))
    draw(ImageDraw.Draw(page))
    return np.asarray(page)


@cache
def font(name: str, size: int) -> ImageFont.FreeTypeFont:
    """Return one of the fonts that Matplotlib ships, so that every machine draws the same letters."""
    from matplotlib import get_data_path

    return ImageFont.truetype(Path(get_data_path()) / "fonts" / "ttf" / f"{name}.ttf", size)


def beside(left: Grey, right: Grey, apart: int) -> Grey:
    """Put two pictures, uint8 (28, 28), beside each other. Their left edges are `apart` pixels apart."""
    picture = np.zeros((SIDE, apart + SIDE), dtype=np.uint8)
    picture[:, :SIDE] = left
    picture[:, apart:] = np.maximum(picture[:, apart:], right)
    return picture


def normalize_pictures(pictures: Sequence[Grey]) -> Grey:
    """Normalize pictures as the service does, to uint8 (N, 28, 28). Leave out pictures without ink."""
    pixels = []
    for picture in pictures:
        try:
            pixels.append(normalize(picture).pixels)
        except NoInk:
            continue
    return np.array(pixels, dtype=np.uint8).reshape(-1, SIDE, SIDE)
