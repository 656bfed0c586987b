"""The bodies of `POST /predict`, whatever their content type, to pictures."""

import asyncio
import sys
import zlib
from collections.abc import AsyncGenerator, Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple, Self

import numpy as np
import orjson
from numpy.typing import NDArray
from PIL import Image
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope

from app.errors import BatchTooLarge, BodyTooLarge, InvalidBody, MalformedBody, NoRoom, SlowBody, UnsupportedType
from app.inference.decode_threads import DecodeThreads
from app.settings import Settings
from digits.errors import DigitsError, ImageTooLarge, InvalidPixels, NoInk
from digits.features import FEATURES, SIDE, Floats, Grey
from digits.images import open_picture, to_grey
from digits.mnist_form import Mode

IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/bmp", "image/gif", "image/tiff")
JSON, FORM, RAW = "application/json", "multipart/form-data", "application/octet-stream"

MEDIA_TYPES = (JSON, FORM, *IMAGE_TYPES, RAW)

_AS_USUAL = {media_type.encode(): media_type for media_type in MEDIA_TYPES}
"""A header as it is mostly written."""

_AS_IT_IS = (b"", b"identity")
"""Content encodings that are none."""

_DEEPEST = 5
"""Levels of JSON down to a row, in the deepest dialect: the object, tensors, a tensor, pictures, rows."""

QUOTES = 8
"""So many a picture may be in a long text: its own name, and that of what it is encoded with."""

_NO_JSON = "expected JSON (RFC 8259, UTF-8), received a body that is none: {}"

_NAMES = frozenset(("pixels", "instances", "scale"))

_FILE = "#/file/{}"

_QUOTES_AT_ONCE = 64 * 1024
"""Most in a text that is parsed in one go: an object of as many names is made in 10 ms."""

SHORT = 32 * 1024
"""Bytes of JSON that is parsed on the event loop: 0.1 ms, as long as it takes to ask a thread."""

_SECONDS = 60
"""In which a body must have come; a phone's photo takes that long over 1 Mbit/s."""

_PNG = b"\x89PNG\r\n\x1a\n"
_TINY_PNG = 4096
"""Bytes of a PNG that is opened on the event loop. Of other formats, and of forms, a few bytes can cost a second."""

TINY_PNG_BASE64 = b"iVBORw0KGgo"
"""How one begins in base64; it is tiny if the whole text has `TINY_TEXT`."""

TINY_TEXT = _TINY_PNG * 4 // 3

_TINY_PIXELS = 64 * 64
"""Pixels, of all pictures of a body, that are decoded while it is parsed."""

_IN_ALL = 2
"""So many times the most pixels of one picture may the pictures of a form have together."""

_LARGEST_HELD = 4
"""So many bodies of the largest allowed size may be in memory at once."""


class PictureBatch(NamedTuple):
    """What a body asks about: pixels, or else images."""

    single: bool
    """Whether the reply is one prediction, instead of a list."""
    pointer: str
    """JSON pointer to a picture, with {} for its index; "" where the body is the picture."""
    pixels: NDArray[Any] | None = None
    """(N, 28, 28), uint8, or float32 in [0, 1]"""
    images: Sequence[Image.Image | Grey] = ()
    """Opened and not yet decoded, or, where they are tiny, decoded."""

    def many(self) -> "PictureBatch":
        """The same, to be answered as a list also if it is one."""
        return self._replace(single=False)

    def named(self, error: DigitsError, index: int) -> DigitsError:
        """The same error, saying which of the pictures it is about."""
        count = len(self.images) if self.pixels is None else len(self.pixels)
        return _named(error, index, count, self.pointer.format(index))


def _named(error: DigitsError, index: int, count: int, pointer: str) -> DigitsError:
    return type(error)(f"picture {index} of {count}: {error}" if count > 1 else str(error), pointer)


class MemoryBudget:
    """The memory that long bodies take together; short ones are not counted."""

    def __init__(self, settings: Settings) -> None:
        """Four times the largest body."""
        self.most = _LARGEST_HELD * settings.max_body_bytes
        self.taken = 0


