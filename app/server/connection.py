"""One connection: uvicorn's protocol gets a complete head, then its body, and after the reply the next head.

uvicorn parses all that a client sends at once, which takes a hundred times the memory of the bytes. Early bytes wait.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.asgi.route import CONNECTION
from app.server.framing import MAX_HEAD_BYTES, body_bytes, take_head
from app.server.replies import Replies
from app.server.turns import Turns

HEAD_SECONDS, REST_SECONDS = 10, 65  # A head arrives in the first, the rest of an unread body in the second.
_PART_BYTES = 32 * 1024  # of a body. Behind chunks, uvicorn parses no more than this.


class Connection(Replies):
    """The event loop's protocol and uvicorn's transport of one connection, for the parameter `http` of uvicorn."""

    def __init__(self, **arguments: Any) -> None:
        self._http = http = HttpToolsProtocol(**arguments | {"app_state": {**arguments["app_state"], CONNECTION: self}})
        self._turns: Turns = arguments["app_state"].setdefault("digits.turns", Turns())
        self._held, self._missing = memoryview(b""), 0  # what was not passed on yet, and how much of a body
        self._is_answering = self._is_paused = False
        self.pause_writing, self.resume_writing = http.pause_writing, http.resume_writing  # type: ignore[method-assign]

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._limit_head(HEAD_SECONDS)
        self._http.connection_made(self)  # type: ignore[arg-type] # it has what uvicorn uses of a transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - given an error, uvicorn leaves a timer
        self._head_timer.cancel()
        self._http.connection_lost(None)

    def pause_reading(self) -> None:
        self._is_paused = True
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._is_paused = False
        self._turns.wait(self._pass_on)

    def data_received(self, data: bytes) -> None:
        self._held = memoryview(bytes(self._held) + data)
        self._pass_on()

    def begin_request(self, headers: Mapping[bytes, bytes]) -> None:
        self._head_timer.cancel()
        self._missing = body_bytes(headers)
        self._pass_on()

    def end_request(self) -> None:
        self._is_answering = False
        if self._missing:  # the rest of the body goes to uvicorn at once, which throws it away
            self._limit_head(REST_SECONDS)
            self._pass_on()
        elif self._held:
            self._turns.wait(self._pass_on)

    def _limit_head(self, seconds: float) -> None:
        self._head_timer = asyncio.get_running_loop().call_later(seconds, self._transport.abort)

    def _pass_on(self) -> None:
        if self._is_paused or self.is_closing():
            return
        if part := self._take():
            self._http.data_received(part)
        if self._held and (part or self._is_answering):
            self._transport.pause_reading()
            if self._missing or not self._is_answering:  # otherwise, the next request waits for the reply
                self._turns.wait(self._pass_on)
        elif not self._is_paused:
            self._transport.resume_reading()

    def _take(self) -> bytes:
        if self._missing or self._is_answering:
            used = min(len(self._held), self._missing, _PART_BYTES if self._is_answering else self._missing)
            part, self._missing = bytes(self._held[:used]), self._missing - used
        else:
            if self._held and self._head_timer.cancelled():
                self._limit_head(HEAD_SECONDS)
            part, used = take_head(bytes(self._held[: MAX_HEAD_BYTES + 1]))
            self._is_answering = bool(part)
        self._held = self._held[used:]
        return part
