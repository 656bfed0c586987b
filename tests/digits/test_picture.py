"""An encoded picture becomes the network's input, or is refused with the reason, within its limits."""

import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from benchmarks.quality.families import enlarged, on_paper
from digits.errors import ImageTooLarge, InvalidImage, UnsupportedImage
from digits.features import Grey
from digits.normalization.normalize import normalize
from digits.normalization.resize import resize
from digits.picture import Picture, read_file
from digits.pictures.decode import FORMATS
from tests.conftest import Mnist, encoded, fresh_python
from tests.picture_files import bmp, gif, grey_tiff, jpeg, png, png_chunk, webp

HEIC = Path(__file__).parent / "pictures"

WIDTH, HEIGHT = 32, 24
RAMP: Grey = (np.add.outer(7 * np.arange(HEIGHT), 2 * np.arange(WIDTH)) % 256).astype(np.uint8)
"""A grey picture without symmetry, so that every rotation and flip is visible."""

GREY = Image.fromarray(RAMP)
HALF: Grey = np.where(np.arange(WIDTH) < WIDTH // 2, 255, 0).astype(np.uint8)[None].repeat(HEIGHT, axis=0)
"""An alpha channel: the left half is opaque, the right half transparent."""
ON_WHITE = np.where(HALF == 255, RAMP, 255)
RAMP_WITHOUT_ZERO = np.where(RAMP == 0, 255, RAMP)
BLACK_AND_WHITE = np.where(RAMP > 127, 255, 0).astype(np.uint8)

RGB = GREY.convert("RGB")
RGBA = Image.merge("RGBA", [GREY, GREY, GREY, Image.fromarray(HALF)])
LA = Image.merge("LA", [GREY, Image.fromarray(HALF)])
ONE = Image.fromarray(BLACK_AND_WHITE).convert("1")
PALETTE = Image.fromarray(RAMP // 16)  # 16 colours, index = grey / 16
PALETTE.putpalette([index * 16 for index in range(16) for _ in "RGB"])
SIXTEEN_BIT = Image.fromarray(RAMP.astype(np.uint16) * 257)
CMYK = RGB.convert("CMYK")

STEPS = RAMP // 16 * 16
STEPS_WITHOUT_ZERO = np.where(STEPS == 0, 255, STEPS)

JPEG: dict[str, Any] = {"format": "JPEG", "quality": 95}
WEBP: dict[str, Any] = {"format": "WEBP", "lossless": True}
BMP, GIF, TIFF = ({"format": name} for name in ("BMP", "GIF", "TIFF"))

EXACT, JPEG_LOSS = 0, 6
"""Maximum difference of grey values."""


def grey(data: bytes) -> Grey:
    return Picture(data).grey()


def oriented(stored: Image.Image, orientation: int, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(stored, exif=exif, **options)


SECOND_FRAME = {"save_all": True, "append_images": [RGB.rotate(180)]}
SECOND_PAGE = {"save_all": True, "append_images": [GREY.rotate(180)]}
MPO: dict[str, Any] = {"format": "MPO", "quality": 95, **SECOND_FRAME}
CLEAR_FIRST = {"transparency": b"\0" + b"\xff" * 15}
NO_EXIF = b"Exif\0\0no TIFF header"

VALUES = Image.fromarray(np.array([[0, 255, 256, 32767, 65535]], dtype=np.uint16))
STRIPES = np.array([[[0] * 3, [255] * 3, [0] * 3, [255] * 3, [0] * 3, *(255 * np.eye(3))]], dtype=np.uint8)
HALF_CLEAR = Image.new("RGBA", (1, 1), (0, 0, 0, 128))
WHITE_INK = Image.merge("RGBA", [Image.new("L", GREY.size, 255)] * 3 + [Image.fromarray(HALF)])


def big_endian(picture: Image.Image) -> bytes:
    """Encode 16-bit grey as a big-endian TIFF, which Pillow does not write."""
    swapped = np.frombuffer(picture.tobytes(), "<u2").astype(">u2").tobytes()
    values = {256: WIDTH, 257: HEIGHT, 258: 16, 259: 1, 262: 1, 273: 122, 277: 1, 278: HEIGHT, 279: len(swapped)}
    tags = b"".join(struct.pack(">HHII", tag, 4, 1, value) for tag, value in values.items())
    return struct.pack(">2sHIH", b"MM", 42, 8, len(values)) + tags + b"\0" * 4 + swapped


class TestGreyValues:
    @pytest.mark.parametrize(
        ("data", "expected", "tolerance"),
        [
            pytest.param(encoded(GREY), RAMP, EXACT, id="PNG, grey"),
            pytest.param(encoded(RGB), RAMP, EXACT, id="PNG, RGB"),
            pytest.param(encoded(PALETTE, **CLEAR_FIRST), STEPS_WITHOUT_ZERO, EXACT, id="PNG, palette with alpha"),
            pytest.param(encoded(GREY, transparency=0), RAMP_WITHOUT_ZERO, EXACT, id="PNG, clear grey value"),
            pytest.param(encoded(RGBA), ON_WHITE, EXACT, id="PNG, RGB with alpha"),
            pytest.param(encoded(CMYK, **JPEG), RAMP, JPEG_LOSS, id="JPEG, CMYK"),
            pytest.param(encoded(RGB, **MPO), RAMP, JPEG_LOSS, id="JPEG of a phone, with two pictures: first picture"),
            pytest.param(encoded(RGBA, **WEBP), ON_WHITE, EXACT, id="WEBP, with alpha"),
            pytest.param(encoded(RGBA, **BMP), RAMP, EXACT, id="BMP, whose fourth byte is not alpha"),
            pytest.param(encoded(PALETTE, **GIF, **SECOND_FRAME), STEPS, EXACT, id="GIF, animated: first frame"),
            pytest.param(encoded(ONE, **TIFF, compression="group4"), BLACK_AND_WHITE, EXACT, id="TIFF, fax"),
            pytest.param(encoded(LA, **TIFF), ON_WHITE, EXACT, id="TIFF, grey with alpha"),
            pytest.param(encoded(SIXTEEN_BIT, **TIFF), RAMP, EXACT, id="TIFF, 16 bit"),
            pytest.param(encoded(GREY, **TIFF, big_tiff=True), RAMP, EXACT, id="BigTIFF"),
            pytest.param(encoded(GREY, **TIFF, **SECOND_PAGE), RAMP, EXACT, id="TIFF, several pages: first page"),
            pytest.param(big_endian(SIXTEEN_BIT), RAMP, EXACT, id="TIFF, 16 bit, big-endian"),
            pytest.param(encoded(WHITE_INK), 255 - HALF, EXACT, id="ink that is alpha is dark whatever its colour"),
            pytest.param(encoded(HALF_CLEAR), [[127]], EXACT, id="half transparent black"),
            pytest.param(encoded(VALUES), [[0, 0, 1, 127, 255]], EXACT, id="16 bit"),
            pytest.param(encoded(STRIPES), [[0, 255, 0, 255, 0, 76, 150, 29]], EXACT, id="colours, by ITU-R BT.601"),
        ],
    )
    def test_every_format_and_mode_becomes_grey(self, data: bytes, expected: Any, tolerance: int) -> None:
        pixels = grey(data)

        assert pixels.dtype == np.uint8
        np.testing.assert_allclose(pixels.astype(int), np.asarray(expected, int), rtol=0, atol=tolerance)

    @pytest.mark.parametrize(
        ("ground", "ink", "side"),
        [("white", "yellow", 200), ("white", "#ffffc0", 200), ("black", "blue", 200), ("red", "#008200", 1400)],
    )
    def test_ink_of_little_luma_contrast_becomes_visible(self, ground: str, ink: str, side: int) -> None:
        picture = Image.new("RGB", (side, side), ground)
        picture.paste(ink, (51, 21, 55, 80))
        luma = np.ptp(np.asarray(picture.convert("L")))

        pixels = grey(encoded(picture))

        assert np.ptp(pixels) > 1.5 * luma


class TestOrientation:
    # By orientation: how the upright picture is stored.
    stored: dict[int, Callable[[Image.Image], Image.Image]] = {  # noqa: RUF012
        1: lambda upright: upright,
        2: ImageOps.mirror,
        3: lambda upright: upright.rotate(180),
        4: ImageOps.flip,
        5: lambda upright: upright.transpose(Image.Transpose.TRANSPOSE),
        6: lambda upright: upright.rotate(90, expand=True),
        7: lambda upright: upright.transpose(Image.Transpose.TRANSVERSE),
        8: lambda upright: upright.rotate(270, expand=True),
    }

    @pytest.mark.parametrize("options", [{}, WEBP, TIFF], ids=["PNG", "WEBP", "TIFF"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_a_rotated_picture_becomes_upright(self, orientation: int, options: dict[str, Any]) -> None:
        data = oriented(self.stored[orientation](GREY), orientation, **options)

        np.testing.assert_array_equal(grey(data), RAMP)

    @pytest.mark.parametrize(
        "data",
        [oriented(GREY, 0), oriented(GREY, 9), encoded(RGB, exif=NO_EXIF), encoded(RGB, exif=NO_EXIF, **WEBP)],
        ids=["orientation 0", "orientation 9", "broken Exif in PNG", "broken Exif in WEBP"],
    )
    def test_undefined_orientations_and_broken_exif_leave_the_picture_as_stored(self, data: bytes) -> None:
        np.testing.assert_array_equal(grey(data), RAMP)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        pytest.param((2999, 1000), (2999, 1000), id="unchanged"),
        pytest.param((3000, 1001), (1500, 501), id="by half"),
        pytest.param((1000, 4600), (334, 1534), id="to a third"),
        pytest.param((6000, 1), (1500, 1), id="a line"),
    ],
)
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_large_pictures_are_reduced_by_a_whole_number_to_no_less_than_1500_pixels_on_the_longer_side(
    mode: str, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    picture = Image.new("RGBA", size, "white")
    picture.paste("black", (size[0] // 2, size[1] // 2, size[0], size[1]))
    whole = picture.convert("L").convert("I;16") if mode == "I;16" else picture.convert(mode)

    grey = Picture(encoded(whole)).grey()

    assert grey.shape[::-1] == expected
    assert grey.dtype == np.uint8
    if mode != "I;16":  # 255 of 65535 is nearly black
        assert grey[0, 0] >= 253  # a palette is made by rounding
        assert grey[-1, -1] <= 2


PROGRESSIVE: dict[str, Any] = {"progressive": True, "subsampling": 0}


class TestLimits:
    @pytest.mark.parametrize("declaring", [png, gif, bmp, grey_tiff, webp, jpeg])
    @pytest.mark.parametrize(
        ("width", "height", "refused"), [(40, 25, False), (77, 13, True)], ids=["the limit itself", "one pixel over"]
    )
    def test_the_declared_size_must_be_within_the_limit(
        self, declaring: Callable[[int, int], bytes], width: int, height: int, *, refused: bool
    ) -> None:
        data = declaring(width, height)

        if refused:
            with pytest.raises(ImageTooLarge, match="expected at most 1000 pixels, received a picture of 77x13"):
                Picture(data, max_pixels=1000)
        else:
            assert Picture(data, max_pixels=1000).size == (width, height)

    @pytest.mark.parametrize(
        ("make", "height", "most"),
        [
            pytest.param(lambda height: png(7500, height, colour=2), 5000, 37_500_000, id="PNG in colour"),
            pytest.param(lambda height: bmp(7500, height), 5000, 37_500_000, id="BMP"),
            pytest.param(lambda height: webp(4000, height), 2500, 10_000_000, id="WEBP"),
            pytest.param(lambda height: jpeg(8000, height, **PROGRESSIVE), 3125, 25_000_000, id="JPEG, progressive"),
        ],
    )
    def test_a_picture_may_take_150_mb(self, make: Callable[[int], bytes], height: int, most: int) -> None:
        assert Picture(make(height)).pixel_count == most
        with pytest.raises(ImageTooLarge, match=f"at most {most} pixels in a [A-Z]+ of this kind, which takes 150 MB"):
            Picture(make(height + 1))

    def test_a_side_has_at_most_65535_pixels(self) -> None:
        assert Picture(png(1, 65_535)).size == (1, 65_535)
        with pytest.raises(ImageTooLarge, match="at most 65535 pixels per side, received a picture of 1x65536"):
            Picture(png(1, 65_536))


class TestRefusals:
    @pytest.mark.parametrize(
        ("data", "name"),
        [
            pytest.param(encoded(RGB, format="AVIF"), "AVIF", id="AVIF"),
            pytest.param(b"%PDF-1.7\n", "PDF", id="PDF"),
            pytest.param(b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG", id="SVG"),
            pytest.param(encoded(RGB, format="ICO"), "ICO", id="ICO"),
            pytest.param(b"8BPS\0\1", "Photoshop", id="Photoshop"),
            pytest.param(b"\xff\x0a\0\0", "JPEG XL", id="JPEG XL"),
            pytest.param(encoded(RGB, format="JPEG2000"), "JPEG 2000", id="JPEG 2000"),
        ],
    )
    def test_another_format_is_refused_by_its_name(self, data: bytes, name: str) -> None:
        expected = f"expected a PNG, JPEG, WEBP, BMP, GIF, TIFF or HEIF picture, received {name}"

        with pytest.raises(UnsupportedImage, match=re.escape(expected)):
            Picture(data)

    @pytest.mark.parametrize(
        "data",
        [b"", b"seven", b"\0" * 784, encoded(RGB, format="PPM"), b"\x89PNG\r\n\x1a\n", b"II*\0"],
        ids=["no bytes", "text", "raw pixels", "an uncommon format", "the begin of a PNG", "the begin of a TIFF"],
    )
    def test_other_bytes_are_refused_with_the_accepted_formats(self, data: bytes) -> None:
        expected = f"GIF, TIFF or HEIF picture, received {len(data)} bytes that are not one"

        with pytest.raises(InvalidImage, match=expected):
            Picture(data)

    @pytest.mark.parametrize("format_", FORMATS)
    @pytest.mark.parametrize("share", [0.5, 0.9])
    def test_a_picture_cut_short_is_refused(self, format_: str, share: float, mnist: Mnist) -> None:
        data = encoded(mnist.pixels[:400:20].reshape(-1, 28), format=format_)

        with pytest.raises(InvalidImage):
            grey(data[: int(len(data) * share)])


class TestDamagedPictures:
    def test_damaged_pictures_give_a_digit_or_a_named_error(self) -> None:
        ran = fresh_python("-m", "tests.digits.pictures.fuzz", "60", timeout_seconds=240)

        assert ran.returncode == 0, ran.stdout + ran.stderr

    def test_metadata_that_crash_the_decoder_of_heif_are_not_read(self) -> None:
        file = HEIC / "broken-metadata.heic"
        read = "import sys, digits.picture as picture; picture.Picture(open(sys.argv[1], 'rb').read()).grey()"

        ran = fresh_python("-c", read, file)  # a crash ends its process

        assert ran.returncode == 1
        assert "InvalidImage: expected a whole HEIF picture" in ran.stderr

    def test_a_heif_of_too_many_pixels_is_refused_before_they_are_decoded(self) -> None:
        data = (HEIC / "seven.heic").read_bytes()
        at = data.index(b"ispe") + 8
        large = data[:at] + struct.pack(">II", 5000, 4000) + data[at + 8 :]

        with pytest.raises(ImageTooLarge, match="in a HEIF of this kind, which takes 150 MB"):
            Picture(large)

    def test_a_heif_of_tiles_is_read_unless_it_repeats_large_ones(self) -> None:
        data = (HEIC / "tiles.heic").read_bytes()
        tile = b"ispe" + bytes(4) + struct.pack(">II", 64, 64)
        assert Picture(data).grey().shape == (164, 140)

        with pytest.raises(InvalidImage, match="received one that repeats large ones"):
            Picture(data.replace(tile, tile[:8] + struct.pack(">II", 1400, 1640)))

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(png(28, 28, colour=3), id="a palette PNG without its palette (AssertionError)"),
            pytest.param(b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", b"\0" * 4), id="a short header (ValueError)"),
            pytest.param(grey_tiff(28, 28, offset_type=11), id="a TIFF whose offset is a float (TypeError)"),
            pytest.param(gif(0, 0, frame=(0, 0)), id="a GIF of 0x0"),
            pytest.param(encoded(Image.fromarray(RAMP.astype(np.float32)), **TIFF), id="32-bit floats"),
        ],
    )
    def test_other_broken_and_strange_pictures_are_refused(self, data: bytes) -> None:
        with pytest.raises(InvalidImage):
            grey(data)


def test_a_file_longer_than_any_picture_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("digits.picture.MAX_DECODE_BYTES", 1000)
    (tmp_path / "picture").write_bytes(b"x" * 1000)
    (tmp_path / "film").write_bytes(b"x" * 1001)

    assert len(read_file(tmp_path / "picture")) == 1000
    with pytest.raises(ImageTooLarge, match="expected a file of at most 1000 bytes, received 1001"):
        read_file(tmp_path / "film")


def test_a_pipe_is_refused_without_waiting_for_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "picture.png")

    with pytest.raises(InvalidImage, match="cannot be read: Not a regular file"):
        read_file(tmp_path / "picture.png")


@pytest.fixture(scope="module")
def photo(mnist: Mnist) -> Callable[..., Image.Image]:
    """Return a five on a page of 1280 pixels, whose field of 28x28 is `field` pixels wide."""
    five = mnist.pixels[mnist.labels == 5][0]

    def make(field: int) -> Image.Image:
        page = np.zeros((1280, 1280))
        page[100 : 100 + field, 200 : 200 + field] = enlarged(five, field)
        return Image.fromarray(on_paper(page, paper=200, pen=60).astype(np.uint8))

    return make


class TestLargeJpeg:
    """A large JPEG is first decoded at a fraction of its size, which changes no answer."""

    @pytest.mark.parametrize("progressive", [False, True])
    def test_a_large_digit_comes_out_upright_as_from_the_whole_picture(
        self, progressive: bool, photo: Callable[..., Image.Image]
    ) -> None:
        options = JPEG | {"progressive": progressive}
        rotated = oriented(photo(1000).transpose(Image.Transpose.ROTATE_90), 6, **options)

        normalized, whole = Picture(rotated).prepare("auto"), normalize(grey(encoded(photo(1000), **options)))

        assert np.corrcoef(normalized.pixels.ravel(), whole.pixels.ravel())[0, 1] > 0.95
        assert normalized.steps == ("inverted", "cropped", "centered")

    def test_a_small_digit_is_read_from_the_whole_picture(self, photo: Callable[..., Image.Image]) -> None:
        data = encoded(photo(150), **JPEG)

        np.testing.assert_array_equal(Picture(data).prepare("auto").pixels, normalize(grey(data)).pixels)


class TestResize:
    """A model that asks for it gets pictures that are only fitted into 28x28."""

    def test_a_28x28_picture_stays_as_it_is(self) -> None:
        picture = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)

        resized = resize(picture)

        assert resized.pixels is picture
        assert resized.steps == ()

    def test_a_wide_picture_keeps_its_aspect_ratio_and_its_paper(self) -> None:
        picture = np.full((50, 100), 200, dtype=np.uint8)
        picture[20:30, 40:60] = 10

        resized = resize(picture)

        assert resized.steps == ("resized",)
        assert (resized.pixels[[0, 6, 21, 27]] == 200).all()
        rows, columns = np.nonzero(resized.pixels < 100)
        assert np.ptp(rows) + 1 == pytest.approx(2.8, abs=1)
        assert np.ptp(columns) + 1 == pytest.approx(5.6, abs=1)
