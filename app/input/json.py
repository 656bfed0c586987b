"""Parse JSON that describes pictures, and read the JSON body of `POST /predict` as pixels."""

from itertools import chain
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from app.errors import BatchTooLarge, BodyTooLarge, InvalidBody, MalformedBody
from app.inference.picture_batch import PictureBatch
from app.input.body import SHORT_BODY_BYTES
from app.input.pixels import numbers, type_name
from app.settings import Settings
from digits.errors import InvalidPixels, NoInk
from digits.features import FEATURES, SIDE, Grey
from digits.normalization.mnist_form import Mode

MAX_STRINGS = 500_000
"""Maximum number of strings in a JSON text: 637 records of 784 column names. orjson parses them in 70 ms."""

MAX_STRINGS_PER_OBJECT = 1000
"""Maximum number of strings per object in a long text. A record of an MLflow data frame names 784 columns."""

_NAMES = frozenset(("pixels", "instances", "scale"))


def parse_json(text: bytes, settings: Settings) -> Any:
    """Parse a JSON document that describes pictures. Raises MalformedBody if the text is not valid JSON.

    Raises BodyTooLarge above `max_json_bytes`, and for a long text with more than `max_batch` pictures need:
    BatchTooLarge because of values or lists, InvalidBody because of objects or strings.
    """
    if len(text) > settings.max_json_bytes:
        raise BodyTooLarge(
            f"expected at most {settings.max_json_bytes} bytes of JSON, received {len(text)}; send many pictures "
            "as raw bytes (application/octet-stream) to /predict or as binary tensors to /v2"
        )
    if len(text) > SHORT_BODY_BYTES:
        _check_counts(text, settings.max_batch)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        raise MalformedBody(
            f"expected JSON (RFC 8259, UTF-8), received a body that is not valid JSON: {exc.msg}"
        ) from exc


