"""Read the digits on a picture: decode it, segment it, and choose the reading once the network has judged.

prepared = prepare(Picture(data))
scores = classifier.scores(to_features(prepared.pixels))
reading = prepared.read(scores.probabilities, scores.novelty)
"""

from dataclasses import dataclass, replace
from typing import NotRequired, TypedDict

import numpy as np

from digits.errors import NoInk
from digits.features import SIDE, Floats, Grey, to_features
from digits.model.artifact import MAX_NOVELTY
from digits.model.classifier import Classifier, ModelName, Scores
from digits.model.predictions import Prediction, calibrate, predictions
from digits.normalization.mnist_form import are_normalized
from digits.normalization.normalize import Normalized, normalize
from digits.numbers.search import FoundDigit, Reading, best_reading, digit_costs
from digits.numbers.segment import Box, Segmentation, segment, surround
from digits.numbers.sheet import SHEET_SIDE, Sheet, find_sheet
from digits.numbers.strangers import commas, strangers
from digits.picture import Picture

_FEW_PARTS = 4
"""A picture of at most as many connected parts may show one digit. It is then also prepared as for one digit."""

_CLEARLY_CHEAPER = 1.0
"""How much less a single digit must cost than several digits, so that a picture is read as one digit."""

_WIDEST_DIGIT = 2.2
"""Several digits are read as one only if they are together not wider than this, in their heights."""


@dataclass(frozen=True, slots=True)
class PreparedNumber:
    """A picture's candidates for the network."""

    pixels: Grey
    """uint8 (N, 28, 28), in MNIST form. N is at least 1."""
    segmentation: Segmentation | None
    """The candidates. None if the picture shows one digit."""
    whole_box: Box | None
    """If the last of `pixels` is the whole picture as one digit: the box of that digit."""
    steps: tuple[str, ...] = ("cropped", "centered")
    """The steps that brought the candidates to MNIST form."""
    is_whole_alone: bool = False
    """Whether there is no mark like another digit beside that digit."""
    ink: Grey | None = None
    """As in `Sheet`."""
    is_doubtful: bool = False
    """Whether the marks may be noise or uneven light. Then two digits are needed, and most must look like digits."""

    def read(self, probabilities: Floats, novelty: Floats | None) -> Reading:
        """Return the digits in reading order, with boxes in pixels of the picture as it is displayed.

        Args:
            probabilities: float32 (N, 10), of `pixels`.
            novelty: float32 (N,), or None if the version has no novelty.

        Raises:
            NoInk: there is no digit.
            TooManyDigits: more than `search.MAX_DIGITS` digits.
        """
        reading = Reading([], 0, np.inf)
        if self.segmentation is not None:
            count = len(self.segmentation.pixels)
            reading = best_reading(
                self.segmentation, probabilities[:count], None if novelty is None else novelty[:count]
            )
        if self.whole_box is not None:
            (cost,) = digit_costs(probabilities[-1:], None if novelty is None else novelty[-1:])
            box = surround([found.box for found in reading.digits]) if reading.digits else self.whole_box
            is_one = box.width <= _WIDEST_DIGIT * box.height and cost + _CLEARLY_CHEAPER < reading.cost
            if len(reading.digits) <= 1 or (self.is_whole_alone and is_one):
                # So one digit gets the same answer as from `Picture.prepare`.
                return Reading([FoundDigit(len(self.pixels) - 1, 0, box)], reading.left_out, float(cost))
        if not reading.digits or (self.is_doubtful and not _are_mostly_digits(reading, novelty)):
            raise NoInk("no digit found: the picture has only marks that are no digits")
        boxes, lines = [found.box for found in reading.digits], [found.line for found in reading.digits]
        labels = probabilities[[found.candidate for found in reading.digits]].argmax(axis=1).tolist()
        are_commas = commas(boxes, lines, labels)
        kept = [found for found, is_comma in zip(reading.digits, are_commas, strict=True) if not is_comma]
        boxes, lines = [found.box for found in kept], [found.line for found in kept]
        chosen = [found.candidate for found in kept]
        odd = strangers(boxes, lines, probabilities[chosen].argmax(axis=1).tolist(), self.pixels[chosen])
        digits = [replace(found, is_stranger=each) for found, each in zip(kept, odd, strict=True)]
        return replace(reading, digits=digits)


