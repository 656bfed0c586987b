"""OpenCV decodes the usual 28x28 PNG files to the same pixels as Pillow. Pillow decodes or refuses the others."""

import zlib
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

from digits.errors import InvalidImage
from digits.features import Grey
from digits.picture import Picture
from digits.pictures.decode import MAX_PIXELS, REDUCED_SIDE, open_image, upright_grey
from tests.conftest import encoded
from tests.picture_files import png, png_chunk

ROWS = b"".join(bytes([filter_]) + bytes(range(28)) for filter_ in [0, 1, 2, 3, 4] * 5 + [0, 1, 2])
"""28 filtered rows, with every filter."""


def ordinary(data: bytes) -> Grey:
    return upright_grey(open_image(data, MAX_PIXELS), REDUCED_SIDE)


def idat(stream: bytes) -> bytes:
    return png(28, 28, rows=stream)


RAMP = np.arange(784, dtype=np.uint32).reshape(28, 28).astype(np.uint8)
PHOTO = np.random.default_rng(0).integers(0, 256, (300, 200, 3), dtype=np.uint8)
DAMAGED = encoded(PHOTO)[:5000] + b"\0" + encoded(PHOTO)[5001:]
WRONG_CHECKSUM = encoded(RAMP)[:-16] + b"\0" * 4 + encoded(RAMP)[-12:]
STREAM = zlib.compress(ROWS)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(idat(STREAM), id="every filter"),
        pytest.param(idat(zlib.compress(ROWS + b"\0" * 5000)), id="too many rows"),
        pytest.param(idat(STREAM[:-4]), id="compressed data without its checksum"),
        pytest.param(idat(zlib.compress(ROWS[:-29])), id="a row missing"),
        pytest.param(png(28, 28, png_chunk(b"IDAT", STREAM[:9]), rows=STREAM[9:]), id="two IDATs"),
        pytest.param(encoded(RAMP, transparency=0), id="tRNS"),
        pytest.param(encoded(Image.fromarray(RAMP).convert("RGB")), id="RGB"),
        pytest.param(encoded(RAMP[:27]), id="28x27"),
        pytest.param(WRONG_CHECKSUM, id="a wrong checksum of IDAT"),
    ],
)
def test_every_file_gives_the_pixels_that_pillow_decodes(data: bytes) -> None:
    np.testing.assert_array_equal(Picture(data).grey(), ordinary(data))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(idat(STREAM[:20]), id="compressed data cut short"),
        pytest.param(idat(STREAM[:-1] + b"\0"), id="compressed data with a wrong checksum"),
        pytest.param(png(28, 28)[:-20], id="a file cut short"),
        pytest.param(DAMAGED, id="a changed byte"),
        pytest.param(png(28, 28, colour=2, rows=STREAM), id="rows missing"),
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
