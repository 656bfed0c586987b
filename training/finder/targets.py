"""Turn scenes into what the network sees, and what it must say at each pixel."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digits.features import Grey
from digits.finder.network import MULTIPLE, contrasts
from training.finder.paper import SIDE
from training.finder.scenes import NOBODY, Box, Scene

_Halves = NDArray[np.float16]

_NEAR = 0.3
"""Sizes and classes count where the heat of a centre is above this."""

_ROOM = 8
"""Rows between two scenes of a view. They are 0, as beyond the edges of a picture."""


@dataclass(frozen=True, slots=True)
class Views:
    """What the network sees in scenes, and what it must say, as `training.finder.network` describes it."""

    grey: Grey
    """(N, SIDE, SIDE)"""
    seen: _Halves
    """(N, SIDE, SIDE, 2): its contrasts."""
    half: _Halves
    quarter: _Halves
    ink: Grey

    @classmethod
    def of(cls, scenes: Iterable[Scene], count: int) -> "Views":
        """Return this number of views. Scenes that are not high share one, below each other, with room between."""
        half, quarter = SIDE // 2, SIDE // 4
        views = cls(
            np.zeros((count, SIDE, SIDE), np.uint8),
            np.zeros((count, SIDE, SIDE, 2), np.float16),
            np.zeros((count, half, half, 6), np.float16),
            np.zeros((count, quarter, quarter, 4), np.float16),
            np.zeros((count, SIDE, SIDE, 2), np.uint8),
        )
        views.half[..., 2] = 1
        views.quarter[..., 3] = -1
        begun, shared, free_from = 0, 0, SIDE
        for scene in scenes:
            height = _whole(scene.grey.shape[0])
            is_low = height <= SIDE // 2
            if not (is_low and free_from + height <= SIDE):
                if begun == count:
                    break
                begun += 1
                if is_low:
                    shared, free_from = begun - 1, 0
            index, top = (shared, free_from) if is_low else (begun - 1, 0)
            views._put(scene, index, slice(top, top + height))
            if is_low:
                free_from += height + _ROOM
        return views

    def _put(self, scene: Scene, index: int, rows: slice) -> None:
        """Write a scene into rows of a view. It is enlarged as the service enlarges pictures."""
        height, width = scene.grey.shape
        columns = slice(0, _whole(width))
        beyond = ((0, rows.stop - rows.start - height), (0, columns.stop - width))
        self.grey[index, rows, columns] = np.pad(scene.grey, beyond, mode="edge")
        self.seen[index, rows, columns] = np.pad(contrasts(scene.grey), (*beyond, (0, 0)), mode="edge")
        self.ink[index, rows, columns] = np.pad(np.stack([scene.digit_ink, scene.pen_ink], axis=-1), (*beyond, (0, 0)))
        half, quarter = ((slice(rows.start // n, rows.stop // n), slice(0, columns.stop // n)) for n in (2, 4))
        _describe(scene.boxes, np.pad(scene.owner, beyond), self.half[index][half], self.quarter[index][quarter])

    @classmethod
    def joined(cls, parts: "Sequence[Views]") -> "Views":
        """Return the views of all parts."""
        names = ("grey", "seen", "half", "quarter", "ink")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _whole(length: int) -> int:
    """Return the length to which the service enlarges a picture's."""
    return length + -length % MULTIPLE


def _describe(boxes: Sequence[Box], owner: Grey, half: _Halves, quarter: _Halves) -> None:
    """Write what a network must say about the boxes, and that a ring's ink points to itself, not to the digit in it."""
    owners = np.where(owner[::2, ::2] > 0, owner[::2, ::2], owner[1::2, 1::2])
    down, across = (np.arange(length, dtype=np.float32) + 0.5 for length in half.shape[:2])
    half[owners == NOBODY, 5] = 1 / max([6.0, *((box.bottom - box.top) / 2 for box in boxes if box.label <= 9)])
    for number, box in enumerate(boxes, start=1):
        left, top, right, bottom = (int(each) for each in (box.left, box.top, box.right, box.bottom))
        if not box.is_whole:
            half[max(0, top // 2 - 1) : bottom // 2 + 2, max(0, left // 2 - 1) : right // 2 + 2, 2] = 0
            continue
        width, height = right - left, bottom - top
        x, y = (left + right) / 4, (top + bottom) / 4
        near_x = np.exp(-0.5 * ((across - x) / max(0.75, 0.045 * max(width, 0.4 * height))) ** 2)
        near_y = np.exp(-0.5 * ((down - y) / max(0.75, 0.045 * max(height, 0.4 * width))) ** 2)
        heat = np.outer(near_y / near_y.max(), near_x / near_x.max())
        channel = int(box.label > 9)
        np.maximum(half[..., channel], heat, out=half[..., channel], casting="same_kind")
        rows, columns = np.nonzero(owners == number)
        half[rows, columns, 3], half[rows, columns, 4] = x - across[columns], y - down[rows]
        half[rows, columns, 5] = 1 / max(6.0, height / 2)
        rows, columns = (each // 2 for each in np.nonzero(heat > _NEAR))
        quarter[rows, columns] = math.log(max(width, 2)), math.log(max(height, 2)), 1, box.label
