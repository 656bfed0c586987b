"""The routes of other model servers' protocols, with their part of the OpenAPI document."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import Path

from app.asgi.route import direct_router
from app.input.pictures import JSON
from app.openapi.replies import UNAVAILABLE_REASON, example, examples
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
_MODEL_ERRORS = {404: "There is no such model or version"}
"""The error replies of a request with a body, and of one that names the model, by status."""

EndpointT = TypeVar("EndpointT", bound=Callable[..., Any])


class Protocol:
    """Declares the endpoints of one protocol. Their errors are `{"error": "..."}`."""

    def __init__(self, tag: str, file: str, *selectors: str) -> None:
        """Start a group of the API documentation. `file` has the examples of its replies.

        `selectors` are what may follow the model's name in a path to select a version.
        """
        self.router = direct_router(tag)
        self._examples = examples(file)
        self._selectors = selectors

    def endpoint(
        self, operation: str, summary: str = "", reply_model: Any = dict[str, Any], body: dict[str, Any] | None = None
    ) -> Callable[[EndpointT], EndpointT]:
        """Return a decorator for the endpoint of an operation, such as `GET /v2`, also at the paths of versions.

        Only the path without a version is documented, and none without a summary.
        """
        method, _, path = operation.partition(" ")
        selectors = self._selectors if "{model}" in path else ()
        errors = (_BODY_ERRORS if body else {}) | (_MODEL_ERRORS if selectors else {}) | {503: UNAVAILABLE_REASON}
        documentation: dict[str, Any] = {"include_in_schema": False}
        if summary:
            replies = {status: {"model": Error, "description": text} for status, text in errors.items()}
            replies[200] = example(self._examples[operation])
            documentation = {
                "summary": summary,
                "response_model": reply_model,
                "responses": replies,
                "openapi_extra": {"requestBody": body} if body else None,
            }

        def add(endpoint: EndpointT) -> EndpointT:
            self.router.add_api_route(path, endpoint, methods=[method], **documentation)
            for selector in selectors:
                selected = path.replace("{model}", f"{{model}}{selector}")
                self.router.add_api_route(selected, endpoint, methods=[method], include_in_schema=False)
            return endpoint

        return add


def json_body(schema: dict[str, Any], sent: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {JSON: {"schema": schema, "example": sent}}}
