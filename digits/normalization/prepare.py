"""Prepare a picture for the network in the way that a model's manifest names: normalize it, or only resize it."""

from contextlib import closing
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digits.features import SIDE
from digits.normalization.mnist_form import Mode, Preparation
from digits.normalization.normalize import Normalized, normalize, normalize_large_digit
from digits.pictures.decode import PREVIEW_SIDE, large_jpeg, open_picture, to_grey


def prepare_picture(picture: Image.Image, preparation: Preparation) -> Normalized:
    """Decode a picture and prepare it.

    Args:
        picture: from `open_picture`.
        preparation: from `Classifier.preparation`.

    Raises:
        InvalidImage, NoInk, WrongSize.
    """
    return resize(to_grey(picture)) if preparation == "resize" else normalize_picture(picture, preparation)


def prepare_pixels(picture: NDArray[Any], preparation: Preparation) -> Normalized:
    """Prepare grey pixels, (height, width), uint8 or floats in [0, 1]. Raises NoInk and WrongSize."""
    return resize(picture) if preparation == "resize" else normalize(picture, preparation)


def resize(picture: NDArray[Any]) -> Normalized:
    """Fit a picture into 28x28 with its aspect ratio, in the middle. Light stays light, and dark stays dark.

    The rest of the field gets the median of the picture's outermost pixels. A picture of 28x28 stays as it is.

    Args:
        picture: (height, width), uint8 or floats in [0, 1].
    """
    if picture.shape == (SIDE, SIDE):
        return Normalized(picture, ())
    longer = max(picture.shape)
    height, width = (max(1, round(side * SIDE / longer)) for side in picture.shape)
    method = cv2.INTER_AREA if longer > SIDE else cv2.INTER_LINEAR
    fitted = cv2.resize(picture, (width, height), interpolation=method)
    rim = np.concatenate([fitted[0], fitted[-1], fitted[:, 0], fitted[:, -1]])
    field = np.full((SIDE, SIDE), np.median(rim), dtype=picture.dtype)
    top, left = (SIDE - height) // 2, (SIDE - width) // 2
    field[top : top + height, left : left + width] = fitted
    return Normalized(field, ("resized",))


def normalize_picture(picture: Image.Image, mode: Mode = "auto") -> Normalized:
    """Decode a picture and bring it to MNIST form.

    A large JPEG is first decoded at a fraction of its size, which takes half the time of decoding it for `normalize`.
    If its digit is small, or no ink is visible, the picture is decoded again.

    Args:
        picture: from `open_picture`.
        mode: as for `normalize`.

    Raises:
        InvalidImage, NoInk, WrongSize.
    """
    data = None if mode == "never" else large_jpeg(picture)
    if data is None:
        return normalize(to_grey(picture), mode)
    pixels = picture.width * picture.height
    normalized = normalize_large_digit(to_grey(picture, min_jpeg_side=PREVIEW_SIDE))
    if normalized is not None:
        return normalized
    with closing(open_picture(data, max_pixels=pixels)) as again:
        return normalize(to_grey(again), mode)