class Reservation:
    """What one request takes of it, until it is left."""

    __slots__ = ("_room", "_taken")

    def __init__(self, memory_budget: MemoryBudget) -> None:
        """Nothing yet."""
        self._room = memory_budget
        self._taken = 0

    def grow(self, size: int) -> None:
        """Take so many bytes more. Raises NoRoom."""
        if self._room.taken + size > self._room.most:
            raise NoRoom(f"requests in work hold {self._room.taken} bytes already; try again later")
        self._room.taken += size
        self._taken += size

    def leave(self) -> None:
        """Give it all back."""
        self._room.taken -= self._taken
        self._taken = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.leave()


async def read_digits(
    scope: Scope,
    receive: Receive,
    settings: Settings,
    mode: Mode,
    *,
    reservation: Reservation,
    decode_threads: DecodeThreads,
) -> PictureBatch:
    """Read a request's body, of any of the accepted types, to one or more pictures.

    Raises:
        UnsupportedType, BodyTooLarge, NoRoom, SlowBody, Overloaded, MalformedBody, InvalidBody, BatchTooLarge, and what
        can be wrong with a picture before it is decoded: InvalidPixels, InvalidImage, UnsupportedImage, ImageTooLarge,
        NoInk.
    """
    content_type = declared = encoding = b""
    for name, value in scope["headers"]:
        if name == b"content-type":
            content_type = value
        elif name == b"content-length":
            declared = value
        elif name == b"content-encoding" and value.lower() not in _AS_IT_IS:
            encoding = value
    if not declared:  # in chunks, then: these the server takes apart, and knows no other coding
        encoding = encoding or _transfer_coding(scope)
    if encoding:
        raise UnsupportedType(f"expected a body without Content-Encoding, received {encoding[:40].decode('latin-1')!r}")
    media_type = _AS_USUAL.get(content_type) or _media_type(content_type)
    body = await read_body(receive, declared, settings.max_body_bytes, reservation)
    if media_type == RAW:
        return _from_raw(body, settings.max_batch)
    short = len(body) <= SHORT if media_type == JSON else is_tiny_png(body)
    if short:
        return _parsed(body, media_type, content_type, settings, mode)
    return await decode_threads.of(len(body)).run(_parsed, body, media_type, content_type, settings, mode)


async def read_body(receive: Receive, declared: bytes, limit: int, reservation: Reservation) -> bytes:
    """A request's whole body, of at most so many bytes, whatever its `Content-Length` has declared.

    Raises:
        BodyTooLarge, NoRoom, SlowBody.
        ClientDisconnect: the client is gone.
    """
    size = int(declared[-20:]) if declared.isdigit() else 0  # uvicorn's parser lets any number of zeros come first
    if size > limit:
        raise BodyTooLarge(f"expected a body of at most {limit} bytes, received {size}")
    message = await receive()
    # Nearly every body comes at once.
    body = b"" if message["type"] == "http.disconnect" or message.get("more_body") else message.get("body", b"")
    if not body or len(body) > SHORT:
        body = await _read(message, receive, limit, reservation)
    return body


async def read_plain(
    receive: Receive,
    headers: Iterable[tuple[bytes, bytes]],
    settings: Settings,
    reservation: Reservation,
    decode_threads: DecodeThreads,
) -> bytes:
    """As `read_body`, inflated where it came compressed.

    Raises:
        What `read_body` and `inflated` do, and Overloaded.
    """
    declared = encoding = b""
    for name, value in headers:
        if name == b"content-length":
            declared = value
        elif name == b"content-encoding" and value.lower() not in _AS_IT_IS:
            encoding = value
    limit = settings.max_body_bytes
    body = await read_body(receive, declared, limit, reservation)
    if encoding:
        body = await decode_threads.of(len(body)).run(inflated, body, encoding.decode("latin-1").strip().lower(), limit)
        reservation.grow(len(body))
    return body


def inflated(body: bytes, encoding: str, limit: int) -> bytes:
    """What was compressed, of at most so many bytes; no more than that is ever made of it.

    Raises:
        UnsupportedType: neither gzip nor deflate.
        MalformedBody: it is not what the encoding says.
        BodyTooLarge: it is larger.
    """
    if encoding not in ("gzip", "deflate"):
        raise UnsupportedType(f"expected the Content-Encoding gzip or deflate, or none, received {encoding[:40]!r}")
    inflating = zlib.decompressobj(wbits=31 if encoding == "gzip" else 15)
    try:
        content = inflating.decompress(body, limit + 1)
    except zlib.error as exc:
        raise MalformedBody(f"expected a body compressed with {encoding}, received one that is not") from exc
    if len(content) > limit:
        raise BodyTooLarge(f"expected a body of at most {limit} bytes once inflated, received more")
    if not inflating.eof or inflating.unused_data:
        raise MalformedBody(f"expected a body compressed with {encoding} as a whole, received a part, or more")
    return content


