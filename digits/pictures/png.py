"""Decode the PNG files that most programs write with OpenCV, in less time than Pillow takes."""

import struct
import zlib
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from digits.features import SIDE, Grey
from digits.pictures.decode_limits import PNG_SIGNATURE, LimitedReader

_IHDR = b"IHDR" + struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0)  # 8-bit grey, not interlaced
_HEAD = PNG_SIGNATURE + struct.pack(">I", len(_IHDR) - 4) + _IHDR + struct.pack(">I", zlib.crc32(_IHDR))
_IEND = struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))


def decode_tiny_png(data: bytes) -> Grey | None:
    """Decode an 8-bit grey PNG of 28x28 pixels that has one IDAT chunk, correct checksums and nothing else.

    This takes a sixth of the time of `open_picture` and `to_grey`.

    Returns:
        uint8 (28, 28). None for any other file, which `open_picture` accepts or refuses.
    """
    if not (data.startswith(_HEAD) and data.endswith(_IEND)):
        return None
    chunk = data[len(_HEAD) : -len(_IEND)]
    if chunk[:8] != struct.pack(">I4s", max(0, len(chunk) - 12), b"IDAT"):
        return None
    if chunk[-4:] != struct.pack(">I", zlib.crc32(chunk[4:-4])):
        return None
    # libpng verifies the compressed data. Its message about damage that the checksum above hides goes to stderr.
    return cast(Grey | None, cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_GRAYSCALE))


def decode_png(picture: Image.Image) -> NDArray[np.uint8] | None:
    """Decode a PNG in grey or RGB without transparency. This takes four fifths of the time that Pillow takes.

    Args:
        picture: from `open_picture`, with no pixel decoded.

    Returns:
        uint8 (height, width) or (height, width, 3). None for any other file, which Pillow decodes or refuses.
    """
    file = picture.fp if isinstance(picture, PngImageFile) else None
    if not isinstance(file, LimitedReader) or picture.mode not in ("L", "RGB") or picture.has_transparency_data:
        return None
    data = file.getvalue()
    if b"eXIf" in data or not _is_whole(data):
        return None
    flags = cv2.IMREAD_COLOR_RGB if picture.mode == "RGB" else cv2.IMREAD_GRAYSCALE
    try:
        return cast(NDArray[np.uint8] | None, cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags))
    except cv2.error:
        return None


def _is_whole(data: bytes) -> bool:
    """Return whether all chunks of a PNG have correct checksums. libpng would write a line to stderr otherwise."""
    position = len(PNG_SIGNATURE)
    while position < len(data):
        end = position + 8 + int.from_bytes(data[position : position + 4], "big")
        if data[end : end + 4] != struct.pack(">I", zlib.crc32(data[position + 4 : end])):
            return False
        position = end + 4
    return data.endswith(_IEND)
