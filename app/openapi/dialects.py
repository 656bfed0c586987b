"""What OpenAPI says of the protocols that other model servers speak: their paths are answered before the router."""

from typing import Any

from fastapi import APIRouter

from app.input.pictures import IMAGE_TYPES, JSON, RAW
from app.openapi.schemas import PROBLEM
from digits import artifact
from digits.features import CLASSES, FEATURES

router = APIRouter()

_TENSORFLOW, _OPEN = "TensorFlow Serving", "Open Inference Protocol"

_V1, _V2 = "/v1/models/{model}", "/v2/models/{model}"

_ERROR = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
_OBJECT = {"type": "object"}

_FLOATS = {
    "type": "array",
    "minItems": FEATURES,
    "maxItems": FEATURES,
    "items": {"type": "number", "minimum": 0, "maximum": 1},
}
_PROBABILITIES = {
    "type": "array",
    "items": {"type": "array", "minItems": CLASSES, "maxItems": CLASSES, "items": {"type": "number"}},
}


def _object(key: str, value: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "required": [key], "properties": {key: value, **more}}


def _list(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": of}


_SIGNATURE = {"enum": ["serving_default", "", None]}
_ENCODED = {**_object("b64", {"type": "string", "format": "byte"}), "title": "An encoded picture"}
_ROW = {"oneOf": [_FLOATS, _ENCODED]}
_ROWS = _object("instances", _list(_ROW), signature_name=_SIGNATURE)
_COLUMN = _object("inputs", _list(_ROW), signature_name=_SIGNATURE)
_EXAMPLES = _object("examples", _list(_object("features", _ROW)), signature_name=_SIGNATURE)
_TENSOR = {
    "type": "object",
    "required": ["name", "shape", "datatype", "data"],
    "properties": {
        "name": {"type": "string", "enum": ["features"]},
        "shape": {"type": "array", "items": {"type": "integer"}, "description": f"`[N, {FEATURES}]`; BYTES: `[N]`"},
        "datatype": {
            "type": "string",
            "enum": ["FP32", "UINT8", "BYTES"],
            "description": "From 0 to 1, to the network as they are; or pixels, or encoded pictures in base64, which "
            "are normalized.",
        },
        "data": {"type": "array", "description": "Flat, or nested as the shape says."},
    },
}
_INFER = _object("inputs", {"type": "array", "minItems": 1, "maxItems": 1, "items": _TENSOR}, id={"type": "string"})


def _content(schema: dict[str, Any], *kinds: str) -> dict[str, Any]:
    return {kind: {"schema": schema} for kind in kinds or (JSON,)}


async def _answered_before() -> None:
    # For a path that only this router knows, the 405 for other methods is made from this.
    raise NotImplementedError


def _document(
    path: str, tag: str, summary: str, reply: dict[str, Any], body: dict[str, Any] | None = None, **more: Any
) -> None:
    """A route; `reply` is the schema of a 200, `body` the content that is asked with."""
    ours = not path.startswith(("/v1", "/v2"))
    responses: dict[int | str, dict[str, Any]] = {200: {"description": "The answer", "content": _content(reply)}}
    wrong = {400: "The body is not what was asked for", 408: "It did not come in time", 413: "Too much of it"}
    wrong |= {415: "A picture format, or an encoding of the body, that is not accepted"}
    expected = (wrong if body else {}) | ({422: wrong[400]} if ours else {})
    expected |= {404: "There is no such model, or version"} if "{model}" in path else {}
    for status, description in {**expected, 503: "Not ready, or too much is asked at once"}.items():
        content = PROBLEM["content"] if ours else _content(_ERROR)
        responses[status] = {"description": description, "content": content}
    extra: dict[str, Any] = {"requestBody": {"required": True, "content": body}} if body else {}
    if "{model}" in path:
        name = {"type": "string", "enum": [artifact.NAME]}
        extra["parameters"] = [{"name": "model", "in": "path", "required": True, "schema": name}]
    router.add_api_route(
        path,
        _answered_before,
        methods=["POST" if body else "GET"],
        name=path,
        tags=[tag],
        summary=summary,
        responses=responses,
        openapi_extra=extra,
        **more,
    )


_VERSIONED = "`/versions/{number}` or `/labels/{label}` after the model asks for that version."

for _path, _summary, _reply, _body in (
    (f"{_V1}:predict", "Rows or a column of pictures", _PROBABILITIES, {"oneOf": [_ROWS, _COLUMN]}),
    (f"{_V1}:classify", "Each label with its probability", {"type": "array"}, _EXAMPLES),
):
    _key = {"properties": {"predictions": _reply, "outputs": _reply, "results": _reply}}
    _document(_path, _TENSORFLOW, _summary, _OBJECT | _key, _content(_body), description=_VERSIONED)
_document("/v1/models", _TENSORFLOW, "The model's name, as KServe lists it", _OBJECT)
_document(_V1, _TENSORFLOW, "Versions and their states; 503 when none is ready", _OBJECT, description=_VERSIONED)
_document(f"{_V1}/metadata", _TENSORFLOW, "Inputs and outputs", _OBJECT, description=_VERSIONED)
_document(
    "/invocations",
    "SageMaker, MLflow",
    "JSON as TensorFlow Serving's `:predict` takes it, or any other body of `/predict`",
    _object("predictions", _PROBABILITIES),
    _content({"oneOf": [_ROWS, _COLUMN]}) | _content({"type": "string", "format": "binary"}, RAW, *IMAGE_TYPES),
    description="Also MLflow's `dataframe_split` and `dataframe_records`: a row a picture, of 784 columns in the order "
    "of the pixels; a record may have one column instead, `features`.",
)
_document(f"{_V2}/infer", _OPEN, "Tensors of pictures, as JSON or with binary data", _OBJECT, _content(_INFER))
_document("/v2", _OPEN, "What this server is", _OBJECT)
_document("/v2/health/live", _OPEN, "The process answers", _OBJECT)
_document("/v2/health/ready", _OPEN, "Requests can be answered", _OBJECT)
_document(_V2, _OPEN, "Inputs, outputs and versions", _OBJECT)
_document(f"{_V2}/ready", _OPEN, "The model answers", _OBJECT)