def is_quick(text: bytes, encoded: bytes, *, tiny: bool = False) -> bool:
    """Whether JSON can be read on the event loop: it is short, and no picture is to be opened that may take long.

    Args:
        text: the JSON, without what may come after it.
        encoded: a word that is in it when encoded pictures are, escaped or not.
        tiny: whether these are known to be tiny PNGs.
    """
    return len(text) <= SHORT and b"\\" not in text and (tiny or encoded not in text)


def is_tiny_png(picture: bytes) -> bool:
    """Whether it is opened as soon as a thread is asked to."""
    return len(picture) <= _TINY_PNG and picture.startswith(_PNG)


def opened(pictures: Sequence[bytes], settings: Settings, pointer: str) -> PictureBatch:
    """Encoded pictures, to be decoded later, or at once where they are tiny.

    Args:
        pictures: their bytes.
        settings: for the most pixels that they may have.
        pointer: as `Asked` has it.

    Raises:
        InvalidImage, UnsupportedImage, ImageTooLarge.
    """
    images: list[Image.Image] = []
    pixels, most = 0, _IN_ALL * settings.max_image_pixels
    for index, picture in enumerate(pictures):
        try:
            image = open_picture(picture, max_pixels=settings.max_image_pixels)
        except DigitsError as exc:
            raise _named(exc, index, len(pictures), pointer.format(index)) from exc
        pixels += image.width * image.height
        if pixels > most:  # before the next is opened: a GIF is given its memory by then
            raise ImageTooLarge(f"expected at most {most} pixels in all pictures together, received {pixels} or more")
        images.append(image)
    return _from_images(images, pointer)


def _transfer_coding(scope: Scope) -> bytes:
    """What a body is coded with besides being in chunks; b"" for nothing."""
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


async def _read(message: Message, receive: Receive, limit: int, reservation: Reservation) -> bytes:
    """The whole body, from its first message on; the limit holds whatever Content-Length says."""
    body = bytearray()
    counted = 0
    try:
        async with asyncio.timeout(_SECONDS):
            while True:
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                body += message.get("body", b"")
                if len(body) > limit:
                    raise BodyTooLarge(f"expected a body of at most {limit} bytes, received more")
                if len(body) > SHORT:
                    reservation.grow(len(body) - counted)
                    counted = len(body)
                if not message.get("more_body"):
                    return bytes(body)
                message = await receive()
    except TimeoutError as exc:
        raise SlowBody(f"expected the whole body within {_SECONDS} seconds, received {len(body)} bytes") from exc


def _parsed(body: bytes, media_type: str, content_type: bytes, settings: Settings, mode: Mode) -> PictureBatch:
    if media_type == JSON:
        return _from_json(body, settings.max_batch, mode)
    if media_type == FORM:
        return _from_form(body, content_type, settings)
    return _from_images([open_picture(body, max_pixels=settings.max_image_pixels)], pointer="")


def _from_raw(body: bytes, max_batch: int) -> PictureBatch:
    count, rest = divmod(len(body), FEATURES)
    if rest or not count:
        raise InvalidPixels(
            f"expected exactly {FEATURES} bytes, a pixel each, received {len(body)}; "
            f"for several pictures a multiple of {FEATURES}"
        )
    if count > max_batch:
        raise BatchTooLarge(f"expected at most {max_batch} pictures, received {count}")
    pixels = np.frombuffer(body, dtype=np.uint8).reshape(count, SIDE, SIDE)
    return PictureBatch(single=count == 1, pointer="", pixels=pixels)


class _Form(MultiPartParser):
    """Starlette's parser, keeping files in memory (the body was bounded; the disk may be read-only)."""

    spool_max_size = sys.maxsize
    ended = False

    def on_end(self) -> None:
        self.ended = True


