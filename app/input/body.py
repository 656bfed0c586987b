"""Read a request body within limits of size, memory and time."""

import asyncio
import zlib
from collections.abc import Callable, Iterable
from typing import Concatenate, Generic, ParamSpec, TypeVar

from starlette.requests import Request
from starlette.types import Receive

from app.errors import BodyTooLarge, MalformedBody, SlowBody, UnsupportedType
from app.inference.data_plane import Abandoned
from app.inference.decode_threads import DecodeThreads
from app.inference.memory_budget import Reservation
from app.inference.picture_batch import PictureBatch
from app.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")
BatchT = TypeVar("BatchT", bound=PictureBatch)

Headers = Iterable[tuple[bytes, bytes]]

SHORT_BODY_BYTES = 32 * 1024
"""Bodies up to this size are parsed on the event loop (about 0.1 ms) and need no memory reservation."""

TIMEOUT_SECONDS = 60
"""Time within which the whole body must arrive. Enough for a 7.5 MB photo at 1 Mbit/s."""

IDENTITY_ENCODINGS = (b"", b"identity")
"""Values of Content-Encoding for a body that is not compressed."""


class RequestBody(Generic[BatchT]):
    """The body of one HTTP request, as a source of pictures for the data plane. Subclasses parse it."""

    def __init__(self, request: Request, settings: Settings) -> None:
        """Read the body of `request` within the limits of `settings`."""
        self.headers: Headers = request.scope["headers"]
        self.settings = settings
        self.receive = request.receive

    async def pictures(self, reservation: Reservation, decode_threads: DecodeThreads) -> BatchT:
        """Receive and parse the pictures. See `app.inference.data_plane.Source`."""
        raise NotImplementedError

    async def abandoned(self) -> None:
        """Return when the client has disconnected. Call this only after the whole body has been read."""
        while (await self.receive())["type"] != "http.disconnect":
            pass


class InflatedBody(RequestBody[BatchT]):
    """A body that may be compressed, and that one function parses."""

    def __init__(self, request: Request, settings: Settings, parser: Callable[[bytes], BatchT]) -> None:
        """Parse the inflated body with `parser`."""
        super().__init__(request, settings)
        self._parser = parser

    async def pictures(self, reservation: Reservation, decode_threads: DecodeThreads) -> BatchT:
        """Read the body, inflate it if its Content-Encoding is gzip or deflate, and parse it.

        Raises:
            BodyTooLarge, NoRoom, SlowBody, Abandoned: as `read_body`.
            UnsupportedType: the Content-Encoding is neither gzip nor deflate.
            MalformedBody: the body is not valid gzip or deflate.
            Overloaded: too many bodies wait for a thread.
            DigitsError: the parser raises it.
        """
        declared_length = encoding = b""
        for name, value in self.headers:
            if name == b"content-length":
                declared_length = value
            elif name == b"content-encoding" and value.lower() not in IDENTITY_ENCODINGS:
                encoding = value
        max_bytes = self.settings.max_body_bytes
        body = await read_body(self.receive, declared_length, max_bytes, reservation)
        if encoding:
            name_of_encoding = encoding.decode("latin-1").strip().lower()
            body = await decode_threads.run(len(body), inflate, body, name_of_encoding, max_bytes)
            reservation.reserve(len(body))
        return await parse(decode_threads, self._parser, body)


async def read_body(receive: Receive, declared_length: bytes, max_bytes: int, reservation: Reservation) -> bytes:
    """Read a whole body.

    Args:
        receive: the ASGI receive callable.
        declared_length: the value of Content-Length, which may be wrong. b"" if the header is missing.
        max_bytes: largest accepted body.
        reservation: where a long body reserves its memory.

    Raises:
        BodyTooLarge: the body has more than `max_bytes`.
        NoRoom: the memory budget has too few bytes left.
        SlowBody: the body did not arrive within `TIMEOUT_SECONDS`.
        Abandoned: the client has left.
    """
    # uvicorn accepts any number of leading zeros, and int() no more than 4300 digits.
    size = int(declared_length[-20:]) if declared_length.isdigit() else 0
    if size > max_bytes:
        raise BodyTooLarge(f"expected a body of at most {max_bytes} bytes, received {size}")
    body = bytearray()
    reserved = 0
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Abandoned
                body += message.get("body", b"")
                if len(body) > max_bytes:
                    raise BodyTooLarge(f"expected a body of at most {max_bytes} bytes, received more")
                if len(body) > SHORT_BODY_BYTES:
                    reservation.reserve(len(body) - reserved)
                    reserved = len(body)
                if not message.get("more_body"):
                    return bytes(body)
    except TimeoutError as exc:
        raise SlowBody(f"expected the whole body within {TIMEOUT_SECONDS} seconds, received {len(body)} bytes") from exc


def inflate(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """Decompress a body. Stop as soon as the result has more than `max_bytes`.

    Raises:
        UnsupportedType: the encoding is neither gzip nor deflate.
        MalformedBody: the body is not valid gzip or deflate.
        BodyTooLarge: the result would be larger than `max_bytes`.
    """
    if encoding not in ("gzip", "deflate"):
        raise UnsupportedType(f"expected the Content-Encoding gzip or deflate, or none, received {encoding[:40]!r}")
    # zlib reads the gzip format with 31, and its own, which HTTP calls deflate, with 15.
    decompressor = zlib.decompressobj(wbits=31 if encoding == "gzip" else 15)
    try:
        content = decompressor.decompress(body, max_bytes + 1)
    except zlib.error as exc:
        raise MalformedBody(f"expected a body compressed with {encoding}, received one that is not") from exc
    if len(content) > max_bytes:
        raise BodyTooLarge(f"expected a body of at most {max_bytes} bytes once inflated, received more")
    if not decompressor.eof or decompressor.unused_data:
        raise MalformedBody(f"expected one complete {encoding} stream; it is cut short, or other bytes follow it")
    return content


async def parse(
    decode_threads: DecodeThreads,
    parser: Callable[Concatenate[bytes, P], T],
    body: bytes,
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """Return `parser(body, ...)`. A long body is parsed in a decode thread.

    Raises:
        Overloaded: too many long bodies wait already.
        DigitsError: the parser raises it.
    """
    if len(body) <= SHORT_BODY_BYTES:
        return parser(body, *args, **kwargs)
    return await decode_threads.run(len(body), parser, body, *args, **kwargs)
