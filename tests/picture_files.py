"""Picture files that no encoder writes: headers that declare any size, and any structure."""

import struct
import zlib

from PIL import Image

from tests.conftest import encoded

TIFF_LONG = 4


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *between: bytes, bits: int = 8, colour: int = 0, rows: bytes | None = None) -> bytes:
    """Make a PNG with chunks between header and pixels. The default pixels are enough for 28x28 grey."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    pixels = png_chunk(b"IDAT", zlib.compress(b"\0" * 29 * 28) if rows is None else rows)
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(between) + pixels + png_chunk(b"IEND", b"")


def gif(width: int, height: int, *between: bytes, frame: tuple[int, int] | None = None, disposal: int = 0) -> bytes:
    """Make a GIF with blocks between the header and its frame, which has the size of the screen by default."""
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    control = b"!\xf9\4" + bytes([disposal << 2]) + b"\0\0\0\0"
    image = b"," + struct.pack("<HHHHB", 0, 0, *(frame or (width, height)), 0) + b"\2\2\x4c\1\0"
    return screen + b"".join(between) + control + image + b";"


def bmp(width: int, height: int) -> bytes:
    """Make the header of a BMP."""
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + info


def tiff(*tags: tuple[int, int, int, int], data: bytes = b"", more: bytes = b"") -> bytes:
    """Make a little-endian TIFF with one directory.

    Args:
        tags: tag, type, count and value. -1 stands for the offset of `data`, -2 for the offset of `more`.
        data: the content after the directory.
        more: the content after `data`.
    """
    start = 8 + 2 + 12 * len(tags) + 4
    offsets = {-1: start, -2: start + len(data)}
    entries = b"".join(
        struct.pack("<HHII", tag, kind, count, offsets.get(value, value)) for tag, kind, count, value in sorted(tags)
    )
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + b"\0\0\0\0" + data + more


def grey_tags(width: int, height: int, compression: int = 1) -> list[tuple[int, int, int, int]]:
    values = {256: width, 257: height, 258: 8, 259: compression, 262: 1, 277: 1}
    return [(tag, TIFF_LONG, 1, value) for tag, value in values.items()]


def grey_tiff(width: int, height: int, *, offset_type: int = TIFF_LONG) -> bytes:
    """Make the header of an uncompressed grey TIFF with one strip."""
    strip = [(273, offset_type, 1, 8), (278, TIFF_LONG, 1, height), (279, TIFF_LONG, 1, 10)]
    return tiff(*grey_tags(width, height), *strip)


def webp(width: int, height: int, frames: int = 1) -> bytes:
    """Make an animated WEBP with this canvas and frames of 8x8."""
    canvas, eight = (side - 1 for side in (width, height)), (7).to_bytes(3, "little")
    frame = b"\0" * 6 + eight * 2 + b"d\0\0\0" + encoded(Image.new("RGB", (8, 8)), format="WEBP")[12:]
    body = b"WEBPVP8X" + struct.pack("<II", 10, 2) + b"".join(side.to_bytes(3, "little") for side in canvas)
    body += b"ANIM" + struct.pack("<I", 6) + b"\0" * 6
    body += (b"ANMF" + struct.pack("<I", len(frame)) + frame) * frames
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg(width: int, height: int, *, progressive: bool = False, subsampling: int = -1) -> bytes:
    """Make a JPEG of 28x28 that declares another size."""
    data = encoded(Image.new("RGB", (28, 28)), format="JPEG", progressive=progressive, subsampling=subsampling)
    size = data.index(b"\xff\xc2" if progressive else b"\xff\xc0") + 5
    return data[:size] + struct.pack(">HH", height, width) + data[size + 4 :]
