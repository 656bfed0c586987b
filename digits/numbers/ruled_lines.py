"""Remove ruled lines, frames and tables from the marks on a sheet, but keep the digits that touch or cross them."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from digits.normalization.ink import rim_mask

Mask = NDArray[np.bool_]
Labels = NDArray[np.int32]

_MIN_SIDE = 80
"""In a picture of fewer pixels, a thin line may be the stroke of a digit that fills the picture."""


@dataclass(frozen=True, slots=True)
class Connected:
    """The connected parts of a mask. Pixels that touch at a corner are connected."""

    mask: Mask
    labels: Labels
    """(height, width): the label of each pixel's part, from 1 on. 0 is outside of the mask."""
    statistics: NDArray[np.int32]
    """(1 + parts, 5): left, top, width, height and number of pixels by label."""


def connect(mask: Mask) -> Connected:
    """Find the connected parts of a mask."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStatsWithAlgorithm(
        mask.view(np.uint8), 8, cv2.CV_32S, cv2.CCL_BBDT
    )
    return Connected(mask, labels, statistics)


def without_frames(connected: Connected) -> Mask:
    """Remove the lines of frames and tables around digits. Digits that touch them stay."""
    mask, labels, statistics = connected.mask, connected.labels, connected.statistics
    is_large = (statistics[:, 2] > 0.3 * mask.shape[1]) | (statistics[:, 3] > 0.3 * mask.shape[0])
    is_large &= statistics[:, 4] < 0.5 * statistics[:, 2] * statistics[:, 3]
    for label in (np.flatnonzero(is_large[1:]) + 1).tolist():
        left, top, width, height, area = statistics[label].tolist()
        box = slice(top, top + height), slice(left, left + width)
        own = labels[box] == label
        is_hollow = own[rim_mask(own.shape, max(1, min(own.shape) // 8))].sum() > 0.95 * area
        if is_hollow and (mask[box] & ~own).sum() > 0.05 * area:
            mask = mask & (labels != label)
            continue
        across, down = _rules(own, max(3.5, 0.025 * max(own.shape)))
        if across is None:
            continue
        rest = mask[box] & ~across
        if down is not None and min(_spread(across), _spread(down.T)) > 0.75:
            rest &= ~down
        elif width < 2 * height:  # not a line under the digits
            continue
        if connect(rest).statistics[1:, 3].max(initial=0) > 0.25 * height:
            mask = mask.copy()
            mask[box] = rest
    return mask


def _spread(rules: Mask) -> float:
    """Return the distance from the first to the last horizontal rule, as a share of the height."""
    rows = np.flatnonzero(rules.any(axis=1))
    return (int(rows[-1]) - int(rows[0])) / len(rules)


def without_rules(connected: Connected) -> Mask:
    """Remove ruled lines that cross most of the picture. Keep the strokes that cross them."""
    mask = connected.mask
    if max(mask.shape) < _MIN_SIDE:
        return mask
    across, down = _rules(mask, 3.5)
    if across is None and _has_digit_as_high_as(mask.shape, connected.statistics[1:]):
        down = None
    if across is None and down is None:
        return mask
    rest = mask.copy()
    if across is not None:
        rest &= ~across
    if down is not None:
        rest &= ~down
    left = connect(rest).statistics[1:]
    is_something_left = len(left) and left[:, 2:4].max() >= 0.1 * min(mask.shape)
    return rest if is_something_left else mask


def _has_digit_as_high_as(shape: tuple[int, ...], statistics: NDArray[np.int32]) -> bool:
    """Return whether a digit is nearly as high as the picture. Then a vertical line may be a 1."""
    height, width = shape
    is_digit = (
        (statistics[:, 3] > 0.6 * height) & (statistics[:, 2] > 0.15 * height) & (statistics[:, 2] < 0.75 * width)
    )
    return bool(is_digit.any())


def _rules(mask: Mask, thickest: float) -> tuple[Mask | None, Mask | None]:
    """Return the pixels of horizontal and of vertical rules, or None if the mask has none.

    A rule crosses most of the mask. It is at most as thick as `thickest`, or as 0.025 of its length.
    """
    down = _horizontal_rules(cv2.transpose(mask.view(np.uint8)).view(bool), thickest)
    return _horizontal_rules(mask, thickest), None if down is None else down.T


def _horizontal_rules(mask: Mask, thickest: float) -> Mask | None:
    """Return the pixels of horizontal rules, or None if the mask has none. See `_rules`."""
    width = mask.shape[1]
    length = max(15, width // 25)  # a rule that is one degree askew still has runs of this length
    picture = mask.view(np.uint8)
    runs = cv2.morphologyEx(picture, cv2.MORPH_OPEN, np.ones((1, length), np.uint8))
    covered = cv2.morphologyEx(runs.max(axis=0, keepdims=True), cv2.MORPH_CLOSE, np.ones((1, length), np.uint8))
    if np.count_nonzero(covered) <= 0.75 * width:
        return None
    joined = cv2.morphologyEx(runs, cv2.MORPH_CLOSE, np.ones((3, length), np.uint8))
    connected = connect(joined.view(bool))
    rules = np.zeros_like(mask)
    for label in (np.flatnonzero(connected.statistics[1:, 2] > 0.75 * width) + 1).tolist():
        left, top, wide, high, _ = connected.statistics[label].tolist()
        own = connected.labels[top : top + high, left : left + wide] == label
        thickness = float(np.median(np.count_nonzero(own, axis=0)))
        if thickness > max(thickest, 0.025 * wide) or high > 0.08 * wide + 3 * thickness:
            continue
        reach = int(thickness + 4)
        start, stop = max(0, top - 2 - reach), top + high + 2 + reach
        rule = cv2.dilate((connected.labels[start:stop] == label).view(np.uint8), np.ones((3, 1), np.uint8))
        crossing = cv2.morphologyEx(picture[start:stop], cv2.MORPH_OPEN, np.ones((reach, 1), np.uint8))
        rules[start:stop] |= (rule > crossing).view(bool)
    return rules if rules.any() else None
