"""Read the digits on a picture: the finder says where they are, and the classifier what they are.

prepared = prepare(picture)
read = ReadNumber.of(prepared, classifier, classifier.scores(to_features(prepared.pixels)))

If a digit is doubtful, `read.look_again(picture)` prepares another look, and `read.after` chooses. A picture of one
digit is read as `/predict` reads it.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal, NotRequired, Self, TypedDict

import numpy as np
from numpy.typing import NDArray

from digits.errors import NoInk, TooManyDigits
from digits.features import Floats, Grey, to_features
from digits.finder.centres import MAX_CENTRES
from digits.finder.find import SMALL_SEPARATORS, Box, Finder, Findings, FoundDigit, FoundMark
from digits.finder.network import CLASSES, DIGITS, FinderNetwork
from digits.model.choice import digit_costs
from digits.model.classifier import Classifier, ModelName, Scores
from digits.model.predictions import Judged, Prediction, pixels_of, predictions
from digits.normalization.digit import is_cut_off
from digits.normalization.mnist_form import are_normalized
from digits.normalization.normalize import Normalized
from digits.normalization.parts import Part
from digits.picture import Picture

_SMALL = 0.55
"""A digit that is lower than this share of the other digits of its line may be an exponent or the ring of a percent
sign. One that exceeds them as much may be a ring around something. A digit alone in its line is compared with
those of the other lines."""

_LARGE_PART = 0.25
"""A digit alone that is larger than this share of its picture needs no closer look."""

_SEPARATORS = CLASSES[DIGITS:-1]


class Mark(TypedDict):
    """What is written beside the digits and is no digit, or may be none."""

    kind: Literal["separator", "other"]
    """A separator is a point, a comma, a colon, a dash or a slash."""
    box: Box
    line: int
    """The line of digits that it is in or near, from 0."""
    after: int
    """Number of digits of the line before it."""


class Number(TypedDict):
    """The digits on one picture."""

    text: str
    """The lines, with newlines between them."""
    lines: list[str]
    """The digits of each line."""
    digits: list[Prediction]
    """In reading order, each with its `line` and its `box`."""
    marks: list[Mark]
    """What is no digit."""
    left_out: int
    """Number of marks that are about as large as a digit, or dashes."""
    doubts: Sequence[str]
    """Why a single digit may be something else, as `/predict` says, and why a number may not be whole."""
    model: ModelName
    ink: NotRequired[Grey]
    """Where the finder saw ink, if a client asked for it."""
    accept: NotRequired[bool]
    """Whether the number needs no check by a person. Absent if its digits do not have it."""


Marks = Literal["count", "ignore"]
"""Whether separators between digits count as marks."""


def set_accept(number: Number, marks: Marks = "count") -> None:
    """Set whether the number needs no check by a person: all of its digits are accepted, and no mark counts."""
    if "accept" in number["digits"][0]:
        counted = [mark for mark in number["marks"] if marks == "count" or not _is_between(mark, number["lines"])]
        number["accept"] = not counted and all(digit["accept"] for digit in number["digits"])


def _is_between(mark: Mark, lines: Sequence[str]) -> bool:
    """Return whether a mark separates digits."""
    return mark["kind"] == "separator" and 0 < mark["after"] < len(lines[mark["line"]])


def ambiguous_count(number: Number) -> int | None:
    """Return how many digits may be another digit. None if the version has no prediction sets."""
    digits = number["digits"]
    if "prediction_set" not in digits[0]:
        return None
    return sum(digit["prediction_set"] != [digit["digit"]] for digit in digits)


def non_digit_count(number: Number) -> int | None:
    """Return how many digits do not look like one: `is_digit` is false. None if the version has no novelty."""
    return sum(not digit["is_digit"] for digit in number["digits"]) if "is_digit" in number["digits"][0] else None


@dataclass(frozen=True, slots=True)
class PreparedNumber:
    """What a picture may show: one digit, several, or either."""

    size: tuple[int, int]
    """Width and height of the picture in pixels, as displayed."""
    whole: Normalized | None = None
    """The picture as one digit, as `/predict` prepares it."""
    finder: Finder | None = None
    findings: Findings | None = None
    """What the finder found. None if the picture is in MNIST form."""
    has_several: bool = False
    """Whether the digits that the finder found may be read."""

    @property
    def pixels(self) -> Grey:
        """uint8 (N, 28, 28): the digits that the finder found, and the whole. N is at least 1."""
        found = [digit.pixels for digit in self.findings.digits] if self.findings and self.has_several else []
        return np.array([*found, *([] if self.whole is None else pixels_of([self.whole]))])

    @property
    def nbytes(self) -> int:
        """The memory that it takes."""
        inks = sum(digit.ink.nbytes for digit in self.findings.digits) if self.findings else 0
        return self.pixels.nbytes + inks + (0 if self.finder is None else self.finder.nbytes)


def prepare(picture: Picture, network: FinderNetwork | None = None) -> PreparedNumber:
    """Decode a picture and find its digits, with the finder that comes with the code or with another one.

    Raises:
        InvalidImage, NoInk, TooManyDigits: the picture has none, or too many.
    """
    size, whole = picture.upright_size, None
    if size == (28, 28):
        with suppress(NoInk):
            whole = picture.prepare("auto")
        if whole is not None and not are_normalized([whole.steps])[0]:
            return PreparedNumber(size, whole)
    finder = picture.finder(network)
    findings = finder.find()
    if len(findings.digits) < 2:
        with suppress(NoInk):
            whole = whole or picture.prepare("auto")
        if whole is not None and whole.is_alone and _side(whole.part) > _LARGE_PART:
            return PreparedNumber(size, whole, finder, findings)
    finder.look_closer()
    return _prepared(picture, finder, finder.find(), whole)


def _holds(part: Part, size: tuple[int, int], digits: Sequence[FoundDigit]) -> bool:
    """Return whether a part of the picture has all digits in it. Otherwise it shows one of them."""
    whole = Box.around([np.multiply(part, size * 2)])
    return all(whole.holds(digit.box) for digit in digits)


def _side(part: Part) -> float:
    """Return the longer side of a part of a picture, as a share of the picture's."""
    left, top, right, bottom = part
    return max(right - left, bottom - top)


