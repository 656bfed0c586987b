"""The gRPC status code of every error, chosen by the HTTP status that the error has elsewhere."""

from grpc import StatusCode

from app.telemetry.accounting import CLIENT_CLOSED_REQUEST

CODES: dict[int, StatusCode] = {
    400: StatusCode.INVALID_ARGUMENT,
    401: StatusCode.UNAUTHENTICATED,
    404: StatusCode.NOT_FOUND,
    408: StatusCode.DEADLINE_EXCEEDED,
    413: StatusCode.INVALID_ARGUMENT,  # RESOURCE_EXHAUSTED would mean that the same call may succeed later
    415: StatusCode.INVALID_ARGUMENT,
    422: StatusCode.INVALID_ARGUMENT,
    CLIENT_CLOSED_REQUEST: StatusCode.CANCELLED,
    500: StatusCode.INTERNAL,
    501: StatusCode.UNIMPLEMENTED,
    503: StatusCode.UNAVAILABLE,  # the code that clients try again
}
"""By HTTP status. The others cannot occur: they concern the head of an HTTP/1.1 request and its method."""
