"""Encoded pictures to grey pixels, safely: allowed formats, pixel limit, EXIF turn, alpha on white."""

import struct
import warnings
from io import BytesIO

import numpy as np
from PIL import ExifTags, Image

from digits.errors import ImageTooLarge, InvalidImage, UnsupportedImage
from digits.features import Grey

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
"""What is accepted, by content; a file's name or declared type is never asked."""

MAX_PIXELS = 50_000_000
"""Default limit; a large phone photo has 48 megapixels."""

# Pillow's own limit is the ceiling of ours, whatever is asked for, because its plugins allocate while they read a
# header: a GIF of 43 bytes whose frame is "restored to background" takes 4 GiB there. It raises above twice the figure.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS

# What Pillow warns of (broken metadata that it passes over, sizes below its limit) is decided here by an answer or an
# error. A filter, once for the process, since `catch_warnings` around each picture would not be safe among threads.
for _category in (UserWarning, Image.DecompressionBombWarning):
    warnings.filterwarnings("ignore", category=_category, module=r"PIL\.")

# Pillow has no one exception for "this file is broken": its format plugins let these through. The first five came out
# of mutated pictures of every format (tests/digits/test_images.py mutates some in each run). The others are those that
# Pillow's own `ImageFile` expects of its plugins while a header is read; decoding and EXIF run the same code unguarded.
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    AssertionError,  # a palette PNG without its palette
    TypeError,  # a TIFF whose offsets are floats
    LookupError,
    EOFError,
    struct.error,
)

# Pictures, or what people take for one, that are recognized only to say so: (offset, bytes, name).
_OTHERS = (
    (4, b"ftypheic", "HEIC"),
    (4, b"ftypheix", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (4, b"ftypmsf1", "HEIC"),
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

_TURN = {  # EXIF 2.32, tag 0x0112: how the stored picture is brought upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_picture(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Read a picture's header and hold its declared size to the limit; no pixel is decoded yet.

    Args:
        data: the encoded picture, in one of FORMATS.
        max_pixels: largest accepted width times height; above 2 * MAX_PIXELS it has no effect.

    Returns:
        The picture, to be given to `to_grey`.

    Raises:
        InvalidImage: no picture, or its header is broken.
        UnsupportedImage: a known format that is not accepted.
        ImageTooLarge: more than `max_pixels` pixels declared.
    """
    try:
        picture = Image.open(BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as exc:
        limit = min(max_pixels, 2 * MAX_PIXELS)
        raise ImageTooLarge(
            f"expected at most {limit} pixels, received a picture of more than {2 * MAX_PIXELS}"
        ) from exc
    except _BROKEN as exc:
        for offset, magic, name in _OTHERS:
            if data[offset:].startswith(magic):
                raise UnsupportedImage(f"expected a {_listed()} picture, received {name}") from exc
        raise InvalidImage(f"expected a {_listed()} picture, received {len(data)} bytes that are none") from exc
    if picture.width * picture.height > max_pixels:
        raise ImageTooLarge(
            f"expected at most {max_pixels} pixels, received a picture of {picture.width}x{picture.height}"
        )
    return picture


def to_grey(picture: Image.Image) -> Grey:
    """Decode the first frame to grey, upright, with anything transparent laid on white.

    Args:
        picture: from `open_picture`.

    Returns:
        uint8 (height, width), 0 black, 255 white.

    Raises:
        InvalidImage: the pixel data is broken or cut short, or of a kind that has no plain grey (32-bit, Lab).
    """
    try:
        picture.load()
        turn = _turn(picture)
        grey = _flatten(picture)
    except _BROKEN as exc:
        raise InvalidImage(f"expected a whole {picture.format} picture, received one that cannot be decoded") from exc
    if turn is not None:
        grey = grey.transpose(turn)
    return np.asarray(grey, dtype=np.uint8)


def _turn(picture: Image.Image) -> Image.Transpose | None:
    try:
        return _TURN.get(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except _BROKEN:  # EXIF that is none: the pixels are shown as they are stored, as every viewer does
        return None


def _flatten(picture: Image.Image) -> Image.Image:
    """Any of Pillow's modes to mode L."""
    if picture.mode in ("I", "F"):
        raise ValueError("32-bit grey has no agreed white")
    if picture.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.has_transparency_data:
        # A tRNS chunk or an alpha channel. Paper is white, so what shows through is white. Laid on it in grey, not in
        # colour: of 50 megapixels each plane of bytes that is not needed spares 48 MiB.
        if picture.mode not in ("LA", "RGBA"):
            picture = picture.convert("RGBA")
        paper = Image.new("L", picture.size, "white")
        paper.paste(picture.convert("L"), mask=picture.getchannel("A"))
        return paper
    return picture.convert("L")


def _listed() -> str:
    return ", ".join(FORMATS[:-1]) + " or " + FORMATS[-1]
