"""Where every request comes in: it is answered by a hot path at once, or by FastAPI; either way it is logged.

Starlette's middlewares, its router and FastAPI's dependencies take 27 us a request, as long as the network takes; this
takes 3, with the log (`python -m benchmarks.dispatch`). So what is asked thousands of times a second is looked up here,
by method and path.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from fastapi import FastAPI
from starlette._utils import get_route_path
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import errors, security
from app.access import AccessLog
from digits.errors import DigitsError


class Reply(NamedTuple):
    """A 200 and its JSON."""

    body: bytes
    version: int
    """Of the model that answered; also a header."""


HotPath = Callable[[Scope, Receive], Awaitable[Reply]]
"""Raises DigitsError for whatever else is to be answered."""


class Front(FastAPI):
    """The application: FastAPI, with its hot paths before all else."""

    hot: Mapping[tuple[str, str], HotPath] = MappingProxyType({})
    """Method and path to what answers it."""

    guarded: ASGIApp | None = None
    """`answer` with what `app.guard` puts around it; None where that is nothing."""

    def __init__(self, **options: Any) -> None:
        """As FastAPI."""
        super().__init__(**options)
        self._access = AccessLog()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        began = time.perf_counter()
        status, size = 500, 0
        try:
            if self.guarded is None and (hot := self._hot(scope)) is not None:
                status, size = await _answer(hot, scope, receive, send)
                return

            async def watched(message: Message) -> None:
                nonlocal status, size
                if message["type"] == "http.response.start":
                    status = message["status"]
                else:
                    size += len(message.get("body", b""))
                await send(message)

            await (self.guarded or self.answer)(scope, receive, watched)
        finally:
            self._access.write(scope, status, size, time.perf_counter() - began)

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A request that is let in."""
        hot = self._hot(scope)
        if hot is not None:
            await _answer(hot, scope, receive, send)
        else:
            await super().__call__(scope, receive, security.completing(send))

    def _hot(self, scope: Scope) -> HotPath | None:
        path = get_route_path(scope) if scope.get("root_path") else scope["path"]
        return self.hot.get((scope["method"], path))


async def _answer(hot: HotPath, scope: Scope, receive: Receive, send: Send) -> tuple[int, int]:
    """Status and size of what was sent."""
    try:
        body, version = await hot(scope, receive)
    except ClientDisconnect:
        # As nginx has it: the client closed the request. Nobody reads this but the log.
        await send({"type": "http.response.start", "status": 499, "headers": []})
        return 499, 0
    except Exception as exc:  # noqa: BLE001 - what is no DigitsError is a bug, and answered as one
        refusal = errors.reply_to(exc) if isinstance(exc, DigitsError) else errors.bug(scope, exc)
        await refusal(scope, receive, security.completing(send))
        return refusal.status_code, len(refusal.body)
    size = len(body)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % size),
        (b"x-model-version", b"%d" % version),
        security.NOSNIFF,
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
    return 200, size
