"""Choose between two looks at the same picture, once the network has judged each of them.

A look costs little if the network is sure and sees nothing new. What the other look shows for about the same cost is
plausible too: it becomes a member of the prediction set, so that the answer is not accepted.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from digits.features import Floats
from digits.model.classifier import Scores
from digits.normalization.doubts import BESIDE
from digits.normalization.normalize import Normalized
from digits.normalization.parts import SOLID, Part

_NOVELTY, _USUAL = 0.33, -0.5
"""Cost of novelty above that of a usual digit, up to 4, so that one usual digit costs less than two halves. It is added
to the digit's log-loss: minus the logarithm of its probability."""

_PLAUSIBLE = 0.33
"""A look that costs more than the better one by less than this is plausible too."""

_CLEARLY = 0.1
"""A look is clearly better than another one if it costs less by more than this. Otherwise, both are plausible."""


def digit_costs(scores: Scores) -> Floats:
    """Return what each picture costs as one digit, (N,)."""
    costs: Floats = -np.log(np.maximum(scores.probabilities.max(axis=1), 1e-6))
    return costs if scores.novelty is None else costs + _NOVELTY * np.clip(scores.novelty - _USUAL, 0, 4)


@dataclass(frozen=True, slots=True)
class Seen:
    """A look at a picture."""

    normalized: Normalized
    row: int
    """The row of its scores."""
    digit: int
    cost: float
    other: int | None = None
    """What it may be too, as the finder or another look says."""


def judged(looks: Sequence[Normalized], scores: Scores, *, first_row: int = 0) -> list[Seen]:
    """Return what was seen at each look. `scores` are theirs. The first of them is `first_row`, if there are rows of
    another pass before them.
    """
    costs, digits = digit_costs(scores).tolist(), scores.probabilities.argmax(axis=1).tolist()
    return [
        Seen(each, first_row + row, digit, cost, None if each.finders_digit == digit else each.finders_digit)
        for row, (each, digit, cost) in enumerate(zip(looks, digits, costs, strict=True))
    ]


def better(first: Seen, second: Seen) -> Seen:
    """Return the better of two looks, with what the other one shows if that is plausible, and with its doubts.

    The second one is the finder's. It is better if the finder and the network agree on it, or if it is clearly cheaper.
    """
    finders = second.normalized.finders_digit
    is_agreed = second.digit == finders and second.normalized.is_alone
    best, other = (second, first) if is_agreed or second.cost + _CLEARLY < first.cost else (first, second)
    is_plausible = other.cost <= best.cost + (_CLEARLY if is_agreed else _PLAUSIBLE)
    rival = next((it for it in (other.digit if is_plausible else None, finders) if it not in (None, best.digit)), None)
    doubts = Counter(best.normalized.doubts) | Counter(_lasting(other, best, is_finders=other is second))
    return replace(best, other=rival, normalized=replace(best.normalized, doubts=tuple(doubts.elements())))


def _lasting(other: Seen, best: Seen, *, is_finders: bool) -> list[str]:
    """Return the doubts of the other look that are doubts of the best one too.

    What is beside the digit is seen on even paper, and by the finder. Its shape is the same if both looks show the same
    part of the picture.
    """
    sees_around = is_finders or other.normalized.ink is None
    is_same = _common(best.normalized.part, other.normalized.part) >= SOLID
    return [doubt for doubt in other.normalized.doubts if (sees_around if doubt in BESIDE else is_same)]


def _common(one: Part, other: Part) -> float:
    """Return the share of what two parts of a picture cover that both of them cover."""
    sizes = [np.subtract(part[2:], part[:2]).prod() for part in (one, other)]
    common = (np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])).clip(0).prod()
    return float(common / (sum(sizes) - common))
