"""Encoded pictures to grey pixels, safely: allowed formats, pixel limit, EXIF turn, the grey that shows the ink."""

import os
import struct
import warnings
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageChops, TiffImagePlugin, WebPImagePlugin  # noqa: F401 - see FORMATS

from digits import bombs
from digits.errors import ImageTooLarge, InvalidImage, UnsupportedImage
from digits.features import Grey

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
"""What is accepted, by content; a file's name or declared type is never asked.

Pillow loads the common ones by itself, and all of its forty where it finds one of these missing: 0.1 s and 5 MB at the
first picture. So the two that it leaves out are imported above.
"""

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

_DETAIL = 1500
"""The longer side of a larger picture is reduced to at least this: the digit is looked for in far less."""
_STRIP_PIXELS = 2_000_000
"""That are reduced at a time, in whole rows of the reduced picture, so that a large one is never there twice."""

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow's mode L
_CLEARER = 1.5
"""How many times the contrast of luma another grey must have to be taken instead."""
_COLOUR_SIDE = 128
"""Longer side on which the colours are compared."""
_ONE_COLOUR = 32
"""Largest difference in a channel between pixels of one ink."""

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


def read(file: Path) -> bytes:
    """A file's bytes, whatever they are.

    Raises:
        InvalidImage: it cannot be read.
        ImageTooLarge: longer than a picture may be in memory; none of it was read.
    """
    try:
        with file.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > bombs.MOST_BYTES:
                raise ImageTooLarge(f"expected a file of at most {bombs.MOST_BYTES} bytes, received {size}")
            return stream.read()
    except OSError as exc:
        raise InvalidImage(f"cannot be read: {exc.strerror}") from exc


