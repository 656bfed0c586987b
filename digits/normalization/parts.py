"""The connected parts of a picture's ink."""

from dataclasses import dataclass

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

_LONG = 1.5
"""A straight run of ink that is longer than this, in heights of the tallest part, is no digit's stroke."""

_THIN = 0.3
"""A line or a frame covers at most this share of its box."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The connected parts of ink. Pixels that touch at a corner are connected. Label 0 is paper."""

    labels: Labels
    """(height, width): the label of each pixel's part, from 1 on."""
    boxes: Ints
    """(1 + parts, 4), by label: left, top, width and height."""
    areas: Ints
    """(1 + parts,), by label: number of pixels."""
    totals: Floats
    """(1 + parts,), by label: the sum of the part's ink, of pixels that are at least half covered. 0 for paper."""

    @property
    def sides(self) -> Ints:
        """The longer side of each part, by label."""
        sides: Ints = self.boxes[:, 2:].max(axis=1)
        return sides

    @property
    def edges(self) -> Mask:
        """(4, 1 + parts): whether each part touches the left, top, right and bottom edge of the picture."""
        left, top, width, height = self.boxes.T
        rows, columns = self.labels.shape
        return np.stack([left == 0, top == 0, left + width == columns, top + height == rows])

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
    count, labels, statistics, _ = cv2.connectedComponentsWithStatsWithAlgorithm(
        mask.view(np.uint8), 8, cv2.CV_32S, cv2.CCL_BBDT
    )
    dark = np.flatnonzero(ink >= 0.5)
    totals = np.bincount(labels.ravel()[dark], ink.ravel()[dark], minlength=count).astype(np.float32)
    statistics = statistics.astype(np.int64)
    return Parts(labels, statistics[:, :4], statistics[:, 4], totals)


def has_lines(parts: Parts) -> bool:
    """Return whether there are lines or frames besides other parts, as on ruled paper and forms.

    A line goes from edge to edge, or is longer than a digit's stroke. A frame encloses another part.
    """
    left, top, width, height = parts.boxes[1:].T
    longest = int(_LONG * height.max(initial=0)) + 1
    if longest < parts.labels.shape[1]:
        runs = cv2.erode((parts.labels > 0).view(np.uint8), np.ones((1, longest), np.uint8), borderValue=0)
        if runs.any():
            return True
    is_thin = parts.areas[1:] < _THIN * width * height
    at_left, at_top, at_right, at_bottom = parts.edges[:, 1:]
    if len(left) > 1 and (is_thin & (at_left & at_right | at_top & at_bottom)).any():
        return True
    for part in np.flatnonzero(is_thin).tolist():
        inside = (left > left[part]) & (left + width < left[part] + width[part])
        inside &= (top > top[part]) & (top + height < top[part] + height[part])
        if (inside & (height > _THIN * height[part])).any():
            return True
    return False


def extent(mask: Mask) -> Slices:
    """Return the smallest box that holds all pixels of a mask."""
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    return slice(top, top + height), slice(left, left + width)


def longer_side(box: Slices) -> int:
    """Return the longer side of a box, in pixels."""
    return max(int(part.stop - part.start) for part in box)