def _from_form(body: bytes, content_type: bytes, settings: Settings) -> PictureBatch:
    pictures = []
    for index, (name, part) in enumerate(_parts(body, content_type, settings.max_batch)):
        if name != "file":
            raise InvalidBody(f"expected every part to be named 'file', received one named {name[:40]!r}")
        if not isinstance(part, UploadFile):
            raise InvalidBody("expected 'file' to be an uploaded file, received a text field", _FILE.format(index))
        pictures.append(part.file.read())
    return opened(pictures, settings, _FILE)


def _from_images(images: list[Image.Image], pointer: str) -> PictureBatch:
    asked = PictureBatch(single=len(images) == 1, pointer=pointer, images=images)
    if sum(image.width * image.height for image in images) > _TINY_PIXELS:
        return asked
    decoded = []
    for index, image in enumerate(images):
        try:
            decoded.append(to_grey(image))
        except DigitsError as exc:
            raise asked.named(exc, index) from exc
    if all(picture.shape == (SIDE, SIDE) for picture in decoded):
        return asked._replace(pixels=np.stack(decoded), images=())
    return asked._replace(images=decoded)


def _parts(body: bytes, content_type: bytes, max_batch: int) -> list[tuple[str, UploadFile | str]]:
    async def once() -> AsyncGenerator[bytes, None]:
        yield body

    # One part more than allowed is let through, so that the refusal is ours and says how many came at least.
    most = max_batch + 1
    # Of the header the boundary alone: Python keeps every charset that it is ever asked for.
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    header = b'multipart/form-data; boundary="%s"' % boundary if boundary else b"multipart/form-data"
    form = _Form(Headers(raw=[(b"content-type", header)]), once(), max_files=most, max_fields=most)
    parsing = form.parse()
    try:
        parsing.send(None)  # nothing in it waits, since the body is here and the files stay in memory
    except StopIteration as done:
        parts: list[tuple[str, UploadFile | str]] = done.value.multi_items()
    except MultiPartException as exc:
        if form._current_files > most:
            raise BatchTooLarge(f"expected at most {max_batch} pictures, received {max_batch + 1} or more") from exc
        raise MalformedBody("expected multipart/form-data, received a body that is none") from exc
    else:
        raise AssertionError("the form's parser waits for something")
    if not form.ended:
        raise MalformedBody("expected multipart/form-data up to its closing boundary, received a body without one")
    if not parts:
        raise InvalidBody("expected a part named 'file', received none")
    if len(parts) > max_batch:
        raise BatchTooLarge(f"expected at most {max_batch} pictures, received {len(parts)}")
    return parts


def _from_json(body: bytes, max_batch: int, mode: Mode) -> PictureBatch:
    document = loads(body, max_batch)
    if not isinstance(document, dict):
        raise InvalidBody(f"expected an object with 'pixels' or 'instances', received {kind(document)}")
    if not _NAMES.issuperset(document):
        unknown = min(document.keys() - _NAMES)
        raise InvalidBody(f"expected only 'pixels' or 'instances', and 'scale', received {unknown[:40]!r}")
    single = "pixels" in document
    if single == ("instances" in document):
        came = "both" if single else "neither"
        raise InvalidBody(f"expected either 'pixels' or 'instances', received {came}")
    scale = document.get("scale", "0-255")
    if scale not in ("0-255", "0-1"):
        came = repr(scale[:40]) if isinstance(scale, str) else kind(scale)
        raise InvalidBody(f"expected the scale '0-255' or '0-1', received {came}", "#/scale")
    if single:
        pictures, pointer = [document["pixels"]], "#/pixels"
    else:
        pictures, pointer = document["instances"], "#/instances/{}"
        if not isinstance(pictures, list) or not pictures:
            came = "an empty one" if pictures == [] else kind(pictures)
            raise InvalidBody(f"expected 'instances' to be a list of pictures, received {came}", "#/instances")
        if len(pictures) > max_batch:
            raise BatchTooLarge(f"expected at most {max_batch} pictures, received {len(pictures)}")
    pixels = None
    # To Python true is 1: text that may hold it, or false, is looked at value by value.
    if scale == "0-255" and b"u" not in body and b"f" not in body:
        pixels = _whole_numbers(pictures)
    if pixels is None:
        pixels = np.stack(
            [_pixels(picture, scale, mode, pointer.format(index)) for index, picture in enumerate(pictures)]
        )
    return PictureBatch(single=single, pointer=pointer, pixels=pixels)


