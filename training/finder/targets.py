"""Turn scenes into what the network sees, and what it must say at each pixel."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digits.features import Grey
from digits.normalization.map_network import contrasts
from training.finder.scenes import Box, Scene
from training.ink.scenes import SIDE

_Halves = NDArray[np.float16]

_NEAR = 0.3
"""Sizes and classes count where the heat of a centre is above this."""


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
    def of(cls, scenes: Sequence[Scene]) -> "Views":
        """Return the views of scenes, which are padded to SIDE below and to the right."""
        count, half, quarter = len(scenes), SIDE // 2, SIDE // 4
        views = cls(
            np.empty((count, SIDE, SIDE), np.uint8),
            np.empty((count, SIDE, SIDE, 2), np.float16),
            np.zeros((count, half, half, 6), np.float16),
            np.zeros((count, quarter, quarter, 4), np.float16),
            np.zeros((count, SIDE, SIDE, 2), np.uint8),
        )
        for index, scene in enumerate(scenes):
            height, width = scene.grey.shape
            beyond = ((0, SIDE - height), (0, SIDE - width))
            views.grey[index] = np.pad(scene.grey, beyond, mode="edge")
            views.seen[index] = np.pad(contrasts(scene.grey), (*beyond, (0, 0)), mode="edge")
            views.ink[index, :height, :width] = np.stack([scene.digit_ink, scene.pen_ink], axis=-1)
            _describe(scene.boxes, np.pad(scene.owner, beyond), views.half[index], views.quarter[index])
        return views

    @classmethod
    def joined(cls, parts: "Sequence[Views]") -> "Views":
        """Return the views of all parts."""
        names = ("grey", "seen", "half", "quarter", "ink")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _describe(boxes: Sequence[Box], owner: Grey, half: _Halves, quarter: _Halves) -> None:
    """Write what a network must say about the boxes."""
    side = SIDE // 2
    owners = np.where(owner[::2, ::2] > 0, owner[::2, ::2], owner[1::2, 1::2])
    at = np.arange(side, dtype=np.float32) + 0.5
    half[..., 2] = 1
    quarter[..., 3] = -1
    for number, box in enumerate(boxes, start=1):
        left, top, right, bottom = (int(each) for each in (box.left, box.top, box.right, box.bottom))
        if not box.is_whole:
            half[max(0, top // 2 - 1) : bottom // 2 + 2, max(0, left // 2 - 1) : right // 2 + 2, 2] = 0
            continue
        width, height = right - left, bottom - top
        x, y = (left + right) / 4, (top + bottom) / 4
        near_x = np.exp(-0.5 * ((at - x) / max(0.75, 0.045 * max(width, 0.4 * height))) ** 2)
        near_y = np.exp(-0.5 * ((at - y) / max(0.75, 0.045 * max(height, 0.4 * width))) ** 2)
        heat = np.outer(near_y / near_y.max(), near_x / near_x.max())
        channel = int(box.label > 9)
        np.maximum(half[..., channel], heat, out=half[..., channel], casting="same_kind")
        rows, columns = np.nonzero(owners == number)
        half[rows, columns, 3], half[rows, columns, 4] = x - at[columns], y - at[rows]
        half[rows, columns, 5] = 1 / max(6.0, height / 2)
        rows, columns = (each // 2 for each in np.nonzero(heat > _NEAR))
        quarter[rows, columns] = math.log(max(width, 2)), math.log(max(height, 2)), 1, box.label
