"""Add handwriting styles that are rare in MNIST: a 1 with a flag and a foot, and a 7 with a bar."""

import numpy as np
from numpy.typing import NDArray

from digits.features import Floats, Grey
from training.data.images import Labels

_Numbers = NDArray[np.float64]


def restyle(fine: Grey, labels: Labels, share: float | _Numbers, rng: np.random.Generator) -> Floats:
    """Draw the missing strokes into a share of the 1s and 7s of enlarged pictures, uint8 (N, side, side), in place.

    `share` is between 0 and 1. An array (N,) holds the probability of each picture. Return the shear, (N,), that makes
    the restyled 1s upright, because people who draw a foot write upright. It is 0 for all other pictures.
    """
    upright = np.zeros(len(fine), dtype=np.float32)
    chosen = rng.random(len(fine)) < share
    ones, sevens = np.flatnonzero(chosen & (labels == 1)), np.flatnonzero(chosen & (labels == 7))
    fine[ones], upright[ones] = _with_flag_and_foot(fine[ones], rng)
    fine[sevens] = _with_bar(fine[sevens], rng)
    return upright


def _with_flag_and_foot(fine: Grey, rng: np.random.Generator) -> tuple[Grey, Floats]:
    n, side = len(fine), fine.shape[1]
    first, last = _rows_of_ink(fine)
    radius = _stroke_radius(fine, (first + last) / 2)
    top, bottom = first + radius, last - radius
    x_top, x_bottom = _column_at(fine, top), _column_at(fine, bottom)
    slope = (x_bottom - x_top) / (bottom - top).clip(1)

    length, angle = rng.uniform(0.2, 0.65, n) * (last - first), np.deg2rad(rng.uniform(20, 60, n))
    # A flag must not leave the picture.
    length = np.minimum(length, (x_top - radius) / np.cos(angle)).clip(0)
    flag = _stroke(side, (x_top, top), (x_top - length * np.cos(angle), top + length * np.sin(angle)), radius)
    left, right = rng.uniform(0.12, 0.35, (2, n)) * (last - first)
    tilt = rng.uniform(-0.1, 0.1, n)
    foot = _stroke(side, (x_bottom - left, bottom + tilt * left), (x_bottom + right, bottom - tilt * right), radius)
    # A 1 without a flag always gets a foot.
    has_flag = rng.random(n) < 0.9
    has_foot = (rng.random(n) < 0.6) | ~has_flag
    flag[~has_flag] = 0
    foot[~has_foot] = 0
    return np.maximum(fine, np.maximum(flag, foot)), (rng.random(n) * slope).astype(np.float32)


def _with_bar(fine: Grey, rng: np.random.Generator) -> Grey:
    n, side = len(fine), fine.shape[1]
    first, last = _rows_of_ink(fine)
    y = first + rng.uniform(0.4, 0.62, n) * (last - first)
    x, radius = _column_at(fine, y), _stroke_radius(fine, y)
    left, right = rng.uniform(0.14, 0.36, (2, n)) * (last - first)
    rise = rng.uniform(-0.15, 0.4, n)
    return np.maximum(fine, _stroke(side, (x - left, y + rise * left), (x + right, y - rise * right), radius))


def _rows_of_ink(fine: Grey) -> tuple[_Numbers, _Numbers]:
    """Return the first and the last row with ink, (N,) each."""
    ink = fine.max(axis=2) > 64
    return ink.argmax(axis=1).astype(np.float64), (ink.shape[1] - 1 - ink[:, ::-1].argmax(axis=1)).astype(np.float64)


def _row(fine: Grey, y: _Numbers) -> _Numbers:
    """Return the mean of the three rows around y, (N, side)."""
    middle = np.rint(y).astype(int).clip(1, fine.shape[1] - 2)
    rows: _Numbers = fine[np.arange(len(fine))[:, None], middle[:, None] + np.arange(-1, 2)].mean(axis=1)
    return rows


def _column_at(fine: Grey, y: _Numbers) -> _Numbers:
    """Return the centre of the ink in row y, (N,)."""
    row = _row(fine, y)
    column: _Numbers = row @ np.arange(fine.shape[2]) / row.sum(axis=1).clip(1)
    return column


def _stroke_radius(fine: Grey, y: _Numbers) -> _Numbers:
    """Return half the width of the ink in row y, limited to the radius of a stroke, (N,)."""
    radius: _Numbers = (_row(fine, y).sum(axis=1) / 255 / 2).clip(1.5, 4)
    return radius


def _stroke(side: int, start: tuple[_Numbers, _Numbers], end: tuple[_Numbers, _Numbers], radius: _Numbers) -> Grey:
    """Draw lines with round ends and soft edges, uint8 (N, side, side). Both ends are x and y, (N,) each."""
    grid = np.arange(side, dtype=np.float32)
    x0, y0, x1, y1, half = (
        numbers.astype(np.float32)[:, None, None] for numbers in (start[0], start[1], end[0], end[1], radius)
    )
    x, y = grid[None, None, :] - x0, grid[None, :, None] - y0
    along_x, along_y = x1 - x0, y1 - y0
    part = ((x * along_x + y * along_y) / (along_x**2 + along_y**2).clip(1e-6)).clip(0, 1)
    distance = np.hypot(x - part * along_x, y - part * along_y)
    drawn: Grey = np.rint(((half - distance) / 1.5 + 0.5).clip(0, 1) * 255).astype(np.uint8)
    return drawn
