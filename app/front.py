"""Where every request comes in: it is answered by a hot path at once, or by FastAPI; either way it is accounted for.

Starlette's middlewares, its router and FastAPI's dependencies take 27 us a request, as long as the network takes; this
takes 4, with log and metrics (`python -m benchmarks.dispatch`). So what is asked thousands of times a second is looked
up here, by method and path.
"""

import asyncio
import itertools
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from fastapi import FastAPI, Response
from starlette._utils import get_route_path
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from app import errors
from app.access import AccessLog, Ended
from app.metrics import Metrics
from app.protocol import REPLY
from digits.errors import DigitsError

_HEADERS = b"content-type: application/json\r\ncontent-length: %d\r\nx-model-version: %d\r\nx-request-id: %b\r\n"

_NONE: Mapping[str, Any] = MappingProxyType({})


class Reply(NamedTuple):
    """A 200 and its JSON."""

    body: bytes
    version: int
    """Of the model that answered; also a header."""
    batch: int
    """Pictures in the forward pass that answered."""


HotPath = Callable[[Scope, Receive], Awaitable[Reply]]
"""Raises DigitsError for whatever else is to be answered."""

_REQUEST_ID = re.compile(rb"[\w.:/+=@-]{1,128}", re.ASCII)
"""What a client may call its request: letters, digits and a few signs that no log reads as anything else."""


class Front(FastAPI):
    """The application: FastAPI, with its hot paths before all else."""

    hot: Mapping[tuple[str, str], HotPath] = MappingProxyType({})
    """Method and path to what answers it."""

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
        self._ended: list[Ended] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        # A name for each request: this process', and a number.
        self._prefix = secrets.token_hex(6).encode()
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        began = time.perf_counter()
        self.in_work += 1
        named = traceparent = b""
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                named = value
            elif name == b"traceparent":
                traceparent = value
        if not (named and _REQUEST_ID.fullmatch(named)):
            named = b"%b-%x" % (self._prefix, next(self._numbers))
        header = (b"x-request-id", named)
        route: str | None = None
        status, size, reply = 500, 0, None
        try:
            path = get_route_path(scope) if scope.get("root_path") else scope["path"]
            hot = self.hot.get((scope["method"], path))
            if hot is not None:
                route = path
                status, size, reply = await self._answer(hot, scope, receive, send, header)
                return

            async def watched(message: Message) -> None:
                nonlocal status, size
                if message["type"] == "http.response.start":
                    status = message["status"]
                    message["headers"] = [*message.get("headers", ()), header]
                else:
                    size += len(message.get("body", b""))
                await send(message)

            try:
                await super().__call__(scope, receive, watched)
            finally:
                route = getattr(scope.get("route"), "path", None)
        finally:
            self.in_work -= 1
            seconds = time.perf_counter() - began
            batch, version = (reply.batch, reply.version) if reply else (None, None)
            self._account(Ended(scope, named, traceparent, route, status, seconds, size, batch, version))

    def refused(self, error: DigitsError, reply: Response) -> None:
        """Account for what was no request, and was answered by the server."""
        self.metrics.refused(errors.name(error))
        self._account(Ended(None, b"", b"", None, reply.status_code, 0, len(reply.body), None, None))

    async def _answer(
        self, hot: HotPath, scope: Scope, receive: Receive, send: Send, header: tuple[bytes, bytes]
    ) -> tuple[int, int, Reply | None]:
        """Status and size of what was sent, and what it was made of."""
        try:
            if self.in_work > self._max_requests:
                raise errors.Overloaded(f"{self._max_requests} requests are in work already; try again later")
            reply = await hot(scope, receive)
        except ClientDisconnect:
            return 499, 0, None  # as nginx has it: the client closed the request; nobody reads an answer
        except Exception as exc:  # noqa: BLE001 - what is no DigitsError is a bug, and answered as one
            if isinstance(exc, DigitsError):
                self.metrics.refused(errors.name(exc))
                refusal = errors.reply_to(exc)
            else:
                refusal = errors.bug(scope, exc)
            refusal.raw_headers.append(header)
            await refusal(scope, receive, send)
            return refusal.status_code, len(refusal.body), None
        size = len(reply.body)
        at_once = scope.get("extensions", _NONE).get(REPLY)
        if at_once is not None:
            at_once(_HEADERS % (size, reply.version, header[1]), reply.body)
            return 200, size, reply
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % size),
            (b"x-model-version", b"%d" % reply.version),
            header,
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})
        return 200, size, reply

    def _account(self, ended: Ended) -> None:
        """Log and count it at the end of this turn of the event loop, together with others."""
        loop = asyncio.get_running_loop()
        if not self._ended or loop is not self._loop:  # or the loop that was to do it has ended
            self._loop = loop
            loop.call_soon(self._account_for_all)
        self._ended.append(ended)

    def _account_for_all(self) -> None:
        requests, self._ended = self._ended, []
        self._access.write(requests)
        for ended in requests:
            self.metrics.ended(ended.route, ended.status, ended.seconds)
        self.metrics.count()