def open_picture(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Read a picture's header and hold its declared size to the limits; no pixel is decoded yet.

    Args:
        data: the encoded picture, in one of FORMATS.
        max_pixels: largest accepted width times height; above 2 * MAX_PIXELS it has no effect.

    Returns:
        The picture, to be given to `to_grey`.

    Raises:
        InvalidImage: no picture, or its header is broken, or it would take far longer to decode than its pixels do.
        UnsupportedImage: a known format that is not accepted.
        ImageTooLarge: more than `max_pixels` pixels declared, or as many as take more than 150 MB to decode: 10 million
            of WEBP, 37 million of another format in colour.
    """
    try:
        picture = Image.open(bombs.file(data), formats=FORMATS)
        most = bombs.most_pixels(picture, data)
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
    pixels = picture.width * picture.height
    if pixels > max_pixels or pixels > most or max(picture.size) > bombs.LONGEST_SIDE:
        if pixels > max_pixels:
            expected = f"{max_pixels} pixels"
        elif pixels > most:
            megabytes = bombs.MOST_BYTES // 1_000_000
            expected = f"{most} pixels of such a {picture.format}, which then takes {megabytes} MB to decode"
        else:
            expected = f"{bombs.LONGEST_SIDE} pixels a side"
        raise ImageTooLarge(f"expected at most {expected}, received a picture of {picture.width}x{picture.height}")
    return picture


def to_grey(picture: Image.Image) -> Grey:
    """Decode the first frame to grey, upright, so that the ink shows.

    A large picture comes out reduced, by a whole number, to no less than 1500 pixels on its longer side; a JPEG is not
    even decoded at its full size.

    What is transparent is laid on white, or is itself the picture where all that can be seen has one colour (ink 0,
    nothing 255). Colours become luma, or the grey with the most contrast where luma has little.

    Args:
        picture: from `open_picture`.

    Returns:
        uint8 (height, width), 0 black, 255 white.

    Raises:
        InvalidImage: the pixel data is broken or cut short, or of a kind that has no plain grey (32-bit, Lab).
    """
    try:
        bombs.without_directories(picture)
        factor = _spare_factor(picture)
        picture.draft(None, (max(1, picture.width // factor), max(1, picture.height // factor)))  # for JPEG alone
        picture.load()
        turn = _turn(picture)
        grey = _flatten(_plain(picture, _spare_factor(picture)))
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


def _spare_factor(picture: Image.Image) -> int:
    """By how much it can be reduced."""
    return max(1, max(picture.size) // _DETAIL)


def _plain(picture: Image.Image, factor: int) -> Image.Image:
    """Any of Pillow's modes to L, LA, RGB or RGBA, reduced by the factor."""
    if factor == 1:
        return _in_plain_mode(picture)
    width, height = picture.size
    strip = max(1, _STRIP_PIXELS // (width * factor))
    rows = strip * factor
    strips = (
        _in_plain_mode(picture.crop((0, top, width, min(top + rows, height)))).reduce(factor)
        for top in range(0, height, rows)
    )
    first = next(strips)
    reduced = Image.new(first.mode, (first.width, -(-height // factor)))
    for index, part in enumerate(chain([first], strips)):
        reduced.paste(part, (0, index * strip))
    return reduced


def _in_plain_mode(picture: Image.Image) -> Image.Image:
    if picture.mode in ("I", "F", "LAB"):
        raise ValueError("32-bit grey has no agreed white, and Lab no plain grey")
    if picture.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.has_transparency_data:  # a tRNS chunk or an alpha channel
        return picture if picture.mode in ("LA", "RGBA") else picture.convert("RGBA")
    if picture.mode in ("1", "L"):
        return picture.convert("L")
    return picture.convert("RGB")


def _flatten(picture: Image.Image) -> Image.Image:
    """Mode L, LA, RGB or RGBA to mode L."""
    if picture.mode in ("LA", "RGBA"):
        # Paper is white, so what shows through is white.
        alpha = picture.getchannel("A")
        if _ink_is_in_alpha(picture):
            return ImageChops.invert(alpha)
        paper = Image.new(picture.mode[:-1], picture.size, "white")
        paper.paste(picture.convert(paper.mode), mask=alpha)
        picture = paper
    return picture if picture.mode == "L" else _without_colour(picture)


def _ink_is_in_alpha(picture: Image.Image) -> bool:
    """Whether an LA or RGBA picture shows one colour only: what is drawn is then where that colour is."""
    alpha = picture.getchannel("A")
    lowest, highest = _extrema(alpha)
    if lowest == highest:
        return False
    seen = alpha.point([255 * (2 * value > highest) for value in range(256)])
    return all(high - low <= _ONE_COLOUR for low, high in (_extrema(channel, seen) for channel in picture.split()[:-1]))


def _extrema(channel: Image.Image, mask: Image.Image | None = None) -> tuple[int, int]:
    counts = np.flatnonzero(channel.histogram(mask))
    return int(counts[0]), int(counts[-1])


def _without_colour(picture: Image.Image) -> Image.Image:
    """RGB to the grey that an eye sees, or, where that hardly shows the ink, along the colours that do.

    Yellow on white differs by 29 in luma and by 255 in blue. The direction in which neighbouring pixels differ most
    is the first principal axis of their differences.
    """
    side = max(picture.size)
    small = np.asarray(picture.reduce(-(-side // _COLOUR_SIDE)) if side > _COLOUR_SIDE else picture, dtype=np.float32)
    across, down = np.diff(small, axis=1).reshape(-1, 3), np.diff(small, axis=0).reshape(-1, 3)
    scatter = across.T @ across + down.T @ down
    axis = np.linalg.eigh(scatter)[1][:, -1]
    axis *= np.sign(axis.sum() or 1.0) / np.abs(axis).sum()  # so that 0..255 stays a span of at most 255
    if axis @ scatter @ axis <= _CLEARER**2 * (_LUMA @ scatter @ _LUMA):
        return picture.convert("L")
    offset = -255 * float(axis[axis < 0].sum())
    weights = tuple(float(weight) for weight in axis)
    return picture.convert("L", (*weights, offset))


def _listed() -> str:
    return ", ".join(FORMATS[:-1]) + " or " + FORMATS[-1]
