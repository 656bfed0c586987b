"""Read a request of any accepted Content-Type to a batch of pictures."""

from starlette.types import Receive, Scope

from app.errors import UnsupportedType
from app.inference.decode_threads import DecodeThreads
from app.inference.picture_batch import PictureBatch
from app.input.body import NO_ENCODING, Reservation, parse, read_body
from app.input.forms import read_form
from app.input.json import read_json
from app.input.pixels import raw_pixels
from app.settings import Settings
from digits.mnist_form import Mode

IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/bmp", "image/gif", "image/tiff")
JSON, FORM, RAW = "application/json", "multipart/form-data", "application/octet-stream"

MEDIA_TYPES = (JSON, FORM, *IMAGE_TYPES, RAW)

_MEDIA_TYPE_OF_HEADER = {media_type.encode(): media_type for media_type in MEDIA_TYPES}
"""The Content-Type header as most clients write it, without parameters and in lower case."""


async def read_pictures(
    scope: Scope,
    receive: Receive,
    settings: Settings,
    mode: Mode,
    *,
    reservation: Reservation,
    decode_threads: DecodeThreads,
) -> PictureBatch:
    """Read the body of a request to one or more pictures.

    Encoded pictures are not opened here. The predictor does that.

    Args:
        scope: ASGI's.
        receive: ASGI's.
        settings: the limits.
        mode: blank JSON pixels are an error unless it is "never".
        reservation: where a long body reserves its memory.
        decode_threads: where a long body is parsed.

    Raises:
        UnsupportedType, BodyTooLarge, NoRoom, SlowBody, Overloaded, MalformedBody, InvalidBody, BatchTooLarge,
        InvalidPixels, NoInk.
    """
    content_type = declared_length = encoding = b""
    for name, value in scope["headers"]:
        if name == b"content-type":
            content_type = value
        elif name == b"content-length":
            declared_length = value
        elif name == b"content-encoding" and value.lower() not in NO_ENCODING:
            encoding = value
    if not declared_length:
        encoding = encoding or _transfer_coding(scope)
    if encoding:
        raise UnsupportedType(f"expected a body without Content-Encoding, received {encoding[:40].decode('latin-1')!r}")
    media_type = _MEDIA_TYPE_OF_HEADER.get(content_type) or _media_type(content_type)
    body = await read_body(receive, declared_length, settings.max_body_bytes, reservation)
    if media_type == RAW:
        return raw_pixels(body, settings.max_batch)
    if media_type == JSON:
        return await parse(decode_threads, read_json, body, settings, mode)
    if media_type == FORM:
        # In a thread even if it is short, because the parser is written in Python.
        return await decode_threads.run(len(body), read_form, body, content_type, settings.max_batch)
    return PictureBatch(encoded=[body], single=True)


def _transfer_coding(scope: Scope) -> bytes:
    """Return the transfer coding that the body has besides chunks, which the server removes; b"" for none."""
    codings = [
        value for name, value in scope["headers"] if name == b"transfer-encoding" and value.lower() != b"chunked"
    ]
    return codings[0] if codings else b""


def _media_type(content_type: bytes) -> str:
    media_type = content_type.partition(b";")[0].strip().lower().decode("latin-1")
    if media_type not in MEDIA_TYPES:
        raise UnsupportedType(
            f"expected the Content-Type {', '.join((JSON, FORM, *IMAGE_TYPES))} or {RAW}, "
            f"received {repr(media_type[:80]) if media_type else 'none'}"
        )
    return media_type
