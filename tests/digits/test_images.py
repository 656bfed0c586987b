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

from digits.decode_limits import MAX_DECODE_BYTES
from digits.errors import ImageTooLarge, InvalidImage, UnsupportedImage
from digits.features import Grey
from digits.images import FORMATS, MAX_PIXELS, open_picture, read, to_grey
from digits.normalize import normalize
from tests.conftest import Mnist, encoded, fresh_python

WIDTH, HEIGHT = 32, 24
RAMP: Grey = (np.add.outer(7 * np.arange(HEIGHT), 2 * np.arange(WIDTH)) % 256).astype(np.uint8)
"""A grey picture without any symmetry, so that no turn and no flip of it goes unseen."""

GREY = Image.fromarray(RAMP)
HALF: Grey = np.where(np.arange(WIDTH) < WIDTH // 2, 255, 0).astype(np.uint8)[None].repeat(HEIGHT, axis=0)
"""An alpha channel: the left half can be seen, the right half not."""
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

EXACT, JPEG_LOSS, WEBP_LOSS = 0, 6, 10


def grey(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Grey:
    return to_grey(open_picture(data, max_pixels=max_pixels))


def oriented(stored: Image.Image, orientation: int, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(stored, exif=exif, **options)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_declaring(width: int, height: int, *between: bytes, colour: int = 0) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress(b"\0" * 29 * 28))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(between) + rows + chunk(b"IEND", b"")


def gif_declaring(width: int, height: int, *, frame: tuple[int, int] | None = None, disposal: int = 0) -> bytes:
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    control = b"\x21\xf9\x04" + bytes([disposal << 2]) + b"\0\0\0\0"
    return screen + control + b"," + struct.pack("<HHHHB", 0, 0, *(frame or (width, height)), 0) + b"\2\2\x4c\1\0;"


def bmp_declaring(width: int, height: int) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + info


def tiff_declaring(width: int, height: int, *, kind_of_offset: int = 4) -> bytes:
    tags = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, height), (279, 10)]
    entries = b"".join(struct.pack("<HHII", tag, kind_of_offset if tag == 273 else 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + b"\0\0\0\0"


def webp_declaring(width: int, height: int) -> bytes:
    frame = encoded(Image.new("RGB", (8, 8)), format="WEBP")[12:]
    three = [(value).to_bytes(3, "little") for value in (width - 1, height - 1, 0, 0, 7, 7, 100)]
    canvas = b"VP8X" + struct.pack("<II", 10, 2) + three[0] + three[1]
    animation = b"ANIM" + struct.pack("<I", 6) + b"\0" * 6
    body = (
        b"WEBP"
        + canvas
        + animation
        + b"ANMF"
        + struct.pack("<I", 16 + len(frame))
        + b"".join(three[2:])
        + b"\0"
        + frame
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg_declaring(width: int, height: int, **options: Any) -> bytes:
    data = encoded(Image.new("RGB", (28, 28)), format="JPEG", **options)
    size = data.index(b"\xff\xc2" if "progressive" in options else b"\xff\xc0") + 5
    return data[:size] + struct.pack(">HH", height, width) + data[size + 4 :]


class TestGreyValues:
    @pytest.mark.parametrize(
        ("data", "expected", "tolerance"),
        [
            pytest.param(encoded(GREY, format="PNG"), RAMP, EXACT, id="PNG, grey"),
            pytest.param(encoded(ONE, format="PNG"), BLACK_AND_WHITE, EXACT, id="PNG, black and white"),
            pytest.param(encoded(RGB, format="PNG"), RAMP, EXACT, id="PNG, RGB"),
            pytest.param(encoded(PALETTE, format="PNG"), STEPS, EXACT, id="PNG, palette"),
            pytest.param(
                encoded(PALETTE, format="PNG", transparency=0),
                STEPS_WITHOUT_ZERO,
                EXACT,
                id="PNG, clear palette entry",
            ),
            pytest.param(
                encoded(PALETTE, format="PNG", transparency=b"\0" + b"\xff" * 15),
                STEPS_WITHOUT_ZERO,
                EXACT,
                id="PNG, an alpha for every palette entry",
            ),
            pytest.param(
                encoded(RGB, format="PNG", transparency=(0, 0, 0)),
                RAMP_WITHOUT_ZERO,
                EXACT,
                id="PNG, a clear RGB",
            ),
            pytest.param(
                encoded(GREY, format="PNG", transparency=0),
                RAMP_WITHOUT_ZERO,
                EXACT,
                id="PNG, a clear grey",
            ),
            pytest.param(encoded(LA, format="PNG"), ON_WHITE, EXACT, id="PNG, grey with alpha"),
            pytest.param(encoded(RGBA, format="PNG"), ON_WHITE, EXACT, id="PNG, RGB with alpha"),
            pytest.param(encoded(SIXTEEN_BIT, format="PNG"), RAMP, EXACT, id="PNG, 16 bit"),
            pytest.param(
                encoded(RGB, format="PNG", save_all=True, append_images=[RGBA]),
                RAMP,
                EXACT,
                id="PNG, first frame",
            ),
            pytest.param(encoded(GREY, format="JPEG", quality=95), RAMP, JPEG_LOSS, id="JPEG, grey"),
            pytest.param(encoded(RGB, format="JPEG", quality=95), RAMP, JPEG_LOSS, id="JPEG, RGB"),
            pytest.param(
                encoded(RGB, format="JPEG", quality=95, progressive=True), RAMP, JPEG_LOSS, id="JPEG, progressive"
            ),
            pytest.param(encoded(CMYK, format="JPEG", quality=95), RAMP, JPEG_LOSS, id="JPEG, CMYK"),
            pytest.param(
                encoded(RGB, format="MPO", quality=95, save_all=True, append_images=[RGB.rotate(180)]),
                RAMP,
                JPEG_LOSS,
                id="JPEG of two pictures, as phones make them: the first",
            ),
            pytest.param(encoded(RGB, format="WEBP", lossless=True), RAMP, EXACT, id="WEBP, lossless"),
            pytest.param(encoded(RGBA, format="WEBP", lossless=True), ON_WHITE, EXACT, id="WEBP, with alpha"),
            pytest.param(encoded(RGB, format="WEBP", quality=100), RAMP, WEBP_LOSS, id="WEBP, lossy"),
            pytest.param(
                encoded(RGB, format="WEBP", lossless=True, save_all=True, append_images=[RGB.rotate(180)]),
                RAMP,
                EXACT,
                id="WEBP, animated: first frame",
            ),
            pytest.param(encoded(GREY, format="BMP"), RAMP, EXACT, id="BMP, grey"),
            pytest.param(encoded(ONE, format="BMP"), BLACK_AND_WHITE, EXACT, id="BMP, black and white"),
            pytest.param(encoded(RGB, format="BMP"), RAMP, EXACT, id="BMP, RGB"),
            pytest.param(encoded(PALETTE, format="BMP"), STEPS, EXACT, id="BMP, palette"),
            pytest.param(encoded(RGBA, format="BMP"), RAMP, EXACT, id="BMP, whose fourth byte is no alpha"),
            pytest.param(encoded(GREY, format="GIF"), RAMP, EXACT, id="GIF, grey"),
            pytest.param(encoded(PALETTE, format="GIF"), STEPS, EXACT, id="GIF, palette"),
            pytest.param(
                encoded(PALETTE, format="GIF", transparency=0),
                STEPS_WITHOUT_ZERO,
                EXACT,
                id="GIF, clear palette entry",
            ),
            pytest.param(
                encoded(PALETTE, format="GIF", save_all=True, append_images=[PALETTE.rotate(180)]),
                STEPS,
                EXACT,
                id="GIF, animated: first frame",
            ),
            pytest.param(encoded(GREY, format="TIFF"), RAMP, EXACT, id="TIFF, grey"),
            pytest.param(encoded(ONE, format="TIFF", compression="group4"), BLACK_AND_WHITE, EXACT, id="TIFF, fax"),
            pytest.param(encoded(RGB, format="TIFF", compression="tiff_lzw"), RAMP, EXACT, id="TIFF, RGB, LZW"),
            pytest.param(encoded(RGB, format="TIFF", compression="tiff_adobe_deflate"), RAMP, EXACT, id="TIFF, ZIP"),
            pytest.param(encoded(PALETTE, format="TIFF", compression="packbits"), STEPS, EXACT, id="TIFF, palette"),
            pytest.param(encoded(LA, format="TIFF"), ON_WHITE, EXACT, id="TIFF, grey with alpha"),
            pytest.param(encoded(RGBA, format="TIFF"), ON_WHITE, EXACT, id="TIFF, RGB with alpha"),
            pytest.param(encoded(SIXTEEN_BIT, format="TIFF"), RAMP, EXACT, id="TIFF, 16 bit"),
            pytest.param(encoded(CMYK, format="TIFF"), RAMP, EXACT, id="TIFF, CMYK"),
            pytest.param(encoded(GREY, format="TIFF", big_tiff=True), RAMP, EXACT, id="TIFF, of the big kind"),
            pytest.param(
                encoded(GREY, format="TIFF", save_all=True, append_images=[GREY.rotate(180)]),
                RAMP,
                EXACT,
                id="TIFF, several pages: the first",
            ),
        ],
    )
    def test_every_format_and_mode_comes_out_grey(self, data: bytes, expected: Grey, tolerance: int) -> None:
        pixels = grey(data)

        assert pixels.dtype == np.uint8
        np.testing.assert_allclose(pixels.astype(int), expected.astype(int), rtol=0, atol=tolerance)

    def test_colours_weigh_as_the_eye_sees_them(self) -> None:
        black, white, red, green, blue = (0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255)
        stripes = np.array([[black, white, black, white, black, red, green, blue]], dtype=np.uint8)

        pixels = grey(encoded(stripes))[0].tolist()

        assert pixels[-3:] == [76, 150, 29]  # ITU-R BT.601: 0.299, 0.587, 0.114

    @pytest.mark.parametrize(
        ("ground", "ink"), [("white", "yellow"), ("white", "#ffffc0"), ("black", "blue"), ("red", "#008200")]
    )
    def test_ink_that_the_eye_hardly_sees_shows(self, ground: str, ink: str) -> None:
        picture = Image.new("RGB", (200, 100), ground)
        picture.paste(ink, (50, 20, 60, 80))
        luma = np.ptp(np.asarray(picture.convert("L")))

        pixels = grey(encoded(picture))

        assert np.ptp(pixels) > 1.5 * luma

    def test_ink_in_the_alpha_channel_is_dark_whatever_its_colour(self) -> None:
        white_ink = Image.merge("RGBA", [Image.new("L", GREY.size, 255)] * 3 + [Image.fromarray(HALF)])

        pixels = grey(encoded(white_ink))

        np.testing.assert_array_equal(pixels, 255 - HALF)

    def test_what_is_half_clear_is_half_white(self) -> None:
        half_clear_black = Image.new("RGBA", (2, 2), (0, 0, 0, 128))

        pixels = grey(encoded(half_clear_black))

        np.testing.assert_allclose(pixels, 127, atol=1)

    def test_16_bits_keep_their_upper_half(self) -> None:
        values = np.array([[0, 255, 256, 32767, 65535]], dtype=np.uint16)

        pixels = grey(encoded(Image.fromarray(values)))

        assert pixels.tolist() == [[0, 0, 1, 127, 255]]

    def test_big_endian_16_bits_are_read_alike(self) -> None:
        values = SIXTEEN_BIT.tobytes()
        swapped = np.frombuffer(values, "<u2").astype(">u2").tobytes()
        little = encoded(SIXTEEN_BIT, format="TIFF")
        big = bytearray(struct.pack(">2sHI", b"MM", 42, 8))
        tags = [(256, WIDTH), (257, HEIGHT), (258, 16), (259, 1), (262, 1), (273, 122), (277, 1), (278, HEIGHT)]
        big += struct.pack(">H", len(tags) + 1)
        for tag, value in [*tags, (279, len(swapped))]:
            big += struct.pack(">HHII", tag, 4, 1, value)
        big += b"\0" * 4
        assert len(big) == 122

        pixels = grey(bytes(big) + swapped)

        np.testing.assert_array_equal(pixels, grey(little))

    def test_real_digits_come_out_as_they_went_in(self, mnist: Mnist, digit_pictures: list[bytes]) -> None:
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
    def test_a_kind_without_a_plain_grey_is_refused(self, picture: Image.Image) -> None:
        data = encoded(picture, format="TIFF")

        with pytest.raises(InvalidImage, match="TIFF"):
            grey(data)


class TestOrientation:
    # What was done to an upright picture before it was stored, so that the tag's turn brings it back.
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
    def test_a_turned_picture_comes_out_upright(
        self, orientation: int, options: dict[str, Any], tolerance: int
    ) -> None:
        data = oriented(self.stored[orientation](GREY), orientation, **options)

        pixels = grey(data)

        np.testing.assert_allclose(pixels.astype(int), RAMP.astype(int), rtol=0, atol=tolerance)

    @pytest.mark.parametrize("orientation", [0, 9, 255])
    def test_an_orientation_that_does_not_exist_is_passed_over(self, orientation: int) -> None:
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
    def test_exif_that_is_none_leaves_the_picture_as_stored(self, options: dict[str, Any], tolerance: int) -> None:
        data = encoded(RGB, exif=b"Exif\0\0no TIFF header", **options)

        pixels = grey(data)

        np.testing.assert_allclose(pixels.astype(int), RAMP.astype(int), rtol=0, atol=tolerance)

    def test_a_turned_16_bit_picture_comes_out_upright(self) -> None:
        data = oriented(SIXTEEN_BIT.transpose(Image.Transpose.ROTATE_90), 6, format="PNG")

        np.testing.assert_array_equal(grey(data), RAMP)


class TestLargePictures:
    """They come out reduced, to no less than 1500 pixels on the longer side."""

    @pytest.mark.parametrize(
        ("size", "expected"),
        [
            pytest.param((2999, 1000), (2999, 1000), id="not yet"),
            pytest.param((3000, 1001), (1500, 501), id="by half"),
            pytest.param((1000, 4600), (334, 1534), id="to a third"),
            pytest.param((6000, 1), (1500, 1), id="a line"),
        ],
    )
    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
    def test_by_a_whole_number(self, mode: str, size: tuple[int, int], expected: tuple[int, int]) -> None:
        picture = Image.new("RGBA", size, "white")
        picture.paste("black", (size[0] // 2, size[1] // 2, size[0], size[1]))
        whole = picture.convert("L").convert("I;16") if mode == "I;16" else picture.convert(mode)
        buffer = BytesIO()
        whole.save(buffer, "PNG")

        grey = to_grey(open_picture(buffer.getvalue()))

        assert grey.shape[::-1] == expected
        assert grey.dtype == np.uint8
        if mode != "I;16":  # 255 of 65535 is nearly black
            assert grey[0, 0] >= 253  # a palette is made by rounding
            assert grey[-1, -1] <= 2

    def test_a_jpeg_is_decoded_at_a_fraction_of_its_size(self) -> None:
        picture = Image.new("RGB", (6400, 4800), "white")
        picture.paste("black", (3200, 2400, 6400, 4800))
        buffer = BytesIO()
        picture.save(buffer, "JPEG")
        opened = open_picture(buffer.getvalue())

        grey = to_grey(opened)

        assert opened.size == (1600, 1200)
        assert grey.shape == (1200, 1600)
        assert (grey[0, 0], grey[-1, -1]) == (255, 0)

    @pytest.mark.parametrize("side", [28, 300, 2000, 3400])
    def test_the_digit_on_them_is_the_same(self, side: int, digit_pictures: list[bytes]) -> None:
        digit = Image.open(BytesIO(digit_pictures[5])).convert("L")
        page = Image.new("L", (2 * side, 2 * side), "white")
        page.paste(ImageOps.invert(digit.resize((side, side), Image.Resampling.BICUBIC)), (side // 3, side // 2))
        buffer = BytesIO()
        page.save(buffer, "PNG")

        normalized = normalize(to_grey(open_picture(buffer.getvalue()))).pixels.astype(float)

        original = np.asarray(digit, dtype=float)
        assert np.corrcoef(normalized.ravel(), original.ravel())[0, 1] > 0.85


class TestLimits:
    @pytest.mark.parametrize(
        ("declaring"),
        [
            pytest.param(png_declaring, id="PNG"),
            pytest.param(gif_declaring, id="GIF"),
            pytest.param(bmp_declaring, id="BMP"),
            pytest.param(tiff_declaring, id="TIFF"),
            pytest.param(webp_declaring, id="WEBP"),
            pytest.param(jpeg_declaring, id="JPEG"),
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
    def test_the_declared_size_is_held_to_the_limit(
        self, declaring: Callable[[int, int], bytes], width: int, height: int, *, refused: bool
    ) -> None:
        data = declaring(width, height)

        if refused:
            with pytest.raises(ImageTooLarge, match="expected at most 1000 pixels, received a picture of 77x13"):
                open_picture(data, max_pixels=1000)
        else:
            assert open_picture(data, max_pixels=1000).size == (width, height)

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(png_declaring(100_000, 100_000), id="PNG"),
            pytest.param(png_declaring(2**31 - 1, 2**31 - 1), id="PNG, the largest there can be"),
            pytest.param(gif_declaring(65_535, 65_535), id="GIF"),
            pytest.param(gif_declaring(28, 28, frame=(65_535, 65_535)), id="GIF, a frame larger than its screen"),
            pytest.param(gif_declaring(65_535, 65_535, disposal=2), id="GIF, restored to its background"),
            pytest.param(gif_declaring(28, 28, frame=(65_535, 65_535), disposal=2), id="GIF, both"),
            pytest.param(bmp_declaring(100_000, 100_000), id="BMP"),
            pytest.param(bmp_declaring(100_000, -100_000), id="BMP, top down"),
            pytest.param(tiff_declaring(100_000, 100_000), id="TIFF"),
            pytest.param(webp_declaring(16_383, 16_383), id="WEBP"),
            pytest.param(webp_declaring(65_535, 65_535), id="WEBP, the largest there can be"),
            pytest.param(jpeg_declaring(65_535, 65_535), id="JPEG"),
        ],
    )
    def test_a_small_file_declaring_a_huge_picture_takes_no_memory(self, data: bytes, tmp_path: Path) -> None:
        file = tmp_path / "huge"
        file.write_bytes(data)
        probe = (
            "import pathlib, resource, sys\n"
            "from digits import errors, images\n"
            "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
            "data, before = pathlib.Path(sys.argv[1]).read_bytes(), peak()\n"
            "try: images.open_picture(data)\n"
            "except errors.ImageTooLarge as exc: print(peak() - before, exc)\n"
        )

        ran = fresh_python("-c", probe, file)

        assert ran.returncode == 0, ran.stderr
        megabytes, _, message = ran.stdout.partition(" ")
        assert int(megabytes) < 32
        assert message.startswith(f"expected at most {MAX_PIXELS} pixels, received a picture of ")

    @pytest.mark.parametrize(
        ("data", "most"),
        [
            pytest.param(png_declaring(7500, 5001, colour=2), 37_500_000, id="PNG in colour"),
            pytest.param(bmp_declaring(7500, 5001), 37_500_000, id="BMP"),
            pytest.param(webp_declaring(4000, 2501), 10_000_000, id="WEBP"),
            pytest.param(
                jpeg_declaring(8000, 6000, progressive=True, subsampling=0), 25_000_000, id="JPEG, progressive"
            ),
        ],
    )
    def test_no_more_is_decoded_than_takes_150_mb(self, data: bytes, most: int) -> None:
        with pytest.raises(ImageTooLarge, match=f"at most {most} pixels in a [A-Z]+ of this kind, which takes 150 MB"):
            open_picture(data)

    @pytest.mark.parametrize(
        ("data", "size"),
        [
            pytest.param(png_declaring(7500, 5000, colour=2), (7500, 5000), id="PNG in colour"),
            pytest.param(png_declaring(10_000, 5000), (10_000, 5000), id="PNG, grey"),
            pytest.param(webp_declaring(4000, 2500), (4000, 2500), id="WEBP"),
            pytest.param(jpeg_declaring(8000, 6250), (8000, 6250), id="JPEG"),
            pytest.param(jpeg_declaring(8000, 6000, progressive=True), (8000, 6000), id="JPEG, progressive, usual"),
        ],
    )
    def test_so_much_is(self, data: bytes, size: tuple[int, int]) -> None:
        assert open_picture(data).size == size

    def test_a_side_is_no_longer_than_a_jpeg_s_can_be(self) -> None:
        with pytest.raises(ImageTooLarge, match="at most 65535 pixels per side, received a picture of 1x65536"):
            open_picture(png_declaring(1, 65_536))

    def test_a_limit_above_the_ceiling_does_not_lift_the_ceiling(self) -> None:
        data = png_declaring(2 * MAX_PIXELS + 1, 1)

        with pytest.raises(ImageTooLarge, match=f"expected at most {2 * MAX_PIXELS} pixels"):
            open_picture(data, max_pixels=10 * MAX_PIXELS)

    def test_text_that_unpacks_to_gigabytes_is_refused_or_passed_over(self, tmp_path: Path) -> None:
        bomb = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"\0" * 64_000_000, 9))
        file = tmp_path / "bomb.png"
        file.write_bytes(png_declaring(28, 28, *[bomb] * 20))
        probe = (
            "import pathlib, resource, sys\n"
            "from digits import errors, images\n"
            "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
            "data, before = pathlib.Path(sys.argv[1]).read_bytes(), peak()\n"
            "try: images.to_grey(images.open_picture(data))\n"
            "except errors.InvalidImage: pass\n"
            "print(peak() - before)\n"
        )

        ran = fresh_python("-c", probe, file)

        assert ran.returncode == 0, ran.stderr
        assert int(ran.stdout) < 32


class TestRefusals:
    @pytest.mark.parametrize(
        ("data", "name"),
        [
            pytest.param(b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC", id="HEIC, as an iPhone takes it"),
            pytest.param(b"\0\0\0\x18ftypmif1\0\0\0\0", "HEIC", id="HEIF of the general brand"),
            pytest.param(b"\0\0\0\x1cftypavif\0\0\0\0", "AVIF", id="AVIF"),
            pytest.param(encoded(RGB, format="AVIF"), "AVIF", id="AVIF, a whole one"),
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
            open_picture(data)

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(b"", id="nothing"),
            pytest.param(b"\0", id="one byte"),
            pytest.param(b"seven", id="text"),
            pytest.param(b'{"pixels": []}', id="JSON"),
            pytest.param(b"\0" * 784, id="raw pixels"),
            pytest.param(encoded(RGB, format="PPM"), id="a format that nobody sends"),
            pytest.param(b"\x89PNG\r\n\x1a\n", id="a PNG's first eight bytes"),
            pytest.param(b"GIF89a", id="a GIF's first six bytes"),
            pytest.param(b"\xff\xd8\xff", id="a JPEG's first three bytes"),
            pytest.param(b"BM", id="a BMP's first two bytes"),
            pytest.param(b"II*\0", id="a TIFF's first four bytes"),
            pytest.param(b"RIFF\x04\0\0\0WEBP", id="a WEBP's first twelve bytes"),
        ],
    )
    def test_what_is_no_picture_is_refused_with_what_was_expected(self, data: bytes) -> None:
        expected = f"expected a PNG, JPEG, WEBP, BMP, GIF or TIFF picture, received {len(data)} bytes that are not one"

        with pytest.raises(InvalidImage, match=expected):
            open_picture(data)

    @pytest.mark.parametrize("format_", FORMATS)
    @pytest.mark.parametrize("share", [0.5, 0.9])
    def test_a_picture_cut_short_is_refused(self, format_: str, share: float, mnist: Mnist) -> None:
        large = mnist.pixels[:400:20].reshape(-1, 28)
        data = encoded(large, format=format_)

        with pytest.raises(InvalidImage):
            grey(data[: int(len(data) * share)])

    def test_a_name_is_never_asked_only_the_content(self) -> None:
        picture = open_picture(encoded(GREY, format="BMP"))

        assert picture.format == "BMP"


class TestWhateverTheBytes:
    def test_the_answer_is_a_digit_or_a_named_error_soon_and_in_little_memory(self) -> None:
        ran = fresh_python("-m", "tests.digits.fuzz", "--examples", "800", timeout_seconds=240)

        assert ran.returncode == 0, ran.stdout + ran.stderr

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(png_declaring(28, 28, colour=3), id="a palette PNG without its palette (AssertionError)"),
            pytest.param(
                b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", b"\0" * 4), id="a PNG with four bytes of header (ValueError)"
            ),
            pytest.param(tiff_declaring(28, 28, kind_of_offset=11), id="a TIFF whose offset is a float (TypeError)"),
            pytest.param(gif_declaring(0, 0, frame=(0, 0)), id="a GIF without extent"),
            pytest.param(webp_declaring(28, 28)[:-8], id="a WEBP cut in its frame"),
        ],
    )
    def test_what_once_got_through_is_refused(self, data: bytes) -> None:
        with pytest.raises(InvalidImage):
            grey(data)

    def test_broken_metadata_is_passed_over_without_a_word(self, tmp_path: Path) -> None:
        files = []
        for orientation, data in [
            (6, oriented(GREY.transpose(Image.Transpose.ROTATE_90), 6, format="JPEG")),
            (1, encoded(RGB, format="MPO", save_all=True, append_images=[RGB])[:-300]),
        ]:
            files.append(tmp_path / str(orientation))
            files[-1].write_bytes(data.replace(b"MPF\0", b"MPF\0\0").replace(b"\x01\x12\x00\x03", b"\x01\x12\x00\x02"))
        (tmp_path / "limit").write_bytes(png_declaring(MAX_PIXELS + 1, 1))
        probe = (
            "import pathlib, sys\n"
            "from digits import errors, images\n"
            "for name in sys.argv[1:]:\n"
            "    try: print(images.to_grey(images.open_picture(pathlib.Path(name).read_bytes())).shape)\n"
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
        read(tmp_path / "film")
