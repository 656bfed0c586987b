"""Read pixels that are raw bytes, and check pixel values for several dialects."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import BatchTooLarge
from app.inference.picture_batch import PictureBatch
from digits.errors import InvalidPixels
from digits.features import FEATURES, SIDE, Floats

_SIGNATURES = re.compile(
    rb"(?P<PNG>\x89PNG\r\n\x1a\n)|(?P<GIF>GIF8[79]a)|(?P<WEBP>RIFF....WEBP)"
    rb"|(?P<HEIF>....ftyp(?:he[iv][cmsx]|mif1|msf1))|(?P<JPEG>\xff\xd8\xff)|(?P<TIFF>II[*+]\0|MM\0[*+])|(?P<BMP>BM)",
    re.DOTALL,
)
"""How the files of each of `digits.pictures.decode.FORMATS` begin."""

_MIN_SIGNATURE = 6
"""Least length at which a signature proves that a body of the right length is no pixels.

Four bytes or fewer may be pixels: 255 216 255 is a JPEG's signature, and also grain on white paper.
"""


def raw_pixels(body: bytes, max_batch: int) -> PictureBatch:
    """Read 784 bytes per picture, uint8, row-major.

    Raises BatchTooLarge, and InvalidPixels for other lengths and for the file of an encoded picture.
    """
    count, rest = divmod(len(body), FEATURES)
    signature = _SIGNATURES.match(body)
    if signature and (rest or len(signature[0]) >= _MIN_SIGNATURE):
        name = f"{signature.lastgroup}"
        raise InvalidPixels(
            f"expected {FEATURES} bytes per picture, one per pixel, received {len(body)} that begin as a {name} does; "
            f"send a {name} as image/{name.lower()}"
        )
    if rest or not count:
        raise InvalidPixels(
            f"expected exactly {FEATURES} bytes, one per pixel, received {len(body)}; "
            f"for several pictures send a multiple of {FEATURES}"
        )
    if count > max_batch:
        raise BatchTooLarge(f"expected at most {max_batch} pictures, received {count}")
    return PictureBatch(np.frombuffer(body, dtype=np.uint8).reshape(count, SIDE, SIDE), single=count == 1)


def numbers(values: list[Any], pointer_to: Callable[[int], str] = lambda _index: "") -> NDArray[np.float64]:
    """Convert JSON numbers to float64 (N,). Raises InvalidPixels with the pointer to any other value."""
    if unexpected := set(map(type, values)) - {int, float}:
        index = next(index for index, value in enumerate(values) if type(value) in unexpected)
        raise InvalidPixels(f"expected numbers, received {type_name(values[index])}", pointer_to(index))
    return np.array(values, dtype=np.float64)


def unit_floats(values: NDArray[Any]) -> Floats:
    """Return numbers from 0 to 1 as float32. Raises InvalidPixels for others."""
    # NaN fails both comparisons.
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise InvalidPixels(
            "expected numbers from 0 to 1; some are outside. You can send pixels from 0 to 255 as UINT8 to /v2, or to "
            "/predict"
        )
    return values.astype(np.float32, copy=False)


def type_name(value: Any) -> str:
    """Name the type of a JSON value, such as "a string", without revealing the value."""
    names = {type(None): "null", bool: "a boolean", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")


def shown(value: Any) -> str:
    """Describe a JSON value in a message: a short text, a number or a short list of integers, else its type.

    Nothing is walked, because a value may be nested a thousand times or have millions of elements.
    """
    if isinstance(value, str):
        return repr(value[:40])
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    is_shape = isinstance(value, list) and len(value) <= 8 and all(type(each) is int for each in value)
    return str(value) if is_number or is_shape else type_name(value)
