"""One connection: uvicorn's protocol, which gets one request at a time and a transport with limits.

uvicorn parses all that a client sends at once, a hundred times its size, and waits forever for slow clients. So
`Connection` stands between the event loop and uvicorn's protocol, with the methods that asyncio documents. Later
requests wait as bytes, and nothing more is read until they are answered. Heads that are too large or too slow, too
many trailers, unread replies, and a crowd of connections that wait end it. `app.asgi.middleware` says when heads end.
"""

import asyncio
import math
from collections import deque
from typing import Any

from starlette.types import Message, Receive
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.asgi.route import CONNECTION

KEEP_ALIVE_SECONDS = 65  # usual proxies close idle connections after 60 s, and lose a request if the server is faster
MAX_HEAD_BYTES, HEAD_SECONDS = 64 * 1024, 10  # a head that ends within twice the size is accepted too
MAX_HEADERS, _CHUNKS = 10_000, 1 << 20  # with trailers, and bytes of a body of unknown length between two reads
LINGER_SECONDS, MAX_LINGER_SECONDS = 2, 30  # after the last reply: since the client's last byte, and in all
UNREAD_SECONDS, _WATCH_SECONDS = 60, 0.5  # until a client has read its replies, and between two looks at the clock
_PIECES_AT_ONCE, MAX_WAITING = 256, 1024  # pieces of one read until others get their turn, and connections that wait
_END, _HEAD = b"\r\n\r\n", 2 * MAX_HEAD_BYTES  # the end of a head, and what uvicorn gets at most until a request begins


