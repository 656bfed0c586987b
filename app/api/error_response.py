"""Errors as `{"error": "..."}`, the shape that TensorFlow Serving and the Open Inference Protocol share."""

import http

import orjson
from fastapi import Response

from app import errors


def error_response(exc: Exception) -> Response:
    """Return the error response for an exception."""
    status, detail, headers = errors.describe(exc)
    if status == http.HTTPStatus.UNPROCESSABLE_ENTITY:  # both protocols answer every invalid body with 400
        status = 400
    return Response(orjson.dumps({"error": detail}), status, headers, "application/json")
