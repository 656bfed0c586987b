"""Decode a picture file to upright grey pixels, within limits on its format, size and decoding cost."""

import struct
import warnings
import zlib
from collections.abc import Callable
from typing import cast

import cv2
import numpy as np
import pi_heif
from PIL import ExifTags, Image, TiffTags, WebPImagePlugin  # noqa: F401 - see FORMATS
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from digits.errors import ImageTooLarge, InvalidImage, UnsupportedImage
from digits.features import SIDE, Grey
from digits.pictures.decode_limits import PNG_SIGNATURE, LimitedReader, open_limited
from digits.pictures.grey import without_alpha, without_colour

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "HEIF")
"""Accepted formats, detected from the content. A file's name does not matter.

A new format also needs a memory bound in `digits/pictures/decode_limits.py`, a signature in `app/input/pixels.py` and
an entry in `app/pages/static/pictures.js`. The service derives the media types that it accepts from this list
(`app/input/pictures.py`).

If Pillow has not loaded the plugins of all of these, it loads all of its forty plugins at the first picture. This takes
0.1 s and 5 MB. So this module imports the two that Pillow does not load itself.
"""

ACCEPTED_FORMATS = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"

PICTURE_SUFFIXES = frozenset(
    (
        *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff"),
        *(".heic", ".heif", ".heics", ".heifs", ".hif"),
        ".avif",  # a folder's scan includes it, so that the error can say why it is refused
    )
)
"""Endings of file names, in lower case, that count as pictures where a folder is searched."""

MAX_PIXELS = 50_000_000
"""Default limit. A large phone photo has 48 megapixels."""

# Pillow's plugins allocate memory while they read a header: a GIF of 43 bytes whose frame is "restored to background"
# takes 4 GiB. So Pillow's own limit stays on, whatever `max_pixels` a caller passes. Pillow raises above twice this
# value.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS

# Without what a picture contains besides its pixels: previews, depths, gain maps.
pi_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)

# Pillow warns of broken metadata and of large sizes. This module accepts or refuses such a picture instead. The filters
# are set once per process, because `catch_warnings` around each picture is not thread-safe.
for _category in (UserWarning, Image.DecompressionBombWarning):
    warnings.filterwarnings("ignore", category=_category, module=r"PIL\.")

# Pillow has no single exception for a broken file. Its plugins raised the first five of these for damaged pictures
# (tests/digits/pictures/fuzz.py). `PIL.ImageFile` expects the others while a plugin reads a header.
_BROKEN_FILE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    AssertionError,  # a palette PNG without its palette
    TypeError,  # a TIFF whose offsets are floats
    LookupError,
    EOFError,
    struct.error,
    RuntimeError,  # a HEIF whose pixels are damaged
)

REDUCED_SIDE = 1500
"""Larger pictures are reduced. Their longer side keeps at least this many pixels, so that small digits stay legible."""

_STRIP_PIXELS = 2_000_000
"""Number of pixels reduced at a time, so that memory never holds a large picture twice."""

# Formats that are recognized only to name them in the error: (offset, bytes, name).
_OTHER_FORMATS = (
    (4, b"ftypavif", "AVIF"),
    (0, b"%PDF", "PDF"),
    (0, b"<svg", "SVG"),
    (0, b"<?xml", "SVG or other XML"),
    (0, b"8BPS", "Photoshop"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\0\0\x01\0", "ICO"),
)

_UPRIGHT: dict[int, Callable[[Grey], Grey]] = {  # EXIF 2.32, tag 0x0112: how to turn the stored picture upright
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).T,
    8: np.rot90,
}

_IHDR = b"IHDR" + struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0)  # 8-bit grey, not interlaced
_HEAD = PNG_SIGNATURE + struct.pack(">I", len(_IHDR) - 4) + _IHDR + struct.pack(">I", zlib.crc32(_IHDR))
_IEND = struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))


def decode_tiny_png(data: bytes) -> Grey | None:
    """Decode an 8-bit grey PNG of 28x28 pixels that has one IDAT chunk, correct checksums and nothing else.

    This takes a sixth of the time of `open_image` and `upright_grey`. Return uint8 (28, 28), or None for any other
    file, which `open_image` accepts or refuses.
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


def open_image(data: bytes, max_pixels: int) -> Image.Image:
    """Read a picture's header and check it. No pixel is decoded yet. See `digits.picture.Picture`."""
    try:
        return open_limited(data, FORMATS, max_pixels)
    except Image.DecompressionBombError as exc:
        limit = min(max_pixels, 2 * MAX_PIXELS)
        raise ImageTooLarge(
            f"expected at most {limit} pixels, received a picture of more than {2 * MAX_PIXELS}"
        ) from exc
    except _BROKEN_FILE_ERRORS as exc:
        for offset, magic, name in _OTHER_FORMATS:
            if data[offset:].startswith(magic):
                raise UnsupportedImage(f"expected a {ACCEPTED_FORMATS} picture, received {name}") from exc
        raise InvalidImage(
            f"expected a {ACCEPTED_FORMATS} picture, received {len(data)} bytes that are not one"
        ) from exc


