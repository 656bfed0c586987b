"""Share out the ink: each inked pixel belongs to the digit or mark that it votes for."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from digits.features import Floats
from digits.finder.centres import Centre
from digits.finder.network import written
from digits.finder.views import View
from digits.normalization.ink_map import by_contrast
from digits.normalization.parts import COVERED, LEAST_COVERAGE

_NARROW = 0.35
"""A box counts as at least this many times as wide as high, and as high as wide."""

_MAX_COST = 1.3
"""A pixel costs how far from a middle its vote is, and how far it is outside of the box, in halves of its side. One
that would cost more belongs to no digit and to no mark."""


def share_out(
    view: View, found: Sequence[Centre], doubts: Sequence[Centre], digits_ink: float
) -> tuple[NDArray[np.int16], Floats, list[Centre]]:
    """Share out the ink among what was found. `digits_ink` is that of the decoding.

    Returns:
        The number of each pixel's centre, from 0 on, or -1. How much of each pixel is ink, in [0, 1]. The doubts that
        would get ink if they were found.
    """
    ink = written(view.maps.ink, digits_ink)
    coverage, _ = by_contrast(view.grey, ink)
    owner = np.full(view.grey.shape, -1, np.int16)
    # The pixels around those that vote are the faint edges of strokes, and belong to the same digit.
    rows, columns = np.nonzero((ink > COVERED) & (coverage > LEAST_COVERAGE))
    if not len(rows) or not (found or doubts):
        return owner, coverage, []
    height, width = view.grey.shape
    votes = cv2.resize(view.maps.votes.transpose(1, 2, 0), None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    places = np.stack([columns, rows], axis=1).astype(np.float32) + 0.5
    aims = places + 2 * votes[:height, :width][rows, columns]
    costs = np.full(len(rows), _MAX_COST, np.float32)
    best = np.full(len(rows), -1, np.int16)
    claims = []
    for number, each in enumerate([*found, *doubts]):
        half = np.maximum((each.width, each.height), (_NARROW * each.height, _NARROW * each.width)) / 2
        near = (np.abs(aims - (each.x, each.y)) < _MAX_COST * half).all(axis=1).nonzero()[0]
        by_vote = np.hypot(*((aims[near] - (each.x, each.y)) / half).T)
        by_place = np.abs((places[near] - (each.x, each.y)) / half).max(axis=1)
        cost = by_vote + np.maximum(by_place - 1, 0)
        is_nearer = cost < costs[near]
        if number < len(found):
            costs[near[is_nearer]], best[near[is_nearer]] = cost[is_nearer], number
        elif is_nearer.any():
            claims.append(each)
    owner[rows, columns] = best
    return np.where(owner < 0, cv2.dilate(owner, np.ones((3, 3), np.uint8)), owner), coverage, claims
