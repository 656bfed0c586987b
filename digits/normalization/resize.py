"""Fit a picture into 28x28 without changing its polarity, for models that are trained on such pictures."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from digits.features import SIDE
from digits.normalization.normalize import Normalized
from digits.pictures.downscale import fitted_size


def resize(picture: NDArray[Any]) -> Normalized:
    """Fit a picture into 28x28 with its aspect ratio, in the middle. Light stays light, and dark stays dark.

    The rest of the field gets the median of the picture's outermost pixels. A picture of 28x28 stays as it is.

    Args:
        picture: (height, width), uint8 or floats in [0, 1].
    """
    if picture.shape == (SIDE, SIDE):
        return Normalized(picture, ())
    width, height = fitted_size(picture, SIDE)
    method = cv2.INTER_AREA if max(picture.shape) > SIDE else cv2.INTER_LINEAR
    fitted = cv2.resize(picture, (width, height), interpolation=method)
    rim = np.concatenate([fitted[0], fitted[-1], fitted[:, 0], fitted[:, -1]])
    field = np.full((SIDE, SIDE), np.median(rim), dtype=picture.dtype)
    top, left = (SIDE - height) // 2, (SIDE - width) // 2
    field[top : top + height, left : left + width] = fitted
    return Normalized(field, ("resized",))
