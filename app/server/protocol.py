"""uvicorn's HTTP protocol with limits on what a client may keep open.

- A connection without a request is closed after the keep-alive time.
- The head of a request must arrive within `HEAD_SECONDS` (408) and have at most `MAX_HEAD_BYTES` (431).
- Of several requests that a client sends at once, only one is parsed. The others wait as bytes, at most
  `MAX_UNPARSED_BYTES` of all connections.
- A client that does not read its replies is disconnected.
- A client that gets its last reply while it is still sending can read that reply, because the connection lingers.
- A request needs one Host header, and a malformed request gets a problem as its reply (400).
- While the service drains, each reply closes its connection.

The server writes the head and the body of a response together if the body is one message. This saves a system call of
5 us for each request (`python -m benchmarks.speed.requests`).
"""

import asyncio
import math
from collections import deque
from collections.abc import Iterable
from typing import Any, cast

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from app import errors
from app.asgi.route import UNSENT, WHOLE_RESPONSE
from app.server.handover import CLOSED
from app.server.listener import accept_packets
from app.server.state import State
from digits.errors import DigitsError

HEAD_SECONDS = 10
"""Time limit for a request's head, from its first byte."""

MAX_HEAD_BYTES = 64 * 1024
"""Limit for a request's URL and the names and values of its headers."""

UNREAD_REPLY_SECONDS = 60
"""A client that has not read its replies for this long is disconnected."""

LINGER_SECONDS = 30
"""How long a connection stays open after its last reply while the client is still sending.

If the server closed earlier, the client's system would discard the reply.
"""

LINGER_BYTES = 64 * 1024 * 1024
"""How much such a client may still send."""

MAX_UNPARSED_BYTES = 16 * 1024 * 1024
"""Limit for the bytes of later requests that all connections together keep while earlier ones are answered."""

_IDLE_SECONDS = 0.5
"""How long an idle connection stays open when the server stops: a request may be on its way."""

_READ_BYTES = 256 * 1024
"""The most that an event loop reads at once."""

_END = b"\r\n\r\n"
"""The end of a head, and of a body in chunks."""

_CHUNKED_BYTES = 1024
"""Minimum number of bytes of a body in chunks that are parsed at once. Small requests may begin in them."""

_IGNORED_TRAILERS: deque[tuple[bytes, bytes]] = deque(maxlen=0)
"""Stays empty, whatever is appended to it."""

_EXTENSIONS: dict[str, dict[object, object]] = {WHOLE_RESPONSE: {}}


class _Flow(FlowControl):
    """uvicorn's flow control, with a reason to stop reading that the application cannot override."""

    is_holding = False
    """Whether bytes of later requests wait until the current one is answered."""

    def resume_reading(self) -> None:
        """Read again, unless bytes wait. uvicorn calls this when the application waits for its client to leave."""
        if not self.is_holding:
            super().resume_reading()


