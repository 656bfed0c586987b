"""Large JPEG pictures are first decoded at a fraction of their size, which changes no answer."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.quality.families import enlarged, on_paper
from digits.errors import InvalidImage, NoInk, WrongSize
from digits.features import Grey
from digits.normalization.normalize import normalize
from digits.picture import SMALL_COPY_SIDE, Picture
from tests.conftest import Mnist, encoded

JPEG: dict[str, Any] = {"format": "JPEG", "quality": 90}
SIDE = 1280


@pytest.fixture(scope="module")
def photo(mnist: Mnist) -> Callable[..., Image.Image]:
    """Return a five on a page of 1280 pixels, whose field of 28x28 is `field` pixels wide."""
    five = mnist.pixels[mnist.labels == 5][0]

    def make(field: int) -> Image.Image:
        page = np.zeros((SIDE, SIDE))
        page[100 : 100 + field, 200 : 200 + field] = enlarged(five, field)
        return Image.fromarray(on_paper(page, paper=200, pen=60).astype(np.uint8))

    return make


def whole(data: bytes) -> Grey:
    """Normalize a picture without decoding it at a fraction of its size first."""
    pixels: Grey = normalize(Picture(data).grey()).pixels
    return pixels


def correlation(one: Grey, other: Grey) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def test_a_large_jpeg_can_be_decoded_at_a_fraction_of_its_size(photo: Callable[..., Image.Image]) -> None:
    data = encoded(photo(1000), **JPEG)
    picture = Picture(data)

    assert picture.is_large_jpeg
    assert picture.grey(min_jpeg_side=SMALL_COPY_SIDE).shape == (SMALL_COPY_SIDE, SMALL_COPY_SIDE)


@pytest.mark.parametrize(
    ("size", "options"),
    [
        pytest.param((SIDE, SIDE), {"format": "PNG"}, id="PNG"),
        pytest.param((2 * SMALL_COPY_SIDE - 1, 100), JPEG, id="a JPEG that is not large"),
    ],
)
def test_other_pictures_are_decoded_once(size: tuple[int, int], options: dict[str, Any]) -> None:
    assert not Picture(encoded(Image.new("L", size), **options)).is_large_jpeg


@pytest.mark.parametrize("options", [JPEG, {**JPEG, "progressive": True}], ids=["baseline", "progressive"])
def test_a_large_digit_comes_out_as_from_the_whole_picture(
    options: dict[str, Any], photo: Callable[..., Image.Image]
) -> None:
    data = encoded(photo(1000), **options)

    normalized = Picture(data).prepare("auto")

    assert correlation(normalized.pixels, whole(data)) > 0.95
    assert normalized.steps == ("inverted", "cropped", "centered")


@pytest.mark.parametrize("field", [60, 150, 300])
def test_a_small_digit_is_read_from_the_whole_picture(field: int, photo: Callable[..., Image.Image]) -> None:
    data = encoded(photo(field), **JPEG)

    normalized = Picture(data).prepare("auto")

    np.testing.assert_array_equal(normalized.pixels, whole(data))


def test_a_rotated_photo_becomes_upright(photo: Callable[..., Image.Image]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    rotated = encoded(photo(1000).transpose(Image.Transpose.ROTATE_90), exif=exif, **JPEG)

    normalized = Picture(rotated).prepare("auto")

    assert correlation(normalized.pixels, whole(encoded(photo(1000), **JPEG))) > 0.95


def test_a_blank_photo_has_no_ink() -> None:
    with pytest.raises(NoInk):
        Picture(encoded(Image.new("L", (SIDE, SIDE), 200), **JPEG)).prepare("auto")


def test_a_photo_cut_short_is_refused(photo: Callable[..., Image.Image]) -> None:
    data = encoded(photo(1000), **JPEG)

    with pytest.raises(InvalidImage, match="expected a whole JPEG picture"):
        Picture(data[: len(data) // 2]).prepare("auto")


def test_never_reports_the_size_of_the_whole_picture(photo: Callable[..., Image.Image]) -> None:
    with pytest.raises(WrongSize, match="received 1280x1280"):
        Picture(encoded(photo(1000), **JPEG)).prepare("never")
