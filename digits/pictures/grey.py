"""Turn colours and transparency into the grey in which a picture's ink is visible."""

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from digits.features import Grey
from digits.pictures.downscale import downscale, downscale_factor

Pixels = NDArray[np.uint8]

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow's mode L
_MIN_CONTRAST_GAIN = 1.5
"""Another grey replaces luma if its contrast is at least this many times larger."""
_COLOUR_SIDE = 64
"""Longer side in pixels of the reduced picture in which colours are compared."""
_GREY_STEP = 4
"""A picture is grey if every fourth pixel of every fourth row is. A coloured stroke is longer than that."""
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
    if _ink_is_in_alpha(picture):
        return ImageChops.invert(alpha)  # dark ink on white, as on paper; `normalize` inverts it
    paper = Image.new(picture.mode[:-1], picture.size, "white")
    paper.paste(picture.convert(paper.mode), mask=alpha)
    return paper


def _ink_is_in_alpha(picture: Image.Image) -> bool:
    """Return whether all visible pixels of an LA or RGBA picture have one colour, so that alpha shows the drawing."""
    alpha = picture.getchannel("A")
    lowest, highest = _extrema(alpha)
    if lowest == highest:
        return False
    visible = alpha.point([255 * (2 * value > highest) for value in range(256)])
    extrema = [_extrema(channel, visible) for channel in picture.split()[:-1]]
    return all(high - low <= _MAX_INK_DIFFERENCE for low, high in extrema)


def _extrema(channel: Image.Image, mask: Image.Image | None = None) -> tuple[int, int]:
    counts = np.flatnonzero(channel.histogram(mask))
    return int(counts[0]), int(counts[-1])


def without_colour(pixels: Pixels) -> Grey:
    """Convert RGB to luma, or to the grey along the colour axis with the most contrast if luma hardly shows the ink.

    Yellow on white differs by 29 in luma and by 255 in blue. The axis of most contrast is the first principal axis of
    the differences between neighbouring pixels.

    Args:
        pixels: uint8 (height, width, 3), or grey (height, width), which is returned unchanged.
    """
    if pixels.ndim == 2:
        return pixels
    # `downscale` takes least time for powers of two.
    factor = 2 ** (downscale_factor(pixels, _COLOUR_SIDE) - 1).bit_length()
    step = min(factor, _GREY_STEP)
    red, green, blue = np.moveaxis(pixels[::step, ::step], -1, 0)
    if np.array_equal(red, green) and np.array_equal(red, blue):  # like most drawings
        return cast(Grey, cv2.extractChannel(pixels, 0))
    small = downscale(pixels, factor).astype(np.float32)
    across, down = (small[:, 1:] - small[:, :-1]).reshape(-1, 3), (small[1:] - small[:-1]).reshape(-1, 3)
    scatter = across.T @ across + down.T @ down
    axis = cv2.eigen(scatter)[2][0]  # of the largest eigenvalue
    axis *= np.sign(axis.sum() or 1.0) / np.abs(axis).sum()  # so that 0..255 stays a span of at most 255
    if axis @ scatter @ axis <= _MIN_CONTRAST_GAIN**2 * (_LUMA @ scatter @ _LUMA):
        return cast(Grey, cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
    offset = -255 * float(axis[axis < 0].sum())
    return cast(Grey, cv2.transform(pixels, np.append(axis, offset)[None]))
