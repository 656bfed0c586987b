"""Read a request body of any accepted Content-Type as a batch of pictures."""

from collections.abc import Iterable

from app.errors import UnsupportedType
from app.inference.picture_batch import PictureBatch
from app.input.body import IDENTITY_ENCODINGS, parse, read_body
from app.input.forms import read_form
from app.input.json import read_json
from app.input.pixels import raw_pixels
from app.input.request import RequestInWork
from digits.normalization.mnist_form import Mode
from digits.pictures.decode import FORMATS

IMAGE_TYPES = (*(f"image/{name.lower()}" for name in FORMATS), "image/heic")
JSON, FORM, RAW = "application/json", "multipart/form-data", "application/octet-stream"

MEDIA_TYPES = (JSON, FORM, *IMAGE_TYPES, RAW)

PICTURE_TYPES = (FORM, *IMAGE_TYPES)
"""Media types of pictures of any size."""


async def read_pictures(
    work: RequestInWork, mode: Mode = "auto", accepted: tuple[str, ...] = MEDIA_TYPES
) -> PictureBatch:
    """Read a body of any accepted Content-Type. The data plane opens encoded pictures, not this function.

    In modes other than "never", blank JSON pixels raise NoInk.

    Raises:
        BodyTooLarge, NoRoom, SlowBody, Overloaded, Abandoned: the body cannot be received.
        UnsupportedType, MalformedBody, InvalidBody, BatchTooLarge, InvalidPixels, NoInk: it cannot be parsed.
    """
    content_type = declared_length = encoding = b""
    for name, value in work.headers:
        if name == b"content-type":
            content_type = value
        elif name == b"content-length":
            declared_length = value
        elif name == b"content-encoding" and value.lower() not in IDENTITY_ENCODINGS:
            encoding = value
    if not declared_length:  # the server refuses a request that has Content-Length and Transfer-Encoding
        _check_transfer_encoding(work.headers)
    if encoding:
        received = encoding[:40].decode("latin-1")
        raise UnsupportedType(f"expected a body without Content-Encoding, received {received!r}")
    media_type = media_type_of(content_type)
    if media_type not in accepted:
        raise _unaccepted(media_type, accepted)
    settings = work.settings
    body = await read_body(work, declared_length, settings.max_body_bytes)
    if media_type == RAW:
        batch = raw_pixels(body, settings.max_batch)
    elif media_type == JSON:
        batch = await parse(work.decode_threads, read_json, body, settings, mode)
    elif media_type == FORM:
        # Even short forms go to a thread, because the parser is pure Python.
        batch = await work.decode_threads.run(len(body), read_form, body, content_type, settings.max_batch)
    else:
        batch = PictureBatch(encoded=[body], single=True)
    batch.mode = mode
    return batch


def _check_transfer_encoding(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Raise UnsupportedType for a Transfer-Encoding other than chunked. The server has already decoded chunked."""
    for name, value in headers:
        if name == b"transfer-encoding" and value.lower() != b"chunked":
            raise UnsupportedType(
                f"expected no Transfer-Encoding other than chunked, received {value[:40].decode('latin-1')!r}"
            )


def media_type_of(content_type: bytes) -> str:
    """Return the media type of a Content-Type header, without parameters and in lower case."""
    return content_type.partition(b";")[0].strip().lower().decode("latin-1")


def _unaccepted(media_type: str, accepted: tuple[str, ...]) -> UnsupportedType:
    hint = ": 28x28 pixels hold one digit, which /predict reads" if media_type in (JSON, RAW) else ""
    return UnsupportedType(
        f"expected the Content-Type {', '.join(accepted[:-1])} or {accepted[-1]}, "
        f"received {repr(media_type[:80]) if media_type else 'none'}{hint}"
    )