def _prepared(picture: Picture, finder: Finder, findings: Findings, whole: Normalized | None) -> PreparedNumber:
    """Prepare the picture as one digit too, unless several are certain. Raises NoInk and TooManyDigits."""
    digits, blank = findings.digits, None
    if len(digits) >= MAX_CENTRES:
        raise TooManyDigits(f"expected a picture of fewer than {MAX_CENTRES} digits, found {len(digits)} or more")
    is_stacked = len(digits) > 1 and digits[-1].line == len(digits) - 1  # as the pieces of a broken 9
    if not is_stacked and sum(digit.heat >= finder.decoding.certain_heat for digit in digits) > 1:
        return PreparedNumber(picture.upright_size, None, finder, findings, has_several=True)
    try:
        whole = whole or picture.prepare("auto")
    except NoInk as exc:
        blank = exc
    if len(digits) > 1 and whole is not None and not _holds(whole.part, picture.upright_size, digits):
        whole = None
    if whole is None and not digits:
        raise blank or NoInk("no digit found: the picture has only marks that are no digits")
    has_several = len(digits) > 1 or whole is None
    return PreparedNumber(picture.upright_size, whole, finder, findings, has_several)


def read_number(classifier: Classifier, picture: Picture, network: FinderNetwork | None = None) -> Number:
    """Return the record of `read_digits`."""
    return read_digits(classifier, picture, network).number()


def read_digits(classifier: Classifier, picture: Picture, network: FinderNetwork | None = None) -> "ReadNumber":
    """Decode a picture and read its digits. The finder is as for `prepare`.

    Raises:
        OtherClasses: the model's classes are not the digits.
        InvalidImage, NoInk, TooManyDigits: the picture cannot be read.
    """
    classifier.require_digits()
    prepared = prepare(picture, network)
    read = ReadNumber.of(prepared, classifier, classifier.scores(to_features(prepared.pixels)))
    if read.is_doubtful and (other := read.look_again(picture)) is not None:
        read = read.after(other, classifier.scores(to_features(other.pixels)))
    return read


