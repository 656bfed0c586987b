"""The OpenAPI response objects that several operations share."""

from typing import Any

from pydantic import BaseModel

from app.input.pictures import JSON
from app.openapi.schemas import State


def header(description: str, **schema: Any) -> dict[str, Any]:
    """Return a header that every reply of its kind has."""
    return {"description": description, "required": True, "schema": schema}


def reference(name: str) -> dict[str, str]:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def problem(description: str) -> dict[str, Any]:
    """Return an error reply with problem details (RFC 9457)."""
    return {
        "description": description,
        "content": {"application/problem+json": {"schema": reference("Problem")}},
    }


def unready(description: str, model: type[BaseModel] = State) -> dict[str, Any]:
    """Return the 503 reply of a health probe."""
    return {"description": description, "model": model, "headers": RETRY_AFTER}


RETRY_AFTER = {"Retry-After": header("Seconds to wait before the next attempt.", type="integer", minimum=0)}
CHALLENGE = {"WWW-Authenticate": header("The accepted authentication scheme.", type="string")}
REQUEST_ID = {
    "X-Request-ID": header(
        "The request's name in the log. It is the client's own `X-Request-ID` if that is valid.", type="string"
    )
}
_ETAG = {"ETag": header("The content's tag, for `If-None-Match`.", type="string")}

UNAVAILABLE_REASON = "No model is ready, or the service has too many requests in progress"

UNAVAILABLE = problem(UNAVAILABLE_REASON) | {"headers": RETRY_AFTER}
UNAUTHORIZED = problem("The request has no known API key") | {"headers": CHALLENGE}
NO_REPORT = problem("The served version's report has no such file")
NO_CARD = problem("The served version has no model card")
UNCHANGED = {"description": "The content still has the tag in `If-None-Match`", "headers": _ETAG}
MANIFEST = {"description": "The manifest", "content": {JSON: {"schema": reference("Manifest")}}}
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
