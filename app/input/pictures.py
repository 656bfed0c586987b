"""Read a request body of any accepted Content-Type as a batch of pictures."""

from functools import partial

from app.errors import UnsupportedType
from app.inference.picture_batch import PictureBatch
from app.input.body import encoding_of, parse, read_body
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
    work: RequestInWork,
    mode: Mode = "auto",
    types: tuple[str, ...] = MEDIA_TYPES,
    *,
    reports_errors: bool = False,
) -> PictureBatch:
    """Read a body of one of these media types. The data plane opens encoded pictures, not this function.

    Raises BodyTooLarge, NoRoom, SlowBody, Overloaded and Abandoned if the body cannot be received, and UnsupportedType,
    MalformedBody, InvalidBody, BatchTooLarge and InvalidPixels if it cannot be parsed. Blank JSON pixels raise NoInk,
    unless the mode is "never". If the reply reports errors, it has those of pixels.
    """
    # The server has already decoded chunked.
    transfer_encoding = work.headers.get(b"transfer-encoding", b"chunked")
    if transfer_encoding.lower() != b"chunked":
        raise UnsupportedType(
            f"expected no Transfer-Encoding other than chunked, received {transfer_encoding[:40].decode('latin-1')!r}"
        )
    if encoding := encoding_of(work):
        raise UnsupportedType(f"expected a body without Content-Encoding, received {encoding[:40]!r}")
    content_type = work.headers.get(b"content-type", b"")
    media_type = media_type_of(content_type)
    if media_type not in types:
        hint = ": 28x28 pixels hold one digit, which /predict reads" if media_type in (JSON, RAW) else ""
        raise UnsupportedType(
            f"expected the Content-Type {', '.join(types[:-1])} or {types[-1]}, "
            f"received {repr(media_type[:80]) if media_type else 'none'}{hint}"
        )
    settings = work.settings
    body = await read_body(work, settings.max_body_bytes)
    if media_type == RAW:
        batch = raw_pixels(body, settings.max_batch)
    elif media_type == JSON:
        parser = partial(read_json, settings=settings, mode=mode, reports_errors=reports_errors)
        batch = await parse(work.decode_threads, parser, body)
    elif media_type == FORM:
        # Even short forms go to a thread, because the parser is pure Python.
        batch = await work.decode_threads.run(len(body), read_form, body, content_type, settings.max_batch)
    else:
        batch = PictureBatch(encoded=[body], single=True)
    batch.mode, batch.memory, batch.reports_errors = mode, work, reports_errors
    return batch


def media_type_of(content_type: bytes) -> str:
    """Return the media type of a Content-Type header, without parameters and in lower case.

    Many programs say image/jpg for image/jpeg, the registered name.
    """
    media_type = content_type.partition(b";")[0].strip().lower().decode("latin-1")
    return "image/jpeg" if media_type == "image/jpg" else media_type
