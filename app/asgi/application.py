"""Where every request comes in: it is answered by a hot path at once, or by FastAPI; either way it is accounted for.

Starlette's middlewares, its router and FastAPI's dependencies take 27 us a request, as long as the network takes; this
takes 10 with log and metrics, when it is alone in its turn of the event loop (`python -m benchmarks.dispatch`). So what
is asked thousands of times a second is looked up here, by method and path.
"""

import asyncio
import itertools
import re
import secrets
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI, Response
from starlette._utils import get_route_path
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import errors
from app.asgi import headers as security_headers
from app.asgi.reply import JSON, REPLY, ROUTE, HotPath
from app.telemetry.access_log import UNLOGGED, AccessLog, CompletedRequest
from app.telemetry.metrics import Metrics
from digits.errors import DigitsError

_JSON = b"content-type: application/json\r\n"
_HEADERS = b"content-length: %d\r\nx-model-version: %d\r\nx-content-type-options: nosniff\r\nx-request-id: %b\r\n"

_ANSWERED = "digits.answered"
"""Where a request's scope has the `Reply` that it got."""

_NONE: Mapping[str, Any] = MappingProxyType({})


_REQUEST_ID = re.compile(rb"[\w.:/+=@-]{1,128}", re.ASCII)
"""What a client may call its request: letters, digits and a few signs that no log reads as anything else."""


class Application(FastAPI):
    """The application: FastAPI, with its hot paths before all else."""

    hot: Mapping[tuple[str, str], HotPath] = MappingProxyType({})
    """Method and path to what answers it."""

    dialects: Mapping[str, HotPath] = MappingProxyType({})
    """First part of a path, such as `v2`, to what answers it and all below it."""

    record: Callable[[list[CompletedRequest]], None] | None = None
    """Who else is told what has ended, besides log and metrics."""

    guarded: ASGIApp | None = None
    """`answer` with what `app.asgi.middleware` puts around it; None where that is nothing."""

    def __init__(self, *, metrics: Metrics, max_requests: int, **options: Any) -> None:
        """As FastAPI.

        Args:
            metrics: where requests are counted.
            max_requests: most of them that may be in a hot path at once.
            options: FastAPI's.
        """
        super().__init__(**options)
        self.metrics = metrics
        self.in_work = 0
        self._max_requests = max_requests
        self._access = AccessLog()
        self._ended: list[CompletedRequest] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        # A name for each request: this process', and a number.
        self._prefix = secrets.token_hex(6).encode()
        self._numbers = itertools.count(1)

    def drain(self) -> None:
        """Report that the service is not ready from now on; requests are still answered."""
        self.state.registry.drain()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        began = time.perf_counter()
        counted = scope["path"] not in UNLOGGED  # a probe or a scrape is not work
        self.in_work += counted
        named = traceparent = b""
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                named = value
            elif name == b"traceparent":
                traceparent = value
        if not (named and _REQUEST_ID.fullmatch(named)):
            named = b"%b-%x" % (self._prefix, next(self._numbers))
        header = (b"x-request-id", named)
        status, size = 500, 0
        try:
            if self.guarded is None and (hot := self._hot(scope)) is not None:
                status, size = await self._answer(hot, scope, receive, send, header)
                return

            async def watched(message: Message) -> None:
                nonlocal status, size
                if message["type"] == "http.response.start":
                    status = message["status"]
                    message["headers"] = [*message.get("headers", ()), header]
                else:
                    size += len(message.get("body", b""))
                await send(message)

            await (self.guarded or self.answer)(scope, receive, watched)
        except asyncio.CancelledError:  # by a server that does so when the client is gone, as Ray Serve's
            status = 499
            raise
        finally:
            self.in_work -= counted
            seconds = time.perf_counter() - began
            reply = scope.get(_ANSWERED)
            batch, version = (reply.batch, reply.version) if reply else (None, None)
            if scope["method"] == "HEAD":
                size = 0  # the server leaves the body out
            self._account(
                CompletedRequest(scope, named, traceparent, _route(scope), status, seconds, size, batch, version)
            )

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A request that is let in."""
        hot = self._hot(scope)
        if hot is not None:
            await self._answer(hot, scope, receive, send)
        else:
            # HEAD is answered as GET is.
            asked = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
            await super().__call__(asked, receive, security_headers.completing(send))
            scope["route"] = asked.get("route")

    def _hot(self, scope: Scope) -> HotPath | None:
        path: str = get_route_path(scope) if scope.get("root_path") else scope["path"]
        hot = self.hot.get((scope["method"], path))
        if hot is not None:
            scope[ROUTE] = path
            return hot
        return self.dialects.get(path[1:].partition("/")[0])

    def refused(self, error: DigitsError, reply: Response) -> None:
        """Account for what was no request, and was answered by the server."""
        self.metrics.refused(errors.name(error))
        self._account(CompletedRequest(None, b"", b"", None, reply.status_code, 0, len(reply.body), None, None))

    async def _answer(
        self, hot: HotPath, scope: Scope, receive: Receive, send: Send, header: tuple[bytes, bytes] | None = None
    ) -> tuple[int, int]:
        """Status and size of what was sent; with `header` where nobody else adds to the reply."""
        more = [] if header is None else [header]
        try:
            if self.in_work > self._max_requests and scope["method"] == "POST":
                raise errors.Overloaded(f"{self._max_requests} requests are in work already; try again later")
            reply = await hot(scope, receive)
        except ClientDisconnect:
            # As nginx has it: the client closed the request. Nobody reads this but the log.
            await send({"type": "http.response.start", "status": 499, "headers": []})
            return 499, 0
        except Exception as exc:  # noqa: BLE001 - what is no DigitsError is a bug, and answered as one
            if isinstance(exc, DigitsError):
                self.metrics.refused(errors.name(exc))
                refusal = errors.reply_to(exc, get_route_path(scope))
            else:
                refusal = errors.bug(scope, exc)
            refusal.raw_headers += more
            await refusal(scope, receive, security_headers.completing(send))
            return refusal.status_code, len(refusal.body)
        scope[_ANSWERED] = reply
        size = len(reply.body)
        if header is not None and reply.version and (at_once := scope.get("extensions", _NONE).get(REPLY)) is not None:
            own = b"" if reply.headers is JSON else b"".join(b"%b: %b\r\n" % one for one in reply.headers)
            at_once((own or _JSON) + _HEADERS % (size, reply.version, header[1]), reply.body)
            return 200, size
        headers = [*reply.headers, (b"content-length", b"%d" % size), security_headers.NOSNIFF, *more]
        if reply.version:
            headers.append((b"x-model-version", b"%d" % reply.version))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})
        return reply.status, size

    def _account(self, ended: CompletedRequest) -> None:
        """Log and count it at the end of this turn of the event loop, together with others."""
        loop = asyncio.get_running_loop()
        if not self._ended or loop is not self._loop:  # or the loop that was to do it has ended
            self._loop = loop
            loop.call_soon(self._account_for_all)
        self._ended.append(ended)

    def _account_for_all(self) -> None:
        requests, self._ended = self._ended, []
        self._access.write(requests)
        if self.record is not None:
            self.record(requests)
        for ended in requests:
            self.metrics.ended(ended.route, ended.status, ended.seconds)
        self.metrics.count()


def _route(scope: Scope) -> str | None:
    """The pattern that a request's path matched."""
    route: str | None = scope.get(ROUTE) or getattr(scope.get("route"), "path", None)
    return route
