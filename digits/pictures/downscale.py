"""Make pictures smaller by a whole number: each new pixel is the mean of a square. And tell the size that fits."""

from typing import Any

import cv2
from numpy.typing import NDArray


def fitted_size(picture: NDArray[Any], side: int) -> tuple[int, int]:
    """Return width and height of a picture, (height, width), that is resized to a longer side of `side`."""
    height, width = (max(1, round(length * side / max(picture.shape))) for length in picture.shape)
    return width, height


def downscale_factor(picture: NDArray[Any], side: int) -> int:
    """Return the whole number by which to downscale a picture so that its longer side is at most `side`."""
    return int(-(-max(picture.shape[:2]) // side))


def halving_factor(picture: NDArray[Any], side: int) -> int:
    """Return a power of two that is at least `downscale_factor`. Downscaling by it takes least time."""
    return 1 << (downscale_factor(picture, side) - 1).bit_length()


def downscale(picture: NDArray[Any], factor: int) -> NDArray[Any]:
    """Downscale a picture, (height, width) or (height, width, channels), to the means of factor x factor pixels."""
    height, width = (-(-side // factor) * factor for side in picture.shape[:2])
    if (height, width) != picture.shape[:2]:
        missing = height - picture.shape[0], width - picture.shape[1]
        picture = cv2.copyMakeBorder(picture, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE)
    while factor % 2 == 0:  # OpenCV halves a picture ten times as fast as it reduces it by other factors
        height, width, factor = height // 2, width // 2, factor // 2
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    reduced: NDArray[Any] = cv2.resize(picture, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
    return reduced
