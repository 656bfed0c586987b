"""The connected parts of a picture's ink."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from digits.features import Floats

# The service prepares one picture per thread. OpenCV would start as many threads again for each of them.
cv2.setNumThreads(1)

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Labels = NDArray[np.int32]
Slices = tuple[slice, slice]
"""Rows and columns."""

Part = tuple[float, float, float, float]
"""A rectangle of a picture: left, top, right and bottom as shares of its width and height."""

WHOLE: Part = (0.0, 0.0, 1.0, 1.0)

LEAST_COVERAGE = 0.15
"""A pixel of which less than this share is ink is paper, or the faint edge of a stroke."""

COVERED = 0.5
"""A pixel is clearly ink if more than this share of it is, or if the network says so with more."""

SOLID = 0.7
"""A solid shape fills more than this share of its hull, or of the box around it. Strokes that enclose something fill
less."""

FULL = 0.9
"""A shape has the form of its hull, or of the rectangle around it, if it fills more than this share of it."""


@dataclass(frozen=True)
class Parts:
    """The connected parts of ink. Pixels that touch at a corner are connected. Label 0 is paper."""

    labels: Labels
    """(height, width): the label of each pixel's part, from 1 on."""
    boxes: Ints
    """(1 + parts, 4), by label: left, top, width and height."""
    areas: Ints
    """(1 + parts,), by label: number of pixels."""
    ink: Floats
    """(height, width), in [0, 1]."""

    @cached_property
    def totals(self) -> Floats:
        """(1 + parts,), by label: the sum of the part's ink, of pixels that are clearly ink. 0 for paper."""
        dark = np.flatnonzero(self.ink >= COVERED)
        totals = np.bincount(self.labels.ravel()[dark], self.ink.ravel()[dark], minlength=len(self.areas))
        return totals.astype(np.float32)

    @cached_property
    def sides(self) -> Ints:
        """The longer side of each part, by label."""
        sides: Ints = self.boxes[:, 2:].max(axis=1)
        return sides

    @cached_property
    def corners(self) -> Ints:
        """(1 + parts, 4), by label: left, top, right and bottom."""
        return np.hstack([self.boxes[:, :2], self.boxes[:, :2] + self.boxes[:, 2:]])

    @cached_property
    def margins(self) -> Ints:
        """(1 + parts, 4), by label: the distances to the left, top, right and bottom edge of the picture."""
        rows, columns = self.labels.shape
        return np.asarray(np.abs(self.corners - (0, 0, columns, rows)))

    def box(self, label: int) -> Slices:
        """Return the rows and columns of a part."""
        left, top, width, height = self.boxes[label].tolist()
        return slice(top, top + height), slice(left, left + width)


def find_parts(ink: Floats, threshold: float) -> Parts:
    """Find the connected parts of ink above a threshold.

    Args:
        ink: (height, width), in [0, 1].
        threshold: what is at most this is paper.
    """
    mask = ink > threshold
    _, labels, statistics, _ = cv2.connectedComponentsWithStatsWithAlgorithm(
        mask.view(np.uint8), 8, cv2.CV_32S, cv2.CCL_BBDT
    )
    statistics = statistics.astype(np.int64)
    return Parts(labels, statistics[:, :4], statistics[:, 4], ink)


def smallest_rectangle(points: NDArray[np.int32]) -> list[float]:
    """Return the shorter and the longer side of the smallest rectangle around pixels, at any angle."""
    return sorted(1 + side for side in cv2.minAreaRect(points)[1])


def extent(mask: Mask) -> Slices:
    """Return the smallest box that holds all pixels of a mask."""
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    return slice(top, top + height), slice(left, left + width)
