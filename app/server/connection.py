"""One connection: uvicorn's protocol, which gets one request at a time and a transport with limits.

uvicorn parses everything that a client sends at once, which takes a hundred times the memory of the bytes, and waits
forever for slow clients. So `Connection` stands between the event loop and uvicorn's protocol, with the methods that
asyncio documents. It passes on a head when it is complete, then the body that the head declares, and after the reply
the next head. Bytes that arrive too early wait, and nothing more is read. A connection ends if its head is too large or
too slow, if its replies are not read, or if too many wait. `app.asgi.middleware` says when a request begins and ends.
"""

import asyncio
import math
from collections import deque
from collections.abc import Mapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.asgi.route import CONNECTION
from app.server.framing import MAX_HEAD_BYTES, Body, Head

KEEP_ALIVE_SECONDS = 65  # usual proxies close idle connections after 60 s, and lose a request if the server is faster
HEAD_SECONDS = 10  # until a head is complete
MAX_MISSING_BYTES = 64 * 1024  # of a body when its reply begins, for the connection to stay open
LINGER_SECONDS, MAX_LINGER_SECONDS = 2, 30  # after the last reply: since the client's last byte, and in all
UNREAD_SECONDS, _WATCH_SECONDS = 60, 0.5  # until a client has read its replies, and between two looks at the clock
MAX_WAITING = 1024  # connections that wait for their turn
_HEAD = Head()


