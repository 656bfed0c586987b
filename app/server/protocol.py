"""uvicorn's HTTP protocol, with bounds on what a client may keep open, and a short way for whole replies.

A connection that brings no request is closed after the keep-alive time; a head that does not come in time is answered
408, one that is too large 431; a client that does not read its reply is given up.

A reply that is there as a whole may be handed over at once, by an extension of ASGI's, instead of in two messages: one
write instead of two, each of which is a system call of 5 us, and no look at headers that are our own
(`python -m benchmarks.load --only ours,floor`).
"""

import asyncio
from collections import deque
from collections.abc import Iterable

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from app import errors
from app.asgi.application import WHOLE_RESPONSE
from app.server.listener import take_all_from
from app.server.state import State
from digits.errors import DigitsError

HEAD_SECONDS = 10
"""In which a request's head must have come, from its first byte on."""

MAX_HEAD_BYTES = 64 * 1024
"""Of a request's URL, names and values of headers."""

STUCK_SECONDS = 60
"""After which a reply that its client does not read is given up."""

_IDLE_SECONDS = 0.5
"""In which a connection that seems idle may still bring a request when the server stops."""

_COMMON_BYTES = 16 * 1024
"""A head that came with less than this is not measured."""


class HttpProtocol(HttpToolsProtocol):
    """For `uvicorn.Config(http=...)`, with `app.server.server` and `app.asgi.application`."""

    server_state: State
    _in_head = False
    _chunk = 0
    """Bytes that came last."""
    _came = 0
    """Bytes since the chunk in which the request began."""
    _refusal: DigitsError | None = None
    _head_timer: asyncio.TimerHandle | None = None
    _stuck_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client."""
        super().connection_made(transport)
        if self.server_state.draining:
            take_all_from(transport.get_extra_info("socket"))
        self._unanswered: deque[RequestResponseCycle] = deque()
        self._extensions = {WHOLE_RESPONSE: self._send_whole_response}
        # uvicorn sets this only after a reply, and would keep a silent client for ever.
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave no timer, and tell all who work for the client; uvicorn tells who works for its last request."""
        self._unset_keepalive_if_required()
        self._end_head()
        self.resume_writing()
        for cycle in self._unanswered:
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Part of a request, one, or several."""
        # The keep-alive time goes on: uvicorn would end it for good when more comes of a body that was answered unread.
        self._chunk = len(data)
        self._came += self._chunk
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as exc:
            if self._should_upgrade():
                self._stay(data[exc.args[0] :])
                return
        except httptools.HttpParserError:
            self._refuse(
                self._refusal or errors.MalformedRequest("expected a request as HTTP/1.1 has it, received none")
            )
        if self._in_head:
            if self._came > MAX_HEAD_BYTES:
                self._refuse(_head_too_large())
            elif self._head_timer is None:
                self._head_timer = self.loop.call_later(HEAD_SECONDS, self._refuse, _slow_head())
        elif self._came > self.server_state.most_bytes:
            # The body is bounded by who reads it; extensions of chunks, and what may follow the last chunk, are not.
            self._refuse(errors.BodyTooLarge("expected no more than chunks need, received too much beside them"))

    def on_message_begin(self) -> None:
        """A head begins."""
        self._unset_keepalive_if_required()
        super().on_message_begin()
        self._in_head, self._came = True, 0

    def on_headers_complete(self) -> None:
        """A request."""
        self._unset_keepalive_if_required()  # the one before may have been answered since this one began
        self._end_head()
        if self.parser.should_upgrade() and self._should_upgrade():
            return
        if self._came + self._chunk > _COMMON_BYTES:
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > MAX_HEAD_BYTES:
                self._refusal = _head_too_large()
                raise self._refusal
        hosts = [name for name, _ in self.headers].count(b"host")
        if hosts != 1 and (hosts or self.parser.get_http_version() == "1.1"):
            self._refusal = errors.MalformedRequest(f"expected one Host header (RFC 9112), received {hosts or 'none'}")
            raise self._refusal
        super().on_headers_complete()
        self.headers = []  # for what may come after the last chunk: these are no headers of the request
        cycle = self.cycle
        self._unanswered.append(cycle)
        self.scope["extensions"] = self._extensions  # type: ignore[typeddict-item]
        if self.server_state.draining:
            cycle.keep_alive = False

    def _should_upgrade(self) -> bool:
        """Whether it is no request yet: one for another protocol than HTTP/1.1 comes once more, by `_stay`.

        The parser takes what follows it for that protocol: its body would be lost, or be the next request. For CONNECT
        that is as it should be.
        """
        return self.parser.get_method() != b"CONNECT"

    def _stay(self, rest: bytes) -> None:
        """Stay with HTTP/1.1, as a server may: the same request without the wish, and what came after its head.

        Java's client, for one, asks each server for HTTP/2 so, with the first request.
        """
        head = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        head += b"".join(b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade")
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
        self.data_received(head + b"\r\n" + rest)

    async def _send_whole_response(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Do what `cycle.send` does with a whole response, in one write."""
        if self.flow.write_paused:
            await self.flow.drain()
        cycle = self._unanswered[0]  # a connection's requests are answered one after the other
        if cycle.disconnected or self.transport.is_closing():
            return
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        end = b"\r\n"
        if (b"connection", b"close") in headers:
            cycle.keep_alive = False
        elif not cycle.keep_alive:
            end = b"connection: close\r\n\r\n"
        head = _response_head(status, self.server_state.common_headers(), headers, len(body))
        self.transport.write(b"".join((head, end, body)))
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()

    def on_response_complete(self) -> None:
        """The oldest request is answered."""
        self._unanswered.popleft()
        super().on_response_complete()
        if self.transport.is_closing():
            self._give_up_later()

    def pause_writing(self) -> None:
        """The client reads more slowly than it is answered."""
        super().pause_writing()
        self._give_up_later()

    def resume_writing(self) -> None:
        """It has read."""
        super().resume_writing()
        if self._stuck_timer is not None:
            self._stuck_timer.cancel()
            self._stuck_timer = None

    def timeout_keep_alive_handler(self) -> None:
        """Nothing came for long."""
        self.transport.close()
        self._give_up_later()

    def shutdown(self) -> None:
        """The server stops: close once no request is in work; one may have come that has not been read yet."""
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(_IDLE_SECONDS, self._close_if_idle)
        else:
            super().shutdown()

    def _close_if_idle(self) -> None:
        if not self._in_head and (self.cycle is None or self.cycle.response_complete):
            self.transport.close()

    def _end_head(self) -> None:
        self._in_head = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, error: DigitsError) -> None:
        """Answer what is no request, and read no more."""
        self._end_head()
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete:
            # The one before it is in work, and gets its answer.
            self.cycle.keep_alive = False
            self.flow.pause_reading()
            return
        reply = errors.problem_response(error)
        reply.headers["Connection"] = "close"
        common = self.server_state.common_headers()
        head = _response_head(reply.status_code, common, reply.raw_headers, len(reply.body))
        self.transport.write(b"".join((head, b"\r\n", reply.body)))
        self.transport.close()
        self._give_up_later()
        self.app.refused(error, reply)

    def _give_up_later(self) -> None:
        """A transport that is closed waits for its client to read what was written, for ever."""
        if self._stuck_timer is None:
            self._stuck_timer = self.loop.call_later(STUCK_SECONDS, self.transport.abort)


def _response_head(status: int, common: bytes, headers: Iterable[tuple[bytes, bytes]], size: int) -> bytes:
    """Return the status line and the header lines of a response, without the empty line that ends them."""
    lines = [STATUS_LINE[status], common]
    has_length = False
    for name, value in headers:
        lines += (name, b": ", value, b"\r\n")
        has_length = has_length or name == b"content-length"
    if not has_length:
        lines.append(b"content-length: %d\r\n" % size)
    return b"".join(lines)


def _head_too_large() -> DigitsError:
    return errors.HeadTooLarge(f"expected a head of at most {MAX_HEAD_BYTES} bytes, received more")


def _slow_head() -> DigitsError:
    return errors.SlowHead(f"expected the whole head within {HEAD_SECONDS} seconds, received a part")
