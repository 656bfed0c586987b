"""Errors in the shape of TensorFlow Serving: `{"error": "..."}`."""

import http

import orjson
from fastapi import Response

from app import errors


def error_response(exc: Exception) -> Response:
    """Return the response that an exception is answered with."""
    status, detail, headers = errors.describe(exc)
    if status == http.HTTPStatus.UNPROCESSABLE_ENTITY:  # the protocol answers every invalid body with 400
        status = 400
    return Response(orjson.dumps({"error": detail}), status, headers, "application/json")
