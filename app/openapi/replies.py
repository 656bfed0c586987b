"""The OpenAPI response objects that several operations share."""

from typing import Any

from pydantic import BaseModel

from app.input.pictures import JSON
from app.openapi.example_replies import MANIFEST as MANIFEST_EXAMPLE
from app.openapi.example_replies import problem_examples
from app.openapi.schemas import State


def header(description: str, **schema: Any) -> dict[str, Any]:
    """Return a header that every reply of its kind has."""
    return {"description": description, "required": True, "schema": schema}


def reference(name: str) -> dict[str, str]:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def problem(status: int, description: str) -> dict[str, Any]:
    """Return an error reply with problem details (RFC 9457)."""
    return {
        "description": description,
        "content": {"application/problem+json": {"schema": reference("Problem"), "examples": problem_examples(status)}},
    }


def reply(model: type[BaseModel], example: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON reply of a FastAPI route."""
    return {"model": model, "content": {JSON: {"example": example}}}


def unready(description: str, example: dict[str, Any], model: type[BaseModel] = State) -> dict[str, Any]:
    """Return the 503 reply of a health probe."""
    return reply(model, example) | {"description": description, "headers": RETRY_AFTER}


RETRY_AFTER = {"Retry-After": header("Seconds to wait before the next attempt.", type="integer", minimum=0)}
CHALLENGE = {"WWW-Authenticate": header("The accepted authentication scheme.", type="string")}
REQUEST_ID = {
    "X-Request-ID": header(
        "The request's name in the log. It is the client's own `X-Request-ID` if that is valid.", type="string"
    )
}
_ETAG = {"ETag": header("The content's tag, for `If-None-Match`.", type="string")}

UNAVAILABLE_REASON = "No model is ready, or the service has too many requests in progress"

UNAVAILABLE = problem(503, UNAVAILABLE_REASON) | {"headers": RETRY_AFTER}
UNAUTHORIZED = problem(401, "The request has no known API key") | {"headers": CHALLENGE}
NO_REPORT = problem(404, "The served version's report has no such file")
NO_CARD = problem(404, "The served version has no model card")
UNCHANGED = {"description": "The content still has the tag in `If-None-Match`", "headers": _ETAG}
MANIFEST = {
    "description": "The manifest",
    "content": {JSON: {"schema": reference("Manifest"), "example": MANIFEST_EXAMPLE}},
}
CARD: dict[str, Any] = {
    "description": "The page",
    "headers": _ETAG,
    "content": {"text/html": {"schema": {"type": "string"}}},
}
REPORT: dict[str, Any] = {
    "description": "The file",
    "headers": _ETAG,
    "content": {
        "image/png": {"schema": {"type": "string", "format": "binary"}},
        "text/plain": {"schema": {"type": "string"}},
        "text/csv": {"schema": {"type": "string"}},
    },
}
