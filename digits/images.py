"""Decode a picture file to upright grey pixels, within limits on its format, size and decoding cost."""

import os
import struct
import warnings
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageChops, TiffImagePlugin, WebPImagePlugin  # noqa: F401 - see FORMATS
from PIL.JpegImagePlugin import JpegImageFile

from digits import decode_limits
from digits.errors import ImageTooLarge, InvalidImage, UnsupportedImage
from digits.features import Grey

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
"""Accepted formats, detected from the content. A file's name does not matter.

A new format also needs a memory bound in `digits/decode_limits.py` and an entry in `app/pages/static/pictures.js`. The
service derives the media types that it accepts from this list (`app/input/pictures.py`).

If Pillow has not loaded the plugins of all of these, it loads all of its forty plugins at the first picture. This takes
0.1 s and 5 MB. So this module imports the two that Pillow does not load itself.
"""

PICTURE_SUFFIXES = frozenset(
    (
        *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff"),
        *(".heic", ".heif", ".avif"),  # a folder's scan includes them, so that the error can say why they are refused
    )
)
"""Endings of file names, in lower case, that count as pictures where a folder is searched."""

MAX_PIXELS = 50_000_000
"""Default limit. A large phone photo has 48 megapixels."""

# Pillow's plugins allocate memory while they read a header: a GIF of 43 bytes whose frame is "restored to background"
# takes 4 GiB. So Pillow's own limit stays on, whatever `max_pixels` a caller passes. Pillow raises above twice this
# value.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS

# Pillow warns of broken metadata and of large sizes. This module accepts or refuses such a picture instead. The filters
# are set once per process, because `catch_warnings` around each picture is not thread-safe.
for _category in (UserWarning, Image.DecompressionBombWarning):
    warnings.filterwarnings("ignore", category=_category, module=r"PIL\.")

# Pillow has no single exception for a broken file. Its plugins raised the first five of these for damaged pictures
# (tests/digits/fuzz.py). `PIL.ImageFile` expects the others while a plugin reads a header.
_BROKEN_FILE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    AssertionError,  # a palette PNG without its palette
    TypeError,  # a TIFF whose offsets are floats
    LookupError,
    EOFError,
    struct.error,
)

REDUCED_SIDE = 1500
"""Larger pictures are reduced. Their longer side keeps at least this many pixels, so that small digits stay legible."""

PREVIEW_SIDE = 160
"""The longer side of a preview is at least this long. Normalization locates the digit in as many pixels."""

_STRIP_PIXELS = 2_000_000
"""Number of pixels reduced at a time, so that memory never holds a large picture twice."""

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow's mode L
_MIN_CONTRAST_GAIN = 1.5
"""Another grey replaces luma if its contrast is at least this many times larger."""
_COLOUR_SIDE = 64
"""Longer side in pixels of the reduced picture in which colours are compared."""
_GREY_STEP = 4
"""A picture is grey if every fourth pixel of every fourth row is. A coloured stroke is longer than that."""
_MAX_INK_DIFFERENCE = 32
"""Maximum difference in each channel between pixels of the same ink."""

