"""Read a request body of any accepted Content-Type as a batch of pictures."""

from starlette.types import Receive, Scope

from app.errors import UnsupportedType
from app.inference.decode_threads import DecodeThreads
from app.inference.picture_batch import PictureBatch
from app.input.body import IDENTITY_ENCODINGS, Reservation, parse, read_body
from app.input.forms import read_form
from app.input.json import read_json
from app.input.pixels import raw_pixels
from app.settings import Settings
from digits.images import FORMATS
from digits.mnist_form import Mode

IMAGE_TYPES = tuple(f"image/{name.lower()}" for name in FORMATS)
JSON, FORM, RAW = "application/json", "multipart/form-data", "application/octet-stream"

MEDIA_TYPES = (JSON, FORM, *IMAGE_TYPES, RAW)

PICTURE_TYPES = (FORM, *IMAGE_TYPES)
"""Media types of pictures of any size."""

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
    accepted: tuple[str, ...] = MEDIA_TYPES,
) -> PictureBatch:
    """Read a request body as a batch of pictures.

    The predictor opens encoded pictures, not this function.

    Args:
        scope: the ASGI scope.
        receive: the ASGI receive callable.
        settings: the limits.
        mode: in modes other than "never", blank JSON pixels raise NoInk.
        reservation: where a long body reserves its memory.
        decode_threads: where a long body is parsed.
        accepted: the media types that the endpoint accepts.

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
        elif name == b"content-encoding" and value.lower() not in IDENTITY_ENCODINGS:
            encoding = value
    if not declared_length:  # the server refuses a request that has Content-Length and Transfer-Encoding
        _check_transfer_encoding(scope)
    if encoding:
        raise UnsupportedType(f"expected a body without Content-Encoding, received {encoding[:40].decode('latin-1')!r}")
    media_type = _MEDIA_TYPE_OF_HEADER.get(content_type) or _media_type(content_type, accepted)
    if media_type not in accepted:
        raise _unaccepted(media_type, accepted)
    body = await read_body(receive, declared_length, settings.max_body_bytes, reservation)
    if media_type == RAW:
        return raw_pixels(body, settings.max_batch)
    if media_type == JSON:
        return await parse(decode_threads, read_json, body, settings, mode)
    if media_type == FORM:
        # Even short forms go to a thread, because the parser is pure Python.
        return await decode_threads.run(len(body), read_form, body, content_type, settings.max_batch)
    return PictureBatch(encoded=[body], single=True)


def _check_transfer_encoding(scope: Scope) -> None:
    """Raise UnsupportedType for a Transfer-Encoding other than chunked. The server has already decoded chunked."""
    for name, value in scope["headers"]:
        if name == b"transfer-encoding" and value.lower() != b"chunked":
            raise UnsupportedType(
                f"expected no Transfer-Encoding other than chunked, received {value[:40].decode('latin-1')!r}"
            )


def _media_type(content_type: bytes, accepted: tuple[str, ...]) -> str:
    media_type = content_type.partition(b";")[0].strip().lower().decode("latin-1")
    if media_type not in MEDIA_TYPES:
        raise _unaccepted(media_type, accepted)
    return media_type


def _unaccepted(media_type: str, accepted: tuple[str, ...]) -> UnsupportedType:
    hint = ": 28x28 pixels hold one digit, which /predict reads" if media_type in (JSON, RAW) else ""
    return UnsupportedType(
        f"expected the Content-Type {', '.join(accepted[:-1])} or {accepted[-1]}, "
        f"received {repr(media_type[:80]) if media_type else 'none'}{hint}"
    )
