"""Redraw a digit in MNIST form: with strokes as wide as MNIST's, in the box, and centred on the field."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from digits.features import SIDE, Floats, Grey
from digits.normalization.mnist_form import BOX, MAX_STROKE, MIDDLE, MIN_STROKE
from digits.normalization.parts import LEAST_COVERAGE, extent

_CANVAS_SIDE = 80
"""Longer side of the digit when its stroke width is set: 4 pixels per pixel of the box."""

_MIN_HOLE = 3.0
"""Canvas pixels from the middle of a hole to its edge that stay open when the strokes around it grow."""

_WINDOW = np.ones((_CANVAS_SIDE // 8, _CANVAS_SIDE // 8), dtype=np.uint8)
"""The surroundings of a pixel of the half canvas, in which the darkest stroke is looked for."""


@dataclass(frozen=True, slots=True)
class Redrawn:
    """A digit in MNIST form."""

    pixels: Grey
    """uint8 (28, 28)"""
    change: str
    """"thickened", "thinned" or ""."""


def redraw(digit: Floats) -> Redrawn:
    """Redraw a digit in MNIST form.

    Args:
        digit: (height, width), the digit alone as light ink in [0, 1].
    """
    strokes, change = _set_strokes(digit)
    return Redrawn(_centre_on_field(_fit(strokes)), change)


def _set_strokes(digit: Floats) -> tuple[Floats, str]:
    """Return the digit on the canvas with strokes as wide as MNIST's, and "thickened", "thinned" or ""."""
    scale = _CANVAS_SIDE / max(digit.shape)
    size = [max(1, round(side * scale)) for side in digit.shape[::-1]]
    canvas = cv2.resize(digit, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    canvas = cv2.copyMakeBorder(canvas, 8, 8, 8, 8, cv2.BORDER_CONSTANT)
    half = cv2.resize(canvas, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)  # takes half the time
    nearby = cv2.blur(cv2.dilate(half, _WINDOW), _WINDOW.shape)
    nearby = cv2.resize(nearby, canvas.shape[::-1])
    canvas /= np.clip(nearby, LEAST_COVERAGE, 1)  # faint strokes become as dark as the darkest ones near them
    inside = (canvas > min(0.5, canvas.max() / 2)).view(np.uint8)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_5)
    # Inside a bar w pixels wide, the mean distance to its edge is (w + 2) / 4.
    width = 4 * cv2.mean(distance, inside)[0] - 2
    per_pixel = _CANVAS_SIDE / BOX
    growth = (min(max(width, MIN_STROKE * per_pixel), MAX_STROKE * per_pixel) - width) / 2
    change = "thickened" if growth > 0.5 else "thinned" if growth < -0.5 else ""
    outside = 1 - inside
    if change == "thickened":  # otherwise no stroke reaches further out than the first pixel
        outside = _with_open_holes(outside, growth)
    return np.clip(distance - outside + (0.5 + growth), 0, 1), change


def _with_open_holes(background: NDArray[np.uint8], growth: float) -> Floats:
    """Return each background pixel's distance from the strokes, enlarged in holes that the growth would close."""
    distance: Floats = cv2.distanceTransform(background, cv2.DIST_L2, cv2.DIST_MASK_5)
    count, labels = cv2.connectedComponents(background, connectivity=4)
    for label in range(1, count):
        if label != labels[0, 0]:
            hole = labels == label
            distance[hole] += max(0.0, growth + _MIN_HOLE - float(distance[hole].max()))
    return distance


def _fit(digit: Floats) -> Floats:
    """Resize the digit to the box, or smaller if centring its centre of mass would push it out of the 28x28 field."""
    digit = digit[extent(digit > 0)]
    reach = [max(centre + 0.5, side - centre - 0.5) for centre, side in zip(_centre(digit), digit.shape, strict=True)]
    scale = min(BOX / max(digit.shape), (MIDDLE - 0.5) / max(reach))
    size = [max(1, round(side * scale)) for side in digit.shape[::-1]]
    fitted: Floats = cv2.resize(digit, size, interpolation=cv2.INTER_AREA)
    return fitted


def _centre_on_field(digit: Floats) -> Grey:
    """Place the digit on a 28x28 field with its centre of mass in the middle, to whole pixels as LeCun did."""
    field = np.zeros((SIDE, SIDE), dtype=np.uint8)
    top, left = (
        min(max(math.floor(MIDDLE + 0.5 - centre), 0), SIDE - side)
        for centre, side in zip(_centre(digit), digit.shape, strict=True)
    )
    field[top : top + digit.shape[0], left : left + digit.shape[1]] = np.rint(255 * digit / digit.max())
    return field


def _centre(picture: Floats) -> tuple[float, float]:
    """Return the row and column of the centre of mass."""
    by_row, by_column = (cv2.reduce(picture, axis, cv2.REDUCE_SUM).ravel() for axis in (1, 0))
    total = float(by_row.sum())
    return float(by_row @ np.arange(len(by_row))) / total, float(by_column @ np.arange(len(by_column))) / total
