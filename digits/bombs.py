"""What a few bytes can cost, told from a picture's structure and refused before it is spent.

A limit on pixels is not enough: thousands of scans (JPEG), profiles (PNG) or strips, or one huge tile (TIFF), have a
picture of 28x28 take minutes, or gigabytes. `tests/app/test_bombs.py` has them all.
"""

import os
import re
import struct
from io import BytesIO
from operator import mul

from PIL import Image, TiffTags
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from digits.errors import InvalidImage, UnsupportedImage

MOST_BYTES = 150_000_000
"""Memory that one picture may take while it is decoded."""

LONGEST_SIDE = 65_535
"""In pixels; what JPEG and GIF can have. PNG's decoder takes 16 bytes a row, and two rows, besides the picture."""

_PARTS, _PART_BYTES = 1000, 32
"""So many parts may a picture have, and another for each so many bytes."""

_STRIPS, _STRIP_BYTES = 64, 64
"""So many of them strips or tiles, which are dearer: 3 us and 300 bytes each. Those of real pictures hold thousands."""

_HEADER_PARTS = 4000
"""The most of them before the pixels; 250 of a JPEG's segments hold 16 MB."""

_SCANS = 32
"""Of a JPEG; encoders make up to 18, and each goes through the whole picture: 30 ms for 50 megapixels."""

# libtiff asks this itself, when it decodes a TIFF that has a JPEG in it; its own default is 100.
os.environ.setdefault("LIBTIFF_JPEG_MAX_ALLOWED_SCAN_NUMBER", str(_SCANS))

