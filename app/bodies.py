"""The bodies of `POST /predict`, whatever their content type, to pictures."""

import sys
from collections.abc import AsyncGenerator
from itertools import chain
from typing import Any

import anyio
import numpy as np
import orjson
from anyio.to_thread import run_sync
from numpy.typing import NDArray
from PIL import Image
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from app.errors import BatchTooLarge, BodyTooLarge, InvalidBody, MalformedBody, UnsupportedType
from app.settings import Settings
from digits.errors import DigitsError, InvalidPixels
from digits.features import FEATURES, SIDE, Floats, to_features
from digits.images import open_picture, to_grey

IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/bmp", "image/gif", "image/tiff")
JSON, FORM, RAW = "application/json", "multipart/form-data", "application/octet-stream"

# Decoding fewer pixels than this is shorter than handing it to a thread and back is worth.
_SMALL_PIXELS = 128 * 128

# One large picture at a time: a 50-megapixel RGBA one takes 200 MB while it is decoded.
_large_pictures = anyio.CapacityLimiter(1)


async def read_features(request: Request, settings: Settings) -> tuple[Floats, bool]:
    """Read a request's body, of any of the accepted types, to the network's input.

    Returns:
        float32 (N, 784) in [0, 1], and whether a single picture was asked about (then N is 1, and the reply is one
        prediction instead of a list).

    Raises:
        UnsupportedType, BodyTooLarge, MalformedBody, InvalidBody, BatchTooLarge, and whatever is wrong with a
        picture: InvalidPixels, InvalidImage, UnsupportedImage, ImageTooLarge, WrongSize.
    """
    content_type = request.headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    if encoding := request.headers.get("content-encoding"):
        raise UnsupportedType(f"expected a body without Content-Encoding, received {encoding[:40]!r}")
    if media_type == JSON:
        return _from_json(await _read(request, settings.max_body_bytes), settings.max_batch)
    if media_type == FORM:
        return await _from_form(await _read(request, settings.max_body_bytes), content_type, settings)
    if media_type == RAW:
        return _from_raw(await _read(request, settings.max_body_bytes)), True
    if media_type in IMAGE_TYPES:
        return await _from_picture(await _read(request, settings.max_body_bytes), settings.max_image_pixels), True
    raise UnsupportedType(
        f"expected the Content-Type {', '.join((JSON, FORM, *IMAGE_TYPES))} or {RAW}, "
        f"received {repr(media_type[:80]) if media_type else 'none'}"
    )


async def _read(request: Request, limit: int) -> bytes:
    """The whole body; the limit holds whatever Content-Length says, and before more is read."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise BodyTooLarge(f"expected a body of at most {limit} bytes, received {declared}")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise BodyTooLarge(f"expected a body of at most {limit} bytes, received more")
    return bytes(body)


def _from_raw(body: bytes) -> Floats:
    if len(body) != FEATURES:
        raise InvalidPixels(f"expected exactly {FEATURES} bytes, a pixel each, received {len(body)}")
    return to_features(np.frombuffer(body, dtype=np.uint8).reshape(1, SIDE, SIDE))


async def _from_picture(body: bytes, max_pixels: int) -> Floats:
    picture = open_picture(body, max_pixels=max_pixels)
    if picture.width * picture.height <= _SMALL_PIXELS:
        return _picture_features(picture)
    async with _large_pictures:
        return await run_sync(_picture_features, picture)


def _picture_features(picture: Image.Image) -> Floats:
    return to_features(to_grey(picture)[None])


class _Form(MultiPartParser):
    """Starlette's parser, keeping files in memory (the body was bounded; the disk may be read-only)."""

    spool_max_size = sys.maxsize
    ended = False

    def on_end(self) -> None:
        self.ended = True


async def _from_form(body: bytes, content_type: str, settings: Settings) -> tuple[Floats, bool]:
    async def once() -> AsyncGenerator[bytes, None]:
        yield body

    # One part more than allowed is let through, so that the refusal is ours and says how many came at least.
    most = settings.max_batch + 1
    form = _Form(Headers({"content-type": content_type}), once(), max_files=most, max_fields=most)
    try:
        parts = (await form.parse()).multi_items()
    except (MultiPartException, UnicodeError) as exc:  # UnicodeError: a charset such as "undefined"
        if form._current_files > most:
            raise BatchTooLarge(
                f"expected at most {settings.max_batch} pictures, received {settings.max_batch + 1} or more"
            ) from exc
        raise MalformedBody("expected multipart/form-data, received a body that is none") from exc
    if not form.ended:
        raise MalformedBody("expected multipart/form-data up to its closing boundary, received a body without one")
    if not parts:
        raise InvalidBody("expected a part named 'file', received none")
    if len(parts) > settings.max_batch:
        raise BatchTooLarge(f"expected at most {settings.max_batch} pictures, received {len(parts)}")
    features = []
    for index, (name, part) in enumerate(parts):
        pointer = f"#/file/{index}"
        if name != "file":
            raise InvalidBody(f"expected every part to be named 'file', received one named {name[:40]!r}", pointer)
        if not isinstance(part, UploadFile):
            raise InvalidBody("expected 'file' to be an uploaded file, received a text field", pointer)
        try:
            features.append(await _from_picture(await part.read(), settings.max_image_pixels))
        except DigitsError as exc:
            raise type(exc)(
                str(exc) if len(parts) == 1 else f"picture {index} of {len(parts)}: {exc}", pointer
            ) from exc
    return np.concatenate(features), len(parts) == 1


