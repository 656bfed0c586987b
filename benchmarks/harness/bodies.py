"""The request bodies that the benchmarks send."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import orjson
from PIL import Image, ImageChops

from digits.features import Grey
from digits.model.artifact import NAME, SHIPPED, versions
from digits.model.classifier import Golden

MODEL = SHIPPED / NAME / str(versions(SHIPPED)[0])
"""The model version that every service loads: the newest that is shipped."""
GOLDEN = Golden.from_json((MODEL / "golden.json").read_bytes())
"""The ten digits that are sent, with the probabilities that a service must reply."""


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """One way to send a picture."""

    name: str
    headers: Mapping[str, str]
    encode: Callable[[Grey], bytes]


def encoded(picture: Image.Image, format: str, **options: Any) -> bytes:  # noqa: A002 - Pillow's name
    """Return a file of this picture. The format and the options are Pillow's."""
    stream = io.BytesIO()
    picture.save(stream, format, **options)
    return stream.getvalue()


def _drawing(pixels: Grey) -> bytes:
    """Encode a drawing of one digit: dark on white, 280x280 pixels, RGB, PNG."""
    large = Image.fromarray(pixels).resize((280, 280), Image.Resampling.BICUBIC)
    return encoded(ImageChops.invert(large).convert("RGB"), "png")


@cache
def _photographed(digit: bytes, width: int, height: int, noise: int, quality: int) -> bytes:
    """Encode a digit of 28x28 bytes as a photo of paper: dark on yellowish, uneven light, RGB, JPEG.

    `noise` is the standard deviation of the camera's noise, in grey values.
    """
    field = min(width, height) * 3 // 4
    large = Image.frombytes("L", (28, 28), digit).resize((field, field), Image.Resampling.BICUBIC)
    ink = Image.new("L", (width, height))
    ink.paste(large, ((width - field) // 2, (height - field) // 2))
    light = Image.fromarray(np.linspace(240, 180, width).astype(np.uint8)[None]).resize((width, height))
    paper = ImageChops.multiply(ink.point([255 - value * 4 // 5 for value in range(256)]), light)
    grey = ImageChops.add(paper, _noise(width, height, noise), offset=-128)
    blue = grey.point([value * 9 // 10 for value in range(256)])
    return encoded(Image.merge("RGB", (grey, grey, blue)), "jpeg", quality=quality)


@cache
def _noise(width: int, height: int, deviation: int) -> Image.Image:
    """Return normally distributed noise around 128."""
    noise = np.random.default_rng(0).standard_normal((height, width), dtype=np.float32)
    return Image.fromarray((128.5 + deviation * noise).astype(np.uint8))


def _scan(pixels: Grey) -> bytes:
    """Encode a picture as a JPEG of 640x640 pixels, 40 kB."""
    return _photographed(pixels.tobytes(), 640, 640, noise=3, quality=85)


def _ruled(pixels: Grey) -> bytes:
    """Encode a picture as a photo of ruled paper, 640x640 pixels, 40 kB."""
    photo = Image.open(io.BytesIO(_scan(pixels)))
    for y in range(30, 640, 60):
        photo.paste((120, 120, 130), (0, y, 640, y + 3))
    return encoded(photo, "jpeg", quality=85)


def _photo(pixels: Grey) -> bytes:
    """Encode a picture as a phone's photo: 12 megapixels, 4 MB."""
    return _photographed(pixels.tobytes(), 4000, 3000, noise=6, quality=92)


JSON = Body("JSON", {"Content-Type": "application/json"}, lambda pixels: orjson.dumps({"pixels": pixels.tolist()}))
RAW = Body("raw bytes", {"Content-Type": "application/octet-stream"}, lambda pixels: pixels.tobytes())
PNG = Body("PNG", {"Content-Type": "image/png"}, lambda pixels: encoded(Image.fromarray(pixels), "png"))
MANY = Body("1024 as raw bytes", RAW.headers, lambda pixels: pixels.tobytes() * 1024)  # the most in a request
DRAWING = Body("drawing, 280x280", PNG.headers, _drawing)
JPEG = Body("JPEG, 640x640", {"Content-Type": "image/jpeg"}, _scan)
RULED = Body("ruled paper, 640x640", JPEG.headers, _ruled)
PHOTO = Body("photo, 12 megapixels", JPEG.headers, _photo)
PICTURES = (DRAWING, JPEG, RULED, PHOTO)
"""Bodies that the service must normalize, so that the probabilities differ from the golden ones."""

BODIES = {"json": JSON, "raw": RAW, "png": PNG, "many": MANY}
BODIES |= {"drawing": DRAWING, "jpeg": JPEG, "ruled": RULED, "photo": PHOTO}
"""All bodies, by their names on the command line."""