@dataclass(frozen=True, slots=True)
class ReadNumber:
    """The reading of a picture."""

    classifier: Classifier
    prepared: PreparedNumber
    several: Scores | None
    """Of the digits that the finder found. None if the picture was read as one digit."""
    others: list[int | None]
    """For each digit, what else it may be, because another look or the finder says so."""
    one: Judged | None
    """What the picture shows as one digit. None if it was read as several."""

    @classmethod
    def of(cls, prepared: PreparedNumber, classifier: Classifier, scores: Scores) -> Self:
        """Read what was prepared. `scores` are those of its `pixels`."""
        found = prepared.findings.digits if prepared.findings and prepared.has_several else []
        several = scores.select(slice(len(found))) if found else None
        if prepared.whole is not None:
            one = Judged.at_first_look(classifier, [prepared.whole], scores.select(slice(len(found), None)))
            record, seen = one.records[0], one.seen[0]
            if several is None or record.get("accept", False) or seen.cost <= digit_costs(several).mean():
                return cls(classifier, prepared, None, [seen.other], one)
        assert several is not None
        share = 0 if prepared.finder is None else prepared.finder.decoding.share
        together, others = _together(several, [digit.classes for digit in found], share)
        return cls(classifier, prepared, together, others, None)

    @property
    def is_doubtful(self) -> bool:
        """Whether another look may be better."""
        return bool(self._strangers()) if self.one is None else bool(self.one.doubtful())

    def look_again(self, picture: Picture) -> PreparedNumber | None:
        """Return another look at the picture if a digit is doubtful, or None if no other look is possible.

        Among several digits, those that are the least like a digit are taken for other marks.
        """
        if self.one is not None:
            finder = self.prepared.finder
            other = finder.one_digit() if finder is not None and self.one.doubtful() else None
            return None if other is None else replace(self.prepared, whole=other, has_several=False)
        strangers = self._strangers()
        if not strangers or self.prepared.finder is None:
            return None
        return _prepared(picture, self.prepared.finder, self.prepared.finder.without(strangers), self.prepared.whole)

    def _strangers(self) -> list[int]:
        """Return the doubtful centres that do not look like a digit, but not all of them."""
        if (
            self.several is None
            or self.several.novelty is None
            or not (self.prepared.findings and self.prepared.finder)
        ):
            return []
        heats: Floats = np.array([digit.heat for digit in self.prepared.findings.digits], np.float32)
        decoding = self.prepared.finder.decoding
        strangeness = self.several.novelty - decoding.heat_weight * heats
        is_strange = (heats < decoding.certain_heat) & (strangeness >= decoding.most_strange)
        strangers: list[int] = np.flatnonzero(is_strange).tolist()
        return strangers if len(strangers) < len(heats) else []

    def after(self, other: PreparedNumber, scores: Scores) -> "ReadNumber":
        """Return the better of this reading and the one after another look. `scores` are those of its `pixels`."""
        if self.one is not None and other.whole is not None:
            one = self.one.after_second_look({0: other.whole}, scores)
            return replace(self, one=one, others=[one.seen[0].other])
        return self.of(other, self.classifier, scores)

    @property
    def scores(self) -> Scores:
        """Of the digits."""
        if self.one is not None:
            return self.one.scores
        assert self.several is not None
        return self.several

    @property
    def pixels(self) -> Grey:
        """uint8 (digits, 28, 28)"""
        if self.one is not None:
            return self.one.seen[0].normalized.pixels[None]
        return self.prepared.pixels[: len(self.scores.probabilities)]

    @property
    def normalized(self) -> NDArray[np.bool_]:
        """Which of the digits were not in MNIST form, (digits,)."""
        if self.one is not None:
            return are_normalized([self.one.seen[0].normalized.steps])
        return np.ones(len(self.scores.probabilities), bool)

    @property
    def ink(self) -> Grey | None:
        """Where ink was seen. None if it was not needed."""
        if self.one is not None:
            return self.one.seen[0].normalized.ink
        return None if self.prepared.finder is None else self.prepared.finder.ink

    @property
    def doubts(self) -> Sequence[str]:
        """Why a single digit may be something else, and whether an edge of the picture cuts off several."""
        if self.one is not None:
            return self.one.records[0]["doubts"]
        number = self._around()
        return ("edge",) * is_cut_off(number.corners, self.prepared.size[::-1], number.height)

    def _around(self) -> Box:
        """Return the box of what the finder found as a number."""
        assert self.prepared.findings is not None
        return Box.around([digit.reach.corners for digit in self.prepared.findings.digits])

    def number(self) -> Number:
        """Return the record."""
        boxes, lines = self._places()
        if self.one is not None:
            record = self.one.records[0].copy()
            del record["preprocessing"], record["model"], record["doubts"]
            record.pop("left_out", None)
            digits = [record]
        else:
            digits = predictions(self.classifier, self.scores, self.normalized, self.others)
        rows = [""] * (lines[-1] + 1)
        finder = None if self.one is not None else self.prepared.finder
        most_novelty = np.inf if finder is None else finder.decoding.most_novelty
        maybe_marks = [] if finder is None else self._maybe_marks(finder.decoding.most_mark)
        for index, (digit, line, box) in enumerate(zip(digits, lines, boxes, strict=True)):
            rows[line] += str(digit["digit"])
            others = [(each.height, its) for each, its in zip(boxes, lines, strict=True) if each is not box]
            beside = [height for height, its in others if its == line]
            size = box.height / np.median(beside or [height for height, _ in others] or [box.height])
            if digit.get("novelty", 0) > most_novelty or not _SMALL < size < 1 / _SMALL:
                digit["is_digit"] = digit["accept"] = False
            if index in maybe_marks and "accept" in digit:
                digit["accept"] = False
            digit["line"], digit["box"] = line, box
        doubts = self.doubts
        marks = self._marks(doubts)
        number: Number = {
            "text": "\n".join(rows),
            "lines": rows,
            "digits": digits,
            "marks": [_placed(mark, boxes, lines) for mark in marks],
            "left_out": sum(mark.kind not in SMALL_SEPARATORS for mark in marks),
            "doubts": doubts,
            "model": self.classifier.model_name,
        }
        set_accept(number)
        return number

    def _places(self) -> tuple[list[Box], list[int]]:
        """Return the box and the line of each digit."""
        if self.one is not None:
            return [Box.around([np.multiply(self.one.seen[0].normalized.part, self.prepared.size * 2)])], [0]
        assert self.prepared.findings is not None
        digits = self.prepared.findings.digits
        return [digit.box for digit in digits], [digit.line for digit in digits]

    def _maybe_marks(self, most: float) -> list[int]:
        """Return the digits that may be marks, as a 1 may be a slash, so that one of the others is a mark with a
        probability of `most` at most.
        """
        found = self.prepared.findings.digits if self.prepared.findings else []
        marks = np.array([digit.mark for digit in found])
        order = marks.argsort()
        maybe: list[int] = order[1 - (1 - marks[order]).cumprod() > most].tolist()
        return maybe

    def _marks(self, doubts: Sequence[str]) -> list[FoundMark]:
        """Return what is beside the digits, and a mark around a number for each of its doubts."""
        findings, size = self.prepared.findings, self.prepared.size
        found = [] if findings is None else findings.marks
        if self.one is None:
            return [*found, *[FoundMark("other", self._around(), 0)] * len(doubts)]
        # Beside one digit, what may be a digit counts only if `/predict` counts it.
        (digit,), _ = self._places()
        if findings is not None and findings.digits:
            digit = findings.digits[0].box  # `/predict` takes what is around the digit, too
        beside = [mark for mark in found if not digit.holds(mark.box)]
        sure = [mark for mark in beside if mark.heat > 0]
        counted = self.one.records[0].get("left_out", 0) - sum(mark.kind not in SMALL_SEPARATORS for mark in sure)
        others = [FoundMark("other", mark.box, 0) for mark in beside if mark not in sure]
        return [*sure, *[*others, *[FoundMark("other", Box(0, 0, *size), 0)] * max(0, counted)][: max(0, counted)]]


