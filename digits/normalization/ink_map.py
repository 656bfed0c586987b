"""Find where a pen was: the finder's estimate of how much of each pixel is ink, on any paper and in any light."""

import cv2
import numpy as np

from digits.features import Floats, Grey
from digits.finder import network
from digits.normalization.paper import VIEW_SIDE
from digits.normalization.parts import COVERED

REDUCED_SIDE = VIEW_SIDE
"""Longer side in pixels of the ink that replies show."""

_FAINT = 0.4
"""A mark with less contrast than this share of the strongest ink's is not the pen's."""


def coverage(grey: Grey) -> Floats:
    """Return how much of each pixel the pen has covered, float32 (height, width) in [0, 1].

    Args:
        grey: uint8 (height, width). 0 is black. Digits are best 12 to 120 pixels high.
    """
    return by_contrast(grey, network.shipped().written(grey))


def reduced(ink: Floats) -> Grey:
    """Return ink as grey values for people to look at, uint8, at most REDUCED_SIDE pixels along the longer side."""
    height, width = ink.shape
    scale = min(1, REDUCED_SIDE / max(ink.shape))
    size = [max(1, round(length * scale)) for length in (width, height)]
    grey: Grey = np.rint(255 * cv2.resize(ink, size, interpolation=cv2.INTER_AREA)).astype(np.uint8)
    return grey


def by_contrast(grey: Grey, ink: Floats) -> Floats:
    """Return how much of each pixel is ink by its contrast with the paper around it, where the network saw ink.

    The network knows best where ink is, and the picture how much. Ink with less than _FAINT of the contrast of strong
    ink is left out: it shines through the paper, or is printed.
    """
    dark = ink > COVERED
    if not dark.any():
        return ink
    picture, bare, side = grey.astype(np.float32), (ink < 0.1).astype(np.float32), max(ink.shape) // 12 | 1
    paper = cv2.blur(picture * bare, (side, side)) + 0.01 * picture.mean()
    paper /= cv2.blur(bare, (side, side)) + 0.01
    contrast = np.log((picture + 16) / (paper + 16))  # in a shadow, ink and paper differ by less
    if contrast[dark].mean() < 0:
        contrast = -contrast
    strengths = np.sort(np.abs(contrast[dark]))
    typical, strong = (strengths[len(strengths) * share // 100] for share in (60, 80))
    near = cv2.dilate(np.abs(contrast), np.ones((3, 3), np.uint8))
    kept = ink * (near > _FAINT * strong)
    full = (kept > 0.7).astype(np.float32)
    whole = cv2.blur(np.maximum(contrast, 0) * full, (side, side)) + 1e-4 * typical
    whole /= cv2.blur(full, (side, side)) + 1e-4
    seen = cv2.dilate((kept > 0.3).view(np.uint8), np.ones((3, 3), np.uint8))
    covered: Floats = (np.clip(contrast / np.maximum(whole, 1e-3), 0, 1) * seen).astype(np.float32)
    return covered