def prepare(picture: Picture) -> PreparedNumber:
    """Decode a picture and propose candidates for its digits. Raises InvalidImage, NoInk and TooManyDigits."""
    width, height = picture.upright_size
    grey = picture.grey(min_jpeg_side=SHEET_SIDE)
    if grey.shape == (SIDE, SIDE):
        normalized = normalize(grey)
        if "centered" not in normalized.steps:  # in MNIST form already
            return PreparedNumber(normalized.pixels[None], None, _ink_box(normalized), normalized.steps)
    whole_box = Box(0, 0, width, height)
    sheet = _find_sheet(grey)
    if picture.is_large_jpeg and max(grey.shape) < max(width, height) and not (sheet and sheet.is_legible):
        grey = picture.grey()
        sheet = _find_sheet(grey)
    if sheet is None:
        # A digit that is too faint for a sheet may still be found alone.
        whole = _as_one_digit(picture, grey)
        return PreparedNumber(whole.pixels[None], None, whole_box, ink=whole.ink)
    segmentation = segment(sheet, width, height)
    pixels = segmentation.pixels
    if len(sheet.boxes) > _FEW_PARTS:
        return PreparedNumber(pixels, segmentation, None, ink=sheet.ink)
    try:
        whole = _as_one_digit(picture, grey)
    except NoInk:
        return PreparedNumber(pixels, segmentation, None, ink=sheet.ink, is_doubtful=True)
    if sheet.is_dark != ("inverted" in whole.steps):
        # Only a digit that was cut to its ink leaves so little paper that this is in doubt.
        return PreparedNumber(whole.pixels[None], None, whole_box, whole.steps, ink=whole.ink)
    return PreparedNumber(
        np.concatenate([pixels, whole.pixels[None]]),
        segmentation,
        whole_box,
        is_whole_alone=whole.left_out == 0,
        ink=sheet.ink,
    )


def _are_mostly_digits(reading: Reading, novelty: Floats | None) -> bool:
    """Return whether the reading has at least two digits, of which more than half are no novelty."""
    count = len(reading.digits)
    if novelty is None:
        return count > 1
    familiar = np.count_nonzero(novelty[[found.candidate for found in reading.digits]] <= MAX_NOVELTY)
    return count > 1 and bool(2 * familiar > count)


def _find_sheet(grey: Grey) -> Sheet | None:
    try:
        return find_sheet(grey)
    except NoInk:
        return None


def _as_one_digit(picture: Picture, grey: Grey) -> Normalized:
    """Return what `picture.prepare("auto")` does. `grey` are the pixels, unless the picture is a large JPEG."""
    return picture.prepare("auto") if picture.is_large_jpeg else normalize(grey)


def _ink_box(normalized: Normalized) -> Box:
    rows, columns = (np.flatnonzero(normalized.pixels.any(axis=axis)) for axis in (1, 0))
    return Box(int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1)


class Number(TypedDict):
    """The digits on one picture."""

    text: str
    """The lines, with newlines between them."""
    lines: list[str]
    """The digits of each line."""
    digits: list[Prediction]
    """In reading order, each with its `line` and its `box`."""
    left_out: int
    """Number of marks about as large as a digit, and of equals signs, that were not read."""
    model: ModelName
    ink: NotRequired[Grey]
    """As in `Sheet`, if a client asked for it."""
    accept: NotRequired[bool]
    """Whether the number needs no check by a person. Absent if its digits do not have it."""


def read_number(classifier: Classifier, picture: Picture) -> Number:
    """Read the digits on a picture.

    Args:
        classifier: the model version to use.
        picture: is decoded by this.

    Raises:
        OtherClasses: the model's classes are not the digits.
        InvalidImage, NoInk, TooManyDigits: the picture cannot be read.
    """
    classifier.require_digits()
    prepared = prepare(picture)
    probabilities, novelty = classifier.scores(to_features(prepared.pixels))
    reading = prepared.read(probabilities, novelty)
    chosen = [found.candidate for found in reading.digits]
    scores = Scores(probabilities[chosen], None if novelty is None else novelty[chosen])
    digits = predictions(classifier, scores)
    calibrate(digits, classifier, scores.probabilities, are_normalized([prepared.steps] * len(chosen)))
    return to_number(reading, digits, classifier.model_name)


def to_number(reading: Reading, digits: list[Prediction], model: ModelName) -> Number:
    """Return the record of a reading. `digits` are the predictions for its digits, which get their lines and boxes."""
    lines = [""] * (reading.digits[-1].line + 1)
    for found, digit in zip(reading.digits, digits, strict=True):
        lines[found.line] += str(digit["digit"])
        if found.is_stranger and "is_digit" in digit:
            digit["is_digit"] = digit["accept"] = False
        digit["line"] = found.line
        digit["box"] = found.box
    text = "\n".join(lines)
    number: Number = {"text": text, "lines": lines, "digits": digits, "left_out": reading.left_out, "model": model}
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
