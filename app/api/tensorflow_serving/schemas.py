"""The bodies and the replies of TensorFlow Serving's REST API in the OpenAPI document."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from app.api.protocol import json_body
from app.input.pictures import IMAGE_TYPES, RAW
from app.openapi.example_pictures import SEVEN_BASE64
from digits.features import FEATURES
from digits.model.classes import MAX_CLASSES, MIN_CLASSES

_Probabilities = list[Annotated[list[float], Field(min_length=MIN_CLASSES, max_length=MAX_CLASSES)]]


class RowProbabilities(BaseModel):
    """The probabilities of each picture that was sent as a row."""

    predictions: _Probabilities


class ColumnProbabilities(BaseModel):
    """The probabilities of each picture that was sent in a column."""

    outputs: _Probabilities


class LabelProbabilities(BaseModel):
    """For each picture, each label with its probability."""

    results: list[list[list[str | float]]]


def _object(key: str, value: dict[str, Any], **optional: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": [key], "properties": {key: value, **optional}}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": items}


_SIGNATURE: dict[str, Any] = {"enum": ["serving_default", "", None]}
_PIXEL = {"type": "number", "minimum": 0, "maximum": 1}
_FLOATS: dict[str, Any] = {"type": "array", "minItems": FEATURES, "maxItems": FEATURES, "items": _PIXEL}
_ENCODED = {**_object("b64", {"type": "string", "format": "byte", "minLength": 4}), "title": "An encoded picture"}
_ROW: dict[str, Any] = {"oneOf": [_FLOATS, _ENCODED]}
_ROWS_OR_COLUMN = [_object(key, _list(_ROW), signature_name=_SIGNATURE) for key in ("instances", "inputs")]
_EXAMPLES = _object("examples", _list(_object("features", _ROW)), signature_name=_SIGNATURE)

PREDICT_BODY = json_body({"oneOf": _ROWS_OR_COLUMN}, {"instances": [{"b64": SEVEN_BASE64}]})
CLASSIFY_BODY = json_body(_EXAMPLES, {"examples": [{"features": {"b64": SEVEN_BASE64}}]})

_BINARY = {media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in (RAW, *IMAGE_TYPES)}
INVOCATIONS_BODY = {**PREDICT_BODY, "content": PREDICT_BODY["content"] | _BINARY}
