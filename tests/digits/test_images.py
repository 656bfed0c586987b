"""Pictures of every accepted format become upright grey pixels, and other bytes are refused."""

import re
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from digits.errors import ImageTooLarge, InvalidImage, UnsupportedImage
from digits.features import Grey
from digits.normalization.normalize import normalize
from digits.picture import Picture, read_file
from digits.pictures.decode import FORMATS, MAX_PIXELS, REDUCED_SIDE, open_image, upright_grey
from digits.pictures.decode_limits import MAX_DECODE_BYTES
from tests.conftest import Mnist, encoded, fresh_python
from tests.picture_files import bmp, gif, grey_tiff, jpeg, png, png_chunk, webp

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

EXACT, JPEG_LOSS, WEBP_LOSS = 0, 6, 10
"""Maximum difference of grey values."""


def grey(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Grey:
    return Picture(data, max_pixels=max_pixels).grey()


def oriented(stored: Image.Image, orientation: int, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(stored, exif=exif, **options)


SECOND_FRAME = {"save_all": True, "append_images": [RGB.rotate(180)]}


class TestGreyValues:
    @pytest.mark.parametrize(
        ("picture", "options", "expected", "tolerance"),
        [
            pytest.param(GREY, {}, RAMP, EXACT, id="PNG, grey"),
            pytest.param(ONE, {}, BLACK_AND_WHITE, EXACT, id="PNG, black and white"),
            pytest.param(RGB, {}, RAMP, EXACT, id="PNG, RGB"),
            pytest.param(PALETTE, {}, STEPS, EXACT, id="PNG, palette"),
            pytest.param(PALETTE, {"transparency": 0}, STEPS_WITHOUT_ZERO, EXACT, id="PNG, clear palette entry"),
            pytest.param(
                PALETTE,
                {"transparency": b"\0" + b"\xff" * 15},
                STEPS_WITHOUT_ZERO,
                EXACT,
                id="PNG, an alpha value for every palette entry",
            ),
            pytest.param(RGB, {"transparency": (0, 0, 0)}, RAMP_WITHOUT_ZERO, EXACT, id="PNG, clear RGB value"),
            pytest.param(GREY, {"transparency": 0}, RAMP_WITHOUT_ZERO, EXACT, id="PNG, clear grey value"),
            pytest.param(LA, {}, ON_WHITE, EXACT, id="PNG, grey with alpha"),
            pytest.param(RGBA, {}, ON_WHITE, EXACT, id="PNG, RGB with alpha"),
            pytest.param(SIXTEEN_BIT, {}, RAMP, EXACT, id="PNG, 16 bit"),
            pytest.param(RGB, SECOND_FRAME, RAMP, EXACT, id="PNG, animated: first frame"),
            pytest.param(GREY, JPEG, RAMP, JPEG_LOSS, id="JPEG, grey"),
            pytest.param(RGB, JPEG, RAMP, JPEG_LOSS, id="JPEG, RGB"),
            pytest.param(RGB, {**JPEG, "progressive": True}, RAMP, JPEG_LOSS, id="JPEG, progressive"),
            pytest.param(CMYK, JPEG, RAMP, JPEG_LOSS, id="JPEG, CMYK"),
            pytest.param(
                RGB,
                {"format": "MPO", "quality": 95, **SECOND_FRAME},
                RAMP,
                JPEG_LOSS,
                id="JPEG with two pictures, as phones make them: first picture",
            ),
            pytest.param(RGB, WEBP, RAMP, EXACT, id="WEBP, lossless"),
            pytest.param(RGBA, WEBP, ON_WHITE, EXACT, id="WEBP, with alpha"),
            pytest.param(RGB, {"format": "WEBP", "quality": 100}, RAMP, WEBP_LOSS, id="WEBP, lossy"),
            pytest.param(RGB, {**WEBP, **SECOND_FRAME}, RAMP, EXACT, id="WEBP, animated: first frame"),
            pytest.param(GREY, BMP, RAMP, EXACT, id="BMP, grey"),
            pytest.param(ONE, BMP, BLACK_AND_WHITE, EXACT, id="BMP, black and white"),
            pytest.param(RGB, BMP, RAMP, EXACT, id="BMP, RGB"),
            pytest.param(PALETTE, BMP, STEPS, EXACT, id="BMP, palette"),
            pytest.param(RGBA, BMP, RAMP, EXACT, id="BMP, whose fourth byte is not alpha"),
            pytest.param(GREY, GIF, RAMP, EXACT, id="GIF, grey"),
            pytest.param(PALETTE, GIF, STEPS, EXACT, id="GIF, palette"),
            pytest.param(PALETTE, {**GIF, "transparency": 0}, STEPS_WITHOUT_ZERO, EXACT, id="GIF, clear palette entry"),
            pytest.param(PALETTE, {**GIF, **SECOND_FRAME}, STEPS, EXACT, id="GIF, animated: first frame"),
            pytest.param(GREY, TIFF, RAMP, EXACT, id="TIFF, grey"),
            pytest.param(ONE, {**TIFF, "compression": "group4"}, BLACK_AND_WHITE, EXACT, id="TIFF, fax"),
            pytest.param(RGB, TIFF, RAMP, EXACT, id="TIFF, RGB"),
            pytest.param(RGB, {**TIFF, "compression": "tiff_lzw"}, RAMP, EXACT, id="TIFF, RGB, LZW"),
            pytest.param(RGB, {**TIFF, "compression": "tiff_adobe_deflate"}, RAMP, EXACT, id="TIFF, RGB, ZIP"),
            pytest.param(PALETTE, {**TIFF, "compression": "packbits"}, STEPS, EXACT, id="TIFF, palette"),
            pytest.param(LA, TIFF, ON_WHITE, EXACT, id="TIFF, grey with alpha"),
            pytest.param(RGBA, TIFF, ON_WHITE, EXACT, id="TIFF, RGB with alpha"),
            pytest.param(SIXTEEN_BIT, TIFF, RAMP, EXACT, id="TIFF, 16 bit"),
            pytest.param(CMYK, TIFF, RAMP, EXACT, id="TIFF, CMYK"),
            pytest.param(GREY, {**TIFF, "big_tiff": True}, RAMP, EXACT, id="BigTIFF"),
            pytest.param(
                GREY,
                {**TIFF, "save_all": True, "append_images": [GREY.rotate(180)]},
                RAMP,
                EXACT,
                id="TIFF, several pages: first page",
            ),
        ],
    )
    def test_every_format_and_mode_becomes_grey(
        self, picture: Image.Image, options: dict[str, Any], expected: Grey, tolerance: int
    ) -> None:
        pixels = grey(encoded(picture, **options))

        assert pixels.dtype == np.uint8
        np.testing.assert_allclose(pixels.astype(int), expected.astype(int), rtol=0, atol=tolerance)

    def test_colours_become_luma(self) -> None:
        black, white, red, green, blue = (0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255)
        stripes = np.array([[black, white, black, white, black, red, green, blue]], dtype=np.uint8)

        pixels = grey(encoded(stripes))[0].tolist()

        assert pixels[-3:] == [76, 150, 29]  # ITU-R BT.601: 0.299, 0.587, 0.114

    @pytest.mark.parametrize(
        ("ground", "ink"), [("white", "yellow"), ("white", "#ffffc0"), ("black", "blue"), ("red", "#008200")]
    )
    def test_ink_of_little_luma_contrast_becomes_visible(self, ground: str, ink: str) -> None:
        picture = Image.new("RGB", (200, 100), ground)
        picture.paste(ink, (50, 20, 60, 80))
        luma = np.ptp(np.asarray(picture.convert("L")))

        pixels = grey(encoded(picture))

        assert np.ptp(pixels) > 1.5 * luma

    def test_small_ink_of_little_luma_contrast_becomes_visible_in_a_large_picture(self) -> None:
        picture = Image.new("RGB", (1400, 1400), "white")
        picture.paste("yellow", (701, 701, 705, 750))

        pixels = grey(encoded(picture))

        assert np.ptp(pixels) > 200

    def test_ink_in_the_alpha_channel_is_dark_whatever_its_colour(self) -> None:
        white_ink = Image.merge("RGBA", [Image.new("L", GREY.size, 255)] * 3 + [Image.fromarray(HALF)])

        pixels = grey(encoded(white_ink))

        np.testing.assert_array_equal(pixels, 255 - HALF)

    def test_half_transparent_black_is_grey(self) -> None:
        half_clear_black = Image.new("RGBA", (2, 2), (0, 0, 0, 128))

        pixels = grey(encoded(half_clear_black))

        np.testing.assert_allclose(pixels, 127, atol=1)

    def test_16_bits_keep_their_upper_half(self) -> None:
        values = np.array([[0, 255, 256, 32767, 65535]], dtype=np.uint16)

        pixels = grey(encoded(Image.fromarray(values)))

        assert pixels.tolist() == [[0, 0, 1, 127, 255]]

    def test_big_endian_16_bits_are_read_like_little_endian(self) -> None:
        swapped = np.frombuffer(SIXTEEN_BIT.tobytes(), "<u2").astype(">u2").tobytes()
        values = {256: WIDTH, 257: HEIGHT, 258: 16, 259: 1, 262: 1, 273: 122, 277: 1, 278: HEIGHT, 279: len(swapped)}
        tags = b"".join(struct.pack(">HHII", tag, 4, 1, value) for tag, value in values.items())
        header = struct.pack(">2sHIH", b"MM", 42, 8, len(values)) + tags + b"\0" * 4

        pixels = grey(header + swapped)

        np.testing.assert_array_equal(pixels, RAMP)

    def test_real_digits_are_unchanged(self, mnist: Mnist, digit_pictures: list[bytes]) -> None:
        for digit, data in enumerate(digit_pictures):
            np.testing.assert_array_equal(grey(data), mnist.pixels[mnist.labels == digit][0])

    @pytest.mark.parametrize(
        "picture",
        [
            pytest.param(Image.fromarray(RAMP.astype(np.int32)), id="32-bit integers"),
            pytest.param(Image.fromarray(RAMP.astype(np.float32)), id="32-bit floats"),
            pytest.param(RGB.convert("LAB"), id="CIE Lab"),
        ],
    )
    def test_a_mode_without_a_defined_grey_is_refused(self, picture: Image.Image) -> None:
        data = encoded(picture, format="TIFF")

        with pytest.raises(InvalidImage, match="TIFF"):
            grey(data)


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

    @pytest.mark.parametrize(
        ("options", "tolerance"),
        [
            pytest.param({"format": "PNG"}, EXACT, id="PNG"),
            pytest.param({"format": "JPEG", "quality": 95}, JPEG_LOSS, id="JPEG"),
            pytest.param({"format": "WEBP", "lossless": True}, EXACT, id="WEBP"),
            pytest.param({"format": "TIFF"}, EXACT, id="TIFF"),
            pytest.param({"format": "TIFF", "compression": "tiff_lzw"}, EXACT, id="TIFF, LZW"),
        ],
    )
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_a_rotated_picture_becomes_upright(self, orientation: int, options: dict[str, Any], tolerance: int) -> None:
        data = oriented(self.stored[orientation](GREY), orientation, **options)

        pixels = grey(data)

        np.testing.assert_allclose(pixels.astype(int), RAMP.astype(int), rtol=0, atol=tolerance)

    @pytest.mark.parametrize("orientation", [0, 9, 255])
    def test_an_undefined_orientation_is_ignored(self, orientation: int) -> None:
        data = oriented(GREY, orientation)

        np.testing.assert_array_equal(grey(data), RAMP)

    @pytest.mark.parametrize(
        ("options", "tolerance"),
        [
            pytest.param({"format": "PNG"}, EXACT, id="PNG"),
            pytest.param({"format": "JPEG", "quality": 95}, JPEG_LOSS, id="JPEG"),
            pytest.param({"format": "WEBP", "lossless": True}, EXACT, id="WEBP"),
        ],
    )
    def test_broken_exif_leaves_the_picture_as_stored(self, options: dict[str, Any], tolerance: int) -> None:
        data = encoded(RGB, exif=b"Exif\0\0no TIFF header", **options)

        pixels = grey(data)

        np.testing.assert_allclose(pixels.astype(int), RAMP.astype(int), rtol=0, atol=tolerance)

    def test_a_rotated_16_bit_picture_becomes_upright(self) -> None:
        data = oriented(SIXTEEN_BIT.transpose(Image.Transpose.ROTATE_90), 6, format="PNG")

        np.testing.assert_array_equal(grey(data), RAMP)


class TestLargePictures:
    """Large pictures are reduced, to no less than 1500 pixels on the longer side."""

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
    def test_large_pictures_are_reduced_by_a_whole_number(
        self, mode: str, size: tuple[int, int], expected: tuple[int, int]
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

    def test_a_jpeg_is_decoded_at_a_fraction_of_its_size(self) -> None:
        picture = Image.new("RGB", (6400, 4800), "white")
        picture.paste("black", (3200, 2400, 6400, 4800))
        image = open_image(encoded(picture, format="JPEG"), MAX_PIXELS)

        grey = upright_grey(image, REDUCED_SIDE)

        assert image.size == (1600, 1200)
        assert grey.shape == (1200, 1600)
        assert (grey[0, 0], grey[-1, -1]) == (255, 0)

    @pytest.mark.parametrize("side", [28, 300, 2000, 3400])
    def test_the_digit_stays_the_same(self, side: int, digit_pictures: list[bytes]) -> None:
        digit = Image.open(BytesIO(digit_pictures[5])).convert("L")
        page = Image.new("L", (2 * side, 2 * side), "white")
        page.paste(ImageOps.invert(digit.resize((side, side), Image.Resampling.BICUBIC)), (side // 3, side // 2))

        normalized = normalize(Picture(encoded(page)).grey()).pixels.astype(float)

        original = np.asarray(digit, dtype=float)
        assert np.corrcoef(normalized.ravel(), original.ravel())[0, 1] > 0.85


HUGE = {
    "PNG": png(100_000, 100_000),
    "PNG, the largest there can be": png(2**31 - 1, 2**31 - 1),
    "GIF": gif(65_535, 65_535),
    "GIF, a frame larger than its screen": gif(28, 28, frame=(65_535, 65_535)),
    "GIF, restored to its background": gif(65_535, 65_535, disposal=2),
    "GIF, both": gif(28, 28, frame=(65_535, 65_535), disposal=2),
    "BMP": bmp(100_000, 100_000),
    "BMP, top down": bmp(100_000, -100_000),
    "TIFF": grey_tiff(100_000, 100_000),
    "WEBP": webp(16_383, 16_383),
    "WEBP, the largest there can be": webp(65_535, 65_535),
    "JPEG": jpeg(65_535, 65_535),
}
"""Small files that declare huge pictures."""


class TestLimits:
    @pytest.mark.parametrize(
        ("declaring"),
        [
            pytest.param(png, id="PNG"),
            pytest.param(gif, id="GIF"),
            pytest.param(bmp, id="BMP"),
            pytest.param(grey_tiff, id="TIFF"),
            pytest.param(webp, id="WEBP"),
            pytest.param(jpeg, id="JPEG"),
        ],
    )
    @pytest.mark.parametrize(
        ("width", "height", "refused"),
        [
            pytest.param(40, 25, False, id="the limit itself"),
            pytest.param(77, 13, True, id="one pixel over"),
            pytest.param(28, 28, False, id="an MNIST image"),
        ],
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
        "data",
        [pytest.param(data, id=name) for name, data in HUGE.items()],
    )
    def test_a_huge_declared_size_is_refused(self, data: bytes) -> None:
        with pytest.raises(ImageTooLarge, match=f"expected at most {MAX_PIXELS} pixels, received a picture of "):
            Picture(data)

    @pytest.mark.parametrize(
        ("data", "most"),
        [
            pytest.param(png(7500, 5001, colour=2), 37_500_000, id="PNG in colour"),
            pytest.param(bmp(7500, 5001), 37_500_000, id="BMP"),
            pytest.param(webp(4000, 2501), 10_000_000, id="WEBP"),
            pytest.param(jpeg(8000, 6000, progressive=True, subsampling=0), 25_000_000, id="JPEG, progressive"),
        ],
    )
    def test_a_picture_that_takes_more_than_150_mb_is_refused(self, data: bytes, most: int) -> None:
        with pytest.raises(ImageTooLarge, match=f"at most {most} pixels in a [A-Z]+ of this kind, which takes 150 MB"):
            Picture(data)

    @pytest.mark.parametrize(
        ("data", "size"),
        [
            pytest.param(png(7500, 5000, colour=2), (7500, 5000), id="PNG in colour"),
            pytest.param(png(10_000, 5000), (10_000, 5000), id="PNG, grey"),
            pytest.param(webp(4000, 2500), (4000, 2500), id="WEBP"),
            pytest.param(jpeg(8000, 6250), (8000, 6250), id="JPEG"),
            pytest.param(jpeg(8000, 6000, progressive=True), (8000, 6000), id="JPEG, progressive, 4:2:0"),
        ],
    )
    def test_a_picture_that_takes_150_mb_is_accepted(self, data: bytes, size: tuple[int, int]) -> None:
        assert Picture(data).size == size

    def test_a_side_above_65535_pixels_is_refused(self) -> None:
        with pytest.raises(ImageTooLarge, match="at most 65535 pixels per side, received a picture of 1x65536"):
            Picture(png(1, 65_536))

    def test_a_limit_above_the_ceiling_does_not_lift_the_ceiling(self) -> None:
        data = png(2 * MAX_PIXELS + 1, 1)

        with pytest.raises(ImageTooLarge, match=f"expected at most {2 * MAX_PIXELS} pixels"):
            Picture(data, max_pixels=10 * MAX_PIXELS)

    def test_refusing_small_files_of_huge_pictures_takes_little_memory(self, tmp_path: Path) -> None:
        text = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"\0" * 64_000_000, 9))
        for name, data in {**HUGE, "text of gigabytes": png(28, 28, *[text] * 20)}.items():
            (tmp_path / name).write_bytes(data)
        script = (
            "import pathlib, resource, sys\n"
            "from digits import errors\nfrom digits.picture import Picture\n"
            "used = int(pathlib.Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
            "resource.setrlimit(resource.RLIMIT_AS, (used + 64_000_000, used + 64_000_000))\n"
            "for file in pathlib.Path(sys.argv[1]).iterdir():\n"
            "    try: Picture(file.read_bytes()).grey()\n"
            "    except errors.ImageTooLarge: print('refused', file.name)\n"
        )

        result = fresh_python("-c", script, tmp_path)

        assert result.returncode == 0, result.stderr
        assert sorted(result.stdout.splitlines()) == sorted(f"refused {name}" for name in HUGE)


class TestRefusals:
    @pytest.mark.parametrize(
        ("data", "name"),
        [
            pytest.param(b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC", id="HEIC from an iPhone"),
            pytest.param(b"\0\0\0\x18ftypmif1\0\0\0\0", "HEIC", id="HEIF"),
            pytest.param(b"\0\0\0\x1cftypavif\0\0\0\0", "AVIF", id="AVIF"),
            pytest.param(encoded(RGB, format="AVIF"), "AVIF", id="AVIF, complete"),
            pytest.param(b"%PDF-1.7\n", "PDF", id="PDF"),
            pytest.param(b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG", id="SVG"),
            pytest.param(b'<?xml version="1.0"?><svg/>', "SVG", id="SVG with an XML declaration"),
            pytest.param(encoded(RGB, format="ICO"), "ICO", id="ICO"),
            pytest.param(b"8BPS\0\1", "Photoshop", id="Photoshop"),
            pytest.param(b"\xff\x0a\0\0", "JPEG XL", id="JPEG XL"),
            pytest.param(b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL", id="JPEG XL in a container"),
            pytest.param(encoded(RGB, format="JPEG2000"), "JPEG 2000", id="JPEG 2000"),
        ],
    )
    def test_another_format_is_refused_by_its_name(self, data: bytes, name: str) -> None:
        expected = f"expected a PNG, JPEG, WEBP, BMP, GIF or TIFF picture, received {name}"

        with pytest.raises(UnsupportedImage, match=re.escape(expected)):
            Picture(data)

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(b"", id="no bytes"),
            pytest.param(b"\0", id="one byte"),
            pytest.param(b"seven", id="text"),
            pytest.param(b'{"pixels": []}', id="JSON"),
            pytest.param(b"\0" * 784, id="raw pixels"),
            pytest.param(encoded(RGB, format="PPM"), id="an uncommon format"),
            pytest.param(b"\x89PNG\r\n\x1a\n", id="a PNG's first eight bytes"),
            pytest.param(b"GIF89a", id="a GIF's first six bytes"),
            pytest.param(b"\xff\xd8\xff", id="a JPEG's first three bytes"),
            pytest.param(b"BM", id="a BMP's first two bytes"),
            pytest.param(b"II*\0", id="a TIFF's first four bytes"),
            pytest.param(b"RIFF\x04\0\0\0WEBP", id="a WEBP's first twelve bytes"),
        ],
    )
    def test_other_bytes_are_refused_with_the_accepted_formats(self, data: bytes) -> None:
        expected = f"expected a PNG, JPEG, WEBP, BMP, GIF or TIFF picture, received {len(data)} bytes that are not one"

        with pytest.raises(InvalidImage, match=expected):
            Picture(data)

    @pytest.mark.parametrize("format_", FORMATS)
    @pytest.mark.parametrize("share", [0.5, 0.9])
    def test_a_picture_cut_short_is_refused(self, format_: str, share: float, mnist: Mnist) -> None:
        large = mnist.pixels[:400:20].reshape(-1, 28)
        data = encoded(large, format=format_)

        with pytest.raises(InvalidImage):
            grey(data[: int(len(data) * share)])


class TestDamagedPictures:
    def test_damaged_pictures_give_a_digit_or_a_named_error(self) -> None:
        ran = fresh_python("-m", "tests.digits.fuzz", "--examples", "150", timeout_seconds=240)

        assert ran.returncode == 0, ran.stdout + ran.stderr

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(png(28, 28, colour=3), id="a palette PNG without its palette (AssertionError)"),
            pytest.param(
                b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", b"\0" * 4), id="a PNG with four bytes of header (ValueError)"
            ),
            pytest.param(grey_tiff(28, 28, offset_type=11), id="a TIFF whose offset is a float (TypeError)"),
            pytest.param(gif(0, 0, frame=(0, 0)), id="a GIF of 0x0"),
            pytest.param(webp(28, 28)[:-8], id="a WEBP cut in its frame"),
        ],
    )
    def test_pictures_that_once_raised_other_errors_are_refused(self, data: bytes) -> None:
        with pytest.raises(InvalidImage):
            grey(data)

    def test_broken_metadata_is_ignored_without_warnings(self, tmp_path: Path) -> None:
        files = []
        for orientation, data in [
            (6, oriented(GREY.transpose(Image.Transpose.ROTATE_90), 6, format="JPEG")),
            (1, encoded(RGB, format="MPO", save_all=True, append_images=[RGB])[:-300]),
        ]:
            files.append(tmp_path / str(orientation))
            files[-1].write_bytes(data.replace(b"MPF\0", b"MPF\0\0").replace(b"\x01\x12\x00\x03", b"\x01\x12\x00\x02"))
        (tmp_path / "limit").write_bytes(png(MAX_PIXELS + 1, 1))
        probe = (
            "import pathlib, sys\n"
            "from digits import errors\nfrom digits.picture import Picture\n"
            "for name in sys.argv[1:]:\n"
            "    try: print(Picture(pathlib.Path(name).read_bytes()).grey().shape)\n"
            "    except errors.DigitsError as exc: print(type(exc).__name__)\n"
        )

        ran = fresh_python("-W", "error", "-c", probe, *files, tmp_path / "limit")

        assert ran.returncode == 0, ran.stderr
        assert ran.stderr == ""
        assert ran.stdout.splitlines()[-1] == "ImageTooLarge"


def test_a_file_longer_than_any_picture_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "film").open("wb") as stream:
        stream.truncate(MAX_DECODE_BYTES + 1)

    with pytest.raises(
        ImageTooLarge, match=rf"expected a file of at most {MAX_DECODE_BYTES} bytes, received {MAX_DECODE_BYTES + 1}"
    ):
        read_file(tmp_path / "film")
