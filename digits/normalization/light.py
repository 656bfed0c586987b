"""Even out the light of a picture: divide it by the brightness of its paper, which is measured between the strokes."""

from dataclasses import replace

import cv2
import numpy as np

from digits.features import Floats, Grey
from digits.normalization.paper import EVENED_PAPER, LIGHT_SIDE, VIEW_SIDE, WIDEST_STROKE, EvenPaper, even_paper, evened
from digits.normalization.parts import COVERED, LEAST_COVERAGE
from digits.pictures.downscale import downscale, downscale_factor, fitted_size

_NARROW = 7
"""Where shadows of any form are measured, marks that are narrower than this are ink."""

_BLURRED = 0.35
"""How far the edge of a stroke reaches, in half widths of the widest one."""

_MOST_FAINT = 0.03
"""Faint pixels are less than clearly ink. At the edge of a stroke they are near a strong pixel. If the others are more
than this share of the strong ones, the picture has something besides even paper and ink: a stain, the edge of a shadow,
or print."""


def even_light(view: Grey) -> EvenPaper | None:
    """Return the paper of a picture if it is even and has no lines after its light is evened out, else None.

    Args:
        view: uint8 (height, width).
    """
    small = cv2.medianBlur(downscale(view, downscale_factor(view, LIGHT_SIDE)), 3)
    for is_ink_dark in (True, False):
        brightness = _brightness(small, is_ink_dark=is_ink_dark)
        flat = evened(view, brightness, is_ink_dark=is_ink_dark)
        even = even_paper(flat)
        if even is not None and even.is_ink_dark == is_ink_dark:
            is_sufficient = _is_all_paper_or_ink(even.ink, even.half_stroke * max(flat.shape))
            return replace(even, brightness=brightness) if is_sufficient else None
    return None


def without_shadows(picture: Grey) -> Grey:
    """Divide a picture by its brightness around narrow dark marks. Wide strokes become hollow, and light ink is lost.

    Args:
        picture: uint8 (height, width).
    """
    small = cv2.medianBlur(cv2.resize(picture, fitted_size(picture, VIEW_SIDE), interpolation=cv2.INTER_AREA), 3)
    window = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_NARROW, _NARROW))
    paper = cv2.blur(cv2.morphologyEx(small, cv2.MORPH_CLOSE, window), (3, 3))
    even: Grey = cv2.divide(picture, cv2.resize(paper, picture.shape[::-1]), scale=EVENED_PAPER)
    return even


def _brightness(small: Grey, *, is_ink_dark: bool) -> Floats:
    """Return the brightness of the paper between and under the strokes, float32."""
    size = max(3, int(WIDEST_STROKE * max(small.shape))) | 1
    paper = cv2.morphologyEx(small, cv2.MORPH_CLOSE if is_ink_dark else cv2.MORPH_OPEN, np.ones((size, size), np.uint8))
    around = (size // 2 | 1, size // 2 | 1)
    smooth: Floats = cv2.blur(cv2.blur(paper, around), around).astype(np.float32)
    return smooth


def _is_all_paper_or_ink(ink: Floats, half_stroke: float) -> bool:
    strong = (ink > COVERED).view(np.uint8)
    near = 2 * max(1, round(_BLURRED * half_stroke)) + 1
    faint = (ink > LEAST_COVERAGE) & (cv2.dilate(strong, np.ones((near, near), np.uint8)) == 0)
    return bool(np.count_nonzero(faint) <= _MOST_FAINT * np.count_nonzero(strong))
