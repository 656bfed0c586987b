"""Turn colours and transparency into the grey in which a picture's ink is visible."""

from typing import cast

import cv2
import numpy as np
from PIL import Image, ImageChops

from digits.features import Grey

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow's mode L
_MIN_CONTRAST_GAIN = 1.5
"""Another grey replaces luma if its contrast is at least this many times larger."""
_COLOUR_SIDE = 64
"""Longer side in pixels of the reduced picture in which colours are compared."""
_GREY_STEP = 4
"""A picture is grey if one of four pixels of every fourth row is. A coloured stroke is longer than that."""
_MAX_INK_DIFFERENCE = 32
"""Maximum difference in each channel between pixels of the same ink."""


def without_alpha(picture: Image.Image) -> Image.Image:
    """Convert mode L, LA, RGB or RGBA to L or RGB.

    Transparent pixels are placed on white. If all visible pixels have the same colour, the transparency itself is the
    picture.
    """
    if picture.mode not in ("LA", "RGBA"):
        return picture
    alpha = picture.getchannel("A")
    if _ink_is_in_alpha(picture, alpha):
        return ImageChops.invert(alpha)  # dark ink on white, as on paper; `normalize` inverts it
    paper = Image.new(picture.mode[:-1], picture.size, "white")
    paper.paste(picture.convert(paper.mode), mask=alpha)
    return paper


def _ink_is_in_alpha(picture: Image.Image, alpha: Image.Image) -> bool:
    """Return whether all visible pixels of an LA or RGBA picture have one colour, so that alpha shows the drawing."""
    lowest, highest = _extrema(alpha)
    if lowest == highest:
        return False
    visible = alpha.point([255 * (2 * value > highest) for value in range(256)])
    extrema = [_extrema(channel, visible) for channel in picture.split()[:-1]]
    return all(high - low <= _MAX_INK_DIFFERENCE for low, high in extrema)


def _extrema(channel: Image.Image, mask: Image.Image | None = None) -> tuple[int, int]:
    counts = np.flatnonzero(channel.histogram(mask))
    return int(counts[0]), int(counts[-1])


def without_colour(picture: Image.Image) -> Grey:
    """Convert RGB to luma, or to the grey along the colour axis with the most contrast if luma hardly shows the ink.

    Yellow on white differs by 29 in luma and by 255 in blue. The axis of most contrast is the first principal axis of
    the differences between neighbouring pixels. Pixels of mode L are returned unchanged.
    """
    if picture.mode == "L":
        return np.asarray(picture)
    factor = -(-max(picture.size) // _COLOUR_SIDE)
    sample = picture.resize([-(-side // min(factor, _GREY_STEP)) for side in picture.size], Image.Resampling.NEAREST)
    if len({band.tobytes() for band in sample.split()}) == 1:  # like most drawings
        return np.asarray(picture.getchannel("R"))
    small = np.asarray(picture.reduce(factor), dtype=np.float32)
    across, down = (small[:, 1:] - small[:, :-1]).reshape(-1, 3), (small[1:] - small[:-1]).reshape(-1, 3)
    scatter = across.T @ across + down.T @ down
    axis = cv2.eigen(scatter)[2][0]  # of the largest eigenvalue
    axis *= np.sign(axis.sum() or 1.0) / np.abs(axis).sum()  # so that 0..255 stays a span of at most 255
    if axis @ scatter @ axis <= _MIN_CONTRAST_GAIN**2 * (_LUMA @ scatter @ _LUMA):
        return np.asarray(picture.convert("L"))
    offset = -255 * float(axis[axis < 0].sum())
    return cast(Grey, cv2.transform(np.asarray(picture), np.append(axis, offset)[None]))
