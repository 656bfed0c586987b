"""Read the digits on a picture: the finder says where they are, and the classifier what they are."""

from dataclasses import dataclass

import numpy as np

from digits.errors import NoInk
from digits.features import Floats, to_features
from digits.finder.find import Finder, Findings
from digits.finder.network import FinderNetwork
from digits.model.classifier import Classifier, Scores
from digits.model.predictions import Prediction, predictions
from digits.picture import Picture

CERTAIN_HEAT = 0.6
"""A centre with at least this heat is a digit, whatever it looks like."""

_HEAT_WEIGHT, _MOST_STRANGE = 1.5, 0.5
"""A centre is no digit if its novelty, less the first times its heat, is above the second."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The digits on a picture, and what was found beside them."""

    lines: list[str]
    digits: list[Prediction]
    """In reading order, each with its line and its box."""
    findings: Findings
    is_accepted: bool
    """Whether no person has to check it."""


def read(network: FinderNetwork, classifier: Classifier, picture: Picture) -> Reading:
    """Decode a picture and read its digits.

    A digit is not accepted if the finder takes it for another one than the classifier does.

    Raises:
        OtherClasses: the model's classes are not the digits.
        InvalidImage, NoInk: the picture cannot be decoded, or has no digit.
    """
    classifier.require_digits()
    finder = Finder(network, picture.grey())
    findings = finder.find()
    while findings.digits:
        scores = classifier.scores(to_features(np.stack([digit.pixels for digit in findings.digits])))
        index = _least_like_a_digit(findings, scores)
        if index is None:
            return _reading(classifier, findings, scores)
        findings = finder.without(index)
    raise NoInk("no digit found: the picture has no pen strokes, or only marks that are no digits")


def _least_like_a_digit(findings: Findings, scores: Scores) -> int | None:
    """Return the doubtful centre that looks least like a digit. None if all others look like one, or if it is alone."""
    if len(findings.digits) == 1 or scores.novelty is None:
        return None
    heats: Floats = np.array([digit.heat for digit in findings.digits], np.float32)
    strangeness = np.where(heats < CERTAIN_HEAT, scores.novelty - _HEAT_WEIGHT * heats, -np.inf)
    index = int(strangeness.argmax())
    return index if strangeness[index] >= _MOST_STRANGE else None


def _reading(classifier: Classifier, findings: Findings, scores: Scores) -> Reading:
    found = findings.digits
    witnesses = [int(digit.classes.argmax()) for digit in found]
    digits = predictions(classifier, scores, np.ones(len(found), bool), witnesses)
    lines = [""] * (found[-1].line + 1)
    for digit, each in zip(digits, found, strict=True):
        lines[each.line] += str(digit["digit"])
        left, top, right, bottom = (round(side) for side in each.box)
        digit["line"] = each.line
        digit["box"] = {"x": left, "y": top, "width": right - left, "height": bottom - top}
    beside = len(findings.marks) + findings.doubts + findings.strange
    is_accepted = not beside and all(digit.get("accept", False) for digit in digits)
    return Reading(lines, digits, findings, is_accepted)
