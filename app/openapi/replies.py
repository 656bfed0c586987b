"""The parts of OpenAPI responses that several operations share."""

from pathlib import Path
from typing import Any

import orjson

from app.errors import has_protocol_form
from app.input.pictures import JSON

_EXAMPLES = Path(__file__).parent / "reply_examples"  # JSON files, which tests compare with what the service replies


def examples(name: str) -> dict[str, Any]:
    """Return the examples in a file of the folder `reply_examples`."""
    return dict(orjson.loads((_EXAMPLES / f"{name}.json").read_bytes()))


_PROBLEMS = examples("problems")


def header(description: str, **schema: Any) -> dict[str, Any]:
    """Return a header that every reply of its kind has, text unless its schema is given."""
    return {"description": description, "required": True, "schema": schema or {"type": "string"}}


def answered(name: str) -> dict[str, Any]:
    """Return the reply of inference, with the examples in a file of `reply_examples`."""
    return {
        "content": {JSON: {"examples": examples(name)}},
        "headers": {
            "X-Model-Version": header("The version that answered.", type="integer", minimum=1),
            "X-Model-Graph": header("The first 12 characters of the sha256 of the version's graph, model.onnx."),
        },
    }


def example(value: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a JSON reply that shows an example."""
    return {"content": {JSON: {"example": value}}}


def problem(status: int, description: str) -> dict[str, Any]:
    """Return an error reply with problem details (RFC 9457)."""
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": _PROBLEMS[str(status)]}
    return {"description": description, "content": {"application/problem+json": content}}


def unauthorized(path: str) -> dict[str, Any]:
    """Return the reply to a request without a known API key, in the form of the errors at a path."""
    reason = "The request has no known API key"
    as_error = {"description": reason, "content": {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}}
    headers = {"WWW-Authenticate": header("The accepted authentication scheme.")}
    return (as_error if has_protocol_form(path) else problem(401, reason)) | {"headers": headers}


RETRY_AFTER = {"Retry-After": header("Seconds to wait before the next attempt.", type="integer", minimum=0)}
REQUEST_ID = {
    "X-Request-ID": header("The request's name in the log. It is the client's own `X-Request-ID` if that is valid.")
}
ETAG = {"ETag": header("The content's tag, for `If-None-Match`.")}

UNAVAILABLE_REASON = "No model is ready, or the service has too many requests in progress"

UNAVAILABLE = problem(503, UNAVAILABLE_REASON) | {"headers": RETRY_AFTER}
UNCHANGED = {"description": "The content still has the tag in `If-None-Match`", "headers": ETAG}

PICTURE_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: problem(400, "The body cannot be parsed"),
    408: problem(408, "The body did not arrive in time"),
    413: problem(413, "Too many bytes, pixels, pictures or digits"),
    415: problem(415, "The content type or picture format is not accepted"),
    422: problem(422, "The content of the body or a query parameter is wrong"),
    503: UNAVAILABLE,
}
"""The error replies of requests with pictures."""