def upright_grey(picture: Image.Image, min_jpeg_side: int) -> Grey:
    """Decode the first frame to upright grey pixels in which the ink is visible, uint8 (height, width). 0 is black.

    A large picture is reduced by a whole number. Its longer side stays at least 1500 pixels. A JPEG is not even decoded
    at full size, but at a half, quarter or eighth, so that its longer side stays at least `min_jpeg_side`.

    Opaque pixels become 0 and clear pixels 255 if the transparency itself is the picture (`without_alpha`). Colours
    become luma, or the grey with the most contrast (`without_colour`).

    Raises InvalidImage if the pixel data is broken or cut short, or if its mode has no defined grey (32-bit, Lab).
    """
    try:
        _skip_exif_directories(picture)
        factor = max(1, max(picture.size) // min_jpeg_side)
        picture.draft(None, (max(1, picture.width // factor), max(1, picture.height // factor)))  # only JPEG has this
        factor = max(1, max(picture.size) // REDUCED_SIDE)
        picture.load()
        orientation = _orientation(picture)  # Pillow turns a TIFF while it decodes it
        grey = without_colour(without_alpha(_reduce(picture, factor)))
    except _BROKEN_FILE_ERRORS as exc:
        raise InvalidImage(f"expected a whole {picture.format} picture, received one that cannot be decoded") from exc
    return np.ascontiguousarray(_UPRIGHT[orientation](grey)) if orientation in _UPRIGHT else grey


def upright_size(picture: Image.Image) -> tuple[int, int]:
    """Return the width and height of an opened picture after the turn that its EXIF data asks for."""
    width, height = picture.size
    _skip_exif_directories(picture)
    is_quarter_turn = _orientation(picture) >= 5
    return (height, width) if is_quarter_turn else (width, height)


def _skip_exif_directories(picture: Image.Image) -> None:
    """Keep Pillow from reading a TIFF's Exif directories, each of which may hold millions of numbers."""
    if isinstance(picture, TiffImageFile):
        exif = picture.getexif()
        for directory in TiffTags.TAGS_V2_GROUPS:
            exif.pop(directory, None)


def _orientation(picture: Image.Image) -> int:
    """Return the value of the EXIF tag Orientation. 1 is upright."""
    file = picture.fp if isinstance(picture, PngImageFile) else None  # None, too, once the pixels are decoded
    if isinstance(file, LimitedReader) and b"eXIf" not in file.getvalue():
        return 1  # Pillow would decode the pixels to look for this chunk behind them
    try:
        orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
    except _BROKEN_FILE_ERRORS:  # broken EXIF: show the pixels as they are stored, as every viewer does
        return 1
    return orientation if orientation in _UPRIGHT else 1


def _reduce(picture: Image.Image, factor: int) -> Image.Image:
    """Convert a picture of any mode to L, LA, RGB or RGBA and reduce it by the factor."""
    if factor == 1:
        return _to_plain_mode(picture)
    width, height = picture.size
    rows = max(1, _STRIP_PIXELS // (width * factor)) * factor
    mode = _to_plain_mode(picture.crop((0, 0, 1, 1))).mode
    reduced = Image.new(mode, (-(-width // factor), -(-height // factor)))
    for top in range(0, height, rows):
        strip = picture.crop((0, top, width, min(top + rows, height)))
        reduced.paste(_to_plain_mode(strip).reduce(factor), (0, top // factor))
    return reduced


def _to_plain_mode(picture: Image.Image) -> Image.Image:
    """Convert a picture of any mode to L, LA, RGB or RGBA."""
    if picture.mode in ("I", "F", "LAB"):
        raise ValueError("32-bit grey has no defined white, and Lab no defined grey")
    if picture.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.has_transparency_data:  # a tRNS chunk or an alpha channel
        return picture if picture.mode in ("LA", "RGBA") else picture.convert("RGBA")
    if picture.mode in ("L", "RGB"):
        return picture  # convert() would copy it
    return picture.convert("L" if picture.mode == "1" else "RGB")