class Connection(asyncio.Protocol, asyncio.Transport):
    """The event loop's protocol and uvicorn's transport of one connection, for the parameter `http` of uvicorn."""

    def __init__(self, **arguments: Any) -> None:
        self._loop = asyncio.get_running_loop()
        self._turns: deque[Connection] = arguments["app_state"].setdefault("digits.turns", deque())
        self._state = {**arguments["app_state"], CONNECTION: self}
        self._http = HttpToolsProtocol(**arguments | {"app_state": self._state})
        self._held, self._position = b"", 0  # what was received; uvicorn has the bytes before the position
        self._next: Head | Body | None = _HEAD  # what uvicorn gets next; None while it must get nothing
        self._reply_head, self._expects_reply_head = b"", False
        self._is_paused = self._is_answering = self._is_discarding = self._is_closing = False
        self._idle_deadline = self._loop.time() + KEEP_ALIVE_SECONDS
        self._head_deadline = self._unread_deadline = self._last_deadline = math.inf

    def connection_made(self, transport: Any) -> None:
        self._transport: asyncio.Transport = transport
        self._timer = self._loop.call_later(_WATCH_SECONDS, self._watch)
        self._http.connection_made(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio passes it
        """End the connection. Given an error, uvicorn would leave a timer, and with it the connection's memory."""
        self._timer.cancel()
        self._http.connection_lost(None)
        self._state.clear()
        del self._http  # otherwise, the parser waits for the garbage collector

    def data_received(self, data: bytes) -> None:
        """Pass on what has arrived. Behind the last request, throw it away."""
        if self._is_discarding:
            if self._is_closing:
                self._idle_deadline = self._loop.time() + LINGER_SECONDS
            return
        self._held, self._position = self._held[self._position :] + data, 0
        if not self._pass_on():
            self._transport.pause_reading()

    def _pass_on(self) -> bool:
        """Pass on a head or a part of a body, and hold the rest. Return whether to read more."""
        start = self._position
        if self._next is not None and self._held and not self._is_paused:
            self._pass_on_part(self._next)
        if self._position >= len(self._held):
            self._held, self._position = b"", 0
        elif self._next is None or self._is_paused:
            return False
        elif self._position > start:
            self._wait_for_turn()
            return False
        elif len(self._held) - start > MAX_HEAD_BYTES:
            self._transport.abort()
        return self._is_discarding or not self._is_paused

    def _pass_on_part(self, part: Head | Body) -> None:
        data, self._position = part.take(self._held, self._position)
        if isinstance(part, Body):
            if not part.missing:
                self._next = None if self._is_answering else _HEAD
        elif data or self._position < len(self._held):  # a head has begun
            self._idle_deadline = math.inf
            self._head_deadline = min(self._head_deadline, self._loop.time() + HEAD_SECONDS)
            self._next = None if data else _HEAD
        if data:
            self._http.data_received(data)
        if isinstance(part, Body) and part.is_invalid:  # uvicorn refuses it; if not, it gets nothing more
            self._discard()

    def _discard(self) -> None:
        """Pass on nothing more. Read on, because a client may read its reply only when it has sent everything."""
        self._is_discarding, self._next, self._held, self._position = True, None, b"", 0
        self._transport.resume_reading()

    def _go_on(self) -> None:
        if self._pass_on():
            self._transport.resume_reading()

    def _wait_for_turn(self) -> None:
        """Go on later. In each turn of the event loop one connection goes on, and one new connection is accepted."""
        if len(self._turns) >= MAX_WAITING and self._next is _HEAD:
            self.close()
            return
        if not self._turns:
            self._loop.call_soon(self._take_turn)
        self._turns.append(self)

    def _take_turn(self) -> None:
        connection = self._turns.popleft()
        if self._turns:
            self._loop.call_soon(self._take_turn)
        connection._go_on()

    def pause_reading(self) -> None:
        self._is_paused = True  # uvicorn has more than it can answer
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._is_paused = False  # what is held comes before what is read
        if self._held:
            self._wait_for_turn()
        else:
            self._transport.resume_reading()

    def begin_request(self, headers: Mapping[bytes, bytes], *, changes_protocol: bool) -> None:
        """Pass on the body of a request from now on. Discard what follows if the request asks for another protocol."""
        self._is_answering, self._expects_reply_head = True, True
        self._idle_deadline = self._head_deadline = math.inf
        body = Body(headers)
        self._next = body if body.missing else None
        if changes_protocol:
            self._discard()
        elif self._held:
            self._go_on()

    def begin_reply(self) -> bool:
        """Return whether the reply is the last one, because uvicorn does not have much of its request's body."""
        if isinstance(self._next, Body) and self._next.missing > MAX_MISSING_BYTES:
            self._discard()
        return self._is_discarding

    def end_request(self) -> None:
        """Pass on the rest of the body, of which at most 64 KiB are missing, and then the next head."""
        self._is_answering, self._next = False, self._next or _HEAD
        self._idle_deadline = min(self._idle_deadline, self._loop.time() + KEEP_ALIVE_SECONDS)
        if self._reply_head:
            self.write(b"")
        if self._held:
            self._wait_for_turn()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def write(self, data: Any) -> None:
        """Write a part of a reply. The head waits for the body, which saves a system call."""
        if self._expects_reply_head and not data.startswith(b"HTTP/1.1 100 "):
            self._expects_reply_head, self._reply_head = False, data
        elif not self.is_closing():
            self._transport.write(self._reply_head + data if self._reply_head else data)
            self._reply_head = b""

    def close(self) -> None:
        """Close the connection. After the reply to a request, read on, because its body may still arrive."""
        if self._is_closing:
            return
        self.write(b"")
        self._discard()
        self._is_closing, self._head_deadline, now = True, math.inf, self._loop.time()
        if self._is_answering and not self._transport.is_closing():
            self._idle_deadline, self._last_deadline = now + LINGER_SECONDS, now + MAX_LINGER_SECONDS
            self._transport.write_eof()
        else:
            self._last_deadline = now + UNREAD_SECONDS
            self._transport.close()

    def is_closing(self) -> bool:
        return self._is_closing or self._transport.is_closing()

    def pause_writing(self) -> None:
        """Limit the time in which the client reads its replies."""
        self._unread_deadline = self._loop.time() + UNREAD_SECONDS
        self._http.pause_writing()

    def resume_writing(self) -> None:
        self._unread_deadline = math.inf
        self._http.resume_writing()

    def _watch(self) -> None:
        now = self._loop.time()
        if now >= min(self._idle_deadline, self._head_deadline, self._unread_deadline, self._last_deadline):
            lingers = self._is_closing and not self._transport.is_closing()
            (self._transport.close if lingers else self._transport.abort)()
            self._idle_deadline = self._last_deadline = now + UNREAD_SECONDS
        self._timer = self._loop.call_later(_WATCH_SECONDS, self._watch)
