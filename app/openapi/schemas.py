"""The JSON replies of the service, as models for the OpenAPI document. No reply is validated with them."""

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from app.inference.model_registry import KnownVersion
from digits.features import SIDE
from digits.model.classes import MAX_CLASSES, MIN_CLASSES
from digits.model.prediction_sets import CalibrationName
from digits.normalization.doubts import Doubt
from digits.normalization.ink_map import REDUCED_SIDE

T = TypeVar("T")
OrAbsent = Annotated[T | SkipJsonSchema[None], Field(json_schema_extra=lambda schema: schema.pop("default"))]
"""A field that may be absent but is never null. Its default is None."""

_Share = Annotated[float, Field(ge=0, le=1)]
_Row = Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=SIDE, max_length=SIDE)]
_Pixels = Annotated[list[_Row], Field(min_length=SIDE, max_length=SIDE)]
_Ink = Annotated[list[list[Annotated[int, Field(ge=0, le=255)]]], Field(min_length=1, max_length=REDUCED_SIDE)]
_SaliencyRow = Annotated[list[float], Field(min_length=SIDE, max_length=SIDE)]
_Saliency = Annotated[list[_SaliencyRow], Field(min_length=SIDE, max_length=SIDE)]
_Class = Annotated[int, Field(ge=0, le=MAX_CLASSES - 1)]


class _Schema(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class ModelName(_Schema):
    """The model version that made the prediction."""

    name: str
    version: Annotated[int, Field(ge=1)]


class DigitPrediction(_Schema):
    """What the network says about one digit."""

    digit: _Class
    """The most probable digit. For a model of other classes: the index of the most probable class."""
    probability: _Share
    """The probability of `digit`."""
    probabilities: Annotated[list[_Share], Field(min_length=MIN_CLASSES, max_length=MAX_CLASSES)]
    """The probabilities of 0 to 9. For a model of other classes: in the order of `classes` in `GET /model`. They sum to
    1."""
    prediction_set: OrAbsent[Annotated[list[_Class], Field(max_length=MAX_CLASSES, examples=[[4, 9]])]] = None
    """All digits that are plausible at this `coverage`, or the indices of these classes. Empty when none is probable
    enough. Absent when the version is not calibrated."""
    coverage: OrAbsent[Annotated[float, Field(gt=0, lt=1, examples=[0.99])]] = None
    """Share of prediction sets that contain the true digit, on average over pictures like those of `calibration`."""
    calibration: OrAbsent[CalibrationName] = None
    """The pictures on which `prediction_set` was calibrated. `mnist`: MNIST's own, for a picture that came in MNIST
    form. `normalized`: distorted copies, for a picture that was normalized."""
    is_digit: OrAbsent[bool] = None
    """Whether the picture looks like a digit: `novelty` is at most 1. Absent when the version does not compute it."""
    novelty: OrAbsent[Annotated[float, Field(examples=[0.31])]] = None
    """How different the picture is from those of the classes. A typical one has about 0 or less."""
    accept: OrAbsent[bool] = None
    """Whether the answer needs no check by a person. Absent without `prediction_set`, or without `is_digit` or
    `is_known`."""
    pixels: OrAbsent[_Pixels] = None
    """With `?include=pixels`: the 28 rows of 28 grey values that the network saw. 255 is full ink."""


class Prediction(DigitPrediction):
    """The prediction for one picture."""

    class_name: OrAbsent[str] = None
    """The name of the most probable class. Absent when the model's classes are the digits."""
    is_known: OrAbsent[bool] = None
    """In place of `is_digit` for classes other than digits: whether the picture looks like one of them."""
    preprocessing: list[str]
    """What was done to the picture, in order: `inverted`, `cropped`, `thickened` or `thinned`, `centered`,
    or only `resized`. Empty when the network saw it unchanged."""
    model: ModelName
    """`name` and `version` of the model that answered."""
    doubts: list[Doubt]
    """Why the picture may show something else than one whole digit. `neighbour`: another digit or a mark beside it.
    `dotted`: a dot above or below it. `inside`: a mark in one of its loops. `edge`: an edge of the picture cuts it off.
    `solid`: it is a solid shape. `button`: it is a disc with a symbol. A word is repeated for each of several marks.
    Empty without doubts. For classes other than digits, only `neighbour` is possible."""
    left_out: OrAbsent[Annotated[int, Field(ge=1)]] = None
    """The number of `doubts`. Absent if there are none. `POST /read` reads all digits."""
    ink: OrAbsent[_Ink] = None
    """With `?include=ink` and on uneven paper, also with `pixels` for one picture: where the service saw ink, as rows
    of grey values, at most 128 pixels a side."""
    saliency: OrAbsent[_Saliency] = None
    """With `?include=saliency`: 28 rows of 28 numbers, to compare within one reply only. Positive ones support `digit`,
    negative ones contradict it: the pixel times the gradient of the digit's logit minus the mean logit."""


class Culprit(_Schema):
    """The part of the body that is wrong."""

    pointer: str
    """A JSON pointer (RFC 6901) to the part."""
    detail: str


class Problem(_Schema):
    """An error as problem details (RFC 9457)."""

    type: str
    """The error's name for programs. `about:blank` when the status says everything."""
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: str
    """What was expected and what was received."""
    errors: OrAbsent[Annotated[list[Culprit], Field(min_length=1)]] = None


class RefusedPicture(_Schema):
    """In the place of a prediction, with `?on_error=report`: why there is none."""

    error: Problem


class Predictions(_Schema):
    """The predictions for several pictures, in the order of the request."""

    predictions: list[Prediction | RefusedPicture]


class Box(_Schema):
    """A rectangle in pixels of the picture as it is displayed, after the turn that its EXIF data asks for."""

    x: Annotated[int, Field(ge=0)]
    """The first column."""
    y: Annotated[int, Field(ge=0)]
    """The first row."""
    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]