_PNG = b"\x89PNG\r\n\x1a\n"
_SHOWN = frozenset((b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT", b"IEND"))
"""The chunks of a PNG that show the picture; profiles, texts and further frames do not."""

_TIFF = (b"II", b"MM")
_STRIP_OFFSETS, _TILE_OFFSETS = 273, 324
_ROWS_PER_STRIP, _TILE_WIDTH, _TILE_LENGTH = 278, 322, 323
_BITS, _SAMPLES, _PHOTOMETRIC, _YCBCR = 258, 277, 262, 6
_LARGE_TILE = 512 * 512
"""Pixels of a tile that may be larger than its picture."""

_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_WITHOUT_LENGTH = (0x01, 0xD8)

_RLE = (1, 2)


class _Sparing(BytesIO):
    """A file that is read only so often: what Pillow does part by part, in Python, is bounded with it."""

    def __init__(self, data: bytes) -> None:
        """For the header; `for_pixels` allows more."""
        super().__init__(data)
        self._parts = _most_parts(data)
        self._left = min(_HEADER_PARTS, self._parts)

    def for_pixels(self) -> None:
        """From now on the pixels are read."""
        self._left = self._parts

    def read(self, size: int | None = -1, /) -> bytes:
        """Read. Raises OSError, as other broken files do, where it was too often."""
        self._left -= 1
        if self._left < 0:
            raise OSError("the picture is in too many small parts")
        return super().read(size)


def _most_parts(data: bytes) -> int:
    return _PARTS + len(data) // _PART_BYTES


def file(data: bytes) -> BytesIO:
    """The encoded picture for Pillow to open.

    Raises:
        InvalidImage: it is in more parts than can be.
    """
    if data.startswith(_PNG):
        return BytesIO(_shown_chunks(data))
    if data.startswith(_TIFF):
        _refuse_many_strips(data)
    return _Sparing(data)


def _shown_chunks(data: bytes) -> bytes:
    """A PNG without the chunks that do not show. What is broken in its structure is left to Pillow."""
    kept, position = [_PNG], len(_PNG)
    for _ in range(_most_parts(data)):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        if position >= len(data):
            return b"".join(kept)
        if data[position + 4 : position + 8] in _SHOWN or end > len(data):
            kept.append(data[position:end])
        position = end
    raise InvalidImage(f"expected a PNG picture, received one of more than {_most_parts(data)} chunks")


def _refuse_many_strips(data: bytes) -> None:
    """Pillow makes a list of a TIFF's strips or tiles, however many it says there are, as soon as it is opened."""
    order, big = "<" if data.startswith(b"II") else ">", data[2:3] == b"+"
    entry = struct.Struct(order + ("HHQ8x" if big else "HHI4x"))
    try:
        (start,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
        (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, min(start, len(data)))
    except struct.error:
        return  # Pillow will say so
    start += 8 if big else 2
    most = _STRIPS + len(data) // _STRIP_BYTES
    entries = min(count, _HEADER_PARTS, (len(data) - start) // entry.size)
    for tag, _, values in entry.iter_unpack(data[start : start + entries * entry.size]):
        if tag in (_STRIP_OFFSETS, _TILE_OFFSETS) and values > most:
            raise InvalidImage(f"expected a TIFF picture, received one of {values} strips in {len(data)} bytes")


def most_pixels(picture: ImageFile, data: bytes) -> int:
    """How many pixels a picture of its kind may have, so that decoding it takes no more than MOST_BYTES.

    Args:
        picture: opened from `file(data)`, with nothing decoded.
        data: all of it.

    Raises:
        InvalidImage: decoding it would take far longer than its pixels do.
        UnsupportedImage: a BMP with runs, which Pillow decodes in Python, at up to 100 ns a pixel.
    """
    if picture.format == "BMP" and picture.info.get("compression") in _RLE:
        raise UnsupportedImage("expected a BMP without compression, received a run-length encoded one")
    if isinstance(picture.fp, _Sparing):
        picture.fp.for_pixels()
    pixels = picture.width * picture.height
    return int(MOST_BYTES * pixels / max(1, _memory(picture, pixels, data)))


def _memory(picture: ImageFile, pixels: int, data: bytes) -> float:
    """Bytes that decoding takes, at most."""
    if picture.format == "WEBP":
        return 15 * pixels
    if isinstance(picture, JpegImageFile):
        return _jpeg_memory(picture, pixels, data)
    memory = pixels * (1 if picture.mode in ("1", "L", "P") else 2 if picture.mode.startswith("I;16") else 4)
    return memory + _tiff_memory(picture, pixels, memory) if isinstance(picture, TiffImageFile) else memory


def _jpeg_memory(picture: JpegImageFile, pixels: int, data: bytes) -> float:
    """A JPEG is reduced while it is decoded; but where one scan does not hold all, 2 bytes a coefficient are kept."""
    scans, whole = _scans(data, picture.layers)
    if whole and scans == 1 and not picture.info.get("progressive"):
        return 0
    _, down, across, _ = zip(*picture.layer, strict=True)
    coefficients: float = pixels * sum(map(mul, down, across)) / max(1, max(down) * max(across))
    return 2 * coefficients


def _scans(data: bytes, components: int) -> tuple[int, bool]:
    """How many scans the first picture in a JPEG file has, and whether the first of them holds all components."""
    scans, whole, position = 0, False, 2
    for _ in range(_HEADER_PARTS):
        found = _MARKER.search(data, position)
        if found is None or found[1][0] == _END_OF_IMAGE:
            return scans, whole
        marker, position = found[1][0], found.end()
        if marker in _WITHOUT_LENGTH:
            continue
        if marker == _START_OF_SCAN:
            scans += 1
            whole = whole or (scans == 1 and data[position + 2 : position + 3] == bytes([components]))
            if scans > _SCANS:
                raise InvalidImage(f"expected a JPEG picture of at most {_SCANS} scans, received one of more")
        position += int.from_bytes(data[position : position + 2], "big")
    raise InvalidImage(f"expected a JPEG picture, received one of more than {_HEADER_PARTS} segments")


def _tiff_memory(picture: TiffImageFile, pixels: int, memory: int) -> float:
    """What a TIFF takes besides its pixels: a strip or tile, and all of it again where it is to be turned."""
    tags = picture.tag_v2
    width, height = tags.get(_TILE_WIDTH), tags.get(_TILE_LENGTH)  # libtiff asks no more, to take it for tiled
    if isinstance(width, int) and isinstance(height, int):
        part = width * height
        if part > 4 * pixels + _LARGE_TILE:
            size = f"{picture.width}x{picture.height}"
            raise InvalidImage(f"expected a TIFF picture, received one of {size} with a tile of {width}x{height}")
    else:
        rows = tags.get(_ROWS_PER_STRIP)
        part = min(pixels, rows * max(picture.size)) if isinstance(rows, int) else pixels
    bits = tags.get(_BITS, (1,))
    sample = max(bits) / 8 * tags.get(_SAMPLES, 1)
    turned = memory if tags.get(0x0112, 1) != 1 else 0
    return part * (4 if tags.get(_PHOTOMETRIC) == _YCBCR else sample) + turned


def without_directories(picture: Image.Image) -> None:
    """Have a TIFF's further directories passed over, as all other formats' are: each may hold millions of numbers."""
    if isinstance(picture, TiffImageFile):
        exif = picture.getexif()
        for directory in TiffTags.TAGS_V2_GROUPS:
            exif.pop(directory, None)
