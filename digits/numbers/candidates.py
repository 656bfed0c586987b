"""Redraw all candidates of a sheet in MNIST form at once.

`digits/normalization/redraw.py` measures the distance to the edge of the strokes for one digit. A sheet has it for all
of them, so a candidate takes a sixth of the time.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from digits.features import SIDE, Floats, Grey
from digits.normalization.mnist_form import BOX, MAX_STROKE, MIDDLE, MIN_STROKE
from digits.normalization.parts import Ints, Labels

_SCALE = 2
"""Pixels of a tile per pixel of the box."""

_MARGIN = 4
"""Pixels of a tile around its candidate, into which strokes may grow."""

_TILE = BOX * _SCALE + 2 * _MARGIN
"""Side of the square in which a candidate is drawn before it is fitted to the box."""

_AT_ONCE = 512
"""Number of candidates that are drawn at once, which takes 10 MB."""

_NEARBY = 3
"""Pixels of the sheet in which the strokes of a piece may grow."""


def redraw_all(distance: Floats, pieces: Labels, unions: Ints) -> Grey:
    """Redraw unions of pieces in MNIST form.

    Args:
        distance: (height, width), as in `Sheet`.
        pieces: (height, width): the number of each pixel's piece, from 1 on. 0 is paper.
        unions: (N, 6): the number of the first and the last piece of each union, and its left, top, right and bottom.

    Returns:
        uint8 (N, 28, 28)
    """
    grown = _grown(pieces)
    strokes = _stroke_widths(distance, grown, unions[:, 0], unions[:, 1])
    drawn = np.empty((len(unions), SIDE, SIDE), dtype=np.uint8)
    for start in range(0, len(unions), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        drawn[part] = _fit(_tiles(distance, grown, unions[part], strokes[part]))
    return drawn


def _grown(pieces: Labels) -> NDArray[np.uint16]:
    """Return the pieces with the paper near them."""
    grown = pieces.astype(np.uint16)
    window = np.ones((3, 3), np.uint8)
    for _ in range(_NEARBY):
        grown += cv2.dilate(grown, window) * (grown == 0)
    return grown


def _tiles(distance: Floats, pieces: NDArray[np.uint16], unions: Ints, strokes: Floats) -> Floats:
    """Draw each union with strokes as wide as MNIST's, in the middle of a tile, float32 (N, tile, tile) in [0, 1].

    `strokes` is the width of each union's strokes, (N,), in pixels of the sheet. The others are as for `redraw_all`.
    """
    left, top, right, bottom = unions[:, 2:].T
    scales = BOX * _SCALE / np.maximum(right - left, bottom - top)
    scaled = strokes * scales
    growth = (scaled.clip(MIN_STROKE * _SCALE, MAX_STROKE * _SCALE) - scaled) / 2
    outside = -(np.maximum(growth, 0) + 1) / scales
    margins = np.ceil(_MARGIN / scales).astype(int)
    starts = np.maximum(np.stack([top, left], axis=1) - margins[:, None], 0)
    stops = np.stack([bottom, right], axis=1) + margins[:, None]
    # A tile's pixel (x, y) is the window's pixel ((x, y) - shift) / scale.
    middles = np.stack([left + right, top + bottom], axis=1) / 2 - 0.5
    shifts = (_TILE - 1) / 2 - (middles - starts[:, ::-1]) * scales[:, None]
    tiles = np.empty((len(unions), _TILE, _TILE), dtype=np.float32)
    matrix = np.zeros((2, 3))
    columns = (each.tolist() for each in (unions[:, :2], starts, stops, scales, shifts, outside))
    for (low, high), (y, x), (y_stop, x_stop), scale, shift, paper, tile in zip(*columns, tiles, strict=True):
        window = slice(y, y_stop), slice(x, x_stop)
        own = np.where(cv2.inRange(pieces[window], low, high), distance[window], np.float32(paper))
        matrix[0, 0] = matrix[1, 1] = scale
        matrix[:, 2] = shift
        cv2.warpAffine(own, matrix, (_TILE, _TILE), tile, cv2.INTER_LINEAR, cv2.BORDER_CONSTANT, paper)
    tiles *= scales.astype(np.float32)[:, None, None]
    tiles += (growth + 0.5).astype(np.float32)[:, None, None]
    return np.clip(tiles, 0, 1, out=tiles)


def _stroke_widths(distance: Floats, pieces: NDArray[np.uint16], first: Ints, last: Ints) -> Floats:
    """Return the mean width of each union's strokes, in pixels of the sheet.

    Inside a bar w pixels wide, the mean distance to its edge is w / 4.
    """
    inked = np.flatnonzero(distance > -0.5)
    owner, depth = pieces.ravel()[inked], distance.ravel()[inked]
    count = int(last.max()) + 1
    depths = np.bincount(owner, np.maximum(depth, 0), minlength=count).cumsum()
    areas = np.bincount(owner, np.clip(depth + 0.5, 0, 1), minlength=count).cumsum()
    widths: Floats = 4 * (depths[last] - depths[first - 1]) / np.maximum(areas[last] - areas[first - 1], 1)
    return widths


def _fit(tiles: Floats) -> Grey:
    """Resize each tile's digit to the box, with its centre of mass in the middle."""
    fields = np.zeros((len(tiles), SIDE, SIDE), dtype=np.float32)
    by_axis = np.stack([tiles.sum(axis=2), tiles.sum(axis=1)], axis=1)  # (N, 2, tile): of rows and of columns
    inked = by_axis > 0
    starts, stops = inked.argmax(axis=2), _TILE - inked[:, :, ::-1].argmax(axis=2)
    sides = stops - starts
    centres = by_axis @ np.arange(_TILE) / np.maximum(by_axis.sum(axis=2), 1e-6) - starts
    reach = np.maximum(centres + 0.5, sides - centres - 0.5).max(axis=1)
    scales = np.minimum(BOX / sides.max(axis=1), (MIDDLE - 0.5) / reach)
    sizes = np.maximum(1, np.rint(sides * scales[:, None]).astype(int))
    fitted_centres = (centres + 0.5) * sizes / sides - 0.5
    places = np.clip(np.floor(MIDDLE + 0.5 - fitted_centres).astype(int), 0, SIDE - sizes)
    rows = zip(tiles, fields, starts.tolist(), stops.tolist(), sizes.tolist(), places.tolist(), strict=True)
    for tile, field, (y, x), (y_stop, x_stop), (height, width), (top, left) in rows:
        field[top : top + height, left : left + width] = cv2.resize(
            tile[y:y_stop, x:x_stop], (width, height), interpolation=cv2.INTER_AREA
        )
    brightest = fields.max(axis=(1, 2), keepdims=True)
    pixels: Grey = np.rint(fields * (255 / np.maximum(brightest, 1e-6))).astype(np.uint8)
    return pixels
