"""Damage pictures of every format: each gives a digit or a named error, in bounded time and memory.

    python -m tests.digits.pictures.fuzz 20000          # of each format
    python -m tests.digits.pictures.fuzz 20000 HEIF

The tests run some examples of each format. The script limits the memory of its process, so that a picture that takes
more raises a MemoryError, which is not a named error.
"""

import resource
import struct
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from app.openapi.example_pictures import EXAMPLES
from digits.errors import DigitsError
from digits.normalization.normalize import normalize
from digits.picture import Picture
from tests.conftest import encoded

MEMORY_BYTES = 300_000_000
"""Maximum additional memory of the process: twice the limit for a picture."""

CPU_SECONDS = 2
"""Maximum CPU time per picture: twice the slowest that was measured."""

RAMP = Image.fromarray((np.add.outer(np.arange(8) * 20, np.arange(9) * 12) % 256).astype(np.uint8))
SMALL = {mode: RAMP.convert(mode) for mode in ("L", "1", "LA", "RGB", "RGBA", "CMYK")}
PALETTE = RAMP.quantize(16)
SIXTEEN_BIT = Image.fromarray(np.asarray(RAMP).astype(np.uint16) * 257)
TWO: dict[str, Any] = {"save_all": True, "append_images": [SMALL["RGB"].rotate(180)]}
SEVEN = Image.open(EXAMPLES / "seven.png").convert("L").resize((60, 50))

EXIF = Image.Exif()
EXIF[0x0112] = 6


def png_with_everything() -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "seven " * 20, zip=True)
    text.add_itxt("Title", "seven", "en", "seven", zip=True)
    return encoded(SMALL["RGBA"], pnginfo=text, dpi=(72, 72), icc_profile=b"profile" * 9, exif=EXIF)


SEEDS: dict[str, list[bytes]] = {
    "PNG": [
        encoded(SEVEN),
        encoded(PALETTE, transparency=b"\0\1\2"),
        encoded(SMALL["RGB"], transparency=(0, 0, 0)),
        encoded(SIXTEEN_BIT),
        encoded(SMALL["RGB"], **TWO),
        png_with_everything(),
    ],
    "JPEG": [
        encoded(SEVEN, format="JPEG"),
        encoded(SMALL["CMYK"], format="JPEG", icc_profile=b"profile" * 9, comment=b"seven"),
        encoded(SMALL["RGB"], format="MPO", **TWO),
        encoded(SMALL["RGB"], format="JPEG", progressive=True, dpi=(72, 72), exif=EXIF),
        encoded(SEVEN.resize((3001, 20)), format="JPEG", quality=1),
    ],
    "WEBP": [
        encoded(SMALL["RGBA"], format="WEBP", lossless=True, xmp=b"<x/>"),
        encoded(SMALL["RGB"], format="WEBP", **TWO),
        encoded(SMALL["RGB"], format="WEBP", icc_profile=b"profile" * 9, exif=EXIF),
    ],
    "BMP": [
        *(encoded(SMALL[mode], format="BMP") for mode in ("L", "1", "RGB", "RGBA")),
        encoded(PALETTE, format="BMP"),
    ],
    "GIF": [
        encoded(SMALL["L"], format="GIF", comment=b"seven"),
        encoded(PALETTE, format="GIF", transparency=0),
        encoded(SMALL["RGB"], format="GIF", disposal=2, loop=0, **TWO),
    ],
    "TIFF": [
        *(
            encoded(SMALL[mode], format="TIFF", compression=compression)
            for mode, compression in (("LA", "tiff_lzw"), ("1", "group4"), ("RGB", "jpeg"))
        ),
        encoded(SMALL["CMYK"], format="TIFF", compression="tiff_adobe_deflate", dpi=(72, 72)),
        encoded(PALETTE, format="TIFF", compression="packbits"),
        encoded(SMALL["L"], format="TIFF", big_tiff=True),
        encoded(SMALL["RGBA"], format="TIFF", exif=EXIF),
    ],
    "HEIF": [(Path(__file__).parent / f"{name}.heic").read_bytes() for name in ("turned", "tiles", "broken-metadata")],
}

NUMBERS = [0, 1, 28, 255, 256, 30_000, 65_535, 65_536, 2**24, 2**31 - 1, 2**32 - 1]
"""Usual and extreme sizes, counts and offsets."""


def with_correct_checksums(data: bytes) -> bytes:
    """Correct the CRC of each chunk of a damaged PNG, because Pillow stops at the first wrong one."""
    corrected, position = data[:8], 8
    while (end := position + 12 + int.from_bytes(data[position : position + 4], "big")) <= len(data):
        corrected += data[position : end - 4] + struct.pack(">I", zlib.crc32(data[position + 4 : end - 4]))
        position = end
    return corrected + data[position:]


@st.composite
def damaged(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """Change, insert, delete, repeat or cut bytes of a picture, mostly in its header."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 5))):
        reach = draw(st.sampled_from([32, 64, 128, len(data)]))
        at = draw(st.integers(0, max(0, min(reach, len(data)) - 1)))
        match draw(st.sampled_from(["byte", "byte", "number", "number", "insert", "delete", "repeat", "cut"])):
            case "byte":
                data[at : at + 1] = bytes([draw(st.integers(0, 255))])
            case "number":
                size, order = draw(st.sampled_from([2, 4])), draw(st.sampled_from(["big", "little"]))
                number = draw(st.sampled_from(NUMBERS)) % 256**size
                data[at : at + size] = number.to_bytes(size, "big" if order == "big" else "little")
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=8))
            case "delete":
                del data[at : at + draw(st.sampled_from([1, 2, 4, 12]))]
            case "repeat":
                part = data[at : at + draw(st.integers(1, 64))]
                data[at:at] = part * draw(st.sampled_from([1, 10, 1000]))
            case "cut":
                del data[at:]
    return with_correct_checksums(bytes(data)) if data.startswith(b"\x89PNG") and draw(st.booleans()) else bytes(data)


def check(data: bytes) -> None:
    began = time.process_time()
    try:
        digit = normalize(Picture(data).grey())
    except DigitsError:
        pass
    else:
        assert digit.pixels.shape == (28, 28)
    assert time.process_time() - began < CPU_SECONDS


def fuzz(seeds: list[bytes], examples: int) -> None:
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(damaged(seeds))
    @example(b"")
    @example(b"II+\0\1\0\0\0\x32\xe5\x68\xe2\x8f\0\xc0\xd5")  # a directory beyond 64 bits
    def property_(data: bytes) -> None:
        check(data)

    property_()


def main() -> None:
    examples = int(sys.argv[1]) if len(sys.argv) > 1 else 1000  # of each format
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))
    for name in sys.argv[2:] or SEEDS:
        fuzz(SEEDS[name], examples)
        print(f"{name}: {examples}", flush=True)


if __name__ == "__main__":
    main()