def loads(body: bytes, max_batch: int, *, objects: int = 1, quotes: int = QUOTES) -> Any:
    """A JSON document with pictures in it.

    A parser keeps all other threads waiting: 0.1 s for 14 MB of floats. Long text is therefore first held to a size,
    and then parsed in pieces.

    Args:
        body: the text.
        max_batch: most pictures.
        objects: most objects in a long text.
        quotes: most of them in a long text, for each picture.

    Raises:
        MalformedBody, InvalidBody, BatchTooLarge.
    """
    try:
        if len(body) <= SHORT:
            return orjson.loads(body)
        _hold_to_size(body, max_batch, objects, quotes)
        return _loads_in_pieces(body)
    except orjson.JSONDecodeError as exc:
        raise MalformedBody(_NO_JSON.format(exc.msg)) from exc


def _hold_to_size(body: bytes, max_batch: int, objects: int, quotes: int) -> None:
    values = body.count(b",") + 1
    # One picture too many is let through, for the refusal that says how many came.
    if values > (max_batch + 1) * FEATURES + 2:
        raise BatchTooLarge(f"expected at most {max_batch} pictures of {FEATURES} numbers, received {values} values")
    opened, closed = body.count(b"["), body.count(b"]")
    if max(opened, closed) > (max_batch + 1) * (SIDE + 1) + 1:
        if opened != closed and b'"' not in body:
            orjson.loads(body[:SHORT])  # as a rule this says it already
            raise MalformedBody(_NO_JSON.format("its brackets do not pair"))
        raise BatchTooLarge(f"expected at most {max_batch} pictures of {SIDE} rows, received {opened} lists")
    if body.count(b"{") > objects:
        most = "one object with lists of numbers in it" if objects == 1 else f"at most {objects} objects"
        raise InvalidBody(f"expected {most}, received more objects")
    if (received := body.count(b'"')) > quotes * (max_batch + 2):
        raise InvalidBody(f"expected lists of numbers, received {received // 2} strings")


def _loads_in_pieces(body: bytes) -> Any:
    """As `orjson.loads`: each innermost list on its own, then the text with a name in place of each."""
    if b"\\" in body or _has_brackets_in_strings(body):
        return _loads_at_once(body)  # not each bracket begins or ends a list
    lists: dict[str, list[Any]] = {}
    between: list[bytes] = []
    done = looked = 0
    end = body.find(b"]")
    while end >= 0:
        start = body.rfind(b"[", looked, end)
        looked = end + 1
        if start >= 0:
            name = f"[{len(lists)}"
            lists[name] = _flat_list(body[start : end + 1])
            between += body[done:start], b'"%s"' % name.encode()
            done = end + 1
        end = body.find(b"]", looked)
    return _filled(_loads_at_once(b"".join([*between, body[done:]])), lists, _DEEPEST)


def _loads_at_once(text: bytes) -> Any:
    """As `orjson.loads`. Raises InvalidBody where there are so many strings that it would take long."""
    if (received := text.count(b'"')) > _QUOTES_AT_ONCE:
        raise InvalidBody(
            f"expected lists of numbers, or records of columns with plain names, received {received // 2} strings"
        )
    return orjson.loads(text)


def _has_brackets_in_strings(body: bytes) -> bool:
    inside = False
    for start in range(0, len(body), SHORT):
        texts = body[start : start + SHORT].split(b'"')
        strings = b"".join(texts[not inside :: 2])
        if b"[" in strings or b"]" in strings:
            return True
        inside ^= len(texts) % 2 == 0
    return False


def _flat_list(text: bytes) -> list[Any]:
    """As `orjson.loads`, for a list without lists in it: where it is long, cut at commas, or between its objects."""
    if len(text) > SHORT:
        if b'"' not in text:
            return _cut(text, b",")
        try:
            return _cut(text, b"},")
        except orjson.JSONDecodeError:
            if text.count(b'"') > _QUOTES_AT_ONCE:
                raise  # as a rule it is right
        # What ends an object may have been in a string, or in an object.
    values: list[Any] = _loads_at_once(text)
    return values


