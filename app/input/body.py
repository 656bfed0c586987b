"""Read a request's body within limits of size, memory and time."""

import asyncio
import zlib
from collections.abc import Callable, Iterable
from typing import Concatenate, ParamSpec, Self, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from app.errors import BodyTooLarge, MalformedBody, NoRoom, SlowBody, UnsupportedType
from app.inference.decode_threads import DecodeThreads

P = ParamSpec("P")
T = TypeVar("T")

Headers = Iterable[tuple[bytes, bytes]]

SHORT_BYTES = 32 * 1024
"""Largest body that the event loop parses itself, in 0.1 ms, and that does not count towards the memory budget."""

MAX_BODIES_HELD = 4
"""The memory budget is this many bodies of the largest allowed size."""

TIMEOUT_SECONDS = 60
"""Time within which the whole body must arrive. A phone's photo takes that long over 1 Mbit/s."""

NO_ENCODING = (b"", b"identity")
"""Values of Content-Encoding for a body that is not compressed."""


class MemoryBudget:
    """The memory that the long bodies of all requests may take together."""

    def __init__(self, max_body_bytes: int) -> None:
        """Allow `MAX_BODIES_HELD` bodies of at most `max_body_bytes` each."""
        self.max_bytes = MAX_BODIES_HELD * max_body_bytes
        self.reserved_bytes = 0


class Reservation:
    """Body memory reserved by one request, released on exit."""

    __slots__ = ("_budget", "_bytes")

    def __init__(self, budget: MemoryBudget) -> None:
        """Reserve nothing yet."""
        self._budget = budget
        self._bytes = 0

    def reserve(self, size: int) -> None:
        """Reserve `size` more bytes.

        Raises:
            NoRoom: the budget has fewer bytes left.
        """
        if self._budget.reserved_bytes + size > self._budget.max_bytes:
            raise NoRoom(f"other requests hold {self._budget.reserved_bytes} bytes already; try again later")
        self._budget.reserved_bytes += size
        self._bytes += size

    def release(self) -> None:
        """Give back everything that was reserved."""
        self._budget.reserved_bytes -= self._bytes
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.release()


async def read_body(receive: Receive, declared_length: bytes, max_bytes: int, reservation: Reservation) -> bytes:
    """Read a whole body.

    Args:
        receive: ASGI's.
        declared_length: the value of Content-Length, which may be wrong; b"" if there is none.
        max_bytes: largest accepted body.
        reservation: where a long body reserves its memory.

    Raises:
        BodyTooLarge, NoRoom, SlowBody.
        ClientDisconnect: the client has disconnected.
    """
    # uvicorn accepts any number of leading zeros, and int() no more than 4300 digits.
    size = int(declared_length[-20:]) if declared_length.isdigit() else 0
    if size > max_bytes:
        raise BodyTooLarge(f"expected a body of at most {max_bytes} bytes, received {size}")
    message = await receive()
    # Nearly every body arrives in one message.
    body: bytes = b"" if message["type"] == "http.disconnect" or message.get("more_body") else message.get("body", b"")
    if not body or len(body) > SHORT_BYTES:
        body = await _read_messages(message, receive, max_bytes, reservation)
    return body


async def _read_messages(message: Message, receive: Receive, max_bytes: int, reservation: Reservation) -> bytes:
    """Read the whole body, of which `message` is the first part."""
    body = bytearray()
    reserved = 0
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while True:
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                body += message.get("body", b"")
                if len(body) > max_bytes:
                    raise BodyTooLarge(f"expected a body of at most {max_bytes} bytes, received more")
                if len(body) > SHORT_BYTES:
                    reservation.reserve(len(body) - reserved)
                    reserved = len(body)
                if not message.get("more_body"):
                    return bytes(body)
                message = await receive()
    except TimeoutError as exc:
        raise SlowBody(f"expected the whole body within {TIMEOUT_SECONDS} seconds, received {len(body)} bytes") from exc


async def read_inflated_body(
    receive: Receive, headers: Headers, max_bytes: int, reservation: Reservation, decode_threads: DecodeThreads
) -> bytes:
    """Read a whole body and inflate it if its Content-Encoding is gzip or deflate.

    Raises:
        BodyTooLarge, NoRoom, SlowBody, ClientDisconnect: as `read_body`.
        UnsupportedType, MalformedBody, Overloaded: it cannot be inflated.
    """
    declared_length = encoding = b""
    for name, value in headers:
        if name == b"content-length":
            declared_length = value
        elif name == b"content-encoding" and value.lower() not in NO_ENCODING:
            encoding = value
    body = await read_body(receive, declared_length, max_bytes, reservation)
    if encoding:
        name_of_encoding = encoding.decode("latin-1").strip().lower()
        body = await decode_threads.run(len(body), inflate, body, name_of_encoding, max_bytes)
        reservation.reserve(len(body))
    return body


def inflate(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """Decompress a body; stop as soon as the result has more than `max_bytes`.

    Raises:
        UnsupportedType: the encoding is neither gzip nor deflate.
        MalformedBody: the body is not what the encoding says.
        BodyTooLarge: the result would be larger than `max_bytes`.
    """
    if encoding not in ("gzip", "deflate"):
        raise UnsupportedType(f"expected the Content-Encoding gzip or deflate, or none, received {encoding[:40]!r}")
    decompressor = zlib.decompressobj(wbits=31 if encoding == "gzip" else 15)
    try:
        content = decompressor.decompress(body, max_bytes + 1)
    except zlib.error as exc:
        raise MalformedBody(f"expected a body compressed with {encoding}, received one that is not") from exc
    if len(content) > max_bytes:
        raise BodyTooLarge(f"expected a body of at most {max_bytes} bytes once inflated, received more")
    if not decompressor.eof or decompressor.unused_data:
        raise MalformedBody(
            f"expected a body compressed with {encoding} as a whole, received a part of one or bytes after its end"
        )
    return content


async def parse(
    decode_threads: DecodeThreads,
    parser: Callable[Concatenate[bytes, P], T],
    body: bytes,
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """Return `parser(body, ...)`, computed in a decode thread when the body is long.

    Raises:
        Overloaded: too many long bodies wait already; and the parser's errors.
    """
    if len(body) <= SHORT_BYTES:
        return parser(body, *args, **kwargs)
    return await decode_threads.run(len(body), parser, body, *args, **kwargs)


async def wait_for_disconnect(receive: Receive) -> None:
    """Return when the client has disconnected. The body must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass
