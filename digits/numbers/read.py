"""Read the digits on a picture: decode it, segment it, and choose the reading once the network has judged.

prepared = prepare(picture)
number = ReadNumber.of(prepared, classifier.scores(to_features(prepared.pixels))).number(classifier)

If the number is doubtful, it is `compared_with` what `look_again` prepares.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import reduce
from itertools import compress, groupby
from typing import NotRequired, Self, TypedDict

import numpy as np
from numpy.typing import NDArray

from digits.errors import NoInk, TooManyDigits
from digits.features import Grey, to_features
from digits.model.artifact import MAX_NOVELTY
from digits.model.choice import CLEARLY_CHEAPER, best_choices, better
from digits.model.classifier import Classifier, ModelName, Scores
from digits.model.predictions import Prediction, predictions
from digits.normalization.look import OtherLook
from digits.normalization.mnist_form import are_normalized
from digits.normalization.normalize import Normalized, is_cut_off
from digits.normalization.parts import corner_points, smallest_rectangle
from digits.numbers.search import LEFT_OUT, FoundDigit, Reading, best_reading
from digits.numbers.segment import Box, Segmentation, segment
from digits.numbers.sheet import SHEET_SIDE, find_sheet
from digits.numbers.strangers import commas, strangers
from digits.numbers.work import Work
from digits.picture import Picture
from digits.pictures.decode import REDUCED_SIDE

_CHEAPER = 0.5
"""By how much one digit must cost less than several beside each other, so that a picture is read as one."""

_MAX_NOVELTY, _MAX_CUT_NOVELTY = 0.8, 0.4
"""The highest novelty of a digit among others, and of one that was cut off a mark. Each digit is one more chance for a
letter to look like one, and half of an M looks like a 1 or a 7."""

_PRINT = 0.4
"""A line that is lower than this, in heights of the highest one, may be printed words, of which a letter remains."""

_FEW_DIGITS, _MANY_DIGITS = 0.25, 0.5
"""More than this share of a number looks like digits, or more than the second if the picture cannot be one digit."""

_SAME_PLACE = 0.3
"""Digits of two readings that share more of the smaller box than this are in the same place."""

_WIDEST_DIGIT = 2.2
"""Several digits are read as one only if they are together not wider than this, in their heights."""


@dataclass(frozen=True, slots=True)
class PreparedNumber:
    """A picture's candidates for the network."""

    size: tuple[int, int]
    """Width and height of the picture in pixels, as displayed."""
    segmentation: Segmentation | None
    """Candidates for several digits. None if the picture shows one digit."""
    wholes: list[Normalized]
    """The picture as one digit, as `/predict` prepares it, from each look at it. It may be empty."""
    ink: Grey | None
    """Where the ink network saw ink in the picture. None if it was not needed."""
    other_look: OtherLook | None = None
    """How to look for several digits again. None if there is no other way."""
    cut_off: int = 0
    """As in `Sheet`."""

    @property
    def pixels(self) -> Grey:
        """uint8 (N, 28, 28), all candidates in MNIST form. N is at least 1."""
        ways = [way.pixels[None] for whole in self.wholes for way in whole.choices]
        return np.concatenate([*([] if self.segmentation is None else [self.segmentation.pixels]), *ways])

    @property
    def has_other_look(self) -> bool:
        """Whether `look_again` can see the picture in another way. One digit may be several that touch."""
        if self.segmentation is None:
            return "centered" in self.steps  # not in MNIST form
        return self.other_look is not None or any(whole.other_look is not None for whole in self.wholes)

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps that brought the candidates to MNIST form."""
        return self.wholes[0].steps if self.segmentation is None else ("cropped", "centered")

    def read(self, scores: Scores) -> Reading:
        """Return the digits in reading order, with boxes in pixels of the picture as it is displayed.

        Args:
            scores: of `pixels`.

        Raises:
            NoInk: there is no digit.
            TooManyDigits: more than `search.MAX_DIGITS` digits.
        """
        reading = Reading([], 0, np.inf)
        count = 0
        if self.segmentation is not None:
            count = len(self.segmentation.pixels)
            reading = _without_print(best_reading(self.segmentation, scores.select(range(count))), scores)
            reading = replace(reading, left_out=reading.left_out + self.cut_off)
        if self.wholes:
            as_one = scores.select(range(count, len(scores.probabilities)))
            whole = reduce(better, best_choices(self.wholes, as_one, has_digits=True, first_row=count))
            large = whole.normalized.left_out
            left_out = max(reading.left_out, large + whole.normalized.doubts)
            box = Box.around([np.multiply(whole.normalized.part, self.size * 2)])
            digit = FoundDigit(whole.row, 0, whole.digit, box, whole.other)
            one = Reading([digit], left_out, whole.cost + LEFT_OUT * large)
            is_one = len(reading.digits) == 1 and one.cost < reading.cost + CLEARLY_CHEAPER
            if is_one or _share_of_digits(reading.digits, scores) <= _FEW_DIGITS:
                return one
            if len(reading.digits) == 1:  # made of pieces that look like several digits to the other way
                reading = replace(reading, left_out=left_out)
            is_stacked = reading.digits[-1].line == len(reading.digits) - 1  # as the pieces of a broken 9
            if is_stacked or _may_be_one(reading.digits):
                if one.cost + (0 if is_stacked else _CHEAPER) < reading.cost:
                    return one
                if one.cost < reading.cost + CLEARLY_CHEAPER:
                    return settled(one, reading, has_all=True)[0]
        elif len(reading.digits) < 2 or _share_of_digits(reading.digits, scores) <= _MANY_DIGITS:
            raise NoInk("no digit found: the picture has only marks that are no digits")
        are_commas = commas(reading.digits)
        kept = [found for found, is_comma in zip(reading.digits, are_commas, strict=True) if not is_comma]
        digits = [replace(found, is_stranger=odd) for found, odd in zip(kept, strangers(kept), strict=True)]
        number = Box.around([found.box.corners for found in digits])
        is_cut = is_cut_off(number.corners, self.size[::-1], number.height)
        return replace(reading, digits=digits, left_out=reading.left_out + is_cut)


def prepare(picture: Picture, work: Work | None = None) -> PreparedNumber:
    """Decode a picture and propose candidates for its digits, within the limit of `work`.

    Raises:
        InvalidImage, NoInk, TooManyDigits: the picture has none, or too many.
    """
    whole = blank = prepared = None
    try:
        whole = picture.prepare("auto")
    except NoInk as exc:
        blank = exc
    if whole is None or not any(way.is_alone for way in whole.choices):
        prepared = _segmented(picture, work or Work())
    if prepared is not None:
        return prepared if whole is None else replace(prepared, wholes=[whole])
    if whole is None:
        raise blank or NoInk("no ink found: the picture has no pen strokes")
    return PreparedNumber(picture.upright_size, None, [whole], whole.ink)  # alone, or too faint for a sheet


def look_again(picture: Picture, first: PreparedNumber, work: Work | None = None) -> PreparedNumber | None:
    """Decode a picture again and propose candidates after another look. None if there is no other look."""
    second = picture.look_again(first.wholes[0]) if first.wholes else None
    wholes, prepared = [] if second is None else [second], None
    if is_one := first.segmentation is None:
        wholes = [*first.wholes, *wholes]
    if is_one or first.other_look is not None:
        with suppress(TooManyDigits):
            prepared = _segmented(picture, work or Work(), first.other_look)
    if prepared is not None:
        return replace(prepared, wholes=wholes)
    return None if second is None else replace(first, wholes=wholes)


def settled(first: Reading, second: Reading, *, has_all: bool) -> tuple[Reading, bool]:
    """Return the better of two readings, and whether it is the second one.

    `has_all` says whether the second one, after another look, has chosen among what the first one saw too.
    """
    # Different looks may see different numbers of digits.
    is_second = has_all or second.cost / len(second.digits) < first.cost / len(first.digits)
    best, rival = (second, first) if is_second else (first, second)
    near = _shares(best.digits, rival.digits) > _SAME_PLACE
    digits = [_beside(found, compress(rival.digits, row)) for found, row in zip(best.digits, near, strict=True)]
    missed = int(np.sum(~near.any(axis=0)))
    return replace(best, digits=digits, left_out=best.left_out + missed), is_second


def _beside(found: FoundDigit, near: Iterable[FoundDigit]) -> FoundDigit:
    """Return a digit with what another reading has in its place, if that is another digit or nothing."""
    shown = [digit for each in near for digit in (each.digit, each.other)]
    other = next((digit for digit in shown if digit not in (found.digit, None)), found.other)
    return replace(found, other=other, is_stranger=found.is_stranger or not shown)


def _shares(digits: Sequence[FoundDigit], others: Sequence[FoundDigit]) -> NDArray[np.float64]:
    """Return how much of the smaller one of two boxes is inside of the other one, (digits, others)."""
    first, second = (np.array([found.box.corners for found in each], float).reshape(-1, 4) for each in (digits, others))
    starts = np.maximum(first[:, None, :2], second[:, :2])
    stops = np.minimum(first[:, None, 2:], second[:, 2:])
    areas = [np.prod(corners[:, 2:] - corners[:, :2], axis=1) for corners in (first, second)]
    shares: NDArray[np.float64] = np.prod((stops - starts).clip(0), axis=2) / np.minimum(areas[0][:, None], areas[1])
    return shares


def _segmented(picture: Picture, work: Work, other: OtherLook | None = None) -> PreparedNumber | None:
    """Propose candidates for several digits. None if no ink is found. Raises TooManyDigits."""
    size = picture.upright_size
    for side in (SHEET_SIDE, REDUCED_SIDE)[: 1 + picture.is_large_jpeg]:
        grey, sheet = picture.grey(min_jpeg_side=side), None
        with suppress(NoInk):
            sheet = find_sheet(grey, work, other)
        if max(grey.shape) == max(size) or (sheet and sheet.is_legible):
            break
    if sheet is None:
        return None
    return PreparedNumber(size, segment(sheet, *size, work), [], sheet.ink, sheet.other_look, sheet.cut_off)


def _without_print(reading: Reading, scores: Scores) -> Reading:
    """Leave out lines that are much lower than the highest one and mostly no digits, such as printed words."""
    lines = [list(line) for _, line in groupby(reading.digits, key=lambda found: found.line)]
    heights = [float(np.median([found.box.height for found in line])) for line in lines]
    kept = [
        line
        for line, height in zip(lines, heights, strict=True)
        if height >= _PRINT * max(heights) or (len(line) > 1 and _share_of_digits(line, scores) > _MANY_DIGITS)
    ]
    digits = [replace(found, line=number) for number, line in enumerate(kept) for found in line]
    return replace(reading, digits=digits, left_out=reading.left_out + len(reading.digits) - len(digits))


def _may_be_one(digits: Sequence[FoundDigit]) -> bool:
    """Return whether digits beside each other, on a line of any slope, are together not too wide for one digit."""
    corners = np.array([found.box.corners for found in digits], np.int32)
    together = Box.around(corners)
    shorter, longer = smallest_rectangle(corner_points(corners).reshape(-1, 2))
    return together.height > together.width or longer <= _WIDEST_DIGIT * shorter


def _share_of_digits(digits: Sequence[FoundDigit], scores: Scores) -> float:
    """Return the share of what was read that looks like a digit. 0 if nothing was read."""
    if scores.novelty is None or not digits:
        return float(bool(digits))
    familiar = scores.novelty[[found.candidate for found in digits]] <= MAX_NOVELTY
    return float(familiar.mean())


class Number(TypedDict):
    """The digits on one picture."""

    text: str
    """The lines, with newlines between them."""
    lines: list[str]
    """The digits of each line."""
    digits: list[Prediction]
    """In reading order, each with its `line` and its `box`."""
    left_out: int
    """Number of marks about as large as a digit, and of equals and minus signs, that were not read."""
    model: ModelName
    ink: NotRequired[Grey]
    """As in `Sheet`, if a client asked for it."""
    accept: NotRequired[bool]
    """Whether the number needs no check by a person. Absent if its digits do not have it."""


def read_number(classifier: Classifier, picture: Picture) -> Number:
    """Decode a picture and read its digits.

    Raises:
        OtherClasses: the model's classes are not the digits.
        InvalidImage, NoInk, TooManyDigits: the picture cannot be read.
    """
    classifier.require_digits()
    prepared = prepare(picture)
    read = ReadNumber.of(prepared, classifier.scores(to_features(prepared.pixels)))
    if read.is_doubtful(classifier) and (other := look_again(picture, prepared)) is not None:
        read = read.compared_with(other, classifier.scores(to_features(other.pixels)))
    return read.number(classifier)


@dataclass(frozen=True, slots=True)
class ReadNumber:
    """The reading of a picture."""

    prepared: PreparedNumber
    scores: Scores
    """Of the pixels of `prepared`."""
    reading: Reading

    @classmethod
    def of(cls, prepared: PreparedNumber, scores: Scores) -> Self:
        """Read the candidates. Raises NoInk and TooManyDigits."""
        return cls(prepared, scores, prepared.read(scores))

    @property
    def candidates(self) -> list[int]:
        """The row of each digit."""
        return [found.candidate for found in self.reading.digits]

    @property
    def chosen(self) -> Scores:
        """The scores of the digits."""
        return self.scores.select(self.candidates)

    @property
    def pixels(self) -> Grey:
        """uint8 (digits, 28, 28)"""
        return self.prepared.pixels[self.candidates]

    def is_doubtful(self, classifier: Classifier) -> bool:
        """Return whether the number is not accepted, and there is another look at its picture."""
        return self.prepared.has_other_look and not self.number(classifier).get("accept", True)

    def compared_with(self, other: PreparedNumber, scores: Scores) -> "ReadNumber":
        """Return the better of this reading and the one after another look."""
        try:
            second = other.read(scores)
        except (NoInk, TooManyDigits):
            return self
        reading, is_second = settled(self.reading, second, has_all=self.prepared.segmentation is None)
        return ReadNumber(other, scores, reading) if is_second else replace(self, reading=reading)

    def number(self, classifier: Classifier) -> Number:
        """Return the record. `classifier` is the version that computed the scores."""
        chosen, found = self.chosen, self.reading.digits
        normalized = are_normalized([self.prepared.steps] * len(found))
        digits = predictions(classifier, chosen, normalized, [each.other for each in found])
        lines = [""] * (found[-1].line + 1)
        for each, digit in zip(found, digits, strict=True):
            lines[each.line] += str(digit["digit"])
            most = _MAX_CUT_NOVELTY if each.is_cut else _MAX_NOVELTY
            is_odd = each.is_stranger or (len(found) > 1 and digit.get("novelty", 0) > most)
            if is_odd and "is_digit" in digit:
                digit["is_digit"] = digit["accept"] = False
            digit["line"] = each.line
            digit["box"] = each.box
        number: Number = {
            "text": "\n".join(lines),
            "lines": lines,
            "digits": digits,
            "left_out": self.reading.left_out,
            "model": classifier.model_name,
        }
        set_accept(number)
        return number


def set_accept(number: Number) -> None:
    """Set whether the number needs no check by a person: all of its digits are accepted, and nothing was left out."""
    digits = number["digits"]
    if "accept" in digits[0]:
        number["accept"] = number["left_out"] == 0 and all(digit["accept"] for digit in digits)


def ambiguous_count(number: Number) -> int | None:
    """Return how many digits may be another digit. None if the version has no prediction sets."""
    digits = number["digits"]
    if "prediction_set" not in digits[0]:
        return None
    return sum(digit["prediction_set"] != [digit["digit"]] for digit in digits)


def non_digit_count(number: Number) -> int | None:
    """Return how many digits do not look like one: `is_digit` is false. None if the version has no novelty."""
    return sum(not digit["is_digit"] for digit in number["digits"]) if "is_digit" in number["digits"][0] else None
