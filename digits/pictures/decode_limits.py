"""Bound the time and memory that decoding one picture can take, before its pixels are decoded.

A limit on pixels is not enough. Thousands of scans (JPEG), colour profiles (PNG) or comments (GIF), or one huge tile
(TIFF), make a picture of 28x28 take minutes or gigabytes. `tests/app/input/test_decode_limits.py` has an example of
each.
"""

import os
import re
import threading
from io import BytesIO

from PIL import Image, TiffImagePlugin
from PIL.ExifTags import Base as Tag
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from digits.errors import ImageTooLarge, InvalidImage, UnsupportedImage
from digits.pictures import heif

MAX_DECODE_BYTES = 150_000_000
"""Maximum memory that decoding one picture may take."""

DECODE_BYTES = "digits.decode_bytes"
"""The key of the memory that decoding a picture takes, in the `info` of an opened picture."""

MAX_SIDE = 65_535
"""Maximum width and height in pixels: the maximum of JPEG and GIF. Pillow's PNG decoder needs 16 bytes per row."""

MAX_HEADER_READS = 4000
"""Maximum number of reads before the pixels. A JPEG needs about 1000 for 16 MB of metadata in segments of 64 KB."""

MAX_JPEG_SCANS = 32
"""Encoders make up to 18. Each scan passes over the whole picture, which takes 30 ms for 50 megapixels."""

# libtiff reads this variable when a TIFF contains a JPEG. Its own default is 100.
os.environ.setdefault("LIBTIFF_JPEG_MAX_ALLOWED_SCAN_NUMBER", str(MAX_JPEG_SCANS))

# Otherwise Pillow decodes uncompressed TIFFs in Python, and builds a list of every strip that the file declares: 3 us
# and 300 bytes per strip, millions of strips in 16 MB.
TiffImagePlugin.READ_LIBTIFF = True

_WORST_BYTES_PER_PIXEL = 15
"""Memory that decoding a WEBP takes per pixel, the most of all accepted formats."""

_HEIF_BYTES_PER_PIXEL = 9
"""Measured: 8, also of a picture with 10 bits. libheif itself refuses pixels of more than the declared size."""