def _together(scores: Scores, classes: Sequence[Floats], share: float) -> tuple[Scores, list[int | None]]:
    """Return what the classifier and the finder say of digits together, and for each what only one of them says."""
    finders = np.array(classes)
    probabilities = scores.probabilities ** (1 - share) * (finders + 1e-3) ** share
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    opinions = np.stack([finders.argmax(axis=1), scores.probabilities.argmax(axis=1)], axis=1).tolist()
    others = [
        next((digit for digit in said if digit != together), None)
        for said, together in zip(opinions, probabilities.argmax(axis=1).tolist(), strict=True)
    ]
    return Scores(probabilities.astype(np.float32), scores.novelty), others


def _placed(mark: FoundMark, boxes: Sequence[Box], lines: Sequence[int]) -> Mark:
    """Return a mark with its place among the digits."""
    x, y = mark.box.middle
    near = min(range(len(boxes)), key=lambda index: np.hypot(boxes[index].middle[0] - x, boxes[index].middle[1] - y))
    line = lines[near]
    after = sum(box.middle[0] < x for box, its_line in zip(boxes, lines, strict=True) if its_line == line)
    kind: Literal["separator", "other"] = "separator" if mark.kind in _SEPARATORS else "other"
    return {"kind": kind, "box": mark.box, "line": line, "after": after}