# Formats that are recognized only to name them in the error: (offset, bytes, name).
_OTHER_FORMATS = (
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

_UPRIGHT = {  # EXIF 2.32, tag 0x0112: the operation that brings the stored picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_QUARTER_TURNS = tuple(_UPRIGHT[orientation] for orientation in (5, 6, 7, 8))


def read(file: Path) -> bytes:
    """Return the content of a picture file.

    Raises:
        InvalidImage: the file cannot be read.
        ImageTooLarge: the file is larger than decode_limits.MAX_DECODE_BYTES. Nothing of it was read.
    """
    try:
        with file.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > decode_limits.MAX_DECODE_BYTES:
                raise ImageTooLarge(
                    f"expected a file of at most {decode_limits.MAX_DECODE_BYTES} bytes, received {size}"
                )
            return stream.read()
    except OSError as exc:
        raise InvalidImage(f"cannot be read: {exc.strerror}") from exc


def open_picture(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Read a picture's header and check its declared size. No pixel is decoded yet.

    Args:
        data: the encoded picture, in one of FORMATS.
        max_pixels: maximum width times height. Values above 2 * MAX_PIXELS have no effect.

    Returns:
        The picture, for `to_grey`.

    Raises:
        InvalidImage: not a picture, a broken header, or decoding would take far longer than the pixels explain.
        UnsupportedImage: a known format that is not accepted.
        ImageTooLarge: the picture declares more than `max_pixels` pixels, or decoding it would take more than 150 MB.
            This allows 10 million pixels of WEBP, 37 million of another format in colour.
    """
    try:
        file = decode_limits.open_limited(data)
        picture = Image.open(file, formats=FORMATS)
        if picture.width * picture.height > max_pixels:
            raise ImageTooLarge(
                f"expected at most {max_pixels} pixels, received a picture of {picture.width}x{picture.height}"
            )
        decode_limits.check(picture, data)
        file.allow_pixel_reads()
    except Image.DecompressionBombError as exc:
        limit = min(max_pixels, 2 * MAX_PIXELS)
        raise ImageTooLarge(
            f"expected at most {limit} pixels, received a picture of more than {2 * MAX_PIXELS}"
        ) from exc
    except _BROKEN_FILE_ERRORS as exc:
        for offset, magic, name in _OTHER_FORMATS:
            if data[offset:].startswith(magic):
                raise UnsupportedImage(f"expected a {accepted_formats()} picture, received {name}") from exc
        raise InvalidImage(
            f"expected a {accepted_formats()} picture, received {len(data)} bytes that are not one"
        ) from exc
    return picture


def large_jpeg(picture: Image.Image) -> bytes | None:
    """Return the content of a large JPEG, which is worth decoding at a fraction of its size first, else None.

    Args:
        picture: from `open_picture`, with no pixel decoded.
    """
    file = picture.fp if isinstance(picture, JpegImageFile) else None
    if not isinstance(file, decode_limits.LimitedReader) or max(picture.size) < 2 * PREVIEW_SIDE:
        return None
    return file.getvalue()


def to_grey(picture: Image.Image, *, min_jpeg_side: int = REDUCED_SIDE) -> Grey:
    """Decode the first frame to upright grey pixels in which the ink is visible.

    A large picture is reduced by a whole number. Its longer side stays at least 1500 pixels. A JPEG is not even decoded
    at full size.

    Transparent pixels are placed on white. If all visible pixels have the same colour, the transparency itself is the
    picture: opaque pixels become 0 and clear pixels 255. Colours become luma, or, where luma has little contrast, the
    grey with the most contrast.

    Args:
        picture: from `open_picture`.
        min_jpeg_side: the longer side of a JPEG stays at least this long. It is decoded at a half, quarter or eighth.

    Returns:
        uint8 (height, width), 0 black, 255 white.

    Raises:
        InvalidImage: the pixel data is broken or cut short, or its mode has no defined grey (32-bit, Lab).
    """
    try:
        decode_limits.skip_exif_directories(picture)
        factor = _reduction(picture, min_jpeg_side)
        picture.draft(None, (max(1, picture.width // factor), max(1, picture.height // factor)))  # only JPEG has this
        picture.load()
        upright = _upright_operation(picture)
        grey = _flatten(_reduce(picture, _reduction(picture, REDUCED_SIDE)))
    except _BROKEN_FILE_ERRORS as exc:
        raise InvalidImage(f"expected a whole {picture.format} picture, received one that cannot be decoded") from exc
    if upright is not None:
        grey = grey.transpose(upright)
    return np.asarray(grey, dtype=np.uint8)


def upright_size(picture: Image.Image) -> tuple[int, int]:
    """Return the width and height of a picture as it is displayed, after the turn that its EXIF data asks for.

    Call this before `to_grey`, which may reduce a JPEG.
    """
    width, height = picture.size
    decode_limits.skip_exif_directories(picture)
    is_turned = _upright_operation(picture) in _QUARTER_TURNS
    return (height, width) if is_turned else (width, height)


def _upright_operation(picture: Image.Image) -> Image.Transpose | None:
    try:
        return _UPRIGHT.get(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except _BROKEN_FILE_ERRORS:  # broken EXIF: show the pixels as they are stored, as every viewer does
        return None


def _reduction(picture: Image.Image, min_side: int) -> int:
    """Return the whole number by which the picture may be reduced."""
    return max(1, max(picture.size) // min_side)


def _reduce(picture: Image.Image, factor: int) -> Image.Image:
    """Convert a picture of any mode to L, LA, RGB or RGBA and reduce it by the factor."""
    if factor == 1:
        return _to_plain_mode(picture)
    width, height = picture.size
    reduced_rows = max(1, _STRIP_PIXELS // (width * factor))
    rows = reduced_rows * factor
    strips = (
        _to_plain_mode(picture.crop((0, top, width, min(top + rows, height)))).reduce(factor)
        for top in range(0, height, rows)
    )
    first = next(strips)
    reduced = Image.new(first.mode, (first.width, -(-height // factor)))
    for index, strip in enumerate(chain([first], strips)):
        reduced.paste(strip, (0, index * reduced_rows))
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


def _flatten(picture: Image.Image) -> Image.Image:
    """Convert mode L, LA, RGB or RGBA to mode L."""
    if picture.mode in ("LA", "RGBA"):
        alpha = picture.getchannel("A")
        if _ink_is_in_alpha(picture):
            return ImageChops.invert(alpha)  # dark ink on white, as on paper; `normalize` inverts it
        paper = Image.new(picture.mode[:-1], picture.size, "white")
        paper.paste(picture.convert(paper.mode), mask=alpha)
        picture = paper
    return picture if picture.mode == "L" else _colour_to_grey(picture)


def _ink_is_in_alpha(picture: Image.Image) -> bool:
    """Return whether all visible pixels of an LA or RGBA picture have one colour, so that alpha shows the drawing."""
    alpha = picture.getchannel("A")
    lowest, highest = _extrema(alpha)
    if lowest == highest:
        return False
    visible = alpha.point([255 * (2 * value > highest) for value in range(256)])
    extrema = [_extrema(channel, visible) for channel in picture.split()[:-1]]
    return all(high - low <= _MAX_INK_DIFFERENCE for low, high in extrema)


def _extrema(channel: Image.Image, mask: Image.Image | None = None) -> tuple[int, int]:
    counts = np.flatnonzero(channel.histogram(mask))
    return int(counts[0]), int(counts[-1])


def _colour_to_grey(picture: Image.Image) -> Image.Image:
    """Convert RGB to luma, or to the grey along the colour axis with the most contrast if luma hardly shows the ink.

    Yellow on white differs by 29 in luma and by 255 in blue. The axis of most contrast is the first principal axis of
    the differences between neighbouring pixels.
    """
    factor = -(-max(picture.size) // _COLOUR_SIDE)
    if _is_grey(picture, step=min(factor, _GREY_STEP)):  # like most drawings
        return picture.convert("L")
    small = np.asarray(picture.reduce(factor) if factor > 1 else picture, dtype=np.float32)
    across, down = (small[:, 1:] - small[:, :-1]).reshape(-1, 3), (small[1:] - small[:-1]).reshape(-1, 3)
    scatter = across.T @ across + down.T @ down
    axis = np.linalg.eigh(scatter)[1][:, -1]
    axis *= np.sign(axis.sum() or 1.0) / np.abs(axis).sum()  # so that 0..255 stays a span of at most 255
    if axis @ scatter @ axis <= _MIN_CONTRAST_GAIN**2 * (_LUMA @ scatter @ _LUMA):
        return picture.convert("L")
    offset = -255 * float(axis[axis < 0].sum())
    weights = tuple(float(weight) for weight in axis)
    return picture.convert("L", (*weights, offset))


def _is_grey(picture: Image.Image, step: int) -> bool:
    """Return whether the three channels are equal in every `step`th pixel of every `step`th row."""
    size = max(1, picture.width // step), max(1, picture.height // step)
    sample = np.asarray(picture.resize(size, Image.Resampling.NEAREST))
    red, green, blue = sample[..., 0], sample[..., 1], sample[..., 2]
    return np.array_equal(red, green) and np.array_equal(red, blue)


def accepted_formats() -> str:
    """Return the formats as text: "PNG, JPEG, ... or TIFF"."""
    return ", ".join(FORMATS[:-1]) + " or " + FORMATS[-1]