def _from_json(body: bytes, max_batch: int) -> tuple[Floats, bool]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise MalformedBody(f"expected JSON (RFC 8259, UTF-8), received a body that is none: {exc.msg}") from exc
    if not isinstance(document, dict):
        raise InvalidBody(f"expected an object with 'pixels' or 'instances', received {_kind(document)}")
    unknown = document.keys() - {"pixels", "instances", "scale"}
    if unknown:
        raise InvalidBody(f"expected only 'pixels' or 'instances', and 'scale', received {min(unknown)[:40]!r}")
    if len(document.keys() & {"pixels", "instances"}) != 1:
        came = "both" if "pixels" in document else "neither"
        raise InvalidBody(f"expected either 'pixels' or 'instances', received {came}")
    scale = document.get("scale", "0-255")
    if scale not in ("0-255", "0-1"):
        came = repr(scale[:40]) if isinstance(scale, str) else _kind(scale)
        raise InvalidBody(f"expected the scale '0-255' or '0-1', received {came}", "#/scale")
    if "pixels" in document:
        return to_features(_pixels(document["pixels"], scale, "#/pixels")[None]), True
    instances = document["instances"]
    if not isinstance(instances, list) or not instances:
        came = "an empty one" if instances == [] else _kind(instances)
        raise InvalidBody(f"expected 'instances' to be a list of pictures, received {came}", "#/instances")
    if len(instances) > max_batch:
        raise BatchTooLarge(f"expected at most {max_batch} pictures, received {len(instances)}")
    pictures = [_pixels(picture, scale, f"#/instances/{index}") for index, picture in enumerate(instances)]
    return to_features(np.stack(pictures)), False


def _pixels(picture: Any, scale: str, pointer: str) -> NDArray[Any]:
    """One JSON picture, 28 rows of 28 or 784 flat: uint8 (28, 28), or float32 in [0, 1] where the scale is 0-1."""
    flat, nested = _flat(picture, pointer)

    def culprit(index: int) -> str:
        return f"{pointer}/{index // SIDE}/{index % SIDE}" if nested else f"{pointer}/{index}"

    strangers = set(map(type, flat)) - {int, float}
    if strangers:
        index = next(index for index, value in enumerate(flat) if type(value) in strangers)
        raise InvalidPixels(f"expected numbers, received {_kind(flat[index])}", culprit(index))
    values = np.array(flat, dtype=np.float64)
    top = 1 if scale == "0-1" else 255
    outside = (values < 0) | (values > top)
    if outside.any():
        hint = '; for 0 to 255 leave out "scale": "0-1"' if scale == "0-1" and values.max() > 1 else ""
        sign = "a negative number" if values[outside][0] < 0 else "a larger one"
        raise InvalidPixels(f"expected numbers from 0 to {top}, received {sign}{hint}", culprit(int(outside.argmax())))
    if scale == "0-1":
        return values.astype(np.float32).reshape(SIDE, SIDE)
    broken = values != np.floor(values)
    if broken.any():
        raise InvalidPixels(
            'expected whole numbers from 0 to 255, received a fraction; for 0 to 1 say "scale": "0-1"',
            culprit(int(broken.argmax())),
        )
    if values.max() <= 1 and values.min() != values.max():
        raise InvalidPixels(
            'expected numbers from 0 to 255, received none above 1; for 0 to 1 say "scale": "0-1"', pointer
        )
    return values.astype(np.uint8).reshape(SIDE, SIDE)


def _flat(picture: Any, pointer: str) -> tuple[list[Any], bool]:
    """A picture's values row by row, and whether they came as rows."""
    expected = f"expected {SIDE} rows of {SIDE} numbers or {FEATURES} numbers"
    if not isinstance(picture, list):
        raise InvalidPixels(f"{expected}, received {_kind(picture)}", pointer)
    if not any(isinstance(row, list) for row in picture):
        if len(picture) != FEATURES:
            raise InvalidPixels(f"{expected}, received {len(picture)} values", pointer)
        return picture, False
    if len(picture) != SIDE:
        raise InvalidPixels(f"{expected}, received {len(picture)} rows", pointer)
    for index, row in enumerate(picture):
        if not isinstance(row, list):
            raise InvalidPixels(f"expected a row of {SIDE} numbers, received {_kind(row)}", f"{pointer}/{index}")
        if len(row) != SIDE:
            raise InvalidPixels(f"expected a row of {SIDE} numbers, received {len(row)}", f"{pointer}/{index}")
    return list(chain.from_iterable(picture)), True


def _kind(value: Any) -> str:
    """What a JSON value is, without saying what is in it."""
    names = {type(None): "null", bool: "a boolean", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")
