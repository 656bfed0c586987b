"""The parts of OpenAPI operations that the other model servers' protocols share."""

from typing import Annotated, Any

from fastapi import Path

from app.input.pictures import JSON
from app.openapi.replies import UNAVAILABLE_REASON
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


def error_replies(*statuses: int, has_body: bool = False) -> dict[int | str, dict[str, Any]]:
    """Return the error replies of an operation, each as `{"error": "..."}`.

    Args:
        statuses: 404 if the path names a model.
        has_body: whether the request has a body.
    """
    descriptions = {
        **(_BODY_ERRORS if has_body else {}),
        **dict.fromkeys(statuses, "There is no such model or version"),
    }
    descriptions[503] = UNAVAILABLE_REASON
    return {status: {"model": Error, "description": text} for status, text in descriptions.items()}


def json_body(schema: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    """Return a required JSON body."""
    return {"required": True, "content": {JSON: {"schema": schema, "example": example}}}