class Connection(asyncio.Protocol, asyncio.Transport):
    """The event loop's protocol and uvicorn's transport of one connection, for the parameter `http` of uvicorn."""

    def __init__(self, **arguments: Any) -> None:
        self._loop = asyncio.get_running_loop()
        self._turns: deque[Connection] = arguments["app_state"].setdefault("digits.turns", deque())
        self._state = {**arguments["app_state"], CONNECTION: self}
        self._http = HttpToolsProtocol(**arguments | {"app_state": self._state})
        self._held, self._position = b"", 0  # what was received; uvicorn has the bytes before the position
        self._left, self._head_bytes = _HEAD, 0  # what uvicorn may still get: a head behind the rest of a body
        self._headers: list[tuple[bytes, bytes]] = []
        self._reply_head, self._expects_reply_head = b"", False
        self._is_paused = self._is_answering = self._is_discarding = self._is_closing = False
        self._head_deadline = self._loop.time() + KEEP_ALIVE_SECONDS
        self._unread_deadline = self._last_deadline = math.inf

    def connection_made(self, transport: Any) -> None:
        self._transport: asyncio.Transport = transport
        self._timer = self._loop.call_later(_WATCH_SECONDS, self._watch)
        self._http.connection_made(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio passes it
        """End the connection. Given an error, uvicorn would leave a timer, and with it the connection's memory."""
        self._timer.cancel()
        self._http.connection_lost(None)
        self._state.clear()
        self._held, self._headers = b"", []  # otherwise, they and the parser would wait for the garbage collector
        del self._http

    def data_received(self, data: bytes) -> None:
        """Pass on what has arrived. Discard it if it is behind what the last reply answers."""
        if self._is_discarding:
            self._head_deadline = self._loop.time() + LINGER_SECONDS if self._is_closing else math.inf
            return
        if not self._is_answering and self._left == _HEAD and not self._held:
            self._head_deadline, data = self._loop.time() + HEAD_SECONDS, _without_upgrade(data)
            self._head_bytes = data.find(_END) + len(_END)
        self._pass_on(self._held[self._position :] + data if self._held else data, 0)

    def _pass_on(self, data: bytes, start: int) -> None:
        """Pass on pieces of `data` that end at most one head each, until uvicorn pauses. Hold the rest."""
        stop = min(len(data), start + MAX_HEAD_BYTES)  # until it is known whether a request has begun
        for _ in range(_PIECES_AT_ONCE):
            if start >= stop or self._is_paused or self._is_discarding:
                break
            end = data.find(_END, start) + len(_END)
            if end < len(_END) or data.find(_END, end) < 0:
                end = len(data)
            end = min(end, start + MAX_HEAD_BYTES)
            if self._left < 0 or len(self._headers) > MAX_HEADERS:
                self._transport.abort()
                break
            self._left -= end - start
            self._http.data_received(data[start:end])
            start = end
        self._held, self._position = (b"", 0) if start >= len(data) or self._is_discarding else (data, start)
        if self._held and not self._is_paused:
            self._transport.pause_reading()
            self._wait_for_turn()

    def _wait_for_turn(self) -> None:
        """Go on later. In each turn of the event loop one connection goes on, and one new connection is accepted."""
        if len(self._turns) >= MAX_WAITING and self._is_answering and self._left <= _HEAD:
            self._transport.abort()
            return
        if not self._turns:
            self._loop.call_soon(self._take_turn)
        self._turns.append(self)

    def _take_turn(self) -> None:
        connection = self._turns.popleft()
        if self._turns:
            self._loop.call_soon(self._take_turn)
        connection._pass_on(connection._held, connection._position)
        if not connection._held and not connection._is_paused:
            connection.resume_reading()

    def pause_reading(self) -> None:
        self._is_paused = True  # uvicorn has more than it can answer
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._is_paused = False  # what is held comes before what is read
        if self._held:
            self._wait_for_turn()
        elif not self._transport.is_closing():
            self._transport.resume_reading()

    def begin_request(self, headers: list[tuple[bytes, bytes]], receive: Receive) -> Receive:
        """Note that a head has ended, and return what receives its body. uvicorn adds the trailers to `headers`."""
        self._is_answering, self._expects_reply_head, self._head_deadline = True, True, math.inf
        self._headers, given = [] if self.is_closing() else headers, dict(headers)
        is_unknown = b"transfer-encoding" in given or b"expect" in given  # whoever waits for 100 may send no body
        length = _CHUNKS if is_unknown else int(given.get(b"content-length", b"0").strip()[-20:])
        self._left, self._head_bytes = max(self._left + self._head_bytes + length, _HEAD), 0

        async def receive_body() -> Message:
            message = await receive()
            self._left = _HEAD + length if message.get("more_body") else _HEAD
            return message

        return receive_body if self._left > _HEAD else receive

    def is_last_reply(self) -> bool:
        """Whether a reply that begins now is the last one, because much of its request's body has not arrived."""
        self._is_discarding |= self._left > _HEAD + MAX_HEAD_BYTES
        return self._is_discarding

    def end_request(self) -> None:
        self._is_answering, self._left = False, max(self._left, _HEAD)
        self._head_deadline = min(self._head_deadline, self._loop.time() + KEEP_ALIVE_SECONDS)
        if self._reply_head:
            self.write(b"")

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
        self._is_closing, self._is_discarding, self._held = True, True, b""
        self._head_deadline = self._loop.time() + LINGER_SECONDS
        self._last_deadline = self._loop.time() + MAX_LINGER_SECONDS
        if self._is_answering and not self._transport.is_closing():
            self._transport.write_eof()
            self._transport.resume_reading()
        else:
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
        if now >= min(self._head_deadline, self._unread_deadline, self._last_deadline):
            lingers = self._is_closing and not self._transport.is_closing()
            (self._transport.close if lingers else self._transport.abort)()
            self._head_deadline = self._last_deadline = now + UNREAD_SECONDS
        self._timer = self._loop.call_later(_WATCH_SECONDS, self._watch)


def _without_upgrade(data: bytes) -> bytes:
    """Return the first read of a request without `Upgrade` in its head, and with `Connection: close`.

    uvicorn loses the body of such a request, and Java's HTTP client sends it, to ask for HTTP/2.
    """
    end = data.find(_END)
    if end < 0 or b"\r\nupgrade:" not in data[:end].lower():
        return data
    lines = [line for line in data[:end].split(b"\r\n") if not line.lower().startswith((b"upgrade:", b"connection:"))]
    return b"\r\n".join([*lines, b"connection: close"]) + data[end:]
