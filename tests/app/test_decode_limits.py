"""A small body that would take much time or memory to decode is refused, or answered within a bound on both."""

import math
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from app.settings import Settings
from tests.app.conftest import Service
from tests.conftest import encoded
from tests.picture_files import gif, grey_tags, png, png_chunk, tiff, webp

pytestmark = pytest.mark.slow

LIMIT = Settings().max_body_bytes
MEMORY_BYTES = 250e6
"""150 MB for the picture, plus the body and temporary objects. Without limits, these bodies took up to gigabytes."""
CPU_SECONDS = 3
"""Twice the maximum that was measured. Without limits, these bodies took up to minutes."""

Bomb = tuple[str, bytes]
"""Content type and body."""


def zeros(size: int) -> bytes:
    packer, block = zlib.compressobj(), b"\0" * 1_000_000
    packed = b"".join(packer.compress(block[: min(len(block), left)]) for left in range(size, 0, -len(block)))
    return packed + packer.flush()


def blank(mode: str, size: tuple[int, int], format_: str, **options: Any) -> bytes:
    return encoded(Image.new(mode, size), format=format_, **options)


def form(*pictures: bytes) -> Bomb:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    return "multipart/form-data; boundary=b", b"".join(head + data + b"\r\n" for data in pictures) + b"--b--\r\n"


# PNG


