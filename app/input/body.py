"""Read a request body within limits of size, memory and time."""

import zlib
from collections.abc import Callable
from typing import TypeVar

from app.errors import Abandoned, BodyTooLarge, MalformedBody, UnsupportedType
from app.inference.decode_threads import DecodeThreads
from app.inference.picture_batch import PictureBatch
from app.input.request import RequestInWork

BatchT = TypeVar("BatchT", bound=PictureBatch)

SHORT_BODY_BYTES = 32 * 1024
"""Bodies up to this size are parsed on the event loop (about 0.1 ms) and need no memory reservation."""


async def read_inflated(work: RequestInWork, parser: Callable[[bytes], BatchT]) -> BatchT:
    """Read a body, inflate it if its Content-Encoding is gzip or deflate, and parse it.

    Raises what `read_body`, `inflate` and the parser raise, and Overloaded if too many bodies wait for a thread.
    """
    max_bytes = work.settings.max_body_bytes
    body = await read_body(work, max_bytes)
    if encoding := encoding_of(work):
        body = await work.decode_threads.run(len(body), inflate, body, encoding, max_bytes)
        work.reserve(len(body))
    pictures = await parse(work.decode_threads, parser, body)
    pictures.memory = work
    return pictures


def encoding_of(work: RequestInWork) -> str:
    """Return the Content-Encoding in lower case, or "" for a body that is not compressed."""
    encoding = work.headers.get(b"content-encoding", b"").decode("latin-1").strip().lower()
    return "" if encoding == "identity" else encoding


async def read_body(work: RequestInWork, max_bytes: int) -> bytes:
    """Read a whole body, and reserve its memory if it is long.

    Raises BodyTooLarge, NoRoom, and Abandoned if the client has left. `work` raises SlowBody.
    """
    declared_length = work.headers.get(b"content-length", b"")  # may be wrong
    # uvicorn accepts any number of leading zeros, and int() no more than 4300 digits.
    size = int(declared_length[-20:]) if declared_length.isdigit() else 0
    if size > max_bytes:
        raise BodyTooLarge(f"expected a body of at most {max_bytes} bytes, received {size}")
    body = bytearray()
    reserved = 0
    while True:
        message = await work.receive()
        if message["type"] == "http.disconnect":
            raise Abandoned
        body += message.get("body", b"")
        work.received_bytes = len(body)
        if len(body) > max_bytes:
            raise BodyTooLarge(f"expected a body of at most {max_bytes} bytes, received more")
        if len(body) > SHORT_BODY_BYTES:
            work.reserve(len(body) - reserved)
            reserved = len(body)
        if not message.get("more_body"):
            work.is_read = True
            return bytes(body)


def inflate(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """Decompress a body. Raises UnsupportedType, MalformedBody, and BodyTooLarge as soon as it has too many bytes."""
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


async def parse(decode_threads: DecodeThreads, parser: Callable[[bytes], BatchT], body: bytes) -> BatchT:
    """Return `parser(body)`. Long bodies are parsed in a decode thread. Raises Overloaded if too many wait."""
    if len(body) <= SHORT_BODY_BYTES:
        return parser(body)
    return await decode_threads.run(len(body), parser, body)
