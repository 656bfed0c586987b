"""The bodies of `POST /predict`, whatever their content type, to pictures in MNIST form."""

import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass
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
from digits.errors import DigitsError, InvalidPixels, NoInk
from digits.features import FEATURES, SIDE
from digits.images import open_picture, to_grey
from digits.normalize import Mode, Normalized, normalize

IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/bmp", "image/gif", "image/tiff")
JSON, FORM, RAW = "application/json", "multipart/form-data", "application/octet-stream"

# What is answered on the event loop: a few pictures, none larger than a drawing of the page (280x280), which takes
# about 3 ms to decode and normalize. All else goes to a thread.
_FEW_PICTURES = 4
_SMALL_PIXELS = 300 * 300

# One large request at a time is decoded: a 50-megapixel RGBA picture takes 200 MB meanwhile.
_large_requests = anyio.CapacityLimiter(1)

Picture = Image.Image | NDArray[Any]
"""Opened and not yet decoded; or uint8 (28, 28), or float32 (28, 28) in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a body asks about."""

    pictures: list[Picture]
    single: bool
    """Whether the reply is one prediction, instead of a list."""
    pointer: str
    """JSON pointer to the pictures, where they have indices; "" where there is just one."""


async def read_digits(request: Request, settings: Settings, mode: Mode) -> tuple[list[Normalized], bool]:
    """Read a request's body, of any of the accepted types, to pictures in MNIST form.

    Returns:
        The pictures, at least one, and whether a single one was asked about (the reply is then one prediction
        instead of a list).

    Raises:
        UnsupportedType, BodyTooLarge, MalformedBody, InvalidBody, BatchTooLarge, and whatever is wrong with a
        picture: InvalidPixels, InvalidImage, UnsupportedImage, ImageTooLarge, WrongSize, NoInk.
    """
    asked = await _read_pictures(request, settings, mode)
    pixels = sum(
        picture.width * picture.height if isinstance(picture, Image.Image) else picture.size
        for picture in asked.pictures
    )
    if pixels <= _SMALL_PIXELS and len(asked.pictures) <= _FEW_PICTURES:
        return _normalized(asked, mode), asked.single
    async with _large_requests:
        return await run_sync(_normalized, asked, mode), asked.single


async def _read_pictures(request: Request, settings: Settings, mode: Mode) -> Asked:
    content_type = request.headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    if encoding := request.headers.get("content-encoding"):
        raise UnsupportedType(f"expected a body without Content-Encoding, received {encoding[:40]!r}")
    if media_type not in (JSON, FORM, RAW, *IMAGE_TYPES):
        raise UnsupportedType(
            f"expected the Content-Type {', '.join((JSON, FORM, *IMAGE_TYPES))} or {RAW}, "
            f"received {repr(media_type[:80]) if media_type else 'none'}"
        )
    body = await _read(request, settings.max_body_bytes)
    if media_type == JSON:
        return _from_json(body, settings.max_batch, mode)
    if media_type == FORM:
        return await _from_form(body, content_type, settings)
    if media_type == RAW:
        return Asked([_from_raw(body)], single=True, pointer="")
    return Asked([open_picture(body, max_pixels=settings.max_image_pixels)], single=True, pointer="")


def _normalized(asked: Asked, mode: Mode) -> list[Normalized]:
    normalized = []
    for index, picture in enumerate(asked.pictures):
        try:
            grey = to_grey(picture) if isinstance(picture, Image.Image) else picture
            normalized.append(normalize(grey, mode))
        except DigitsError as exc:
            raise _named(exc, index, len(asked.pictures), asked.pointer) from exc
    return normalized


def _named(error: DigitsError, index: int, count: int, pointer: str) -> DigitsError:
    """The same error, saying which of several pictures it is about."""
    message = f"picture {index} of {count}: {error}" if count > 1 else str(error)
    return type(error)(message, f"{pointer}/{index}" if pointer else "")


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


def _from_raw(body: bytes) -> NDArray[Any]:
    if len(body) != FEATURES:
        raise InvalidPixels(f"expected exactly {FEATURES} bytes, a pixel each, received {len(body)}")
    return np.frombuffer(body, dtype=np.uint8).reshape(SIDE, SIDE)


class _Form(MultiPartParser):
    """Starlette's parser, keeping files in memory (the body was bounded; the disk may be read-only)."""

    spool_max_size = sys.maxsize
    ended = False

    def on_end(self) -> None:
        self.ended = True


async def _from_form(body: bytes, content_type: str, settings: Settings) -> Asked:
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
    pictures: list[Picture] = []
    for index, (name, part) in enumerate(parts):
        pointer = f"#/file/{index}"
        if name != "file":
            raise InvalidBody(f"expected every part to be named 'file', received one named {name[:40]!r}")
        if not isinstance(part, UploadFile):
            raise InvalidBody("expected 'file' to be an uploaded file, received a text field", pointer)
        try:
            pictures.append(open_picture(await part.read(), max_pixels=settings.max_image_pixels))
        except DigitsError as exc:
            raise _named(exc, index, len(parts), "#/file") from exc
    return Asked(pictures, single=len(parts) == 1, pointer="#/file")


def _from_json(body: bytes, max_batch: int, mode: Mode) -> Asked:
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
        return Asked([_pixels(document["pixels"], scale, mode, "#/pixels")], single=True, pointer="")
    instances = document["instances"]
    if not isinstance(instances, list) or not instances:
        came = "an empty one" if instances == [] else _kind(instances)
        raise InvalidBody(f"expected 'instances' to be a list of pictures, received {came}", "#/instances")
    if len(instances) > max_batch:
        raise BatchTooLarge(f"expected at most {max_batch} pictures, received {len(instances)}")
    pictures: list[Picture] = [
        _pixels(picture, scale, mode, f"#/instances/{index}") for index, picture in enumerate(instances)
    ]
    return Asked(pictures, single=False, pointer="#/instances")


def _pixels(picture: Any, scale: str, mode: Mode, pointer: str) -> NDArray[Any]:
    """One JSON picture, 28 rows of 28 or 784 flat: uint8 (28, 28), or float32 in [0, 1] where the scale is 0-1."""
    flat, nested = _flat(picture, pointer)

    def culprit(index: int) -> str:
        return f"{pointer}/{index // SIDE}/{index % SIDE}" if nested else f"{pointer}/{index}"

    strangers = set(map(type, flat)) - {int, float}
    if strangers:
        index = next(index for index, value in enumerate(flat) if type(value) in strangers)
        raise InvalidPixels(f"expected numbers, received {_kind(flat[index])}", culprit(index))
    values = np.array(flat, dtype=np.float64)
    uniform = values.min() == values.max()
    if uniform and mode != "never":  # before it is asked what scale it is of
        raise NoInk("no ink found: every pixel has the same value", pointer)
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
    if values.max() <= 1 and not uniform:
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
