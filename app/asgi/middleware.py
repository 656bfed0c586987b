"""The middleware around the router: what every request passes, CORS and API keys."""

import asyncio
from typing import Any

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import errors
from app.asgi.headers import with_defaults
from app.asgi.route import CONNECTION, NOSNIFF, PART_BYTES
from app.asgi.service import Service
from app.telemetry import tracing
from app.telemetry.access_log import REQUEST, CompletedRequest
from app.telemetry.accounting import CLIENT_CLOSED_REQUEST

_CORS: dict[str, Any] = {
    "allow_methods": ("GET", "HEAD", "POST"),
    "allow_headers": ("Authorization", "Content-Type", "X-API-Key", "X-Request-ID", "traceparent"),
    "expose_headers": ("Retry-After", "X-Model-Graph", "X-Model-Version", "X-Request-ID"),
    "max_age": 7200,  # how long a browser may remember a preflight reply; Chromium keeps it no longer
}

_LAST = {b"expect", b"transfer-encoding", b"upgrade"}
"""Headers after which a connection closes, because a proxy and the server may not agree on where the body ends.

uvicorn takes what follows a head with `Upgrade`, or the method CONNECT, for the next request. A client that waits for
100 may send no body after another reply. Chunks and trailers have more than one reading.
"""


def build_stack(router: ASGIApp, service: Service) -> ASGIApp:
    """Return `router` wrapped in the middleware that the settings require."""
    settings = service.settings

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["type"] == "http":
                scope[REQUEST].key_name = service.keys.key_name(scope["path"], scope["headers"])
            await router(scope, receive, send)
        except Exception as exc:  # noqa: BLE001 - `reply_to` answers every exception
            await reply_to(exc, scope, receive, send)

    stack = checked if settings.api_keys_file or settings.cors_origins else router
    if settings.cors_origins:
        # CORS is outside the key check, because a preflight request has no key, and a page must be able to read a
        # refusal. `allow_credentials` is not needed: there are no cookies, and a key is an ordinary header.
        stack = _Cors(stack, allow_origins=settings.cors_origins, **_CORS)
    return RequestMiddleware(stack, service)


class RequestMiddleware:
    """The outermost middleware: path prefix, request id, default headers, error replies and accounting.

    It is one class, because each layer of middleware takes 0.3 us of every request. Starlette's own layers for
    exceptions take 2 us, and its `ServerErrorMiddleware` would answer outside of this one, without a request id.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service
        self._prefix = service.settings.root_path
        self._accounting = service.accounting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._prefix or scope.get("root_path"):
            _remove_prefix(scope, self._prefix)
        headers = dict(scope["headers"])
        scope["headers"] = [*scope["headers"]]  # uvicorn adds trailers to its own list
        is_last = scope["method"] == "CONNECT" or not _LAST.isdisjoint(headers)
        connection = scope["state"].get(CONNECTION) if "state" in scope else None
        if connection is not None:
            connection.begin_request(headers)
        raw_path = scope["raw_path"] if "raw_path" in scope else scope["path"].encode()
        peer = scope["client"][0] if scope.get("client") else None
        scope[REQUEST] = request = CompletedRequest("http", scope["method"], scope["path"], raw_path, peer)
        self._accounting.begin(request, scope["headers"])
        is_traced = self._service.tracer_provider is not None

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.status = message["status"]
                given = message.get("headers", ())
                # A `Reply` has this header, and needs no other.
                completed = given if NOSNIFF in given else with_defaults(given)
                message["headers"] = sent = [*completed, (b"x-request-id", request.request_id)]
                if (is_last or self._service.registry.is_draining) and (b"connection", b"close") not in sent:
                    sent.append((b"connection", b"close"))
            body = message.get("body", b"")
            if request.method != "HEAD":  # the server leaves out its body
                request.size += len(body)
            if len(body) > PART_BYTES:  # the server holds one part, and waits until the client has read most of it
                for start in range(0, len(body), PART_BYTES):
                    await send({**message, "body": body[start : start + PART_BYTES], "more_body": True})
                message = {**message, "body": b""}
            if is_traced and message["type"] == "http.response.body" and not message.get("more_body"):
                tracing.describe(request)  # FastAPI ends the span with the reply
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except asyncio.CancelledError:  # Ray Serve cancels a request when its client has gone
            request.status = CLIENT_CLOSED_REQUEST
            raise
        except Exception as exc:  # noqa: BLE001 - `reply_to` answers every exception
            await reply_to(exc, scope, receive, send_with_headers)
        finally:
            self._accounting.end(request)
            if connection is not None:
                connection.end_request()


class _Cors(CORSMiddleware):
    """Starlette's CORS middleware, with a problem as the reply to a preflight request that it refuses."""

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        reason = bytes(response.body).decode().lower()
        detail = f"expected an origin, a method and headers that are allowed, received {reason}"
        kept = {name: value for name, value in response.headers.items() if name.startswith(("access-control", "vary"))}
        return errors.problem_response(errors.problem(response.status_code, detail), kept)


async def reply_to(exc: Exception, scope: Scope, receive: Receive, send: Send) -> None:
    """Reply with the error that the application raised. An exception that is not a DigitsError is a bug: 500."""
    if scope["type"] != "http":
        raise exc
    if isinstance(exc, errors.Abandoned):
        await send({"type": "http.response.start", "status": CLIENT_CLOSED_REQUEST, "headers": []})
        return
    scope["app"].service.accounting.record_error(scope[REQUEST], exc)
    response = None if errors.has_protocol_form(scope["path"]) else scope["app"].error_page(scope, exc)
    # If a reply has begun already, the server refuses this one and closes the connection.
    await (response or errors.response(scope["path"], exc))(scope, receive, send)


def _remove_prefix(scope: Scope, own_prefix: str) -> None:
    """Remove the path prefix where the proxy has not removed it.

    Starlette's `root_path` does not fit. Behind a proxy that strips the prefix, a mounted application is not found.
    Behind a proxy that keeps the prefix, uvicorn's option adds it a second time.
    """
    for prefix in (scope.get("root_path", ""), own_prefix):  # `uvicorn --root-path` has added the first
        if prefix and (scope["path"] == prefix or scope["path"].startswith(f"{prefix}/")):
            scope["path"] = scope["path"][len(prefix) :] or "/"
    scope["root_path"] = ""