def png_of_zeros(width: int, height: int, *, bits: int = 8, colour: int = 0) -> bytes:
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    return png(width, height, bits=bits, colour=colour, rows=zeros(height * (1 + width * channels * bits // 8)))


def png_of_profiles(count: int) -> bytes:
    return png(28, 28, png_chunk(b"iCCP", b"n\0\0" + zeros(1_000_000)) * count)


def png_of_texts(count: int) -> bytes:
    return png(28, 28, png_chunk(b"zTXt", b"Comment\0\0" + zeros(1_000_000)) * count)


def png_of_crumbs() -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (1000, 1001), dtype=np.uint8).tobytes()
    crumbs = b"".join(png_chunk(b"IDAT", bytes([byte])) for byte in zlib.compress(noise))
    return png(1000, 1000, crumbs, rows=b"")


# JPEG


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def jpeg_of_scans(side: int, count: int) -> bytes:
    """Make a progressive JPEG. Each scan has a dozen bytes, which state that no block changes."""
    tables = segment(0xDB, b"\0" + b"\1" * 64)
    tables += segment(0xC4, b"\0\1" + b"\0" * 15 + b"\0") + segment(0xC4, b"\x10\1" + b"\0" * 15 + b"\xe0")
    frame = segment(0xC2, struct.pack(">BHHB", 8, side, side, 1) + b"\1\x11\0")
    first = segment(0xDA, b"\1\1\0\0\0\0") + b"\0"
    run = "0" + "1" * 14  # of 32767 blocks
    bits = run * math.ceil(math.ceil(side / 8) ** 2 / 32767)
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    return b"\xff\xd8" + tables + frame + first + (segment(0xDA, b"\1\1\0\1\x3f\x10") + data) * count + b"\xff\xd9"


def jpeg_without_colours(width: int, height: int) -> bytes:
    """Make a baseline JPEG with four components, of which its only scan has the first."""
    tables = segment(0xDB, b"\0" + b"\1" * 64)
    tables += segment(0xC4, b"\0\1" + b"\0" * 15 + b"\0") + segment(0xC4, b"\x10\1" + b"\0" * 15 + b"\0")
    frame = segment(0xC0, struct.pack(">BHHB", 8, height, width, 4) + b"".join(bytes([n, 0x11, 0]) for n in range(4)))
    return b"\xff\xd8" + tables + frame + segment(0xDA, b"\1\0\0\0\x3f\0") + b"\0" * 1000 + b"\xff\xd9"


# TIFF


def tiff_of_strips(count: int, kind: int, width: int, height: int) -> bytes:
    """Make an uncompressed TIFF whose strips have one row each, all at the same offset."""
    size = {1: 1, 3: 2, 4: 4}[kind]
    strips = [(273, kind, count, -1), (278, 4, 1, 1), (279, kind, count, -2)]
    return tiff(
        *grey_tags(width, height), *strips, data=b"\1" * (count * size), more=width.to_bytes(size, "little") * count
    )


def tiff_of_a_tile(side: int) -> bytes:
    tile = zeros(side * side)
    return tiff(
        *grey_tags(28, 28, 8), (322, 4, 1, side), (323, 4, 1, side), (273, 4, 1, -1), (279, 4, 1, len(tile)), data=tile
    )


def tiff_of_one_strip(width: int, height: int) -> bytes:
    """Make a 16-bit RGB TIFF, which libtiff decompresses as a whole before Pillow copies it."""
    strip = zeros(width * height * 6)
    tags = [tag for tag in grey_tags(width, height, 8) if tag[0] not in (258, 262, 277)]
    tags += [(258, 3, 3, -2), (262, 3, 1, 2), (277, 3, 1, 3), (273, 4, 1, -1), (278, 4, 1, height)]
    return tiff(*tags, (279, 4, 1, len(strip)), data=strip, more=struct.pack("<HHH", 16, 16, 16))


def tiff_of_a_jpeg(side: int, scans: int) -> bytes:
    jpeg = jpeg_of_scans(side, scans)
    strip = [(273, 4, 1, -1), (278, 4, 1, side), (279, 4, 1, len(jpeg))]
    return tiff(*grey_tags(side, side, 7), *strip, data=jpeg)


def tiff_of_directories() -> bytes:
    """Make a TIFF whose Exif directory has millions of numbers."""
    entries = struct.pack("<HHHIII", 1, 40960, 4, 4_000_000, 8, 0)
    strip = [(273, 4, 1, 8), (278, 4, 1, 28), (279, 4, 1, 784)]
    return tiff(
        *grey_tags(28, 28), *strip, (34665, 4, 1, -1), (34853, 4, 1, -1), data=entries, more=b"\1\2\0\0" * 4_000_000
    )


# GIF, WEBP, BMP


def bmp_of_runs(width: int, height: int) -> bytes:
    """Make a BMP with one pixel per row and the code for "end of line", which Pillow fills pixel by pixel."""
    palette = b"".join(bytes([level, level // 2, 0, 0]) for level in range(256))
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 14 + 40 + len(palette)) + header + palette + b"\1\1\0\0" * height


BOMBS: list[Any] = [
    # what is allowed, as large as it may be
    pytest.param(lambda: ("image/png", png_of_zeros(7500, 5000, bits=16, colour=6)), 422, id="PNG of 37 megapixels"),
    pytest.param(lambda: ("image/png", png_of_zeros(10_000, 5000)), 422, id="grey PNG of 50 megapixels"),
    pytest.param(lambda: ("image/jpeg", blank("RGB", (8000, 6250), "JPEG")), 422, id="JPEG of 50 megapixels"),
    pytest.param(
        lambda: ("image/jpeg", blank("RGB", (5000, 5000), "JPEG", progressive=True, subsampling=0)),
        422,
        id="progressive JPEG of 25 megapixels",
    ),
    pytest.param(lambda: ("image/jpeg", jpeg_of_scans(7000, 31)), 422, id="JPEG of 32 scans"),
    pytest.param(lambda: ("image/webp", blank("RGB", (4000, 2500), "WEBP")), 422, id="WEBP of 10 megapixels"),
    pytest.param(lambda: ("image/gif", blank("P", (8000, 6250), "GIF")), 422, id="GIF of 50 megapixels"),
    pytest.param(
        lambda: ("image/gif", blank("P", (65_000, 760), "GIF", transparency=0)), 422, id="GIF of 65 000 pixels a row"
    ),
    pytest.param(lambda: ("image/gif", blank("P", (760, 65_000), "GIF", transparency=0)), 422, id="GIF of 65 000 rows"),
    pytest.param(lambda: ("image/bmp", blank("1", (8000, 6250), "BMP")), 422, id="BMP of 50 megapixels"),
    pytest.param(lambda: ("image/tiff", tiff_of_one_strip(5000, 3000)), 422, id="TIFF of 15 megapixels in one strip"),
    pytest.param(
        lambda: ("image/tiff", blank("RGB", (6800, 5000), "TIFF", compression="tiff_lzw")),
        422,
        id="TIFF of 34 megapixels in many",
    ),
    # more memory than pixels
    pytest.param(lambda: ("image/png", png_of_zeros(8000, 6250, colour=2)), 413, id="PNG in colour of 50 megapixels"),
    pytest.param(lambda: ("image/png", png_of_zeros(1, 37_000_000)), 413, id="PNG of one column"),
    pytest.param(lambda: ("image/png", png_of_zeros(37_000_000, 1)), 413, id="PNG of one row"),
    pytest.param(
        lambda: ("image/jpeg", blank("CMYK", (8000, 6250), "JPEG", progressive=True, subsampling=0)),
        413,
        id="progressive JPEG of 50 megapixels",
    ),
    pytest.param(lambda: ("image/jpeg", jpeg_without_colours(8000, 6250)), 413, id="JPEG whose scan lacks colours"),
    pytest.param(lambda: ("image/webp", webp(4000, 4000)), 413, id="WEBP of 16 megapixels"),
    pytest.param(lambda: ("image/webp", webp(28, 28, 100_000)), 200, id="WEBP of 100 000 frames"),
    pytest.param(lambda: ("image/gif", gif(9999, 9999, disposal=2)), 413, id="GIF restored to its background"),
    pytest.param(lambda: ("image/tiff", tiff_of_one_strip(8000, 6250)), 413, id="TIFF of 50 megapixels in one strip"),
    pytest.param(lambda: ("image/tiff", tiff_of_a_tile(20_000)), 422, id="TIFF of 28x28 in a tile of 20 000 a side"),
    pytest.param(lambda: ("image/tiff", tiff_of_directories()), 200, id="TIFF with four million numbers beside it"),
    # more time than pixels
    pytest.param(lambda: ("image/png", png_of_profiles(10_000)), 200, id="PNG of 10 000 profiles"),
    pytest.param(lambda: ("image/png", png_of_texts(10_000)), 200, id="PNG of 10 000 texts"),
    pytest.param(
        lambda: ("image/png", png(28, 28, png_chunk(b"tSTs", b"") * 10**6)), 422, id="PNG of a million chunks"
    ),
    pytest.param(lambda: ("image/png", png_of_crumbs()), 422, id="PNG in chunks of a byte"),
    pytest.param(lambda: ("image/jpeg", jpeg_of_scans(7000, 1000)), 422, id="JPEG of 1000 scans"),
    pytest.param(
        lambda: ("image/jpeg", b"\xff\xd8" + segment(0xE1, b"Exif\0\0seven") * 1_000_000),
        422,
        id="JPEG of Exif segments",
    ),
    pytest.param(lambda: ("image/jpeg", b"\xff\xd8" + segment(0xFE, b"") * 4_000_000), 422, id="JPEG of comments"),
    pytest.param(lambda: ("image/jpeg", b"\xff\xd8\xff" + b"\xff" * 16_000_000), 422, id="JPEG of padding"),
    pytest.param(lambda: ("image/gif", gif(28, 28, b"!\xfe\1a\0" * 3_000_000)), 422, id="GIF of comments"),
    pytest.param(lambda: ("image/tiff", tiff_of_strips(8_000_000, 1, 28, 28)), 200, id="TIFF of 8 million strips"),
    pytest.param(
        lambda: ("image/tiff", tiff_of_strips(250_000, 1, 28, 28) + b"\0" * 15_500_000),
        200,
        id="TIFF of 250 000 strips",
    ),
    pytest.param(lambda: ("image/tiff", tiff_of_a_jpeg(7000, 90)), 422, id="TIFF of a JPEG of 90 scans"),
    pytest.param(lambda: ("image/bmp", bmp_of_runs(8000, 6250)), 415, id="BMP of runs"),
    # a thousand small ones, which each are within the limits
    pytest.param(lambda: form(*[png_of_profiles(10)] * 1000), 200, id="form of PNGs of profiles"),
    pytest.param(lambda: form(*[tiff_of_a_tile(512)] * 1000), 200, id="form of TIFFs of large tiles"),
    pytest.param(lambda: form(*[tiff_of_strips(64, 1, 28, 28)] * 1000), 200, id="form of TIFFs of strips"),
    pytest.param(lambda: form(*[jpeg_of_scans(28, 31)] * 1000), 200, id="form of JPEGs of scans"),
]


@pytest.fixture(scope="module")
def bombed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of its own: what memory others left it would hide what a bomb takes."""
    service = Service(tmp_path_factory.mktemp("bombed") / "service.log", {}).wait_until_ready()
    service.client.post("/predict", content=png_of_zeros(400, 400), headers={"content-type": "image/png"})
    yield service
    service.stop()
    assert "Traceback" not in service.log.read_text()


@pytest.mark.parametrize(("bomb", "status"), BOMBS)
def test_no_body_costs_more_than_a_large_picture(bombed: Service, bomb: Callable[[], Bomb], status: int) -> None:
    content_type, body = bomb()
    process, account = psutil.Process(bombed.process.pid), Path(f"/proc/{bombed.process.pid}")
    (account / "clear_refs").write_text("5")  # the peak is counted from here
    memory, cpu = process.memory_info().rss, sum(process.cpu_times()[:2])

    reply = bombed.client.post(
        "/predict", params={"normalize": "never"}, content=body, headers={"content-type": content_type}
    )

    assert len(body) <= LIMIT
    assert reply.status_code == status, reply.text
    peak = int((account / "status").read_text().partition("VmHWM:")[2].split()[0])
    took_memory, took_cpu = peak * 1024 - memory, sum(process.cpu_times()[:2]) - cpu
    assert took_memory < MEMORY_BYTES
    assert took_cpu < CPU_SECONDS
    assert bombed.client.get("/readyz").status_code == 200
