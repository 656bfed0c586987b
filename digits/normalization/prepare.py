"""The old names of what `digits.picture` does."""

from importlib import import_module
from typing import Any

from digits.normalization.mnist_form import Mode, Preparation
from digits.normalization.normalize import Normalized

_door: Any = import_module("digits.picture")  # which is above this folder


def prepare_picture(picture: Any, preparation: Preparation) -> Normalized:
    """Call `Picture.prepare`."""
    prepared: Normalized = picture.prepare(preparation)
    return prepared


def normalize_picture(picture: Any, mode: Mode = "auto") -> Normalized:
    """Call `Picture.prepare`."""
    return prepare_picture(picture, mode)


def prepare_pixels(pixels: Any, preparation: Preparation) -> Normalized:
    """Call `digits.picture.prepare_pixels`."""
    prepared: Normalized = _door.prepare_pixels(pixels, preparation)
    return prepared