def _cut(text: bytes, at: bytes) -> list[Any]:
    """The values of a long list, parsed in pieces that end with the last but one byte of `at`."""
    values: list[Any] = []
    begin, end = 1, len(text) - 1
    while begin <= end:
        found = text.find(at, begin + SHORT, end)
        cut = found + len(at) - 1 if found >= 0 else end
        part = _loads_at_once(b"[%b]" % text[begin:cut])
        if not part and (begin, cut) != (1, end):  # nothing before the comma, or after it
            raise orjson.JSONDecodeError("expected a value", text[:SHORT].decode("latin-1"), 0)
        values += part
        begin = cut + 1
    return values


def _filled(value: Any, lists: dict[str, list[Any]], levels: int) -> Any:
    """The value with the lists in it again, so many levels down; what lies deeper is no picture whatever it is."""
    if isinstance(value, str):
        return lists.get(value, value)
    if levels and isinstance(value, dict):
        return {key: _filled(inner, lists, levels - 1) for key, inner in value.items()}
    if levels and isinstance(value, list):
        return [_filled(inner, lists, levels - 1) for inner in value]
    return value


def _whole_numbers(pictures: list[Any]) -> Grey | None:
    """(N, 28, 28), where all is as it should be; else None: the slower `_pixels` says what is wrong, if anything is.

    `bytes` takes whole numbers from 0 to 255 and nothing else, in a tenth of the time of a look at each value's type.
    """
    try:
        # Lengths first: a number has none, and `bytes` of a number is that many zeros.
        rows = pictures
        length = len(pictures[0])
        if length == SIDE and set(map(len, pictures)) == {SIDE}:
            rows = list(chain.from_iterable(pictures))
        elif length != FEATURES:
            return None
        if set(map(len, rows)) != {length}:
            return None
        values = b"".join(map(bytes, rows))
    except (TypeError, ValueError):
        return None
    for start in range(0, len(values), FEATURES):
        if not values[start : start + FEATURES].strip(b"\0\1"):  # nothing above 1: blank, or floats in disguise
            return None
    return np.frombuffer(values, dtype=np.uint8).reshape(-1, SIDE, SIDE)


def _pixels(picture: Any, scale: str, mode: Mode, pointer: str) -> NDArray[Any]:
    """One JSON picture, 28 rows of 28 or 784 flat: uint8 (28, 28), or float32 in [0, 1] where the scale is 0-1."""
    flat, nested = _flat(picture, pointer)

    def culprit(index: int) -> str:
        return f"{pointer}/{index // SIDE}/{index % SIDE}" if nested else f"{pointer}/{index}"

    strangers = set(map(type, flat)) - {int, float}
    if strangers:
        index = next(index for index, value in enumerate(flat) if type(value) in strangers)
        raise InvalidPixels(f"expected numbers, received {kind(flat[index])}", culprit(index))
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
        raise InvalidPixels(f"{expected}, received {kind(picture)}", pointer)
    if not any(isinstance(row, list) for row in picture):
        if len(picture) != FEATURES:
            raise InvalidPixels(f"{expected}, received {len(picture)} values", pointer)
        return picture, False
    if len(picture) != SIDE:
        raise InvalidPixels(f"{expected}, received {len(picture)} rows", pointer)
    for index, row in enumerate(picture):
        if not isinstance(row, list):
            raise InvalidPixels(f"expected a row of {SIDE} numbers, received {kind(row)}", f"{pointer}/{index}")
        if len(row) != SIDE:
            raise InvalidPixels(f"expected a row of {SIDE} numbers, received {len(row)}", f"{pointer}/{index}")
    return list(chain.from_iterable(picture)), True


def unit_floats(values: list[Any]) -> Floats:
    """JSON numbers from 0 to 1, (N,). Raises InvalidPixels."""
    strangers = set(map(type, values)) - {int, float}
    if strangers:
        came = next(value for value in values if type(value) in strangers)
        raise InvalidPixels(f"expected numbers, received {kind(came)}")
    numbers = np.array(values, dtype=np.float64)
    if numbers.size and not (numbers.min() >= 0 and numbers.max() <= 1):
        raise InvalidPixels(
            "expected floats from 0 to 1, received others; send pixels from 0 to 255 as UINT8 to the "
            "Open Inference Protocol below /v2, or to /predict"
        )
    return numbers.astype(np.float32)


def kind(value: Any) -> str:
    """What a JSON value is, without saying what is in it."""
    names = {type(None): "null", bool: "a boolean", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")
