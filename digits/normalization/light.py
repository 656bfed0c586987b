"""Even out the light of a picture: divide it by the brightness of its paper, which is measured between the strokes."""

from dataclasses import dataclass

import cv2
import numpy as np

from digits.features import Floats, Grey
from digits.normalization.paper import LIGHT_SIDE, EvenPaper, even_paper
from digits.normalization.parts import WHOLE, Part
from digits.pictures.downscale import downscale, downscale_factor, fitted_size

_LIGHT_SIDE = 64
"""Longer side of the reduced picture in which the paper's brightness is measured."""

_WIDEST_STROKE = 0.25
"""A mark that is narrower than this share of the longer side does not count as paper."""

_PAPER, _BOARD = 200.0, 30.0
"""The grey value of evened paper under dark ink, and of an evened board under light ink."""

_MIN_CONTRAST = 8.0
"""The least contrast in grey values of evened paper. Below it, blocks of JPEG look like ink."""

_SHADES_SIDE, _NARROW = 128, (7, 7)
"""Longer side of the reduced picture in which shadows of any form are measured. Narrower marks than this are ink."""

_FAINT, _STRONG = 0.15, 0.5
"""Pixels with coverage between these are faint. At the edge of a stroke they are near a strong pixel."""

_BLURRED = 0.35
"""How far the edge of a stroke reaches, in half widths of the widest one."""

_MOST_FAINT = 0.03
"""If more pixels than this share of the strong ones are faint and not near one, the picture has something besides even
paper and ink: a stain, the edge of a shadow, or print."""


@dataclass(frozen=True, slots=True)
class EvenedPaper:
    """Paper that is even after its light was evened out."""

    brightness: Floats
    """(rows, columns): of the paper, in grey values. The whole picture is reduced to this."""
    even: EvenPaper
    """What is left, in the evened picture's grey values."""

    @property
    def is_ink_dark(self) -> bool:
        """Whether the ink is darker than the paper."""
        return self.even.is_ink_dark

    def coverage(self, grey: Grey, part: Part = WHOLE) -> Floats:
        """Return how much of each pixel is ink, float32 (height, width) in [0, 1].

        Args:
            grey: uint8 (height, width), a part of the picture in any number of pixels.
            part: which part it is.
        """
        return self.even.coverage(_evened(grey, self.brightness, part, is_ink_dark=self.is_ink_dark))


def even_light(view: Grey, *light_sides: int) -> EvenedPaper | None:
    """Return the paper of a picture if it is even and has no lines after its light is evened out, else None.

    Args:
        view: uint8 (height, width).
        light_sides: as `side` of `even_paper`, to be tried in this order.
    """
    small = cv2.medianBlur(downscale(view, downscale_factor(view, _LIGHT_SIDE)), 3)
    for is_ink_dark in (True, False):
        brightness = _brightness(small, is_ink_dark=is_ink_dark)
        flat = _evened(view, brightness, is_ink_dark=is_ink_dark)
        is_inked = False
        for side in light_sides or (LIGHT_SIDE,):
            even = even_paper(flat, side)
            if even is None or even.is_ink_dark != is_ink_dark or even.contrast < _MIN_CONTRAST:
                continue
            if even.half_stroke > _WIDEST_STROKE / 2:
                continue
            if _is_all_paper_or_ink(even.coverage(flat), even.half_stroke * max(flat.shape)):
                return EvenedPaper(brightness, even)
            is_inked = True
        if is_inked:  # there is something else, too
            return None
    return None


def without_shadows(picture: Grey) -> Grey:
    """Divide a picture by its brightness around narrow dark marks. Wide strokes become hollow, and light ink is lost.

    Args:
        picture: uint8 (height, width).
    """
    small = cv2.medianBlur(cv2.resize(picture, fitted_size(picture, _SHADES_SIDE), interpolation=cv2.INTER_AREA), 3)
    window = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, _NARROW)
    paper = cv2.blur(cv2.morphologyEx(small, cv2.MORPH_CLOSE, window), (3, 3))
    even: Grey = cv2.divide(picture, cv2.resize(paper, picture.shape[::-1]), scale=_PAPER)
    return even


def _brightness(small: Grey, *, is_ink_dark: bool) -> Floats:
    """Return the brightness of the paper between and under the strokes, float32."""
    size = max(3, int(_WIDEST_STROKE * max(small.shape))) | 1
    paper = cv2.morphologyEx(small, cv2.MORPH_CLOSE if is_ink_dark else cv2.MORPH_OPEN, np.ones((size, size), np.uint8))
    around = (size // 2 | 1, size // 2 | 1)
    smooth: Floats = cv2.blur(cv2.blur(paper, around), around).astype(np.float32)
    return smooth


def _evened(grey: Grey, brightness: Floats, part: Part = WHOLE, *, is_ink_dark: bool) -> Grey:
    rows, columns = brightness.shape
    height, width = grey.shape
    left, top, right, bottom = part
    across, down = (right - left) * columns / width, (bottom - top) * rows / height
    # The middle of a pixel of `grey`, in pixels of `brightness`.
    matrix = np.array([[across, 0, left * columns + across / 2 - 0.5], [0, down, top * rows + down / 2 - 0.5]])
    paper = cv2.warpAffine(
        brightness,
        matrix,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    flat = grey * (_PAPER / np.maximum(paper, 1)) if is_ink_dark else grey - paper + np.float32(_BOARD)
    evened: Grey = np.clip(flat, 0, 255).astype(np.uint8)
    return evened


def _is_all_paper_or_ink(ink: Floats, half_stroke: float) -> bool:
    strong = (ink > _STRONG).view(np.uint8)
    near = 2 * max(1, round(_BLURRED * half_stroke)) + 1
    faint = (ink > _FAINT) & (cv2.dilate(strong, np.ones((near, near), np.uint8)) == 0)
    return bool(np.count_nonzero(faint) <= _MOST_FAINT * np.count_nonzero(strong))
