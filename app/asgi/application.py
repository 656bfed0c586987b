"""The outermost ASGI application: it gives every request an id, and logs and counts it after its reply."""

import asyncio
import itertools
import re
import secrets
import time
from collections.abc import Callable

from fastapi import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import errors
from app.asgi.companion import GrpcServer
from app.asgi.endpoint import CLIENT_CLOSED_REQUEST
from app.asgi.in_work import RequestsInWork
from app.asgi.reply import REPLY
from app.inference.model_registry import ModelRegistry
from app.settings import LogFormat
from app.telemetry.access_log import UNLOGGED, AccessLog, CompletedRequest
from app.telemetry.drift import Drift
from app.telemetry.metrics import Metrics
from digits.errors import DigitsError

_REQUEST_ID = re.compile(rb"[\w.:/+=@-]{1,128}", re.ASCII)
"""The request ids that a client may choose: letters, digits and signs that no log interprets."""


class Application:
    """The service. It passes requests on to the router, then logs and counts them."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        in_work: RequestsInWork,
        registry: ModelRegistry,
        drift: Drift,
        log_format: LogFormat,
        record: Callable[[list[CompletedRequest]], list[CompletedRequest]] | None = None,
        protocol: str = "http",
        grpc_server: GrpcServer | None = None,
    ) -> None:
        """Wrap an application.

        Args:
            app: answers the requests.
            metrics: counts the requests.
            in_work: the number of requests that are being answered.
            registry: the models, so that the server can announce that it drains.
            drift: the metrics of all workers, for a program that embeds the service.
            log_format: the format of the access log.
            record: records the spans of completed requests, and returns the requests with the ids of the spans.
            protocol: how the requests arrive, `http` or `grpc`, for the metrics.
            grpc_server: the server that the process runs beside the HTTP server.
        """
        self.app = app
        self._metrics = metrics
        self._in_work = in_work
        self.registry = registry
        self.drift = drift
        self._record = record
        self._protocol = protocol
        self.grpc_server = grpc_server
        self._access_log = AccessLog(log_format)
        self._completed: list[CompletedRequest] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        # A new request id is the prefix of this process and a running number.
        self._prefix = secrets.token_hex(6).encode()
        self._numbers = itertools.count(1)

    def drain(self) -> None:
        """Report at `/readyz` that the service stops. Requests are still answered."""
        self.registry.drain()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        in_work = self._in_work if scope["path"] not in UNLOGGED else None  # probes and scrapes do not count
        if in_work is not None:
            in_work.count += 1
        request_id, traceparent = self._identify(scope)
        response = _Response(send, (b"x-request-id", request_id))
        try:
            await self.app(scope, receive, response.send)
        except asyncio.CancelledError:  # Ray Serve cancels a request when its client has gone
            response.status = CLIENT_CLOSED_REQUEST
            raise
        finally:
            seconds = time.perf_counter() - began
            if in_work is not None:
                in_work.count -= 1
            reply = scope.get(REPLY)
            self._log_and_count(
                CompletedRequest(
                    scope,
                    request_id,
                    traceparent,
                    getattr(scope.get("route"), "path", None),
                    response.status,
                    seconds,
                    0 if scope["method"] == "HEAD" else response.size,
                    reply.batch if reply else None,
                    reply.version if reply else None,
                )
            )

    def refused(self, error: DigitsError, reply: Response) -> None:
        """Log and count bytes that the server refused because they are not an HTTP request."""
        self._metrics.count_refusal(errors.name(error))
        self._log_and_count(CompletedRequest(None, b"", b"", None, reply.status_code, 0, len(reply.body), None, None))

    def _identify(self, scope: Scope) -> tuple[bytes, bytes]:
        """Return the request's id, its own or a new one, and its `traceparent` header (b"" if it has none)."""
        request_id = traceparent = b""
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                request_id = value
            elif name == b"traceparent":
                traceparent = value
        if not (request_id and _REQUEST_ID.fullmatch(request_id)):
            request_id = b"%b-%x" % (self._prefix, next(self._numbers))
        return request_id, traceparent

    def _log_and_count(self, request: CompletedRequest) -> None:
        """Log and count a request at the end of this turn of the event loop, together with the other requests."""
        loop = asyncio.get_running_loop()
        if not self._completed or loop is not self._loop:  # the loop may have ended before its callback ran
            self._loop = loop
            loop.call_soon(self._log_and_count_all)
        self._completed.append(request)

    def _log_and_count_all(self) -> None:
        requests, self._completed = self._completed, []
        if self._record is not None:
            requests = self._record(requests)
        self._access_log.write(requests)
        for request in requests:
            self._metrics.count_request(self._protocol, request.route, request.status, request.seconds)
            if request.status >= 400 and request.scope and (refusal := request.scope.get(errors.REFUSAL)):
                self._metrics.count_refusal(refusal)


class _Response:
    """Sends a response with one more header, and records its status and size."""

    __slots__ = ("_header", "_send", "size", "status")

    def __init__(self, send: Send, header: tuple[bytes, bytes]) -> None:
        self._send = send
        self._header = header
        self.status = 500
        self.size = 0

    async def send(self, message: Message) -> None:
        """Send a message."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), self._header]
        self.size += len(message.get("body", b""))
        await self._send(message)
