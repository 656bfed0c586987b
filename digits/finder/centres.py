"""Find the centres of digits and marks: local maxima of the heat, each with its size and classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from digits.features import Floats
from digits.finder.network import CLASSES, DIGITS, Maps

MAX_CENTRES = 500
"""Maximum number of centres of each kind in a view. The others are left out, the weakest first."""

_OVERLAP = 0.4
"""Two boxes are of one digit if they share more than this of what both cover."""


@dataclass(frozen=True, slots=True, eq=False)
class Centre:
    """A digit or a mark in a view. Lengths are in pixels of the view."""

    x: float
    y: float
    width: float
    height: float
    heat: float
    """In [0, 1]."""
    classes: Floats
    """Probability of each of CLASSES, float32."""

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Its middle, width and height."""
        return self.x, self.y, self.width, self.height

    @property
    def corners(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom."""
        width, height = self.width / 2, self.height / 2
        return self.x - width, self.y - height, self.x + width, self.y + height

    @property
    def kind(self) -> str:
        """Its most probable class."""
        kind: str = CLASSES[int(self.classes.argmax())]
        return kind


def centres(maps: Maps, channel: int, least: float) -> list[Centre]:
    """Return the digits (channel 0) or marks (channel 1) with a heat above `least`, from the highest to the lowest."""
    heat = maps.heat[channel]
    is_top = (heat >= cv2.dilate(heat, np.ones((3, 3), np.uint8))) & (heat > least)
    rows, columns = np.nonzero(is_top)
    order = np.argsort(-heat[rows, columns])[:MAX_CENTRES]
    rows, columns = rows[order], columns[order]
    if not len(rows):
        return []
    height, width = maps.sizes.shape[1:]
    at = np.minimum(rows // 2, height - 1), np.minimum(columns // 2, width - 1)  # in the maps at a quarter
    boxes = np.column_stack([2 * columns + 1, 2 * rows + 1, np.exp(maps.sizes[:, *at].clip(0.7, 7)).T])
    chosen = _distinct(boxes)
    classes, heats = maps.classes[:, *at], heat[rows, columns]
    found = []
    for index in chosen:
        x, y, width, height = map(float, boxes[index])
        found.append(Centre(x, y, width, height, float(heats[index]), classes[:, index]))
    return found


def _distinct(boxes: Floats) -> list[int]:
    """Return the boxes, the surest first, without those that are of the same digit as a surer one."""
    kept: list[int] = []
    for index in range(len(boxes)):
        if not _are_same(boxes[kept], boxes[index]).any():
            kept.append(index)
    return kept


def _are_same(boxes: Floats, box: Floats) -> NDArray[np.bool_]:
    """Return which of the boxes, (N, 4), are of the same digit as another one. They are x, y, width and height."""
    middles, sizes = boxes[:, :2], boxes[:, 2:]
    ends = np.minimum(middles + sizes / 2, box[:2] + box[2:] / 2)
    shared = (ends - np.maximum(middles - sizes / 2, box[:2] - box[2:] / 2)).clip(0).prod(axis=1)
    same: NDArray[np.bool_] = shared > _OVERLAP * (sizes.prod(axis=1) + box[2:].prod() - shared)
    return same


def contested(
    digits: Sequence[Centre], marks: Sequence[Centre], weight: float, rival: float
) -> tuple[list[Centre], list[Centre], list[Centre]]:
    """Decide between digits and marks at one place, by heat and class.

    The mark's probability is multiplied by `weight`, and the more probable one wins. A mark that has lost remains if it
    is at least `rival` times as probable as the digit.

    Returns:
        The digits that remain, the marks that remain, and those of the marks that have won against a digit that was at
        least `rival` times as probable.
    """
    boxes = np.array([each.box for each in marks], np.float32).reshape(-1, 4)
    worths = np.array([each.heat * each.classes[DIGITS:].sum() for each in marks])
    is_beaten, is_rivalled = np.zeros((2, len(marks)), bool)
    kept = list[Centre]()
    for each in digits:
        same, worth = _are_same(boxes, np.array(each.box)), each.heat * each.classes[:DIGITS].sum()
        wins = same & (weight * worths > worth)
        is_rivalled |= wins & (worth >= rival * worths)
        if not wins.any():
            kept.append(each)
            is_beaten |= same & (worths < rival * worth)
    rivalled = [each for each, is_it in zip(marks, is_rivalled, strict=True) if is_it]
    return kept, [each for each, is_it in zip(marks, is_beaten, strict=True) if not is_it], rivalled


def typical_height(found: Sequence[Centre]) -> float:
    """Return the height of the digits that hold half of the squares of all heights. 0 without digits."""
    if not found:
        return 0.0
    heights = np.sort([max(each.height, 0.8 * each.width) for each in found])
    weights = (heights**2).cumsum()
    return float(heights[np.searchsorted(weights, weights[-1] / 2)])


def sureness(found: Sequence[Centre]) -> float:
    """Return the mean heat of the centres, weighted by itself. 0 without centres."""
    heats = np.array([each.heat for each in found])
    return float((heats**2).sum() / heats.sum()) if found else 0.0
