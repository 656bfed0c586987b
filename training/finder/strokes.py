"""Turn digits into fields of distances to the middle of their strokes, which a pen of any width can follow."""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from digits.features import Floats, Grey

FIELD = 128
"""Side of a field in pixels. Its digit is at most half as high and wide, and in the middle."""

_FINE = 4
"""Pixels per pixel of a 28x28 picture in which a middle line is looked for."""

_SMOOTH = 1.5
"""Standard deviation in these pixels by which the middle line's stairs are smoothed."""

_STRAIGHT = 200
"""Number of different digits of straight strokes."""

MIN_LENGTH = 10
"""A middle line of fewer pixels is the dot of a bold blot."""


@cache
def straight_fields() -> Floats:
    """Return the same fields each time: of 1s, 7s and 4s of straight strokes, which look like lines of paper."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:FIELD, :FIELD].astype(np.float32) / (FIELD / 2) - 1
    fields = np.full((_STRAIGHT, FIELD, FIELD), np.inf, np.float32)
    for field in fields:
        wide, foot, low = rng.uniform((0.15, -0.2, 0.05), (0.4, 0.2, 0.25))
        strokes = (
            [(0, -0.5, 0, 0.5)],
            [(-wide, -0.5, wide, -0.5), (wide, -0.5, foot, 0.5)],
            [(foot, -0.5, -wide, low), (-wide, low, wide, low), (0, 0, 0, 0.5)],
        )[rng.choice(3, p=(0.6, 0.25, 0.15))]
        for x0, y0, x1, y1 in strokes:
            np.minimum(field, distance_to([(x0, y0), (x1, y1)], x, y), out=field)
    return fields


def distance_to(points: Sequence[tuple[float, float]], x: Floats, y: Floats) -> Floats:
    """Return the distance of each pixel, whose coordinates are `x` and `y`, to a line through points."""
    nearest = np.full_like(x, np.inf)
    for (x0, y0), (x1, y1) in pairwise(points):
        dx, dy = x1 - x0, y1 - y0
        along = np.clip(((x - x0) * dx + (y - y0) * dy) / max(dx * dx + dy * dy, 1e-6), 0, 1)
        np.minimum(nearest, np.hypot(x - x0 - along * dx, y - y0 - along * dy), out=nearest)
    return nearest


def stretched(images: Grey) -> list[Grey]:
    """Return digits whose lower or upper half is 1.3 to 2.2 times as high, so that stems are long and straight.

    The changes are the same each time. `images` are uint8 (N, 28, 28) in MNIST form. A digit is uint8 (side, side), and
    has a side of its own.
    """
    rng = np.random.default_rng(0)
    pictures = []
    for image in images:
        is_lower = rng.random() < 0.7
        digit = image if is_lower else image[::-1]
        rows = np.flatnonzero(digit.any(axis=1))
        split = int(rows[0] + rng.uniform(0.4, 0.6) * np.ptp(rows))
        size = image.shape[1], int((len(digit) - split) * rng.uniform(1.3, 2.2))
        tall = np.concatenate([digit[:split], cv2.resize(digit[split:], size, interpolation=cv2.INTER_CUBIC)])
        beside = len(tall) - image.shape[1]
        square = np.pad(tall, ((0, 0), (beside // 2, beside - beside // 2)))
        pictures.append(square if is_lower else np.ascontiguousarray(square[::-1]))
    return pictures


def middle_line(image: Grey) -> Grey:
    """Return the middle line of a digit, uint8 (112, 112), 0 or 1."""
    side = _FINE * len(image)
    fine = cv2.GaussianBlur(cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC), (0, 0), _FINE / 4)
    return skeleton(fine > 110)


def skeleton(shape: NDArray[np.bool_]) -> Grey:
    """Return the middle line of a shape, uint8, 0 or 1, after Zhang and Suen (1984)."""
    height, width = shape.shape
    line = np.pad(shape.view(np.uint8), 1)
    size = -1
    while size != (size := int(line.sum())):
        for corner in (0, 1):
            clockwise = [line[1 + dy : height + 1 + dy, 1 + dx : width + 1 + dx] for dx, dy in _CLOCKWISE]
            inked = sum(clockwise[:8])
            gaps = sum(before < after for before, after in pairwise(clockwise))
            north, east, south, west = clockwise[0:8:2]
            open_sides = (north & west & (east | south)) == 0 if corner else (east & south & (north | west)) == 0
            line[1:-1, 1:-1][(inked >= 2) & (inked <= 6) & (gaps == 1) & open_sides] = 0
    return line[1:-1, 1:-1]


_CLOCKWISE = [(0, -1), (1, -1), (1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1)]
"""The neighbours of a pixel (x, y), from above and once around."""


def distances_to_edge(image: Grey, inside: float) -> NDArray[np.float16]:
    """Return how far each pixel is from a line that is `inside` of the edge of a digit's ink, float16 (FIELD, FIELD).

    A pen twice as wide as `inside` draws the ink again. Within the line, the distance is 0. All lengths are shares of
    the digit's longer side. `image` is uint8 (28, 28).
    """
    left, top, width, height = cv2.boundingRect((image > 0).astype(np.uint8))
    scale = FIELD / 2 / max(width, height, 1)
    shift = FIELD / 2 - scale * np.array([left + (width - 1) / 2, top + (height - 1) / 2])
    large = cv2.warpAffine(image, np.column_stack([np.eye(2) * scale, shift]), (FIELD, FIELD), flags=cv2.INTER_CUBIC)
    ink = (large > 127).astype(np.uint8)
    out, within = (cv2.distanceTransform(each, cv2.DIST_L2, cv2.DIST_MASK_5) for each in (1 - ink, ink))
    field: NDArray[np.float16] = np.maximum((out - within) / (FIELD / 2) + inside, 0).astype(np.float16)
    return field


def distances(line: Grey) -> Floats:
    """Return the distance of each pixel to a middle line, as a share of the digit's height, float32 (FIELD, FIELD)."""
    left, top, width, height = cv2.boundingRect(line)
    blurred = cv2.GaussianBlur(
        cv2.distanceTransform(1 - np.pad(line, 40), cv2.DIST_L2, cv2.DIST_MASK_5), (0, 0), _SMOOTH
    )
    # The mean of |x| near 0 is 0.8 standard deviations. This takes it away again.
    distance = np.sqrt(np.maximum(blurred**2 - (0.8 * _SMOOTH) ** 2, 0))
    size = max(height, width, 1)
    scale = FIELD / 2 / size
    shift = FIELD / 2 - scale * (np.array([left + width / 2, top + height / 2]) + 40)
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    field: Floats = cv2.warpAffine(distance, matrix, (FIELD, FIELD), borderMode=cv2.BORDER_REPLICATE) / size
    return field
