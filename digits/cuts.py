"""Propose where a part of a page may be cut into digits that touch: along seams that cross little ink.

A seam runs from the top of the part to its bottom and moves at most one pixel sideways per row. Dynamic programming
finds the cheapest seam near each column.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from digits.features import Floats
from digits.page import Ints, Mask, Page

_ROWS = 32
"""Height in pixels to which a part is scaled before it is cut."""

_REACH = 8
"""How far a seam may be from its column, in these pixels."""

_MIN_APART = 3.5
"""Mean distance in these pixels below which two seams are the same."""

_MIN_APART_ACROSS = 8.0
"""The same for a seam that crosses more than one stroke, such as those through the hole of a 0."""

_MOST_STROKES = 2.3
"""A seam that crosses more ink than this, in widths of a stroke, is not proposed."""

_MOST_SEAMS = 20_000
"""Number of columns from which on further parts stay whole. They take 2 s."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A seam through a part."""

    columns: Ints
    """(height,): the first column right of the seam, in each row of the part's box."""
    strokes: float
    """How much ink it crosses, in widths of a stroke."""


def propose_cuts(page: Page) -> dict[int, list[Cut]]:
    """Return the cuts of each part that may have several digits, from left to right, by the part's index."""
    cuts: dict[int, list[Cut]] = {}
    seams = 0
    for part, (left, top, width, height) in enumerate(page.boxes.tolist()):
        if width < 0.5 * height or height < 0.5 * page.digit_height or seams > _MOST_SEAMS:
            continue
        mask = page.labels[top : top + height, left : left + width] == page.numbers[part]
        scaled_width = max(4, round(width * _ROWS / height))
        seams += scaled_width // 2
        cuts[part] = _part_cuts(mask, scaled_width, max(1.5, page.stroke * _ROWS / height))
    return cuts


def _part_cuts(mask: Mask, width: int, stroke: float) -> list[Cut]:
    """Return the cuts of one part. `width` and `stroke` are in pixels of the scaled part."""
    centres = np.arange(5, width - 5, 2)
    if not len(centres):
        return []
    scaled = cv2.resize(mask.view(np.uint8).astype(np.float32), (width, _ROWS), interpolation=cv2.INTER_AREA)
    padded = cv2.copyMakeBorder(scaled, 0, 0, _REACH, _REACH, cv2.BORDER_CONSTANT)
    bands = np.lib.stride_tricks.sliding_window_view(padded, 2 * _REACH + 1, axis=1)[:, centres]
    seams, costs = _cheapest_seams(bands)
    ink = np.take_along_axis(bands, seams[:, :, None], axis=2)[:, :, 0].sum(axis=0) / stroke
    columns = seams - _REACH + centres
    chosen: list[int] = []
    most = 2 + 4 * width // _ROWS
    for index in costs.argsort().tolist():
        if ink[index] > _MOST_STROKES or len(chosen) == most:
            break
        apart = _MIN_APART if ink[index] < 1.4 else _MIN_APART_ACROSS
        if all(np.abs(columns[:, index] - columns[:, other]).mean() > apart for other in chosen):
            chosen.append(index)
    chosen.sort(key=lambda index: float(columns[:, index].mean()))
    height = len(mask)
    rows = np.arange(height) * _ROWS // height
    scale = mask.shape[1] / width
    return [
        Cut(np.rint(columns[rows, index] * scale).astype(np.int64), max(0.1, float(ink[index]))) for index in chosen
    ]


def _cheapest_seams(bands: Floats) -> tuple[Ints, Floats]:
    """Return the cheapest seam of each band, (rows, bands), and its cost.

    Args:
        bands: (rows, bands, columns): the ink around each column.
    """
    rows, count, columns = bands.shape
    aside = (np.abs(np.arange(columns) - columns // 2) * 0.01).astype(np.float32)
    total = bands[0] + aside
    steps = np.zeros((rows, count, columns), dtype=np.int8)
    options = np.full((3, count, columns), np.inf, dtype=np.float32)
    for row in range(1, rows):
        options[0, :, 1:] = total[:, :-1] + 0.02
        options[1] = total
        options[2, :, :-1] = total[:, 1:] + 0.02
        steps[row] = options.argmin(axis=0) - 1
        total = options.min(axis=0) + bands[row] + aside
    each = np.arange(count)
    at = total.argmin(axis=1)
    costs: Floats = total[each, at]
    seams = np.empty((rows, count), dtype=np.int64)
    for row in range(rows - 1, -1, -1):
        seams[row] = at
        at = at + steps[row, each, at]
    return seams, costs
