"""Propose where a part of a sheet may be cut into digits that touch: along seams that cross little ink.

A seam runs from the top of the part to its bottom and moves at most one pixel sideways per row. Dynamic programming
finds the cheapest seam near each column.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from digits.features import Floats
from digits.normalization.parts import Ints
from digits.numbers.sheet import Sheet
from digits.numbers.work import PIECE, SEAM, Work

_ROWS = 32
"""Height in pixels to which a part is scaled before it is cut."""

_REACH = 8
"""How far a seam may be from its column, in these pixels."""

_MIN_APART = 3.5
"""Mean distance in these pixels below which two seams are the same."""

_MIN_APART_ACROSS = 8.0
"""The same for a seam that crosses more than one stroke, such as those through the hole of a 0."""

_APART = 4
"""Columns between those near which a seam is sought."""

_NEAREST = int(2 * _REACH + _MIN_APART_ACROSS) // _APART
"""Seams that are more places apart than this are never too close."""

_NARROWEST = 0.66
"""A part that is narrower than this, in its heights, is not cut."""

_MOST_STROKES = 2.3
"""A seam that crosses more ink than this, in widths of a stroke, is not proposed."""

_SIDEWAYS = np.float32(0.02)
"""Cost of a step sideways, in pixels of ink."""

_MAX_SEAMS = 8_000
"""Maximum number of columns near which seams are sought. Further parts stay whole. They take 40 MB for a moment."""

_MAX_SEAMS_OF_PART = 400
"""The same for one part, which is then 50 times as wide as high. Wider parts are lines, and stay whole."""

_PASSES = 8
"""How often each pixel of a part is looked at for each seam, when the part is divided."""


@dataclass(frozen=True, slots=True)
class Cuts:
    """Seams through a part, from left to right."""

    columns: Ints
    """(cuts, height): the first column right of each seam, in each row of the part's box."""
    strokes: list[float]
    """How much ink each crosses, in widths of a stroke."""


@dataclass(frozen=True, slots=True)
class _Scaled:
    """A part scaled to a height of _ROWS pixels."""

    part: int
    height: int
    """Of the part, in pixels of the sheet."""
    scale: float
    """Pixels of the sheet per pixel of the scaled part, across."""
    width: int
    stroke: float
    """Width of a stroke in pixels of the scaled part."""
    centres: Ints
    """The columns near which a seam is sought."""


def propose_cuts(sheet: Sheet, work: Work) -> dict[int, Cuts]:
    """Return the cuts of each part that may have several digits, by the part's index. Raises TooManyDigits."""
    parts: list[_Scaled] = []
    parts_bands: list[Floats] = []  # each (rows, centres, columns): the ink around each centre
    seams = 0
    for part, (_, _, width, height) in enumerate(sheet.boxes.tolist()):
        if width < _NARROWEST * height or height < 0.5 * sheet.digit_height:
            continue
        scaled_width = max(4, round(width * _ROWS / height))
        centres = np.arange(5, scaled_width - 5, _APART)
        if not 0 < len(centres) <= min(_MAX_SEAMS_OF_PART, _MAX_SEAMS - seams):
            continue
        steps = SEAM + PIECE // 2 + _PASSES * width * height
        work.spend(len(centres) * steps, len(centres) * _ROWS * (2 * _REACH + 1))
        seams += len(centres)
        ink = cv2.resize(sheet.mask(part).astype(np.float32), (scaled_width, _ROWS), interpolation=cv2.INTER_AREA)
        padded = cv2.copyMakeBorder(ink, 0, 0, _REACH, _REACH, cv2.BORDER_CONSTANT)
        parts_bands.append(padded[:, centres[:, None] + np.arange(2 * _REACH + 1)])
        stroke = sheet.stroke * _ROWS / height
        parts.append(_Scaled(part, height, width / scaled_width, scaled_width, stroke, centres))
    if not parts:
        return {}
    bands = np.concatenate(parts_bands, axis=1)
    parts_bands.clear()
    columns, costs = _cheapest_seams(bands)
    crossed = np.take_along_axis(bands, columns[:, :, None], axis=2)[:, :, 0].sum(axis=0)
    ends = np.cumsum([len(part.centres) for part in parts]).tolist()
    return {
        part.part: _choose(part, columns[:, start:end], costs[start:end], crossed[start:end] / part.stroke)
        for part, start, end in zip(parts, [0, *ends], ends, strict=False)
    }


def _choose(part: _Scaled, seams: Ints, costs: Floats, ink: Floats) -> Cuts:
    """Return the cheapest cuts that are not too close to a cheaper one.

    Args:
        part: the part.
        seams: (rows, seams): column of each seam in its band.
        costs: (seams,)
        ink: (seams,): how much ink each crosses, in widths of a stroke.
    """
    columns = seams - _REACH + part.centres
    chosen: set[int] = set()
    most = 2 + 4 * part.width // _ROWS
    strokes = ink.tolist()
    for index in costs.argsort().tolist():
        if strokes[index] > _MOST_STROKES or len(chosen) == most:
            break
        least = _MIN_APART if strokes[index] < 1.4 else _MIN_APART_ACROSS
        near = [other for other in range(index - _NEAREST, index + _NEAREST + 1) if other in chosen]
        if (np.abs(columns[:, near] - columns[:, [index]]).sum(axis=0) > least * _ROWS).all():
            chosen.add(index)
    ordered = sorted(chosen, key=columns.sum(axis=0).tolist().__getitem__)
    rows = np.arange(part.height) * _ROWS // part.height
    seams = np.rint(columns.T[ordered][:, rows] * part.scale).astype(np.int64)
    return Cuts(np.sort(seams, axis=0), [max(0.1, strokes[index]) for index in ordered])


def _cheapest_seams(bands: Floats) -> tuple[Ints, Floats]:
    """Return the cheapest seam of each band, (rows, bands), and its cost.

    Args:
        bands: (rows, bands, columns): the ink around each column.
    """
    rows, count, columns = bands.shape
    aside = (np.abs(np.arange(columns) - columns // 2) * 0.01).astype(np.float32)
    totals = np.full((rows, count, columns + 2), np.inf, dtype=np.float32)  # with a border, which no seam enters
    totals[:, :, 1:-1] = bands + aside
    for row in range(1, rows):
        above = totals[row - 1]
        beside = np.minimum(above[:, :-2], above[:, 2:]) + _SIDEWAYS
        totals[row, :, 1:-1] += np.minimum(beside, above[:, 1:-1], out=beside)
    each = np.arange(count)
    seams = np.empty((rows, count), dtype=np.int64)
    seams[-1] = totals[-1].argmin(axis=1)
    steps = np.arange(-1, 2)
    for row in range(rows - 1, 0, -1):
        options = totals[row - 1, each[:, None], seams[row][:, None] + steps] + _SIDEWAYS * np.abs(steps)
        seams[row - 1] = seams[row] + options.argmin(axis=1) - 1
    return seams - 1, totals[-1, each, seams[-1]]
