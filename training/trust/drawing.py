"""Pictures that a pen draws, as the network sees them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from digits.errors import NoInk
from digits.features import SIDE, Grey
from digits.normalize import normalize

FIELD = 96
"""Pixels a side of what is drawn, before it is normalized."""


def drawn(draw: Callable[[ImageDraw.ImageDraw], Any]) -> Grey:
    """What `draw` does with a pen on a black field: uint8 (96, 96)."""
    page = Image.new("L", (FIELD, FIELD))
    draw(ImageDraw.Draw(page))
    return np.asarray(page)


def normalized(pictures: Sequence[Grey]) -> Grey:
    """What the network sees of pictures, of those that have ink: uint8 (N, 28, 28)."""
    seen = []
    for picture in pictures:
        try:
            seen.append(normalize(picture).pixels)
        except NoInk:
            continue
    return np.array(seen, dtype=np.uint8).reshape(-1, SIDE, SIDE)
