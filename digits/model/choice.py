"""Choose between several ways to see the same picture, once the network has judged each of them.

A way costs little if the network is sure and sees nothing new. What another way shows for about the same cost is
plausible too: it becomes a member of the prediction set, so that the answer is not accepted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from digits.features import Floats
from digits.model.classifier import Scores
from digits.normalization.doubts import with_neighbours_of
from digits.normalization.normalize import Normalized

_NOVELTY, _USUAL = 0.33, -0.5
"""Cost of novelty above that of a usual digit, up to 4, so that one usual digit costs less than two halves. It is added
to the digit's log-loss: minus the logarithm of its probability."""

_CLEARLY_CHEAPER = 0.67
"""A way that costs less than another one by this is certainly better."""

_PLAUSIBLE = 0.33
"""A way that costs more than the best one by less than this is plausible too."""


def digit_costs(scores: Scores) -> Floats:
    """Return what each picture costs as one digit, (N,)."""
    costs: Floats = -np.log(np.maximum(scores.probabilities.max(axis=1), 1e-6))
    return costs if scores.novelty is None else costs + _NOVELTY * np.clip(scores.novelty - _USUAL, 0, 4)


@dataclass(frozen=True, slots=True)
class Seen:
    """One way to see a picture."""

    normalized: Normalized
    row: int
    """The row of its scores."""
    digit: int
    cost: float
    other: int | None = None
    """What another way shows, if it is plausible too."""


def best_choices(pictures: Sequence[Normalized], scores: Scores, *, has_digits: bool, first_row: int = 0) -> list[Seen]:
    """Return the best of the choices of each picture: with or without a mark around it, below it or near it.

    Without digits as classes, what surrounds a drawing may be a part of it. `scores` are those of all choices, in
    order. The first of them is `first_row`, if there are rows of another pass before them.
    """
    costs, digits = digit_costs(scores).tolist(), scores.probabilities.argmax(axis=1).tolist()
    chosen, row = [], 0
    for picture in pictures:
        ways = [
            Seen(way, first_row + index, digits[index], costs[index]) for index, way in enumerate(picture.choices, row)
        ]
        row += len(ways)
        if not has_digits:
            del ways[1:]
        # A digit inside of an outline is the one that was meant, even if the outline looks slightly more like a 0.
        # Small parts near it, what the finder has left of a mark, and faint ink belong to it unless it is clearer
        # without.
        last = ways[-1].normalized
        margin = -_PLAUSIBLE if last.is_less_sure else _CLEARLY_CHEAPER
        best = ways[-1] if ways[-1].cost <= ways[0].cost + margin else ways[0]
        chosen.append(_with_rival(best, *ways))
    return chosen


def better(first: Seen, second: Seen) -> Seen:
    """Return the cheaper of two looks, with what the other one shows if that is plausible.

    What is on a sheet is plausible at any cost, because the whole sheet may look like a digit.
    """
    if second.cost >= first.cost:
        return _with_rival(first, second)
    if first.normalized.other_look != "whole":
        return _with_rival(second, first)
    doubts = with_neighbours_of(first.normalized.doubts, second.normalized.doubts)
    other = first.digit if first.digit != second.digit else None
    return replace(second, normalized=replace(second.normalized, doubts=doubts), other=other)


def _with_rival(best: Seen, *ways: Seen) -> Seen:
    """Return the best way with what another plausible way shows."""
    for way in ways:
        if way.digit != best.digit and way.cost <= best.cost + _PLAUSIBLE:
            return replace(best, other=way.digit)
    return best
