"""Decide whether a picture shows even paper, as drawings and scans do, whose ink needs no network to be seen."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from digits.features import Floats, Grey
from digits.normalization.mnist_form import BOX
from digits.normalization.parts import SOLID, WHOLE, Mask, Part, find_parts, has_lines
from digits.pictures.downscale import downscale, downscale_factor

VIEW_SIDE = 128
"""Longer side of the reduced picture in which digits are located. The stroke of a large one is about 12 pixels wide."""

LIGHT_SIDE = 40
"""Longer side of the reduced picture in which the light is measured. Strokes that are thinner than its pixels look like
uneven paper."""

MIN_CONTRAST = 4.0
"""Grey values. A difference below this is not ink."""

EVENED_PAPER, _EVENED_BOARD = 200.0, 30.0
"""The grey value of evened paper under dark ink, and of an evened board under light ink."""

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
    """Paper in even light, or in uneven light that was evened out."""

    paper: float
    """Its grey value."""
    contrast: float
    """The difference between the paper's median grey value and the ink's mean."""
    is_ink_dark: bool
    half_stroke: float
    """Half the width of its widest stroke, as a share of the picture's longer side."""
    is_solid: bool
    """Whether its largest part fills its convex hull, as a sheet of paper does."""
    ink: Floats
    """(height, width), float32 in [0, 1]: how much of each pixel of the picture is ink."""
    brightness: Floats | None = None
    """(rows, columns), in grey values: of the uneven paper, in the whole picture. None if the light was even."""

    def coverage(self, grey: Grey, part: Part = WHOLE) -> Floats:
        """Return how much of each pixel of another view is ink, float32 (height, width) in [0, 1].

        Args:
            grey: uint8 (height, width), a part of the picture in any number of pixels.
            part: which part it is.
        """
        if self.brightness is not None:
            grey = evened(grey, self.brightness, part, is_ink_dark=self.is_ink_dark)
        return _coverage(grey, self.paper, self.contrast, is_ink_dark=self.is_ink_dark)


def _coverage(grey: Grey, paper: float, contrast: float, *, is_ink_dark: bool) -> Floats:
    picture = grey.astype(np.float32)
    ink = paper - picture if is_ink_dark else picture - paper
    strong = np.sort(ink[ink > contrast / 2])
    full = float(strong[len(strong) * _FULL // 100]) if len(strong) else contrast
    coverage: Floats = np.clip(ink / full, 0, 1)
    return coverage


def evened(grey: Grey, brightness: Floats, part: Part = WHOLE, *, is_ink_dark: bool) -> Grey:
    """Return a part of a picture on even paper. The brightness is that of the whole picture's paper."""
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
    flat = grey * (EVENED_PAPER / np.maximum(paper, 1)) if is_ink_dark else grey - paper + np.float32(_EVENED_BOARD)
    even: Grey = np.clip(flat, 0, 255).astype(np.uint8)
    return even


def even_paper(picture: Grey) -> EvenPaper | None:
    """Return the paper of a picture if it is evenly lit and has no lines and frames, else None.

    It also finds the paper of digits that were cut to their ink, of which no background is left around the strokes.

    Args:
        picture: uint8 (height, width). If it is smaller than a digit in MNIST, its paper counts as even, because the
            ink map needs more.
    """
    small = downscale(picture, downscale_factor(picture, LIGHT_SIDE)).astype(np.float32)
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
    contrast, half_stroke = abs(cv2.mean(small, ink)[0] - grey), half_strokes[is_ink_dark]
    is_even = bool(greys[-1 - few] - greys[few] <= _MAX_PAPER_RANGE * contrast)
    if light_rim not in (0, 1):  # ink or a shadow reaches the edge
        is_narrow = 2 * half_stroke <= WIDEST_STROKE or max(picture.shape) < SMALL_SIDE
        is_even = is_even and is_narrow and not _fills_one_side(ink)
    is_tiny = max(picture.shape) < BOX
    if not (is_even or is_tiny):
        return None
    covered = _coverage(picture, grey, contrast, is_ink_dark=is_ink_dark)
    if not is_tiny and has_lines(find_parts(covered)):
        return None
    return EvenPaper(grey, contrast, is_ink_dark, half_stroke, _is_solid(ink), covered)


def _is_solid(side: NDArray[np.uint8]) -> bool:
    """Return whether the largest part of the pixels that are 1 fills its convex hull."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(side)
    largest = 1 + statistics[1:, cv2.CC_STAT_AREA].argmax()
    hull = cv2.convexHull(cv2.findNonZero((labels == largest).view(np.uint8)))
    size = cv2.countNonZero(cv2.fillConvexPoly(np.zeros_like(side), hull, 1))
    return bool(statistics[largest, cv2.CC_STAT_AREA] > SOLID * size)


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
    return bool(picture[kept & (ink > 0.5)].mean() < (picture[around].mean() if around.any() else 128))
