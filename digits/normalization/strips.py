"""Find a strip of hard shadow, or of a dark table, along one side of a picture."""

import numpy as np
from numpy.typing import NDArray

from digits.features import Floats
from digits.normalization.ink import Slices, extent

_MIN_SIDE = 12
"""In a picture of fewer pixels along a side, no strip can be distinguished from a stroke."""

_MAX_DEPTH = 0.45
"""Largest depth of a strip, as a share of the picture's width or height."""

_MAX_DEVIATION = 1.5
"""Pixels by which the edge of a strip may differ from a straight line."""

_MIN_STEP = 0.6
"""The step at the edge of a strip is at least this share of the contrast. The light changes slowly elsewhere."""

_MAX_RANGE = 0.5
"""The grey values of a strip differ by at most this share of the step. Otherwise something is written in it."""


def beside_strip(small: Floats, light: NDArray[np.uint8], shape: tuple[int, ...]) -> Slices | None:
    """Return the part of a picture beside its strip, or None if the picture has no strip.

    A strip is dark and empty, and its edge is straight and hard. It fills one side, and the opposite side is light.

    Args:
        small: the picture, reduced to `ink.LIGHT_SIDE`.
        light: its `ink.light_side`.
        shape: height and width of the picture.
    """
    corners = light[0, 0], light[0, -1], light[-1, -1], light[-1, 0]  # clockwise
    if sum(corners) != 2 or corners[0] == corners[2] or min(light.shape) < _MIN_SIDE:
        return None
    turns = next(turns for turns in range(4) if not corners[turns] and not corners[turns - 1])
    is_light, greys = np.rot90(light, turns), np.rot90(small, turns)  # the dark side is on the left
    depths = _depths(is_light)
    if depths is None:
        return None
    rows = np.arange(len(depths))
    inner = np.arange(is_light.shape[1]) < np.maximum(depths - 1, 1)[:, None]  # without the strip's edge
    inside = greys[inner]
    step = float(np.median(greys[rows, depths + 1] - greys[rows, np.maximum(depths - 2, 0)]))
    contrast = float(greys[is_light == 1].mean() - inside.mean())
    if step < _MIN_STEP * contrast or np.ptp(inside) > _MAX_RANGE * step:
        return None
    beside = np.zeros(is_light.shape, dtype=bool)
    beside[:, depths.max() + 1 :] = True
    found = extent(np.ascontiguousarray(np.rot90(beside, -turns)))
    height, width = (
        slice(part.start * length // short, part.stop * length // short)
        for part, short, length in zip(found, small.shape, shape, strict=True)
    )
    return height, width


def _depths(is_light: NDArray[np.uint8]) -> NDArray[np.int64] | None:
    """Return the depth of the strip on the left in each row, or None if it does not have the shape of a strip."""
    if is_light[:, 0].any() or not is_light[:, -1].all():
        return None
    depths: NDArray[np.int64] = is_light.argmax(axis=1)
    rows = np.arange(len(depths))
    deviation = depths - np.polyval(np.polyfit(rows, depths, 1), rows)
    if depths.max() > _MAX_DEPTH * is_light.shape[1] or np.abs(deviation).max() > _MAX_DEVIATION:
        return None
    return depths