class NumberDigit(DigitPrediction):
    """One digit of a number."""

    line: Annotated[int, Field(ge=0)]
    """The line that the digit is in, from 0 at the top."""
    box: Box
    """Where the digit is, in pixels of the picture as a viewer displays it."""


class Mark(_Schema):
    """What is written beside the digits and is no digit, or may be none."""

    kind: Literal["separator", "other"]
    """`separator`: a point, a comma, a colon, a dash or a slash. `other`: everything else, such as a letter, a
    currency sign, a digit that an edge of the picture cuts off, or what may be a further digit."""
    box: Box
    """Where the mark is, in pixels of the picture as a viewer displays it. If the place is not known, it is the box of
    the whole number or picture."""
    line: Annotated[int, Field(ge=0)]
    """The line of digits that the mark is in or nearest to, from 0 at the top."""
    after: Annotated[int, Field(ge=0)]
    """How many digits of this line stand before the mark."""


class Number(_Schema):
    """The digits on one picture."""

    text: str
    """All digits, with a newline between lines. Digits whose `is_digit` is false count."""
    lines: Annotated[list[str], Field(min_length=1)]
    """The digits of each line, from top to bottom."""
    digits: Annotated[list[NumberDigit], Field(min_length=1)]
    """The digits in reading order."""
    marks: list[Mark]
    """Everything beside the digits that is no digit. Empty if there is nothing."""
    left_out: Annotated[int, Field(ge=0)]
    """How many of `marks` are about as large as a digit, or dashes: all but points, commas and colons."""
    doubts: list[Doubt]
    """The `doubts` of `POST /predict` about a single digit. For several digits: `edge` if an edge of the picture cuts
    them off. Empty without doubts."""
    model: ModelName
    """`name` and `version` of the model that answered."""
    ink: OrAbsent[_Ink] = None
    """With `?include=ink` and on uneven paper, also with `pixels` for one picture: where the service saw ink, as rows
    of grey values, at most 128 pixels a side."""
    accept: OrAbsent[bool] = None
    """Whether the number needs no check by a person: each digit has `accept`, and there are no `marks`. With
    `?marks=ignore`, there may be separators between digits. Absent when the digits have no `accept`."""


class Numbers(_Schema):
    """The digits on several pictures, in the order of the request."""

    predictions: list[Number | RefusedPicture]


class Versions(_Schema):
    """The versions that the service knows."""

    pinned: int | None
    """The only version that may be served (`MNIST_MODEL_VERSION`)."""
    versions: list[KnownVersion]
    """Highest first, at most a thousand from each folder. Published versions are served before shipped versions."""


class State(_Schema):
    """The reply of a health probe."""

    status: Literal["alive", "starting", "started", "unready", "ready"]
    reason: OrAbsent[str] = None
    """Why the service is not ready."""


class Health(_Schema):
    """The state of the service."""

    status: Literal["unready", "ready"]
    reason: str | None
    """Why the service is not ready."""
    model: ModelName | None
    """The model version that is served."""
    warnings: list[str]
    """What the operator should know while it lasts, such as that a version is damaged, or that the shipped one answers
    because the named folder has none."""
    version: str
    """The version of the service."""


class Error(_Schema):
    """An error under /v1 and /v2."""

    error: str
    """What was expected and what was received."""
