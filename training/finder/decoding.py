"""Fit how the finder's maps are decoded, on scenes that the network has not seen."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import cv2

from digits.errors import DigitsError
from digits.finder.find import Box as FoundBox
from digits.finder.network import Decoding, FinderNetwork
from digits.finder.read import read_number
from digits.model.classifier import Classifier
from digits.picture import Picture
from training.finder.crops import match
from training.finder.scenes import Scene
from training.progress import track

STEPS: Mapping[str, tuple[float, ...]] = {
    "least_heat": (0.24, 0.28, 0.32, 0.36, 0.4, 0.45),
    "doubtful_heat": (0.12, 0.16, 0.2, 0.25, 0.3),
    "mark_heat": (0.15, 0.2, 0.25, 0.3, 0.4, 0.5),
    "mark_weight": (0.3, 0.45, 0.6, 0.8, 1.0),
    "rival": (0.0, 0.1, 0.25, 0.5),
    "certain_heat": (0.5, 0.55, 0.6, 0.65, 0.7),
    "heat_weight": (1.0, 1.5, 2.0),
    "most_strange": (0.0, 0.25, 0.5, 0.75, 1.0),
    "most_novelty": (0.5, 0.65, 0.8, 0.95),
    "most_mark": (0.05, 0.1, 0.2, 0.3, 0.4),
    "share": (0.0, 0.15, 0.3, 0.45, 0.6),
    "digits_ink": (0.4, 0.55, 0.7, 0.85),
}
"""The values that are tried."""

_WRONG = 10.0
"""How many numbers that are read rightly a wrong one that is accepted outweighs. A right one that is accepted counts
as one more half."""

_MOST, _CLEAR = 10, 128
"""Of a scene that the values are fitted on: its digits, and the mean of `Scene.digit_ink` of each, at least."""


@dataclass(frozen=True, slots=True)
class Figures:
    """How scenes are read."""

    right: float
    """Share of the scenes whose digits were all read, and nothing else."""
    accepted: float
    accepted_wrong: float
    """Share of the scenes that were accepted, although a digit is wrong or a mark was not seen."""

    @property
    def worth(self) -> float:
        """What is maximized."""
        return self.right + (self.accepted - self.accepted_wrong) / 2 - _WRONG * self.accepted_wrong


def fit_decoding(
    network: FinderNetwork, classifier: Classifier, scenes: Sequence[Scene]
) -> tuple[Decoding, dict[str, float]]:
    """Return the best values, and the figures that they have on the scenes, which are `is_clear`.

    One value after the other is tried, twice.
    """
    best = Decoding()
    figures = measure(network, classifier, scenes, best)
    rounds = [(name, value) for _ in range(2) for name, values in STEPS.items() for value in values]
    for name, value in track(rounds, "fitting how the maps are decoded", len(rounds)):
        if value == getattr(best, name):
            continue
        tried = replace(best, **{name: value})
        if (found := measure(network, classifier, scenes, tried)).worth > figures.worth:
            best, figures = tried, found
    return best, asdict(figures)


def is_clear(scene: Scene) -> bool:
    """Return whether a scene has 2 to _MOST digits, and all of them can be read well."""
    digits = [(number, box) for number, box in enumerate(scene.boxes, start=1) if box.label <= 9]
    return 2 <= len(digits) <= _MOST and all(
        box.is_whole and box.label >= 0 and scene.digit_ink[scene.owner == number].mean() > _CLEAR
        for number, box in digits
    )


def measure(network: FinderNetwork, classifier: Classifier, scenes: Sequence[Scene], decoding: Decoding) -> Figures:
    """Read scenes with these values."""
    network.decoding = decoding
    right = accepted = wrong = 0
    for scene in scenes:
        is_right, is_accepted, has_marks = _read(network, classifier, scene)
        right += is_right
        accepted += is_accepted
        wrong += is_accepted and (not is_right or has_marks)
    return Figures(right / len(scenes), accepted / len(scenes), wrong / len(scenes))


def _read(network: FinderNetwork, classifier: Classifier, scene: Scene) -> tuple[bool, bool, bool]:
    """Return whether all digits were read and nothing else, whether that was accepted, and whether there are marks."""
    has_marks = any(box.label > 9 and box.is_whole for box in scene.boxes)
    try:
        number: Any = read_number(classifier, Picture(cv2.imencode(".png", scene.grey)[1].tobytes()), network)
    except DigitsError:
        return False, False, has_marks
    boxes = [box for box in scene.boxes if box.label <= 9]
    found: list[FoundBox] = [digit["box"] for digit in number["digits"]]
    pairs = match([box.corners for box in found], [(box.left, box.top, box.right, box.bottom) for box in boxes])
    read = [number["digits"][index]["digit"] == boxes[box].label for index, box in pairs]
    is_right = len(boxes) == len(found) == len(pairs) and all(read)
    return is_right, number.get("accept", False), has_marks
