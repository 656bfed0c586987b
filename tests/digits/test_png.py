"""OpenCV decodes the usual PNG files to the same pixels as Pillow. Pillow decodes or refuses the others."""

import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image

from digits.errors import ImageTooLarge, InvalidImage
from digits.features import Grey
from digits.picture import Picture
from digits.pictures.decode import MAX_PIXELS, REDUCED_SIDE, decode_png, decode_tiny_png, open_image, upright_grey
from tests.conftest import Mnist, encoded
from tests.picture_files import png, png_chunk

ROWS = b"".join(bytes([filter_]) + bytes(range(28)) for filter_ in [0, 1, 2, 3, 4] * 5 + [0, 1, 2])
"""28 filtered rows, with every filter."""


def ordinary(data: bytes) -> Grey:
    return upright_grey(open_image(data, MAX_PIXELS), REDUCED_SIDE)


def idat(stream: bytes) -> bytes:
    return png(28, 28, rows=stream)


def rgb(bits: int, filters: bytes, *between: bytes) -> bytes:
    """Make a PNG in RGB, with one row of the same bytes for each filter."""
    row = bytes(range(7, 7 + 3 * 28 * bits // 8))
    rows = b"".join(bytes([filter_]) + row for filter_ in filters)
    return png(28, len(filters), *between, bits=bits, colour=2, rows=zlib.compress(rows))


EXIF = Image.Exif()
EXIF[0x0112] = 6
RAMP = np.arange(784, dtype=np.uint32).reshape(28, 28).astype(np.uint8)
PHOTO = np.random.default_rng(0).integers(0, 256, (300, 200, 3), dtype=np.uint8)
DAMAGED = encoded(PHOTO)[:5000] + b"\0" + encoded(PHOTO)[5001:]
WRONG_CHECKSUM = encoded(RAMP)[:-16] + b"\0" * 4 + encoded(RAMP)[-12:]
STREAM = zlib.compress(ROWS)


def by_opencv(pixels: Grey) -> bytes:
    data: bytes = cv2.imencode(".png", pixels)[1].tobytes()
    return data


@pytest.mark.parametrize("encode", [pytest.param(encoded, id="Pillow"), pytest.param(by_opencv, id="OpenCV")])
def test_real_digits_come_out_unchanged(encode: Callable[[Grey], bytes], mnist: Mnist) -> None:
    for pixels in mnist.pixels[::500]:
        decoded = decode_tiny_png(encode(pixels))

        assert decoded is not None
        np.testing.assert_array_equal(decoded, pixels)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(idat(zlib.compress(ROWS)), id="every filter"),
        pytest.param(idat(zlib.compress(ROWS + b"\0" * 5000)), id="too many rows"),
        pytest.param(idat(zlib.compress(ROWS) + b"more"), id="bytes after the compressed data"),
        pytest.param(idat(zlib.compress(ROWS)[:-4]), id="compressed data without its checksum"),
        pytest.param(idat(zlib.compress(ROWS[:-29])), id="a row missing"),
    ],
)
def test_unusual_data_gives_the_same_pixels(data: bytes) -> None:
    np.testing.assert_array_equal(Picture(data).grey(), ordinary(data))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(idat(zlib.compress(ROWS)[:20]), id="compressed data cut short"),
        pytest.param(idat(zlib.compress(ROWS)[:-1] + b"\0"), id="compressed data with a wrong checksum"),
        pytest.param(png(28, 28)[:-20], id="a file cut short"),
        pytest.param(DAMAGED, id="a changed byte"),
        pytest.param(png(28, 28, colour=2, rows=zlib.compress(ROWS)), id="rows missing"),
    ],
)
def test_damaged_files_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidImage):
        Picture(data).grey()


@pytest.mark.parametrize("data", [DAMAGED, WRONG_CHECKSUM], ids=["300x200", "28x28"])
def test_a_file_with_a_wrong_checksum_does_not_reach_libpng(data: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with suppress(InvalidImage):
        Picture(data).grey()

    assert capfd.readouterr().err == ""  # libpng reports damage on stderr


def test_a_28x28_png_counts_its_pixels_too() -> None:
    data = encoded(RAMP)

    assert Picture(data, max_pixels=784).size == (28, 28)
    with pytest.raises(ImageTooLarge, match="expected at most 783 pixels, received a picture of 28x28"):
        Picture(data, max_pixels=783)


def by_pillow_alone(data: bytes) -> Grey:
    with Image.open(BytesIO(data)) as picture:
        return np.asarray(picture)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encoded(PHOTO), id="RGB"),
        pytest.param(encoded(PHOTO[..., 0]), id="grey"),
        pytest.param(rgb(8, bytes([0, 1, 2, 3, 4] * 8)), id="RGB, every filter"),
        pytest.param(rgb(16, bytes([0, 1, 2, 3, 4] * 8)), id="RGB, 16 bits"),
        pytest.param(rgb(8, b"\0", png_chunk(b"gAMA", struct.pack(">I", 100000))), id="gAMA"),
        pytest.param(png(28, 28, bits=4, rows=zlib.compress(b"\0\x12\x34\x56\x78" * 90)), id="grey, 4 bits"),
        pytest.param(png(28, 28, bits=2, rows=zlib.compress(b"\1\x12\x34\x56\x78\x9a\xbc\xde" * 28)), id="2 bits"),
    ],
)
def test_png_files_of_any_size_give_the_pixels_that_pillow_decodes(data: bytes) -> None:
    decoded = decode_png(open_image(data, MAX_PIXELS))

    assert decoded is not None
    np.testing.assert_array_equal(decoded, by_pillow_alone(data))


def by_opencv_alone(data: bytes) -> Grey | None:
    return decode_png(open_image(data, MAX_PIXELS))


@pytest.mark.parametrize(
    ("decode", "data"),
    [
        *(
            pytest.param(by_opencv_alone, encoded(Image.fromarray(PHOTO).convert(mode)), id=mode)
            for mode in ("1", "P", "LA", "RGBA", "I;16")
        ),
        pytest.param(by_opencv_alone, encoded(PHOTO, transparency=(0, 0, 0)), id="tRNS"),
        pytest.param(by_opencv_alone, encoded(PHOTO, exif=EXIF), id="eXIf"),
        pytest.param(by_opencv_alone, encoded(PHOTO, format="JPEG"), id="JPEG"),
        pytest.param(by_opencv_alone, encoded(PHOTO) + b"\n", id="a byte after the end"),
        pytest.param(decode_tiny_png, encoded(RAMP, transparency=0), id="28x28, tRNS"),
        pytest.param(decode_tiny_png, encoded(RAMP, exif=EXIF), id="28x28, eXIf"),
        pytest.param(decode_tiny_png, png(28, 28, png_chunk(b"gAMA", struct.pack(">I", 45455))), id="28x28, gAMA"),
        pytest.param(decode_tiny_png, encoded(Image.fromarray(RAMP).convert("RGB")), id="28x28, RGB"),
        pytest.param(decode_tiny_png, encoded(RAMP[:27]), id="28x27"),
        pytest.param(decode_tiny_png, WRONG_CHECKSUM, id="28x28, a wrong checksum of IDAT"),
        pytest.param(decode_tiny_png, png(28, 28, png_chunk(b"IDAT", STREAM[:9]), rows=STREAM[9:]), id="two IDATs"),
    ],
)
def test_pillow_decodes_other_pictures(decode: Callable[[bytes], Grey | None], data: bytes) -> None:
    assert decode(data) is None
    assert ordinary(data).size > 0