def _check_counts(text: bytes, max_batch: int) -> None:
    """Refuse text with far more lists, objects, names or values than pictures need.

    orjson blocks all threads until it has parsed the whole text. 8 MiB of empty lists take it a second and 235 MB of
    memory, but 8 MiB of pixels only a tenth of that (`python -m benchmarks.faults.blocking`).
    """
    # Allow one picture too many. A later check then reports the exact number.
    most = max_batch + 1
    values, lists = text.count(b",") + 1, text.count(b"[")
    if values > most * FEATURES + SIDE or lists > most * (SIDE + 1) + SIDE:
        pictures = max(-(-values // FEATURES), lists // (SIDE + 1))
        raise BatchTooLarge(
            f"expected at most {max_batch} pictures of {FEATURES} numbers, received {values} numbers in {lists} lists, "
            f"as {pictures} pictures have"
        )
    objects, strings = text.count(b"{"), text.count(b'"') // 2
    max_strings = min(MAX_STRINGS, MAX_STRINGS_PER_OBJECT * objects + most)
    if objects > 2 * most + SIDE or strings > max_strings:
        raise InvalidBody(f"expected lists of numbers, received {objects} objects and {strings} strings")


def read_json(body: bytes, settings: Settings, mode: Mode, *, reports_errors: bool = False) -> PictureBatch:
    """Read the pixels of `{"pixels": ...}` or `{"instances": [...]}`. Raises what `parse_json` and `_pixels` raise.

    If the reply reports errors, it has those of `_pixels`. The pixels of such a picture are zeros.
    """
    document = parse_json(body, settings)
    if not isinstance(document, dict):
        raise InvalidBody(f"expected an object with 'pixels' or 'instances', received {type_name(document)}")
    if not _NAMES.issuperset(document):
        unknown = min(document.keys() - _NAMES)
        raise InvalidBody(f"expected only 'pixels' or 'instances', and 'scale', received {unknown[:40]!r}")
    single = "pixels" in document
    if single == ("instances" in document):
        received = "both" if single else "neither"
        raise InvalidBody(f"expected either 'pixels' or 'instances', received {received}")
    scale = document.get("scale", "0-255")
    if scale not in ("0-255", "0-1"):
        received = repr(scale[:40]) if isinstance(scale, str) else type_name(scale)
        raise InvalidBody(f"expected the scale '0-255' or '0-1', received {received}", "#/scale")
    if single:
        pictures, pointer = [document["pixels"]], "#/pixels"
    else:
        pictures, pointer = document["instances"], "#/instances/{}"
        if not isinstance(pictures, list) or not pictures:
            received = "an empty one" if pictures == [] else type_name(pictures)
            raise InvalidBody(f"expected 'instances' to be a list of pictures, received {received}", "#/instances")
        if len(pictures) > settings.max_batch:
            raise BatchTooLarge(f"expected at most {settings.max_batch} pictures, received {len(pictures)}")
    # `_whole_numbers` cannot tell true from 1 and false from 0. Text without the letters u and f contains neither.
    may_be_whole = scale == "0-255" and b"u" not in body and b"f" not in body
    whole = _whole_numbers(pictures) if may_be_whole else None
    if whole is not None:
        return PictureBatch(pixels=whole, single=single, pointer=pointer)
    pixels = np.zeros((len(pictures), SIDE, SIDE), np.float32 if scale == "0-1" else np.uint8)
    batch = PictureBatch(pixels=pixels, single=single, pointer=pointer, reports_errors=reports_errors)
    for index, picture in enumerate(pictures):
        with batch.picture(index):
            pixels[index] = _pixels(picture, scale, mode, pointer.format(index))
    return batch


def _whole_numbers(pictures: list[Any]) -> Grey | None:
    """Convert valid pictures of whole numbers from 0 to 255 to (N, 28, 28). Return None for anything else.

    `bytes` accepts whole numbers from 0 to 255 and nothing else. It takes a tenth of the time of checking each value's
    type. Where it fails, the slower `_pixels` finds the error or accepts the picture.
    """
    try:
        # Check the lengths first: `bytes(n)` makes n zeros, but len(n) of a number raises TypeError.
        length = len(pictures[0])
        rows = list(chain.from_iterable(pictures)) if length == SIDE else pictures
        if length not in (SIDE, FEATURES) or {*map(len, pictures), *map(len, rows)} != {length}:
            return None
        values = b"".join(map(bytes, rows))
    except (TypeError, ValueError):
        return None
    for start in range(0, len(values), FEATURES):
        # A picture without a value above 1 is blank, or its scale may be wrong. `_pixels` distinguishes these cases.
        if not values[start : start + FEATURES].strip(b"\0\1"):
            return None
    return np.frombuffer(values, dtype=np.uint8).reshape(-1, SIDE, SIDE)


def _pixels(picture: Any, scale: str, mode: Mode, pointer: str) -> NDArray[np.float64]:
    """Convert one JSON picture, 28 rows of 28 numbers or 784 numbers, to (28, 28): whole numbers, or floats in [0, 1].

    Raises InvalidPixels and NoInk with a pointer to the value or the picture. In the mode "never", it may be blank.
    """
    flat, nested = _flatten(picture, pointer)

    def pointer_to(index: int | np.intp) -> str:
        return f"{pointer}/{index // SIDE}/{index % SIDE}" if nested else f"{pointer}/{index}"

    values = numbers(flat, pointer_to)
    top = 1 if scale == "0-1" else 255
    outside = (values < 0) | (values > top)
    if outside.any():
        hint = '; for 0 to 255 leave out "scale": "0-1"' if scale == "0-1" and values.max() > 1 else ""
        kind = "a negative number" if values[outside][0] < 0 else "a larger one"
        raise InvalidPixels(f"expected numbers from 0 to {top}, received {kind}{hint}", pointer_to(outside.argmax()))
    fractions = values != np.floor(values)
    if scale == "0-255" and fractions.any():
        raise InvalidPixels(
            'expected whole numbers from 0 to 255, received a fraction; for 0 to 1 say "scale": "0-1"',
            pointer_to(fractions.argmax()),
        )
    if values.min() == values.max():  # a blank picture does not reveal its scale
        if mode != "never":
            raise NoInk("no ink found: every pixel has the same value", pointer)
    elif scale == "0-255" and values.max() <= 1:
        raise InvalidPixels(
            'expected numbers from 0 to 255, received none above 1; for 0 to 1 say "scale": "0-1"', pointer
        )
    return values.reshape(SIDE, SIDE)


def _flatten(picture: Any, pointer: str) -> tuple[list[Any], bool]:
    """Return a picture's 784 values row by row, and whether the client sent them as rows."""
    expected = f"expected {SIDE} rows of {SIDE} numbers or {FEATURES} numbers"
    if not isinstance(picture, list):
        raise InvalidPixels(f"{expected}, received {type_name(picture)}", pointer)
    if not any(isinstance(row, list) for row in picture):
        if len(picture) != FEATURES:
            raise InvalidPixels(f"{expected}, received {len(picture)} values", pointer)
        return picture, False
    if len(picture) != SIDE:
        raise InvalidPixels(f"{expected}, received {len(picture)} rows", pointer)
    for index, row in enumerate(picture):
        if not isinstance(row, list):
            raise InvalidPixels(f"expected a row of {SIDE} numbers, received {type_name(row)}", f"{pointer}/{index}")
        if len(row) != SIDE:
            raise InvalidPixels(f"expected a row of {SIDE} numbers, received {len(row)}", f"{pointer}/{index}")
    return list(chain.from_iterable(picture)), True
