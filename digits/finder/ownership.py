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
from digits.normalization.parts import COVERED

_MAX_COST = 1.3
"""A pixel costs how far from a middle its vote is, and how far it is outside of the box, in halves of its side. One
that would cost more belongs to no digit and to no mark."""

_REACH = 1.25
"""A part of the ink that reaches no further than this from a middle, in halves of the box's sides, is not divided."""


def share_out(
    view: View, found: Sequence[Centre], doubts: Sequence[Centre], digits_ink: float
) -> tuple[NDArray[np.int16], Floats, list[Centre]]:
    """Share out the ink among what was found. `digits_ink` is that of the decoding.

    Returns:
        The number of each pixel's centre, from 0 on, or -1. How much of each pixel is ink, in [0, 1]. The doubts that
        would get ink if they were found.
    """
    ink = written(view.maps.ink, digits_ink)
    owner = np.full(view.grey.shape, -1, np.int16)
    rows, columns = np.nonzero(ink > COVERED)
    if not len(rows) or not (found or doubts):
        return owner, by_contrast(view.grey, ink), []
    height, width = view.grey.shape
    votes = cv2.resize(view.maps.votes.transpose(1, 2, 0), None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    places = np.stack([columns, rows], axis=1).astype(np.float32) + 0.5
    aims = places + 2 * votes[:height, :width][rows, columns]
    costs = np.full(len(rows), _MAX_COST, np.float32)
    best = np.full(len(rows), -1, np.int16)
    claims = []
    for number, (each, half) in enumerate(zip([*found, *doubts], _halves([*found, *doubts]), strict=True)):
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
    whole = _join_parts(owner, view.maps.ink[1], found)
    coverage = by_contrast(view.grey, np.where(whole, np.maximum(ink, view.maps.ink[1]), ink))
    # The pixels around those that vote are the faint edges of strokes, and belong to the same digit.
    return np.where(owner < 0, cv2.dilate(owner, np.ones((3, 3), np.uint8)), owner), coverage, claims


def _join_parts(owner: NDArray[np.int16], pen: Floats, found: Sequence[Centre]) -> NDArray[np.bool_]:
    """Give each connected part of the pen's ink that reaches no further than a digit to the one that has most of it.

    Marks are as digits. Return the pixels of these parts, and those around them.
    """
    count, labels, statistics, _ = cv2.connectedComponentsWithStats((pen > COVERED).view(np.uint8))
    is_owned = (owner >= 0) & (labels > 0)
    pairs, sizes = np.unique(labels[is_owned] * len(found) + owner[is_owned], return_counts=True)
    order = sizes.argsort()
    most = np.full(count, -1, np.int16)
    most[pairs[order] // len(found)] = pairs[order] % len(found)  # the last one has most
    has_owner = (most >= 0).nonzero()[0]
    corners = np.hstack([statistics[has_owner, :2], statistics[has_owner, :2] + statistics[has_owner, 2:4]])
    middles = np.array([(each.x, each.y) * 2 for each in found]).reshape(-1, 4)[most[has_owner]]
    reach = _REACH * np.tile(_halves(found), 2)[most[has_owner]]
    most[has_owner[(np.abs(corners - middles) > reach).any(axis=1)]] = -1
    theirs = most[labels]
    np.copyto(owner, theirs, where=theirs >= 0)
    around: NDArray[np.bool_] = cv2.dilate((theirs >= 0).view(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return around


def _halves(found: Sequence[Centre]) -> Floats:
    """Return half the width and height of each box, (N, 2)."""
    return np.array([(each.width / 2, each.height / 2) for each in found], np.float32).reshape(-1, 2)
