"""Read an input tensor of the Open Inference Protocol as a batch of pictures."""

import struct
from base64 import b64decode
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import BatchTooLarge, InvalidBody
from app.inference.picture_batch import PictureBatch
from app.input.pixels import numbers, shown, unit_floats
from digits.features import FEATURES, SIDE

INPUT = "features"


def pictures_from_tensor(datatype: Any, shape: Any, data: list[Any] | bytes, max_batch: int) -> PictureBatch:
    """Return a tensor's pictures. Raises InvalidBody, InvalidPixels and BatchTooLarge.

    FP32 values go to the network unchanged. UINT8 values and encoded pictures (BYTES) are brought to MNIST form.

    The shape is [N, 784] or [N, 28, 28], for BYTES [N] or [N, 1]. `data` is a list, flat or nested, or the tensor's
    bytes, little-endian. In a list, an encoded picture is `bytes`, or base64.
    """
    if datatype not in ("FP32", "UINT8", "BYTES"):
        raise InvalidBody(f"expected the datatype FP32, UINT8 or BYTES, received {shown(datatype)}")
    rows = _row_count(datatype, shape)
    if rows > max_batch:
        raise BatchTooLarge(f"expected at most {max_batch} pictures, received {rows}")
    if datatype == "BYTES":
        encoded = _split_elements(data) if isinstance(data, bytes) else _listed_elements(data)
        if len(encoded) != rows:
            raise InvalidBody(f"expected {rows} elements to match the shape, received {len(encoded)}")
        return PictureBatch(encoded=encoded)
    values = _uint8_values(data) if datatype == "UINT8" else _float_values(data)
    if values.size != rows * FEATURES:
        raise InvalidBody(f"expected {rows * FEATURES} values to match the shape, received {values.size}")
    return PictureBatch(values.reshape(rows, SIDE, SIDE), mode="auto" if datatype == "UINT8" else "never")


def _row_count(datatype: str, shape: Any) -> int:
    """Return the number of pictures that a tensor of this shape holds."""
    if isinstance(shape, list) and shape and set(map(type, shape)) == {int} and shape[0] > 0:
        row_shape = shape[1:]
        if row_shape in ([], [1]) if datatype == "BYTES" else row_shape in ([FEATURES], [SIDE, SIDE]):
            return int(shape[0])
    expected = "[N]" if datatype == "BYTES" else f"[N,{FEATURES}] or [N,{SIDE},{SIDE}]"
    raise InvalidBody(f"unexpected shape for input {INPUT!r}: expected {expected}, received {shown(shape)}")


def _uint8_values(data: list[Any] | bytes) -> NDArray[Any]:
    if isinstance(data, bytes):
        return np.frombuffer(data, np.uint8)
    try:
        # bytes() accepts whole numbers from 0 to 255 only, and is ten times as fast as checking each value's type.
        return np.frombuffer(bytes(_flatten(data)), np.uint8)
    except (TypeError, ValueError) as exc:
        raise InvalidBody(
            "expected whole numbers from 0 to 255, received other values; for values from 0 to 1 use FP32"
        ) from exc


def _float_values(data: list[Any] | bytes) -> NDArray[Any]:
    """Return float32 values in [0, 1]. Raises InvalidBody and InvalidPixels."""
    if not isinstance(data, bytes):
        return unit_floats(numbers(_flatten(data)))
    if len(data) % 4:
        raise InvalidBody(f"expected little-endian FP32 values of 4 bytes each, received {len(data)} bytes")
    return unit_floats(np.frombuffer(data, "<f4"))


def _flatten(data: list[Any]) -> list[Any]:
    for _ in range(3):
        if not data or not isinstance(data[0], list):
            break
        if set(map(type, data)) != {list}:
            raise InvalidBody("expected 'data' to be flat or nested like the shape, received a mixture")
        data = list(chain.from_iterable(data))
    return data


def _split_elements(data: bytes) -> list[bytes]:
    """Return the elements of a binary BYTES tensor. The length of each precedes it: four bytes, little-endian."""
    elements, start = [], 0
    while start < len(data):
        end = start + 4 + (struct.unpack_from("<I", data, start)[0] if start + 4 <= len(data) else len(data))
        if end > len(data):
            raise InvalidBody("expected each BYTES element with its length in front, received an incomplete element")
        elements.append(data[start + 4 : end])
        start = end
    return elements


def _listed_elements(data: list[Any]) -> list[bytes]:
    """Return the elements of a BYTES tensor that is a list. JSON has encoded pictures as base64."""
    try:
        return [each if isinstance(each, bytes) else b64decode(each, validate=True) for each in _flatten(data)]
    except (TypeError, ValueError) as exc:
        raise InvalidBody("expected BYTES in JSON to be pictures in base64, received other values") from exc
