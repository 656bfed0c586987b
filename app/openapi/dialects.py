"""The other model servers' protocols in the OpenAPI document: TensorFlow Serving, Open Inference Protocol, MLflow."""

import base64
from typing import Any

from app.input.pictures import IMAGE_TYPES, JSON, RAW
from app.openapi.example_pictures import EXAMPLES
from app.openapi.example_replies import SEVEN_PROBABILITIES
from app.openapi.replies import UNAVAILABLE_REASON, problem
from digits import artifact
from digits.classes import MAX_CLASSES, MIN_CLASSES
from digits.features import CLASSES, FEATURES

Schema = dict[str, Any]

_TENSORFLOW, _OPEN, _MLFLOW = "TensorFlow Serving", "Open Inference Protocol", "SageMaker and MLflow"

_V1, _V2 = "/v1/models/{model}", "/v2/models/{model}"

_OBJECT: Schema = {"type": "object"}


def dialect_paths() -> dict[str, Any]:
    """Return the path items of all protocols except our own."""
    operations = [*_tensorflow_serving(), *_open_inference(), _invocations()]
    return {path: {method: operation} for path, method, operation in operations}


def _operation(
    path: str,
    tag: str,
    name: str,
    summary: str,
    *,
    reply: Schema = _OBJECT,
    example: dict[str, Any],
    body: dict[str, Any] | None = None,
    description: str = "",
) -> tuple[str, str, dict[str, Any]]:
    """Return a path, its method and its operation.

    Args:
        path: the path, with at most the parameter `{model}`.
        tag: the protocol.
        name: the operation's name in generated clients.
        summary: one line.
        reply: the schema of a reply with status 200.
        example: such a reply.
        body: the content of a POST's body; None for a GET.
        description: more than one line.
    """
    method = "get" if body is None else "post"
    operation: dict[str, Any] = {
        "tags": [tag],
        "summary": summary,
        "operationId": name,
        "responses": {"200": {"description": "The answer", "content": _content(reply, example)}} | _errors(path, body),
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
    descriptions["503"] = UNAVAILABLE_REASON
    if not path.startswith(("/v1", "/v2")):
        descriptions["422"] = "The body can be parsed, but its content is wrong"
        return {status: problem(int(status), text) for status, text in descriptions.items()}
    return {status: {"description": text, "content": _content(_ERROR)} for status, text in descriptions.items()}


def _content(schema: Schema, example: dict[str, Any] | None = None) -> dict[str, Any]:
    return {JSON: {"schema": schema} | ({"example": example} if example else {})}


def _binary(*media_types: str) -> dict[str, Any]:
    return {media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in media_types}


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
    "items": {"type": "array", "minItems": MIN_CLASSES, "maxItems": MAX_CLASSES, "items": {"type": "number"}},
}


_ERROR = _object("error", {"type": "string"})

_SEVEN = base64.b64encode((EXAMPLES / "seven.png").read_bytes()).decode()
_INSTANCES = {"instances": [{"b64": _SEVEN}]}
_PREDICTIONS = {"predictions": [SEVEN_PROBABILITIES]}


def _tensorflow_serving() -> list[tuple[str, str, dict[str, Any]]]:
    versioned = "Add `/versions/{number}` or `/labels/{label}` after the model to request that version."
    available = {"version": "2", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    return [
        _operation(
            f"{_V1}:predict",
            _TENSORFLOW,
            "tensorflow_serving_predict",
            "Get probabilities",
            reply=_OBJECT | {"properties": {"predictions": _PROBABILITIES, "outputs": _PROBABILITIES}},
            example=_PREDICTIONS,
            body=_content(_ROWS_OR_COLUMN, _INSTANCES),
            description=f"Send rows (`instances`) or a column (`inputs`) of pictures. {versioned}",
        ),
        _operation(
            f"{_V1}:classify",
            _TENSORFLOW,
            "tensorflow_serving_classify",
            "Get each label with its probability",
            reply=_object("results", {"type": "array"}),
            example={"results": [[[str(digit), value] for digit, value in enumerate(SEVEN_PROBABILITIES)]]},
            body=_content(_EXAMPLES, {"examples": [{"features": {"b64": _SEVEN}}]}),
            description=versioned,
        ),
        _operation(
            "/v1/models",
            _TENSORFLOW,
            "tensorflow_serving_models",
            "List the models",
            example={"models": [artifact.NAME]},
            description="There is one model. KServe's clients call this path.",
        ),
        _operation(
            _V1,
            _TENSORFLOW,
            "tensorflow_serving_status",
            "Get the states of the versions",
            example={"name": artifact.NAME, "ready": True, "model_version_status": [available]},
            description=f"The status is 503 when no version is ready. {versioned}",
        ),
        _operation(
            f"{_V1}/metadata",
            _TENSORFLOW,
            "tensorflow_serving_metadata",
            "Get the model's inputs and outputs",
            example={"model_spec": {"name": artifact.NAME, "signature_name": "", "version": "2"}},
            description=versioned,
        ),
    ]


def _invocations() -> tuple[str, str, dict[str, Any]]:
    return _operation(
        "/invocations",
        _MLFLOW,
        "invocations",
        "Get probabilities",
        reply=_object("predictions", _PROBABILITIES),
        example=_PREDICTIONS,
        body=_content(_ROWS_OR_COLUMN, _INSTANCES) | _binary(RAW, *IMAGE_TYPES),
        description="Send JSON as for TensorFlow Serving's `:predict`, or any other body of `/predict`. MLflow's "
        "`dataframe_split` and `dataframe_records` are accepted too. Each row of the data frame is a picture of 784 "
        "columns, in the order of the pixels. A record may have one column `features` instead.",
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
    features = {"name": "features", "datatype": "FP32", "shape": [-1, FEATURES]}
    probabilities = {"name": "probabilities", "datatype": "FP32", "shape": [1, CLASSES], "data": SEVEN_PROBABILITIES}
    return [
        _operation(
            f"{_V2}/infer",
            _OPEN,
            "open_inference_infer",
            "Get probabilities",
            example={"model_name": artifact.NAME, "model_version": "2", "outputs": [probabilities]},
            body=_content(
                _INFER, {"inputs": [{"name": "features", "shape": [1], "datatype": "BYTES", "data": [_SEVEN]}]}
            ),
            description="Send tensors of pictures, as JSON or with binary data.",
        ),
        _operation(
            "/v2",
            _OPEN,
            "open_inference_server",
            "Get the server's name, version and extensions",
            example={"name": "digits", "version": "0.1.0"},
        ),
        _operation(
            "/v2/health/live",
            _OPEN,
            "open_inference_live",
            "Check that the process answers",
            example={"live": True},
        ),
        _operation(
            "/v2/health/ready",
            _OPEN,
            "open_inference_ready",
            "Check that requests can be answered",
            example={"ready": True, "live": True},
        ),
        _operation(
            _V2,
            _OPEN,
            "open_inference_model",
            "Get the model's inputs, outputs and versions",
            example={"name": artifact.NAME, "versions": ["2"], "platform": "onnx_onnxv1", "inputs": [features]},
        ),
        _operation(
            f"{_V2}/ready",
            _OPEN,
            "open_inference_model_ready",
            "Check that the model answers",
            example={"name": artifact.NAME, "ready": True},
        ),
    ]
