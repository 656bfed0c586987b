"""The HTTP status of every error, and the problem details (RFC 9457) that describe it."""

import http
import re
from typing import Any, NamedTuple

import orjson
from fastapi import Response
from starlette.types import Scope

from digits import errors
from digits.errors import DigitsError

RETRY_SECONDS = 2
"""The value of `Retry-After`, which is the default interval between two checks for new models."""


class Abandoned(Exception):
    """The client has left before it got the reply."""


class NotFound(DigitsError):
    """Nothing is at this path."""


def nothing_here(scope: Scope) -> NotFound:
    """Return the error for a path outside of the protocols."""
    hint = "; /docs lists all paths" if scope["app"].service.settings.docs else ""
    return NotFound(f"there is nothing at this path{hint}")


class UnknownModel(DigitsError):
    """No model has this name, or no loaded version has this number or label."""


class WrongMethod(DigitsError):
    """The path exists but does not accept this method."""

    def __init__(self, received: str, allow: str) -> None:
        """Create the error for the method `received`. `allow` names the methods that the path accepts."""
        super().__init__(f"expected {allow}, received {received[:40]}")
        self.allow = allow


class NotOffered(DigitsError):
    """The protocol defines this operation, but the service does not offer it."""


class MalformedBody(DigitsError):
    """The body cannot be parsed."""


class Unauthorized(DigitsError):
    """The request has no valid API key."""


class InvalidBody(DigitsError):
    """The body can be parsed, but its content is wrong."""


class InvalidQuery(DigitsError):
    """A query parameter is unknown or has an invalid value."""


class BodyTooLarge(DigitsError):
    """The body has more bytes than the limit."""


class SlowBody(DigitsError):
    """The body did not arrive in time."""


class BatchTooLarge(DigitsError):
    """The request has more pictures than the limit."""


class Overloaded(DigitsError):
    """Too many requests, pictures or jobs are in progress."""


class NoRoom(Overloaded):
    """The memory budget has too few bytes left for the request."""


class UnsupportedType(DigitsError):
    """The service does not accept this content type or content encoding."""


STATUS: dict[type[DigitsError], int] = {
    NotFound: 404,
    UnknownModel: 404,
    WrongMethod: 405,
    NotOffered: 501,
    errors.OtherClasses: 501,
    MalformedBody: 400,
    Unauthorized: 401,
    SlowBody: 408,
    BodyTooLarge: 413,
    BatchTooLarge: 413,
    errors.ImageTooLarge: 413,
    errors.TooManyDigits: 413,
    UnsupportedType: 415,
    errors.UnsupportedImage: 415,
    InvalidBody: 422,
    InvalidQuery: 422,
    errors.InvalidImage: 422,
    errors.InvalidPixels: 422,
    errors.NoInk: 422,
    errors.WrongSize: 422,
    Overloaded: 503,
    NoRoom: 503,
    errors.NoUsableModel: 503,
    errors.DamagedArtifact: 503,
    errors.GoldenMismatch: 503,
    errors.PublishFailed: 503,
    errors.ArtifactError: 503,
}
"""The status of every error of `digits` and `app`. A test checks that it is complete."""


def name(kind: type[DigitsError]) -> str:
    """Return the name that programs know an error by, such as `no-ink`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower()


class ErrorReply(NamedTuple):
    """The parts of an error reply that are the same in every dialect."""

    status: int
    detail: str
    headers: dict[str, str]


def describe(exc: Exception) -> ErrorReply:
    """Return status, message and headers for an exception. Everything but a DigitsError is a bug, and gets a 500."""
    if not isinstance(exc, DigitsError):
        return ErrorReply(500, "the service failed; this is a bug in the service, not in your request", {})
    status = STATUS[type(exc)]
    headers = {}
    if isinstance(exc, WrongMethod):
        headers["Allow"] = exc.allow
    if status == http.HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if status == http.HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_SECONDS)
    if isinstance(exc, SlowBody):
        headers["Connection"] = "close"
    return ErrorReply(status, str(exc), headers)


def problem(status: int, detail: str) -> dict[str, Any]:
    """Return problem details (RFC 9457) without a name, because the status says everything."""
    return {"type": "about:blank", "title": http.HTTPStatus(status).phrase, "status": status, "detail": detail}


def problem_of(exc: Exception) -> dict[str, Any]:
    """Return the problem details of an exception, with a JSON pointer (RFC 6901) into the body if it has one."""
    details = problem(*describe(exc)[:2])
    if isinstance(exc, DigitsError) and not isinstance(exc, NotFound | WrongMethod):
        error = name(type(exc))
        details |= {"type": f"urn:digits:{error}", "title": error.replace("-", " ").capitalize()}
        if exc.pointer:
            details["errors"] = [{"pointer": exc.pointer, "detail": details["detail"]}]
    return details


def problem_response(details: dict[str, Any], headers: dict[str, str]) -> Response:
    return Response(orjson.dumps(details), details["status"], headers, "application/problem+json")


def has_protocol_form(path: str) -> bool:
    """Return whether errors at a path have the form that its protocol prescribes, instead of problem details."""
    return path[1:].partition("/")[0] in ("v1", "v2")


def response(path: str, exc: Exception) -> Response:
    """Return the error response for an exception: problem details, or `{"error": "..."}` under /v1 and /v2."""
    status, detail, headers = describe(exc)
    if not has_protocol_form(path):
        return problem_response(problem_of(exc), headers)
    if status == http.HTTPStatus.UNPROCESSABLE_ENTITY:  # both protocols answer every invalid body with 400
        status = 400
    return Response(orjson.dumps({"error": detail}), status, headers, "application/json")
