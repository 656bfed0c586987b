"""The other model servers' protocols in the OpenAPI document: TensorFlow Serving, Open Inference Protocol, MLflow."""

import re
from typing import Any

from app.input.pictures import IMAGE_TYPES, JSON, RAW
from app.openapi.replies import UNAVAILABLE_REASON, reference
from digits import artifact
from digits.features import CLASSES, FEATURES

Schema = dict[str, Any]

_TENSORFLOW, _OPEN, _MLFLOW = "TensorFlow Serving", "Open Inference Protocol", "SageMaker, MLflow"

_V1, _V2 = "/v1/models/{model}", "/v2/models/{model}"

_OBJECT: Schema = {"type": "object"}


def dialect_paths() -> dict[str, Any]:
    """Return the path items of all protocols except our own."""
    operations = [*_tensorflow_serving(), _invocations(), *_open_inference()]
    return {path: {method: operation} for path, method, operation in operations}


def _operation(
    path: str,
    tag: str,
    summary: str,
    *,
    reply: Schema = _OBJECT,
    body: dict[str, Any] | None = None,
    description: str = "",
) -> tuple[str, str, dict[str, Any]]:
    """Return a path, its method and its operation.

    Args:
        path: the path, with at most the parameter `{model}`.
        tag: the protocol.
        summary: one line.
        reply: the schema of a reply with status 200.
        body: the content of a POST's body; None for a GET.
        description: more than one line.
    """
    method = "get" if body is None else "post"
    operation: dict[str, Any] = {
        "tags": [tag],
        "summary": summary,
        "operationId": f"{re.sub('[^a-z0-9]+', '_', path).strip('_')}_{method}",
        "responses": {"200": {"description": "The answer", "content": _content(reply)}} | _errors(path, body),
    }
    if description:
        operation["description"] = description
    if "{model}" in path:
        schema = {"type": "string", "enum": [artifact.NAME]}
        operation["parameters"] = [{"name": "model", "in": "path", "required": True, "schema": schema}]
    if body is not None:
        operation["requestBody"] = {"required": True, "content": body}
    return path, method, operation


def _errors(path: str, body: dict[str, Any] | None) -> dict[str, Any]:
    """Return the error replies of an operation: {"error": ...} below /v1 and /v2, else problem details."""
    descriptions: dict[str, str] = {}
    if body is not None:
        descriptions |= {
            "400": "The body is not a valid request",
            "408": "The body did not arrive in time",
            "413": "The body has too many bytes, pixels or pictures",
            "415": "The picture format or content encoding is not accepted",
        }
    if "{model}" in path:
        descriptions["404"] = "There is no such model or version"
    content = _content(_object("error", {"type": "string"}))
    if not path.startswith(("/v1", "/v2")):
        descriptions["422"] = "The body can be parsed, but its content is wrong"
        content = {"application/problem+json": {"schema": reference("Problem")}}
    descriptions["503"] = UNAVAILABLE_REASON
    return {status: {"description": text, "content": content} for status, text in descriptions.items()}


def _content(schema: Schema, *media_types: str) -> dict[str, Any]:
    return {media_type: {"schema": schema} for media_type in media_types or (JSON,)}


def _object(key: str, value: Schema, **optional: Schema) -> Schema:
    return {"type": "object", "required": [key], "properties": {key: value, **optional}}


def _list(items: Schema) -> Schema:
    return {"type": "array", "minItems": 1, "items": items}


_SIGNATURE: Schema = {"enum": ["serving_default", "", None]}
_FLOATS: Schema = {
    "type": "array",
    "minItems": FEATURES,
    "maxItems": FEATURES,
    "items": {"type": "number", "minimum": 0, "maximum": 1},
}
_ENCODED = {**_object("b64", {"type": "string", "format": "byte"}), "title": "An encoded picture"}
_ROW: Schema = {"oneOf": [_FLOATS, _ENCODED]}
_ROWS_OR_COLUMN: Schema = {
    "oneOf": [
        _object("instances", _list(_ROW), signature_name=_SIGNATURE),
        _object("inputs", _list(_ROW), signature_name=_SIGNATURE),
    ]
}
_EXAMPLES = _object("examples", _list(_object("features", _ROW)), signature_name=_SIGNATURE)
_PROBABILITIES: Schema = {
    "type": "array",
    "items": {"type": "array", "minItems": CLASSES, "maxItems": CLASSES, "items": {"type": "number"}},
}


def _tensorflow_serving() -> list[tuple[str, str, dict[str, Any]]]:
    versioned = "Add `/versions/{number}` or `/labels/{label}` after the model to request that version."
    return [
        _operation(
            f"{_V1}:predict",
            _TENSORFLOW,
            "Probabilities for rows or a column of pictures",
            reply=_OBJECT | {"properties": {"predictions": _PROBABILITIES, "outputs": _PROBABILITIES}},
            body=_content(_ROWS_OR_COLUMN),
            description=versioned,
        ),
        _operation(
            f"{_V1}:classify",
            _TENSORFLOW,
            "Each label with its probability",
            reply=_object("results", {"type": "array"}),
            body=_content(_EXAMPLES),
            description=versioned,
        ),
        _operation("/v1/models", _TENSORFLOW, "The model's name, as KServe lists it"),
        _operation(_V1, _TENSORFLOW, "Versions and their states (503 when no version is ready)", description=versioned),
        _operation(f"{_V1}/metadata", _TENSORFLOW, "Inputs and outputs", description=versioned),
    ]


def _invocations() -> tuple[str, str, dict[str, Any]]:
    return _operation(
        "/invocations",
        _MLFLOW,
        "JSON like TensorFlow Serving's `:predict`, or any other body of `/predict`",
        reply=_object("predictions", _PROBABILITIES),
        body=_content(_ROWS_OR_COLUMN) | _content({"type": "string", "format": "binary"}, RAW, *IMAGE_TYPES),
        description="MLflow's `dataframe_split` and `dataframe_records` are accepted too. Each row of the data frame "
        "is a picture of 784 columns, in the order of the pixels. A record may have one column `features` instead.",
    )


_TENSOR: Schema = {
    "type": "object",
    "required": ["name", "shape", "datatype", "data"],
    "properties": {
        "name": {"type": "string", "enum": ["features"]},
        "shape": {
            "type": "array",
            "items": {"type": "integer"},
            "description": f"`[N, {FEATURES}]`, or `[N]` for BYTES.",
        },
        "datatype": {
            "type": "string",
            "enum": ["FP32", "UINT8", "BYTES"],
            "description": "FP32: values from 0 to 1, which go to the network unchanged. UINT8: pixels from 0 to 255. "
            "BYTES: encoded pictures in base64. UINT8 and BYTES are normalized.",
        },
        "data": {"type": "array", "description": "Flat, or nested like the shape."},
    },
}
_INFER = _object("inputs", {"type": "array", "minItems": 1, "maxItems": 1, "items": _TENSOR}, id={"type": "string"})


def _open_inference() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        _operation(
            f"{_V2}/infer",
            _OPEN,
            "Probabilities for tensors of pictures, as JSON or with binary data",
            body=_content(_INFER),
        ),
        _operation("/v2", _OPEN, "The server's name, version and extensions"),
        _operation("/v2/health/live", _OPEN, "Whether the process answers"),
        _operation("/v2/health/ready", _OPEN, "Whether requests can be answered"),
        _operation(_V2, _OPEN, "Inputs, outputs and versions"),
        _operation(f"{_V2}/ready", _OPEN, "Whether the model answers"),
    ]