class HttpProtocol(HttpToolsProtocol):
    """One connection. Use it as `http` of a `uvicorn.Config`, with `app.server.server` and `app.main`.

    Each method says what uvicorn does without it.
    """

    server_state: State
    flow: _Flow
    _in_head = False
    _head_bytes = 0
    """Upper bound for the head that is being read: the first of its reads may also end the request before it."""
    _head_timer: asyncio.TimerHandle | None = None
    _unread_timer: asyncio.TimerHandle | None = None
    _linger_timer: asyncio.TimerHandle | None = None
    _unparsed = b""
    """What waits to be parsed, from `_position` on. `State.unparsed_bytes` counts all of it."""
    _position = 0
    _body_left: float = 0
    """How many bytes of the current body have not been parsed: infinite in chunks, -1 when a head has just ended."""
    _is_ending = False
    """Whether the last reply is written or decided. What the client sends after its request is discarded."""
    _discarded_bytes = 0
    _response_start: Any = None
    """The first message of a response, until its body follows."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the keep-alive time. uvicorn starts it after a reply, and keeps a client that sends nothing forever."""
        super().connection_made(transport)
        self.flow = _Flow(transport)
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
        self._drop_unparsed()
        if self._linger_timer is not None:
            self._linger_timer.cancel()
        self.resume_writing()
        self._disconnect_unanswered()
        super().connection_lost(exc)
        if self.server_state.supervisor is not None:
            self.server_state.supervisor.report(CLOSED)

    def data_received(self, data: bytes) -> None:
        """Parse one request at a time. uvicorn parses all that a client sends at once, a hundred times their size."""
        if self._is_ending:
            self._discarded_bytes += len(data)
            if self._discarded_bytes > LINGER_BYTES:
                self.transport.abort()
            return
        if self._unparsed:
            data = self._unparsed[self._position :] + data
        self._parse(data, 0)

    def _parse(self, data: bytes, start: int) -> None:
        """Parse from `start` up to the end of a request. If more follows, stop reading until it is answered."""
        while start < len(data) and not self._is_ending and not self.transport.is_closing():
            if self._is_answering():
                self._hold(data, start)
                return
            end = self._end_of_piece(data, start)
            self._feed(data[start:end])
            start = end
        self._drop_unparsed()

    def _parse_next(self) -> None:
        self._parse(self._unparsed, self._position)

    def _is_answering(self) -> bool:
        """Return whether a whole request was received and is not answered yet."""
        cycle = self.cycle
        return cycle is not None and not cycle.more_body and not cycle.response_complete

    def _end_of_piece(self, data: bytes, start: int) -> int:
        """Return where to stop parsing, so that at most one request ends before. With a chunked body, some forty may.

        If a read ends within the four bytes that end a head, the next piece has this end and the following one.
        """
        left = self._body_left
        if not left:
            end = data.find(_END, start)
            has_one_head = end < 0 or data.find(_END, end + len(_END)) < 0
            return len(data) if has_one_head else end + len(_END)
        if left == math.inf:
            end = data.find(_END, start + _CHUNKED_BYTES)
            return end + len(_END) if end >= 0 else len(data)
        size = int(min(left, len(data) - start))
        self._body_left -= size
        return start + size

    def _hold(self, data: bytes, start: int) -> None:
        """Keep bytes of later requests, and read no more. Beyond the limit, the current reply is the last one."""
        state = self.server_state
        state.unparsed_bytes += len(data) - len(self._unparsed)
        self._unparsed, self._position = data, start
        self.flow.is_holding = True
        self.flow.pause_reading()
        if state.unparsed_bytes > MAX_UNPARSED_BYTES:
            self.cycle.keep_alive = False
            self._is_ending = True
            self._drop_unparsed()

    def _drop_unparsed(self) -> None:
        """Keep nothing, and read again."""
        if self._unparsed:
            self.server_state.unparsed_bytes -= len(self._unparsed)
            self._unparsed = b""
            self.flow.is_holding = False
            if not self.transport.is_closing():
                self.flow.resume_reading()

    def _feed(self, data: bytes) -> None:
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
        if self._body_left < 0:  # a head has ended
            self._body_left = _body_left(self.cycle) if self.cycle.more_body else 0
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
        self._body_left = -1
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
        self._feed(head + b"\r\n" + rest)

    async def _send(self, message: Any) -> None:
        """Write head and body of a response together if the body is one message. uvicorn writes them separately.

        The response then needs a Content-Length. Every response of Starlette has one.
        """
        cycle = self._unanswered[0]  # a connection's requests are answered one after the other
        if message["type"] != "http.response.start":
            start, self._response_start = self._response_start, None
            if start is None or message.get("more_body"):
                if start is not None:
                    await RequestResponseCycle.send(cycle, start)
                await RequestResponseCycle.send(cycle, message)
                return
        elif "body" in message:
            start = message
        else:
            self._response_start = message
            return
        if self.flow.write_paused:
            await self.flow.drain()
        if cycle.disconnected or self.transport.is_closing():
            cast("dict[str, Any]", cycle.scope)[UNSENT] = True
            return
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        status, headers = start["status"], start["headers"]
        parts = _response_head(status, self.server_state.common_headers(), headers)
        if status >= 400 and (b"connection", b"close") in headers:
            cycle.keep_alive = False
        elif not cycle.keep_alive:
            parts.append(b"connection: close\r\n")
        parts += (b"\r\n", b"" if cycle.scope["method"] == "HEAD" else message.get("body", b""))
        self.transport.write(b"".join(parts))
        if not cycle.keep_alive:
            self._close(is_sending=cycle.more_body or bool(self._unparsed) or self._is_ending)
        cycle.on_response()

    def on_response_complete(self) -> None:
        """Answer the next request that waits.

        uvicorn starts a keep-alive timer with each reply, which takes 2 us. It waits forever for the client of a
        closing connection to read the reply.
        """
        self._unanswered.popleft()
        if self.transport.is_closing() or self._linger_timer is not None:
            self._limit_reading_time()
            return
        self._idle_since = self.loop.time()
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._unparsed:
            self.server_state.queue_turn(self._parse_next)

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
        return not self._in_head and not self._unparsed and (self.cycle is None or self.cycle.response_complete)

    def _end_head(self) -> None:
        self._in_head = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, error: DigitsError) -> None:
        """Answer with an error and close the connection."""
        self._end_head()
        if self.transport.is_closing() or self._is_ending:
            return
        self._is_ending = True
        if self._is_answering():  # its reply closes the connection
            self.cycle.keep_alive = False
            return
        reply = errors.problem_response(error)
        reply.headers["Connection"] = "close"
        self.server_state.refused(error, reply)
        common = self.server_state.common_headers()
        head = _response_head(reply.status_code, common, reply.raw_headers)
        self.transport.write(b"".join((*head, b"\r\n", reply.body)))
        self._disconnect_unanswered()
        self._close(is_sending=True)

    def _disconnect_unanswered(self) -> None:
        for cycle in self._unanswered:
            cycle.disconnected = True
            cycle.message_event.set()

    def _close(self, *, is_sending: bool) -> None:
        """Close the connection after its last reply. Linger if the client may still be sending."""
        if not is_sending:
            self.transport.close()
            return
        self._is_ending = True
        self._drop_unparsed()
        self.transport.write_eof()
        self.flow.resume_reading()
        self._linger_timer = self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def _limit_reading_time(self) -> None:
        if self._unread_timer is None:
            self._unread_timer = self.loop.call_later(UNREAD_REPLY_SECONDS, self.transport.abort)


def _response_head(status: int, common: bytes, headers: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    """Return the status line and the header lines, without the empty line that ends them."""
    return [STATUS_LINE[status], common, *[b"%b: %b\r\n" % header for header in headers]]


def _body_left(cycle: RequestResponseCycle) -> float:
    """Return how much of a body that has just begun will follow: infinity for a body in chunks."""
    for name, value in cycle.scope["headers"]:
        if name == b"content-length":  # the parser has checked that it is a number
            return int(value[-20:]) - len(cycle.body)
    return math.inf


def _head_too_large() -> DigitsError:
    return errors.HeadTooLarge(f"expected a head of at most {MAX_HEAD_BYTES} bytes, received more")


def _slow_head() -> DigitsError:
    return errors.SlowHead(f"expected the whole head within {HEAD_SECONDS} seconds, received only a part")


def _malformed_request() -> DigitsError:
    return errors.MalformedRequest("expected an HTTP/1.1 request, received something else")