_MAX_HEIF_PROFILE_BYTES = 50_000_000
"""Maximum memory for the colour profiles of a HEIF, of which the opener copies one for each picture."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_VISIBLE_CHUNKS = frozenset((b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT", b"IEND"))

_JPEG_START_OF_SCAN = b"\xff\xda"
_JPEG_SEGMENT = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
"""A marker that a length and content follow."""

_BMP_RUN_LENGTH_ENCODINGS = (1, 2)

_YCBCR = 6
_MAX_PADDING_PIXELS = 512 * 512
"""A TIFF tile may be larger than its picture by this much."""

_GIF_DISPOSAL = 0b11100
"""The flags that say what is left of a frame when the next one is shown. They follow `!`, 249 and a size."""

_OPENING = threading.Lock()
"""libheif may copy 50 MB of colour profiles while it reads a header."""


class LimitedReader(BytesIO):
    """An encoded picture that refuses too many small reads, because Pillow parses what it reads in Python."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._max_reads = _max_parts(data)
        self._reads_left = min(MAX_HEADER_READS, self._max_reads)
        self._gif_header = data if data.startswith(b"GIF") else b""

    def allow_pixel_reads(self) -> None:
        """Allow the reads that the pixels need, in addition to the header's."""
        self._reads_left = self._max_reads
        self._gif_header = b""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to `size` bytes. GIFs seem to have no disposal, for which Pillow would allocate 100 MB to open one.

        Raises OSError after too many reads, as Pillow does for other broken files.
        """
        self._reads_left -= 1
        if self._reads_left < 0:
            raise OSError("the picture has too many small parts")
        content = super().read(size)
        if self._gif_header and content:
            start = self.tell() - len(content)
            if self._gif_header[max(0, start - 3) : start - 1] == b"!\xf9":
                return bytes([content[0] & ~_GIF_DISPOSAL]) + content[1:]
        return content


def open_limited(data: bytes, formats: tuple[str, ...], max_pixels: int) -> ImageFile:
    """Open a picture, and check that decoding it takes a bounded time and at most MAX_DECODE_BYTES.

    Of a PNG, only the visible chunks are kept. No pixel is decoded yet. The picture's file is a LimitedReader, and its
    `info` has DECODE_BYTES.

    Raises:
        ImageTooLarge: it has too many pixels, or decoding it would take too much memory.
        InvalidImage: decoding it would take far longer than its number of pixels explains.
        UnsupportedImage: a run-length encoded BMP. Pillow decodes it in Python, at up to 100 ns per pixel.
        Exception: whatever Pillow raises for a broken header.
    """
    if data[4:8] == b"ftyp":
        data = _plain_heif(data)
    file = LimitedReader(_visible_chunks(data) if data.startswith(PNG_SIGNATURE) else data)
    with _OPENING:
        picture = Image.open(file, formats=formats)
    size = f"{picture.width}x{picture.height}"
    if picture.width * picture.height > max_pixels:
        raise ImageTooLarge(f"expected at most {max_pixels} pixels, received a picture of {size}")
    if picture.format == "BMP" and picture.info.get("compression") in _BMP_RUN_LENGTH_ENCODINGS:
        raise UnsupportedImage("expected a BMP without compression, received a run-length encoded one")
    if max(picture.size) > MAX_SIDE:
        raise ImageTooLarge(f"expected at most {MAX_SIDE} pixels per side, received a picture of {size}")
    needed = _decode_bytes(picture, data)
    if needed > MAX_DECODE_BYTES:
        max_of_this_kind = int(MAX_DECODE_BYTES * picture.width * picture.height / needed)
        raise ImageTooLarge(
            f"expected at most {max_of_this_kind} pixels in a {picture.format} of this kind, "
            f"which takes {MAX_DECODE_BYTES // 1_000_000} MB to decode, received a picture of {size}"
        )
    picture.info[DECODE_BYTES] = needed
    file.allow_pixel_reads()
    return picture


def _max_parts(data: bytes) -> int:
    """Return how many chunks or reads a picture may have: 1000, and one more for every 32 bytes."""
    return 1000 + len(data) // 32


def _visible_chunks(data: bytes) -> bytes:
    """Return a PNG without profiles, texts and further frames. Pillow would decompress each, up to 1 MB."""
    kept, position = [PNG_SIGNATURE], len(PNG_SIGNATURE)
    for parts in range(1, _max_parts(data) + 1):
        if position >= len(data):
            return data if len(kept) == parts else b"".join(kept)
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        if data[position + 4 : position + 8] in _VISIBLE_CHUNKS or end > len(data):  # Pillow reports a cut chunk
            kept.append(data[position:end])
        position = end
    raise InvalidImage(f"expected a PNG picture of at most {_max_parts(data)} chunks, received one of more")


def _plain_heif(data: bytes) -> bytes:
    """Return a HEIF whose pictures have no metadata. libheif does not need them to turn a picture upright.

    pi-heif copies metadata for each picture that links to them, and reads beyond broken ones.

    Raises InvalidImage if opening it could copy far more bytes than the file has.
    """
    profile_bytes = sum(
        min(int.from_bytes(data[max(0, box.start() - 4) : box.start()], "big"), len(data))
        for box in re.finditer(b"colr", data)
    )
    # Chance finds a few boxes among compressed pixels. An iPhone's photo has a hundred items and 1 KB of profiles.
    if data.count(b"infe") * profile_bytes > _MAX_HEIF_PROFILE_BYTES:
        raise InvalidImage("expected a HEIF picture with one colour profile, received one that repeats large ones")
    return data.replace(b"cdsc", b"free")


def _decode_bytes(picture: ImageFile, data: bytes) -> float:
    pixels = picture.width * picture.height
    if isinstance(picture, JpegImageFile):
        return _jpeg_decode_bytes(picture, data)
    if picture.format == "HEIF":
        # A clean aperture (clap) shows a part of what is decoded, so that the largest stored picture counts.
        return (_HEIF_BYTES_PER_PIXEL + 3 * (picture.mode == "RGBA")) * max(pixels, heif.largest_stored(data))
    if picture.format not in ("PNG", "BMP", "GIF", "TIFF"):
        # A WEBP, or a format that was added to `decode.FORMATS` and has no rule here yet. Assume the worst for it.
        return _WORST_BYTES_PER_PIXEL * pixels
    decoded = pixels * (1 if picture.mode in ("1", "L", "P") else 2 if picture.mode.startswith("I;16") else 4)
    if isinstance(picture, TiffImageFile):
        rotated = decoded if picture.tag_v2.get(Tag.Orientation, 1) != 1 else 0
        return decoded + rotated + _tiff_part_bytes(picture)
    return decoded


def _jpeg_decode_bytes(picture: JpegImageFile, data: bytes) -> float:
    """Return 0 for a JPEG of one scan, which is reduced while it is decoded, else 2 bytes per coefficient."""
    scan = _first_scan(data)
    components = data[scan + 2 : scan + 3]
    if components == bytes([picture.layers]) and not picture.info.get("progressive"):
        return 0
    # Compressed data never contains a marker. Only segments and what follows the picture may, by chance.
    if data.count(_JPEG_START_OF_SCAN, scan) >= MAX_JPEG_SCANS:
        raise InvalidImage(f"expected a JPEG picture of at most {MAX_JPEG_SCANS} scans, received one of more")
    samples = sum(across * down for _, across, down, _ in picture.layer)
    samples_of_full_resolution = max(layer[1] for layer in picture.layer) * max(layer[2] for layer in picture.layer)
    return 2.0 * picture.width * picture.height * samples / max(1, samples_of_full_resolution)


def _first_scan(data: bytes) -> int:
    """Return the position after a JPEG's first start-of-scan marker, or the length of the data if it has none."""
    position = 2
    while segment := _JPEG_SEGMENT.search(data, position):
        position = segment.end()
        if segment[0] == _JPEG_START_OF_SCAN:
            return position
        position += int.from_bytes(data[position : position + 2], "big")
    return len(data)


def _tiff_part_bytes(picture: TiffImageFile) -> float:
    """Return the memory in bytes of the largest strip or tile, which libtiff decodes as a whole.

    Raises InvalidImage if a tile is far larger than the picture.
    """
    tags, pixels = picture.tag_v2, picture.width * picture.height
    width, height = tags.get(Tag.TileWidth), tags.get(Tag.TileLength)
    if isinstance(width, int) and isinstance(height, int):  # libtiff then reads tiles
        part = width * height
        if part > 4 * pixels + _MAX_PADDING_PIXELS:
            size = f"{picture.width}x{picture.height}"
            raise InvalidImage(f"expected a TIFF picture, received one of {size} with a tile of {width}x{height}")
    else:
        rows = tags.get(Tag.RowsPerStrip)
        part = min(pixels, rows * max(picture.size)) if isinstance(rows, int) else pixels
    bytes_per_pixel: float = max(tags.get(Tag.BitsPerSample, (1,))) / 8 * tags.get(Tag.SamplesPerPixel, 1)
    return part * (4 if tags.get(Tag.PhotometricInterpretation) == _YCBCR else bytes_per_pixel)
