"""Decide whether a picture shows even paper, as drawings and scans do, whose ink needs no network to be seen."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from digits.features import Floats, Grey
from digits.normalization.mnist_form import BOX
from digits.normalization.parts import SOLID, Mask
from digits.pictures.downscale import downscale, downscale_factor

VIEW_SIDE = 128
"""Longer side of the reduced picture in which digits are located. The stroke of a large one is about 12 pixels wide."""

_LIGHT_SIDE = 40
"""Longer side of the reduced picture in which the light is measured. Strokes that are thinner than its pixels look like
uneven paper."""

MIN_CONTRAST = 4.0
"""Grey values. A difference below this is not ink."""

_FULL = 60
"""The percentile of the ink's grey values that is full ink."""

_MAX_PAPER_RANGE = 0.15
"""Paper is even if its grey values, without 5 % at both ends, differ by less than this share of the contrast."""

WIDEST_STROKE = 0.25
"""As a share of the longer side. What is wider is paper or a shadow, but in a small picture."""

SMALL_SIDE = 96
"""Pictures with fewer pixels along their longer side may be cut to a bold digit, and show no sheet on a table."""


@dataclass(frozen=True, slots=True)
class EvenPaper:
    """Paper in even light."""

    paper: float
    """Its grey value."""
    contrast: float
    """The difference between the paper's median grey value and the ink's mean."""
    is_ink_dark: bool
    ink: Floats
    """(height, width), float32 in [0, 1]: how much of each pixel of the picture is ink."""

    def coverage(self, grey: Grey) -> Floats:
        """Return how much of each pixel of another view, uint8 (height, width), is ink, float32 in [0, 1]."""
        return _coverage(grey, self.paper, self.contrast, is_ink_dark=self.is_ink_dark)


def _coverage(grey: Grey, paper: float, contrast: float, *, is_ink_dark: bool) -> Floats:
    picture = grey.astype(np.float32)
    ink = paper - picture if is_ink_dark else picture - paper
    strong = np.sort(ink[ink > contrast / 2])
    full = float(strong[len(strong) * _FULL // 100]) if len(strong) else contrast
    coverage: Floats = np.clip(ink / full, 0, 1)
    return coverage


def even_paper(picture: Grey) -> EvenPaper | None:
    """Return the paper of a picture if it is evenly lit and shows no sheet, else None.

    It also finds the paper of digits that were cut to their ink, of which no background is left around the strokes.

    Args:
        picture: uint8 (height, width). If it is smaller than a digit in MNIST, its paper counts as even, because the
            ink map needs more.
    """
    small = downscale(picture, downscale_factor(picture, _LIGHT_SIDE)).astype(np.float32)
    if not np.ptp(small):
        return None
    light = _light_side(small)
    light_rim = _on_rim(light)
    half_strokes, scores = zip(_measure(light, light_rim), _measure(1 - light, 1 - light_rim), strict=True)
    is_ink_dark = scores[1] < scores[0]
    ink, paper = (1 - light, light) if is_ink_dark else (light, 1 - light)
    eroded = cv2.erode(paper, None)  # without the edges of strokes
    greys = np.sort(small[(eroded if cv2.countNonZero(eroded) > 8 else paper).view(bool)])
    few = len(greys) // 20
    grey = float(greys[len(greys) // 2])
    contrast = abs(cv2.mean(small, ink)[0] - grey)
    is_even = bool(greys[-1 - few] - greys[few] <= _MAX_PAPER_RANGE * contrast)
    is_small = max(picture.shape) < SMALL_SIDE
    if light_rim not in (0, 1):  # ink or a shadow reaches the edge
        is_narrow = 2 * half_strokes[is_ink_dark] <= WIDEST_STROKE or is_small
        is_even = is_even and is_narrow and not _fills_one_side(ink)
    is_tiny = max(picture.shape) < BOX
    if not (is_even or is_tiny):
        return None
    if not is_small and _is_sheet(ink, small, grey, contrast):
        return None
    covered = _coverage(picture, grey, contrast, is_ink_dark=is_ink_dark)
    return EvenPaper(grey, contrast, is_ink_dark, covered)


def _is_sheet(side: NDArray[np.uint8], small: Floats, around: float, contrast: float) -> bool:
    """Return whether the largest part of the pixels that are 1 fills its convex hull and something is on it, as on a
    sheet of paper. `around` is the grey value around it: a hole shows the same.
    """
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(side)
    largest = 1 + statistics[1:, cv2.CC_STAT_AREA].argmax()
    hull = cv2.convexHull(cv2.findNonZero((labels == largest).view(np.uint8)))
    whole = cv2.fillConvexPoly(np.zeros_like(side), hull, 1)
    inside = small[cv2.erode(whole, np.ones((3, 3), np.uint8)).view(bool)]
    is_solid = statistics[largest, cv2.CC_STAT_AREA] > SOLID * cv2.countNonZero(whole)
    if not (is_solid and len(inside)):
        return False
    least = _MAX_PAPER_RANGE * contrast
    on_it = inside[abs(inside - np.median(inside)) > least]
    return len(on_it) > 0 and bool(abs(np.median(on_it) - around) > least)


def _on_rim(side: NDArray[np.uint8]) -> float:
    """Return the share of the outermost pixels that are 1."""
    inner = side[1:-1, 1:-1]
    return (int(side.sum()) - int(inner.sum())) / (side.size - inner.size)


def _fills_one_side(ink: NDArray[np.uint8]) -> bool:
    """Return whether ink fills one side of the picture and does not reach the opposite one, as a shadow does."""
    top, bottom, left, right = (float(edge.mean()) for edge in (ink[0], ink[-1], ink[:, 0], ink[:, -1]))
    return any(
        filled > 0.9 and not other for filled, other in ((top, bottom), (bottom, top), (left, right), (right, left))
    )


def _light_side(small: Floats) -> NDArray[np.uint8]:
    """Return 1 for the pixels above Otsu's threshold (1979), else 0."""
    levels = cv2.normalize(small, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
    light: NDArray[np.uint8] = cv2.threshold(levels, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1]
    return light


def _measure(side: NDArray[np.uint8], rim: float) -> tuple[float, float]:
    """Measure the pixels that are 1. `rim` is their share of the outermost pixels.

    Returns:
        Half the width of the widest place, as a share of the longer side of the picture, and a score. The side with the
        smaller score is ink: it is narrow, takes little of the rim, and is in one piece.
    """
    bordered = cv2.copyMakeBorder(side, 1, 1, 1, 1, cv2.BORDER_REPLICATE)  # a stroke at the edge goes on outside
    depth = float(cv2.distanceTransform(bordered, cv2.DIST_L2, cv2.DIST_MASK_5).max()) / max(side.shape)
    areas = cv2.connectedComponentsWithStats(side)[2][1:, cv2.CC_STAT_AREA]
    return depth, depth + rim / 4 - 0.15 * int(areas.max()) / int(areas.sum())


def is_darker(picture: Grey, ink: Floats, kept: Mask) -> bool:
    """Return whether the ink of some pixels is darker than the paper around them.

    Args:
        picture: uint8 (height, width).
        ink: (height, width), how much of each pixel is ink.
        kept: (height, width), the pixels.
    """
    around = cv2.dilate(kept.view(np.uint8), np.ones((9, 9), np.uint8)).view(bool) & (ink < 0.1)
    strong = kept & (ink >= ink[kept].max(initial=0) / 2)
    return bool(picture[strong].mean() < (picture[around].mean() if around.any() else 128))
