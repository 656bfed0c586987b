"""uvicorn's HTTP protocol with limits on what a client may keep open.

- A connection without a request is closed after the keep-alive time.
- The head of a request must arrive within `HEAD_SECONDS` (408) and have at most `MAX_HEAD_BYTES` (431).
- A client that does not read its replies is disconnected.
- A request needs one Host header, and a malformed request gets a problem as its reply (400).
- While the service drains, each reply closes its connection.

A whole response is sent in one write (`app.asgi.route.WHOLE_RESPONSE`).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import httptools
from fastapi import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from app import errors
from app.asgi.route import WHOLE_RESPONSE
from app.server.handover import CLOSED, SupervisorLink
from app.server.listener import accept_packets
from digits.errors import DigitsError

HEAD_SECONDS = 10
"""Time limit for a request's head, from its first byte."""

MAX_HEAD_BYTES = 64 * 1024
"""Limit for a request's URL and the names and values of its headers."""

UNREAD_REPLY_SECONDS = 60
"""A client that has not read its replies for this long is disconnected."""

_IDLE_SECONDS = 0.5
"""How long an idle connection stays open when the server stops: a request may be on its way."""

_READ_BYTES = 256 * 1024
"""The most that an event loop reads at once."""

_IGNORED_TRAILERS: deque[tuple[bytes, bytes]] = deque(maxlen=0)
"""Stays empty, whatever is appended to it."""

_EXTENSIONS: dict[str, dict[object, object]] = {WHOLE_RESPONSE: {}}


class State(ServerState):
    """uvicorn's state, with a flag for draining and the joined header lines of all replies."""

    draining = False
    """Whether the service drains. Each reply then closes its connection."""

    refused: Callable[[DigitsError, Response], None]
    """Called with the error and the reply when bytes are refused because they are not an HTTP request."""

    supervisor: SupervisorLink | None = None
    """Learns of each connection that ends. None without a supervisor."""

    def __init__(self) -> None:
        """Start without connections."""
        super().__init__()
        self._common: tuple[list[tuple[bytes, bytes]], bytes] = ([], b"")

    def common_headers(self) -> bytes:
        """Return the joined header lines of every reply. uvicorn makes a new list once a second, with the time."""
        if self._common[0] is not self.default_headers:
            self._common = self.default_headers, b"".join(b"%b: %b\r\n" % header for header in self.default_headers)
        return self._common[1]


