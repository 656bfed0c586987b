"""The JSON replies of the service, as models for the OpenAPI document. No reply is validated with them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema

from digits.features import SIDE
from digits.model.classes import MAX_CLASSES, MIN_CLASSES
from digits.model.prediction_sets import CalibrationName
from digits.normalization.ink_map import REDUCED_SIDE


def _without_default(schema: dict[str, Any]) -> None:
    """Declare a field that may be absent but is never null."""
    del schema["default"]


_Row = Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=SIDE, max_length=SIDE)]
_Pixels = Annotated[list[_Row], Field(min_length=SIDE, max_length=SIDE)]
_Ink = Annotated[list[list[Annotated[int, Field(ge=0, le=255)]]], Field(min_length=1, max_length=REDUCED_SIDE)]
_SaliencyRow = Annotated[list[float], Field(min_length=SIDE, max_length=SIDE)]
_Saliency = Annotated[list[_SaliencyRow], Field(min_length=SIDE, max_length=SIDE)]
_Class = Annotated[int, Field(ge=0, le=MAX_CLASSES - 1)]


class ModelName(BaseModel):
    """The model version that made the prediction."""

    name: str
    version: int = Field(ge=1)


class DigitPrediction(BaseModel):
    """What the network says about one digit."""

    digit: int = Field(
        ge=0,
        le=MAX_CLASSES - 1,
        description="The most probable digit. For a model of other classes: the index of the most probable class.",
    )
    probability: float = Field(ge=0, le=1, description="The probability of `digit`.")
    probabilities: list[Annotated[float, Field(ge=0, le=1)]] = Field(
        min_length=MIN_CLASSES,
        max_length=MAX_CLASSES,
        description="The probabilities of 0 to 9. For a model of other classes: in the order of `classes` in "
        "`GET /model`. They sum to 1.",
    )
    prediction_set: Annotated[list[_Class], Field(max_length=MAX_CLASSES)] | SkipJsonSchema[None] = Field(
        None,
        description="All digits that are plausible at this `coverage`, or the indices of these classes. Empty when "
        "none is probable enough. Absent when the version is not calibrated.",
        examples=[[4, 9]],
        json_schema_extra=_without_default,
    )
    coverage: Annotated[float, Field(gt=0, lt=1)] | SkipJsonSchema[None] = Field(
        None,
        description="Share of prediction sets that contain the true digit, on average over pictures like those of "
        "`calibration`.",
        examples=[0.99],
        json_schema_extra=_without_default,
    )
    calibration: CalibrationName | SkipJsonSchema[None] = Field(
        None,
        description="The pictures on which `prediction_set` was calibrated. `mnist`: MNIST's own, for a picture that "
        "came in MNIST form. `normalized`: distorted copies, for a picture that was normalized.",
        json_schema_extra=_without_default,
    )
    is_digit: bool | SkipJsonSchema[None] = Field(
        None,
        description="Whether the picture looks like a digit: `novelty` is at most 1. Absent when the version does not "
        "compute it.",
        json_schema_extra=_without_default,
    )
    novelty: float | SkipJsonSchema[None] = Field(
        None,
        description="How different the picture is from those of the classes. A typical one has about 0 or less.",
        examples=[0.31],
        json_schema_extra=_without_default,
    )
    accept: bool | SkipJsonSchema[None] = Field(
        None,
        description="Whether the answer needs no check by a person. Absent without `prediction_set`, or without "
        "`is_digit` or `is_known`.",
        json_schema_extra=_without_default,
    )
    pixels: _Pixels | SkipJsonSchema[None] = Field(
        None,
        description="With `?include=pixels`: the 28 rows of 28 grey values that the network saw. 255 is full ink.",
        json_schema_extra=_without_default,
    )


class Prediction(DigitPrediction):
    """The prediction for one picture."""

    class_name: str | SkipJsonSchema[None] = Field(
        None,
        description="The name of the most probable class. Absent when the model's classes are the digits.",
        json_schema_extra=_without_default,
    )
    is_known: bool | SkipJsonSchema[None] = Field(
        None,
        description="In place of `is_digit` for classes other than digits: whether the picture looks like one of them.",
        json_schema_extra=_without_default,
    )
    preprocessing: list[str] = Field(
        description="What was done to the picture, in order: `rectified`, `inverted`, `cropped`, `thickened` or "
        "`thinned`, `centered`, or only `resized`. Empty when the network saw it unchanged."
    )
    model: ModelName = Field(description="`name` and `version` of the model that answered.")
    left_out: Annotated[int, Field(ge=1)] | SkipJsonSchema[None] = Field(
        None,
        description="Number of other marks beside the digit that look like digits. Absent if there are none. "
        "`POST /read` reads all digits.",
        json_schema_extra=_without_default,
    )
    ink: _Ink | SkipJsonSchema[None] = Field(
        None,
        description="With `?include=ink` and on uneven paper, also with `pixels` for one picture: where the service "
        "saw ink, as rows of grey values, at most 128 pixels a side.",
        json_schema_extra=_without_default,
    )
    saliency: _Saliency | SkipJsonSchema[None] = Field(
        None,
        description="With `?include=saliency`: 28 rows of 28 numbers, to compare within one reply only. Positive ones "
        "support `digit`, negative ones contradict it: the pixel times the gradient of the digit's logit minus the "
        "mean logit.",
        json_schema_extra=_without_default,
    )


class Predictions(BaseModel):
    """The predictions for several pictures, in the order of the request."""

    predictions: list[Prediction]


class Box(BaseModel):
    """A rectangle in pixels of the picture as it is displayed, after the turn that its EXIF data asks for."""

    x: int = Field(ge=0, description="The first column.")
    y: int = Field(ge=0, description="The first row.")
    width: int = Field(ge=1)
    height: int = Field(ge=1)


class NumberDigit(DigitPrediction):
    """One digit of a number."""

    line: int = Field(ge=0, description="The line that the digit is in, from 0 at the top.")
    box: Box = Field(description="Where the digit is, in pixels of the picture as a viewer displays it.")


class Number(BaseModel):
    """The digits on one picture."""

    text: str = Field(description="All digits, with a newline between lines. Digits whose `is_digit` is false count.")
    lines: list[str] = Field(min_length=1, description="The digits of each line, from top to bottom.")
    digits: list[NumberDigit] = Field(min_length=1, description="The digits in reading order.")
    left_out: int = Field(ge=0, description="Number of marks about as large as a digit that were not read.")
    model: ModelName = Field(description="`name` and `version` of the model that answered.")
    ink: _Ink | SkipJsonSchema[None] = Field(
        None,
        description="With `?include=ink` and on uneven paper, also with `pixels` for one picture: where the service "
        "saw ink, as rows of grey values, at most 128 pixels a side.",
        json_schema_extra=_without_default,
    )
    accept: bool | SkipJsonSchema[None] = Field(
        None,
        description="Whether the number needs no check by a person. Absent when the digits have no `accept`.",
        json_schema_extra=_without_default,
    )


class Numbers(BaseModel):
    """The digits on several pictures, in the order of the request."""

    predictions: list[Number]


class KnownVersion(BaseModel):
    """One version of the model."""

    version: int
    shipped: bool = Field(
        description="True when the version came with the code, false when it was published below `MNIST_MODEL_DIR`."
    )
    state: Literal["serving", "available", "refused"] = Field(
        description="`serving`: this version answers requests. `available`: another version is preferred, and this one "
        "is verified when it is loaded. `refused`: this version is damaged and is not served."
    )
    reason: str | None = Field(
        description="Why the version was refused. For the serving version: why it could not be reloaded from its "
        "folder, which has changed since."
    )


class Versions(BaseModel):
    """The versions that the service knows."""

    pinned: int | None = Field(description="The only version that may be served (`MNIST_MODEL_VERSION`).")
    versions: list[KnownVersion] = Field(
        description="Highest first, at most a thousand from each folder. Published versions are served before shipped "
        "versions."
    )


class State(BaseModel):
    """The reply of a health probe."""

    status: Literal["alive", "starting", "started", "unready", "ready"]
    reason: str | SkipJsonSchema[None] = Field(
        None, description="Why the service is not ready.", json_schema_extra=_without_default
    )


class Health(BaseModel):
    """The state of the service."""

    status: Literal["unready", "ready"]
    reason: str | None = Field(description="Why the service is not ready.")
    model: ModelName | None = Field(description="The model version that is served.")
    warnings: list[str] = Field(
        description="What the operator should know while it lasts, such as that a version is damaged, or that the "
        "shipped one answers because the named folder has none."
    )
    version: str = Field(description="The version of the service.")


class Culprit(BaseModel):
    """The part of the body that is wrong."""

    pointer: str = Field(description="A JSON pointer (RFC 6901) to the part.")
    detail: str


class Problem(BaseModel):
    """An error as problem details (RFC 9457)."""

    type: str = Field(description="The error's name for programs. `about:blank` when the status says everything.")
    title: str
    status: int = Field(ge=400, le=599)
    detail: str = Field(description="What was expected and what was received.")
    errors: Annotated[list[Culprit], Field(min_length=1)] | SkipJsonSchema[None] = Field(
        None, json_schema_extra=_without_default
    )


class Error(BaseModel):
    """An error under /v1 and /v2."""

    error: str = Field(description="What was expected and what was received.")
