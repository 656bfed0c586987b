"""A small body that would take much time or memory to decode is refused, or answered within a bound on both."""

import math
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from app.settings import Settings
from tests.app.conftest import Service, cases, running_service
from tests.app.dialects import typed
from tests.conftest import encoded
from tests.picture_files import gif, grey_tags, png, png_chunk, tiff, webp

pytestmark = pytest.mark.slow

LIMIT = Settings().max_body_bytes
MEMORY_BYTES = 500_000_000
"""What the service may allocate for a body, three times the measured maximum. Without limits, these bodies took
up to gigabytes."""
CPU_SECONDS = 10
"""Six times the maximum that was measured. Without limits, these bodies took up to minutes."""

Bomb = tuple[str, bytes]
"""Content type and body."""


def zeros(size: int) -> bytes:
    packer, block = zlib.compressobj(1), b"\0" * 1_000_000
    packed = b"".join(packer.compress(block[: min(len(block), left)]) for left in range(size, 0, -len(block)))
    return packed + packer.flush()


def blank(mode: str, size: tuple[int, int], format_: str, **options: Any) -> bytes:
    return encoded(Image.new(mode, size), format=format_, **options)


def form(*pictures: bytes) -> Bomb:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    return "multipart/form-data; boundary=b", b"".join(head + data + b"\r\n" for data in pictures) + b"--b--\r\n"


def png_of_zeros(width: int, height: int, *, bits: int = 8, colour: int = 0) -> bytes:
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    return png(width, height, bits=bits, colour=colour, rows=zeros(height * (1 + width * channels * bits // 8)))


def png_of_profiles(count: int) -> bytes:
    return png(28, 28, png_chunk(b"iCCP", b"n\0\0" + zlib.compress(bytes(1_000_000))) * count)


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


ALLOWED, REFUSED, SMALL = 422, 413, 200
"""The status of a picture that is decoded, but not of 28x28 pixels, of one that takes too much memory, and of 28x28."""

FULL: dict[str, Any] = {"progressive": True, "subsampling": 0}

BOMBS: dict[str, tuple[Callable[[], Bomb], int]] = {
    # what is allowed, as large as it may be
    "PNG of 37 megapixels": (lambda: ("image/png", png_of_zeros(7500, 5000, bits=16, colour=6)), ALLOWED),
    "progressive JPEG of 25 megapixels": (lambda: ("image/jpeg", blank("RGB", (5000, 5000), "JPEG", **FULL)), ALLOWED),
    "TIFF of 15 megapixels in one strip": (lambda: ("image/tiff", tiff_of_one_strip(5000, 3000)), ALLOWED),
    "WEBP of 100 000 frames": (lambda: ("image/webp", webp(28, 28, 100_000)), SMALL),
    "GIF restored to its background": (lambda: ("image/gif", gif(9999, 9999, disposal=2)), REFUSED),
    "TIFF of 28x28 in a tile of 20 000 a side": (lambda: ("image/tiff", tiff_of_a_tile(20_000)), 422),
    # more time than pixels
    "PNG of 10 000 profiles": (lambda: ("image/png", png_of_profiles(10_000)), SMALL),
    "PNG of a million chunks": (lambda: ("image/png", png(28, 28, png_chunk(b"tSTs", b"") * 10**6)), 422),
    "JPEG of 1000 scans": (lambda: ("image/jpeg", jpeg_of_scans(7000, 1000)), 422),
    "JPEG of Exif segments": (lambda: ("image/jpeg", b"\xff\xd8" + segment(0xE1, b"Exif\0\0seven") * 10**6), 422),
    "GIF of comments": (lambda: ("image/gif", gif(28, 28, b"!\xfe\1a\0" * 3_000_000)), 422),
    "TIFF of a JPEG of 90 scans": (lambda: ("image/tiff", tiff_of_a_jpeg(7000, 90)), 422),
    # a thousand small ones, which each are within the limits
    "form of PNGs of profiles": (lambda: form(*[png_of_profiles(10)] * 1000), SMALL),
}


@pytest.fixture(scope="module")
def bombed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that cannot allocate much more than it has at its start. Beyond that, it answers 500."""
    with running_service(tmp_path_factory.mktemp("bombed")) as service:
        (kilobytes,) = re.findall(r"VmData:\s+(\d+)", Path(f"/proc/{service.process.pid}/status").read_text())
        limit = 1024 * int(kilobytes) + MEMORY_BYTES
        psutil.Process(service.process.pid).rlimit(psutil.RLIMIT_DATA, (limit, limit))
        yield service


@cases(("bomb", "status"), BOMBS)
def test_no_body_costs_more_than_a_large_picture(bombed: Service, bomb: Callable[[], Bomb], status: int) -> None:
    kind, body = bomb()
    process = psutil.Process(bombed.process.pid)
    cpu_before = sum(process.cpu_times()[:2])

    reply = bombed.client.post("/predict?normalize=never", **typed(kind, body))

    assert len(body) <= LIMIT
    assert reply.status_code == status, reply.text
    assert sum(process.cpu_times()[:2]) - cpu_before < CPU_SECONDS
    assert bombed.client.get("/readyz").status_code == 200


def test_a_form_frees_each_picture_before_the_next(bombed: Service) -> None:
    picture = Image.new("RGB", (3500, 3500), "white")
    picture.paste("black", (1600, 500, 1900, 3000))

    reply = bombed.client.post("/predict", **typed(*form(*[encoded(picture)] * 8)))  # one takes 70 MB

    assert reply.status_code == 200, reply.text
