"""The parts of OpenAPI operations that the other model servers' protocols share."""

from typing import Annotated, Any

from fastapi import Path

from app.input.pictures import JSON
from app.openapi.replies import UNAVAILABLE_REASON, example
from app.openapi.schemas import Error
from digits.model import artifact

ModelParameter = Annotated[str, Path(json_schema_extra={"enum": [artifact.NAME]})]
"""The model's name in a path. The documentation offers the only one that there is."""

_BODY_ERRORS = {
    400: "The body is not a valid request",
    408: "The body did not arrive in time",
    413: "The body has too many bytes, pixels or pictures",
    415: "The picture format or content encoding is not accepted",
}
"""The error replies of a request with a body, by status."""


def documented(
    summary: str,
    examples: dict[str, Any],
    operation: str,
    reply_model: Any = dict[str, Any],
    body: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the options that document an operation, such as `GET /v2`, with its example among `examples`.

    Its errors are `{"error": "..."}`.
    """
    errors = _BODY_ERRORS if body else {}
    if "{model}" in operation:
        errors = errors | {404: "There is no such model or version"}
    errors = errors | {503: UNAVAILABLE_REASON}
    replies = {status: {"model": Error, "description": text} for status, text in errors.items()}
    return {
        "summary": summary,
        "response_model": reply_model,
        "responses": {200: example(examples[operation]), **replies},
        "openapi_extra": {"requestBody": body} if body else None,
    }


def json_body(schema: dict[str, Any], sent: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {JSON: {"schema": schema, "example": sent}}}