class HttpProtocol(HttpToolsProtocol):
    """One connection. Use it as `http` of a `uvicorn.Config`, with `app.server.server` and `app.main`.

    Each method says what uvicorn does without it.
    """

    server_state: State
    _in_head = False
    _head_bytes = 0
    """Upper bound for the head that is being read: the first of its reads may also end the request before it."""
    _head_timer: asyncio.TimerHandle | None = None
    _unread_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the keep-alive time. uvicorn starts it after a reply, and keeps a client that sends nothing forever."""
        super().connection_made(transport)
        if self.server_state.draining:
            accept_packets(transport.get_extra_info("socket"))
        self._unanswered: deque[RequestResponseCycle] = deque()
        self._idle_since = self.loop.time()
        self.timeout_keep_alive_handler()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timers, end the requests that are not answered yet, and tell the supervisor.

        After a reset, uvicorn's keep-alive timer would hold the connection's memory. Of several pipelined requests
        uvicorn ends only the last, and the one that is being answered then fails to write.
        """
        self._unset_keepalive_if_required()
        self._end_head()
        self.resume_writing()
        for cycle in self._unanswered:
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)
        if self.server_state.supervisor is not None:
            self.server_state.supervisor.report(CLOSED)

    def data_received(self, data: bytes) -> None:
        """Limit heads. uvicorn does not, and answers a malformed request even while another one is being answered."""
        self._head_bytes = self._head_bytes + len(data) if self._in_head else len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as exc:
            if self._should_upgrade():
                self._restart_without_upgrade(data[exc.args[0] :])
                return
        except httptools.HttpParserError as exc:
            # The parser wraps what `on_headers_complete` raises.
            refusal = exc.__context__
            self._refuse(refusal if isinstance(refusal, DigitsError) else _malformed_request())
        if self._in_head:
            if self._head_bytes > MAX_HEAD_BYTES + _READ_BYTES:
                self._refuse(_head_too_large())
            elif self._head_timer is None:
                self._head_timer = self.loop.call_later(HEAD_SECONDS, self._refuse, _slow_head())

    def on_message_begin(self) -> None:
        """Limit the head that begins."""
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        """Check the head. uvicorn accepts a head of any size, and any number of Host headers.

        Raises:
            DigitsError: the request is refused.
        """
        self._end_head()
        if self.parser.should_upgrade() and self._should_upgrade():
            return
        if self._head_bytes > MAX_HEAD_BYTES:
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > MAX_HEAD_BYTES:
                raise _head_too_large()
        hosts = [name for name, _ in self.headers].count(b"host")
        if hosts != 1 and (hosts or self.parser.get_http_version() == "1.1"):
            raise errors.MalformedRequest(f"expected one Host header (RFC 9112), received {hosts or 'none'}")
        super().on_headers_complete()
        # uvicorn would add trailers, of which there is no limit, to the headers of the request.
        self.headers = _IGNORED_TRAILERS  # type: ignore[assignment]
        self._unanswered.append(self.cycle)
        self.scope["extensions"] = _EXTENSIONS
        self.cycle.send = self._send  # type: ignore[method-assign]
        # uvicorn lets the application wait for the first part of a body. Here it gets an empty part immediately, so
        # that its time limit covers a body that never begins.
        self.cycle.message_event.set()
        if self.server_state.draining:
            self.cycle.keep_alive = False

    def _should_upgrade(self) -> bool:
        """Have uvicorn ignore a request to change the protocol, which `_restart_without_upgrade` sends again.

        The parser assumes that another protocol follows the head, so uvicorn would lose the body. That is right for
        CONNECT, which the application refuses.
        """
        return self.parser.get_method() != b"CONNECT"

    def _restart_without_upgrade(self, rest: bytes) -> None:
        """Parse the same request again without its Upgrade header, then what followed its head.

        Java's HTTP client asks for HTTP/2 in this way with its first request. A server may ignore that.
        """
        head = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        head += b"".join(b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade")
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as in uvicorn
        self.data_received(head + b"\r\n" + rest)

    async def _send(self, message: Any) -> None:
        """Write a whole response in one call. uvicorn writes its head and its body separately."""
        cycle = self._unanswered[0]  # a connection's requests are answered one after the other
        if "body" not in message or message["type"] != "http.response.start":
            await RequestResponseCycle.send(cycle, message)
            return
        if self.flow.write_paused:
            await self.flow.drain()
        if cycle.disconnected or self.transport.is_closing():
            return
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        status, headers = message["status"], message["headers"]
        parts = _response_head(status, self.server_state.common_headers(), headers)
        if status >= 400 and (b"connection", b"close") in headers:
            cycle.keep_alive = False
        elif not cycle.keep_alive:
            parts.append(b"connection: close\r\n")
        parts += (b"\r\n", b"" if cycle.scope["method"] == "HEAD" else message["body"])
        self.transport.write(b"".join(parts))
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()

    def on_response_complete(self) -> None:
        """Answer the next request that waits.

        uvicorn starts a keep-alive timer with each reply, which takes 2 us. It waits forever for the client of a
        closing connection to read the reply.
        """
        self._unanswered.popleft()
        if self.transport.is_closing():
            self._limit_reading_time()
            return
        self._idle_since = self.loop.time()
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    def pause_writing(self) -> None:
        """Limit the time of a client that reads too slowly. uvicorn waits for it forever."""
        super().pause_writing()
        self._limit_reading_time()

    def resume_writing(self) -> None:
        """End that limit: the client has read."""
        super().resume_writing()
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def timeout_keep_alive_handler(self) -> None:
        """Disconnect when the keep-alive time is over, else look again when it may be.

        uvicorn waits until the client has read the last reply, which may be never.
        """
        idle_seconds = self.loop.time() - self._idle_since if self._is_idle() else 0
        if idle_seconds < self.timeout_keep_alive:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive - idle_seconds, self.timeout_keep_alive_handler
            )
        else:
            self.transport.abort()

    def shutdown(self) -> None:
        """Close an idle connection a moment later. uvicorn closes it immediately, and loses a request on its way."""
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(_IDLE_SECONDS, self._close_if_idle)
        else:
            super().shutdown()

    def _close_if_idle(self) -> None:
        if self._is_idle():
            self.transport.close()

    def _is_idle(self) -> bool:
        return not self._in_head and (self.cycle is None or self.cycle.response_complete)

    def _end_head(self) -> None:
        self._in_head = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, error: DigitsError) -> None:
        """Answer with an error and close the connection."""
        self._end_head()
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete:
            # The previous request is still being answered. Its reply closes the connection.
            self.cycle.keep_alive = False
            self.flow.pause_reading()
            return
        reply = errors.problem_response(error)
        reply.headers["Connection"] = "close"
        common = self.server_state.common_headers()
        head = _response_head(reply.status_code, common, reply.raw_headers)
        self.transport.write(b"".join((*head, b"\r\n", reply.body)))
        self.transport.close()
        self._limit_reading_time()
        self.server_state.refused(error, reply)

    def _limit_reading_time(self) -> None:
        if self._unread_timer is None:
            self._unread_timer = self.loop.call_later(UNREAD_REPLY_SECONDS, self.transport.abort)


def _response_head(status: int, common: bytes, headers: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    """Return the status line and the header lines, without the empty line that ends them."""
    return [STATUS_LINE[status], common, *[b"%b: %b\r\n" % header for header in headers]]


def _head_too_large() -> DigitsError:
    return errors.HeadTooLarge(f"expected a head of at most {MAX_HEAD_BYTES} bytes, received more")


def _slow_head() -> DigitsError:
    return errors.SlowHead(f"expected the whole head within {HEAD_SECONDS} seconds, received only a part")


def _malformed_request() -> DigitsError:
    return errors.MalformedRequest("expected an HTTP/1.1 request, received something else")
