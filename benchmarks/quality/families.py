"""Make pictures as people send them from MNIST digits, so that the right answer is known.

    family("photo", pixels, np.random.default_rng(0))    uint8 (N, 28, 28) to N encoded pictures

The same digits and seed give the same bytes. `digits/normalization/normalize.py` is not tuned to this module. Widths,
sizes and lights are drawn from ranges. Those of the older families, "as is" to "far", were chosen before any
measurement. The cut and faint pictures were made harder once, because the first ones were easier than real scans.
"""

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from benchmarks.harness import bodies
from digits.features import Grey
from training.finder.strokes import skeleton

Array = NDArray[Any]
"""Floats (height, width)"""
Generator = np.random.Generator

PAPER, INK = 255.0, 0.0


def rng_of(name: str) -> Generator:
    """Return the source of randomness of a family. Each has its own seed, so that a new family changes no other."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def family(name: str, pixels: Grey, rng: Generator) -> list[bytes]:
    """Return one picture of a family for each digit, uint8 (N, 28, 28) in MNIST form, in order."""
    make = FAMILIES[name]
    return [make(digit, rng) for digit in pixels]


def encoded(pixels: NDArray[Any], **options: Any) -> bytes:
    """Encode grey, RGB or RGBA pixels in 0 to 255 as a file, PNG unless `format` says otherwise."""
    whole = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    settings: dict[str, Any] = {"format": "PNG", "compress_level": 1}
    return bodies.encoded(Image.fromarray(whole), **(settings | options))


def enlarged(digit: Grey, side: int) -> Array:
    """Redraw a digit with sharp edges, its 28x28 field `side` pixels wide. Returns the coverage by ink in [0, 1]."""
    cubic = Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC)
    scale = side / 28
    smooth = ndimage.gaussian_filter(np.asarray(cubic, dtype=np.float32) / 255, scale / 4)
    ink: Array = np.clip((smooth - 0.5) * scale + 0.5, 0, 1)
    return ink


def stroked(digit: Grey, side: int, width: float) -> Array:
    """Redraw a digit along its middle line, with a pen of this width in pixels. Returns the coverage in [0, 1]."""
    coarse = 4 * 28
    points = np.argwhere(skeleton(enlarged(digit, coarse) > 0.5)).astype(np.float32)
    apart = np.abs(points[:, None] - points[None]).max(axis=2)
    near = (apart <= 3).astype(np.float32)
    smooth = near @ points / near.sum(axis=1, keepdims=True)  # a hand draws no stairs
    wide = int(width / 2 + 1)  # the field's margin may be narrower than half a stroke
    page = Image.new("1", (side + 2 * wide, side + 2 * wide), 1)
    pen = ImageDraw.Draw(page)
    at = (smooth + 0.5) * (side / coarse) - 0.5 + wide
    for first, second in np.argwhere(np.triu(apart <= 1)):
        pen.line([*at[first, ::-1], *at[second, ::-1]], fill=0)
    distance = ndimage.distance_transform_edt(np.asarray(page))
    ink: Array = np.clip(width / 2 + 0.5 - distance, 0, 1).astype(np.float32)
    return ink


def placed(ink: Array, rng: Generator, *, margin: float = 0.5) -> Array:
    """Place a digit on a larger page, which adds up to `margin` of its side at each edge."""
    side = len(ink)
    top, bottom, left, right = (int(side * share) for share in rng.uniform(0.0, margin, 4))
    return np.pad(ink, ((top, bottom), (left, right)))


def light(shape: tuple[int, ...], rng: Generator, *, depth: float) -> Array:
    """Return the light at every pixel, between 1 - depth and 1: a slope and a soft shadow."""
    rows, columns = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape)
    angle = rng.uniform(0, 2 * np.pi)
    slope = np.add.outer(np.sin(angle) * rows, np.cos(angle) * columns) / 1.5
    angle, offset = rng.uniform(0, 2 * np.pi), rng.uniform(-0.6, 0.6)
    distance = np.add.outer(np.sin(angle) * rows, np.cos(angle) * columns) - offset
    shadow = 1 / (1 + np.exp(-distance * rng.uniform(4, 12)))
    mixed = 0.6 * (slope + 1) / 2 + 0.4 * shadow
    falling: Array = (1 - depth * mixed).astype(np.float32)
    return falling


def texture(shape: tuple[int, ...], rng: Generator, *, strength: float) -> Array:
    """Return paper fibres: noise with a grain of a few pixels and a standard deviation of `strength` grey values."""
    grain = ndimage.gaussian_filter(rng.normal(0, 1, shape).astype(np.float32), rng.uniform(0.6, 1.5))
    scaled: Array = grain * (strength / max(float(grain.std()), 1e-6))
    return scaled


def on_paper(ink: Array, *, paper: float = PAPER, pen: float = INK) -> Array:
    """Return the grey values of dark ink on light paper."""
    return paper + (pen - paper) * ink


def _page(digit: Grey, rng: Generator) -> bytes:
    ink = placed(enlarged(digit, int(rng.integers(60, 401))), rng)
    return encoded(on_paper(ink), format="JPEG", quality=int(rng.integers(50, 96)))


def _transparent(digit: Grey, rng: Generator) -> bytes:
    """Put ink in the alpha channel of a page of one colour, or on hidden black."""
    ink = placed(enlarged(digit, int(rng.integers(60, 401))), rng)
    colour = rng.choice([0, 255]) if rng.random() < 0.5 else rng.integers(0, 256, 3)
    rgba = np.empty((*ink.shape, 4), dtype=np.float32)
    rgba[..., :3] = colour
    rgba[..., 3] = 255 * ink
    if rng.random() < 0.5:
        rgba[ink == 0] = 0  # most programs write zeros where nothing is visible
    return encoded(rgba)


def side_strip(shape: tuple[int, int], rng: Generator, *, share: float) -> Array:
    """Return a strip along one side, 1 in it and 0 elsewhere. Its edge is sharp, straight and slightly tilted.

    `share` is the strip's width, as a share of the picture's width or height.
    """
    turns = int(rng.integers(0, 4))
    length, width = shape if turns % 2 == 0 else shape[::-1]
    rows, columns = np.ogrid[:length, :width]
    edge = share * width * (1 + rng.uniform(-0.3, 0.3) * (rows / length - 0.5))
    strip: Array = np.rot90(np.clip(edge - columns, 0, 1).astype(np.float32), turns)
    return strip


def photographed(ink: Array, rng: Generator) -> bytes:
    """Photograph dark ink, a coverage in [0, 1], on paper in uneven light, slightly out of focus."""
    paper = rng.uniform(170, 245)
    contrast = rng.uniform(0.35, 0.85)
    grey = on_paper(ink, paper=paper, pen=paper * (1 - contrast))
    grey *= light(grey.shape, rng, depth=rng.uniform(0.15, 0.55))
    grey += texture(grey.shape, rng, strength=rng.uniform(1, 5))
    grey = ndimage.gaussian_filter(grey, rng.uniform(0.5, 2.5))
    grey += rng.normal(0, rng.uniform(0.5, 3), grey.shape)
    tint = rng.uniform(0.9, 1.0, 3)
    return encoded(grey[..., None] * tint, format="JPEG", quality=int(rng.integers(50, 96)))


def pencilled(ink: Array, rng: Generator) -> bytes:
    """Scan graphite, which misses the valleys of the paper. `ink` is the coverage in [0, 1]."""
    graphite = 1 - np.clip(texture(ink.shape, rng, strength=0.25), 0, 0.7)
    paper = rng.uniform(200, 250)
    grey = on_paper(ink * graphite, paper=paper, pen=paper - rng.uniform(40, 90))
    grey *= light(grey.shape, rng, depth=rng.uniform(0, 0.2))
    grey += texture(grey.shape, rng, strength=rng.uniform(1, 3))
    return encoded(grey, format="JPEG", quality=int(rng.integers(60, 96)))


def marked(ink: Array, rng: Generator) -> bytes:
    """Scan ink of one of a marker's colours. `ink` is the coverage in [0, 1]."""
    pen = rng.choice([(0, 0, 0), (20, 30, 160), (180, 20, 30), (10, 110, 60), (240, 200, 0)])
    paper = np.array([250, 250, 245], dtype=np.float32)
    return encoded(paper + (pen - paper) * ink[..., None], format="JPEG", quality=int(rng.integers(60, 96)))


def _photo(digit: Grey, rng: Generator) -> bytes:
    return photographed(placed(enlarged(digit, int(rng.integers(150, 401))), rng), rng)


def _pencil(digit: Grey, rng: Generator) -> bytes:
    side = int(rng.integers(120, 401))
    return pencilled(placed(stroked(digit, side, side * rng.uniform(0.02, 0.05)), rng), rng)


def _hairline(digit: Grey, rng: Generator) -> bytes:
    side = int(rng.integers(200, 601))
    ink = placed(stroked(digit, side, rng.uniform(1, 2.5)), rng)
    return encoded(on_paper(ink) if rng.random() < 0.7 else 255 * ink)


def _marker(digit: Grey, rng: Generator) -> bytes:
    """Draw strokes that are almost wide enough to close the holes of the digit."""
    side = int(rng.integers(120, 401))
    return marked(placed(stroked(digit, side, side * rng.uniform(0.11, 0.16)), rng), rng)


def _speckled(digit: Grey, rng: Generator) -> bytes:
    """Add up to 40 specks of dust, none larger than a stroke is wide."""
    side = int(rng.integers(100, 401))
    ink = placed(enlarged(digit, side), rng)
    specks = np.zeros_like(ink)
    rows, columns = np.ogrid[: ink.shape[0], : ink.shape[1]]
    for _ in range(int(rng.integers(5, 41))):
        y, x = rng.uniform(0, ink.shape[0]), rng.uniform(0, ink.shape[1])
        radius = side * rng.uniform(0.003, 0.018)
        reach = int(radius + 2)
        part = np.s_[max(0, int(y) - reach) : int(y) + reach + 1, max(0, int(x) - reach) : int(x) + reach + 1]
        distance = np.hypot(rows[part[0]] - y, columns[:, part[1]] - x)
        specks[part] = np.maximum(specks[part], np.clip(radius + 0.5 - distance, 0, 1) * rng.uniform(0.4, 1))
    return encoded(on_paper(np.maximum(ink, specks)))


def _rotated(digit: Grey, rng: Generator) -> bytes:
    ink = np.pad(enlarged(digit, int(rng.integers(100, 301))), 40)
    turned = ndimage.rotate(ink, rng.uniform(-15, 15), order=1, reshape=False)
    return encoded(on_paper(placed(turned, rng)))


def _scaled_strokes(digit: Grey, rng: Generator) -> bytes:
    """Make the strokes of the digit between half and twice as wide."""
    side = int(rng.integers(120, 301))
    body = np.pad(enlarged(digit, side) > 0.5, side // 8)
    distance = ndimage.distance_transform_edt(~body) - ndimage.distance_transform_edt(body)
    half = 2 * ndimage.mean(-distance, body) if body.any() else 0.0  # a bar's mean depth is half its half width
    grown = half * (np.exp(rng.uniform(np.log(0.55), np.log(1.8))) - 1)
    ink = np.clip(grown - distance + 0.5, 0, 1).astype(np.float32)
    return encoded(on_paper(placed(ink, rng)))


def _far(digit: Grey, rng: Generator) -> bytes:
    """Photograph a page on which the digit takes 3 to 8 % of the longer side."""
    width, height = 1600, 1200
    page = np.zeros((height, width), dtype=np.float32)
    ink = enlarged(digit, int(width * rng.uniform(0.03, 0.08) * 28 / 20))
    top, left = (int(rng.uniform(0.1, 0.9) * (whole - len(ink))) for whole in page.shape)
    page[top : top + len(ink), left : left + len(ink)] = ink
    paper = rng.uniform(170, 245)
    grey = on_paper(page, paper=paper, pen=paper * (1 - rng.uniform(0.35, 0.85)))
    falling = Image.fromarray(light((height // 8, width // 8), rng, depth=rng.uniform(0.15, 0.55)))
    grey *= np.asarray(falling.resize((width, height), Image.Resampling.BILINEAR))
    grey += rng.standard_normal(page.shape, dtype=np.float32) * np.float32(rng.uniform(0.5, 3))
    return encoded(grey, format="JPEG", quality=int(rng.integers(50, 96)))


def cut(ink: Array, inset: int = 0, above: float = 0.5) -> Array:
    """Cut a digit to its ink or `inset` pixels into it, so that its outermost strokes run along the picture's edge.

    Ink is where the coverage is higher than `above`.
    """
    rows, columns = (np.flatnonzero((ink > above).any(axis=axis)) for axis in (1, 0))
    return ink[rows[0] + inset : rows[-1] + 1 - inset, columns[0] + inset : columns[-1] + 1 - inset]


def squared(ink: Array) -> Array:
    """Add columns or rows on both sides of a digit until its picture is square."""
    height, width = ink.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    return np.pad(ink, ((top, side - height - top), (left, side - width - left)))


def resized(ink: Array, height: int, width: int) -> Array:
    """Reduce a digit by averaging, as a scanner does."""
    averaged: Array = np.asarray(Image.fromarray(ink).resize((width, height), Image.Resampling.BOX))
    return averaged


def _cut_bitmap(digit: Grey, rng: Generator) -> bytes:
    """Make a bitmap of 16x16 pixels and two levels in which the digit touches two opposite edges, or all four.

    Half of the digits are stretched to a square unless they are narrow.
    """
    pen = 128 * rng.uniform(0.06, 0.14)
    ink = cut(stroked(digit, 128, pen), inset=int(pen * rng.uniform(0, 0.4)))
    if rng.random() < 0.5 or ink.shape[1] < 0.6 * ink.shape[0]:
        ink = squared(ink)
    bits = resized(ink, 16, 16) > 0.5
    return encoded(255.0 * (bits if rng.random() < 0.5 else ~bits))


def _cut_bold(digit: Grey, rng: Generator) -> bytes:
    """Make a cut bitmap of bold strokes. A 1 is a bar that covers half of its picture."""
    side = int(rng.choice([16, 20, 32]))
    ink = cut(stroked(digit, 8 * side, 8 * side * rng.uniform(0.11, 0.15)))
    height, width = ink.shape
    if width < height / 2:
        ink = resized(ink, height, height // 2)
    bits = resized(squared(ink), side, side) > 0.5
    return encoded(255.0 * (bits if rng.random() < 0.5 else ~bits))


def _cut_scan(digit: Grey, rng: Generator) -> bytes:
    """Make a grey scan of 20 to 120 pixels that was cut to the ink. A narrow digit keeps paper beside it."""
    side = int(rng.integers(160, 320))
    pen = side * rng.uniform(0.05, 0.12)
    ink = cut(stroked(digit, side, pen), inset=int(pen * rng.uniform(0, 0.4)))
    height, width = ink.shape
    beside = max(0, height // 2 - width) // 2
    ink = np.pad(ink, ((0, 0), (beside, beside)))
    scale = rng.uniform(20, 120) / max(ink.shape)
    ink = resized(ink, *(max(8, round(part * scale)) for part in ink.shape))
    paper = rng.uniform(190, 255)
    grey = on_paper(ink, paper=paper, pen=paper * rng.uniform(0.1, 0.45))
    return encoded(grey + rng.normal(0, rng.uniform(0, 4), grey.shape))


def _faint(digit: Grey, rng: Generator) -> bytes:
    """Scan the ink of a thin pen with 24 to 36 pixels. The pressure of the pen varies."""
    side = int(rng.integers(24, 37))
    height = rng.uniform(0.4, 0.8) * side
    field = round(8 * height * 28 / 20)
    ink = cut(stroked(digit, field, 8 * rng.uniform(0.4, 1.0)))
    pressure = ndimage.gaussian_filter(rng.normal(0, 1, ink.shape), field / 8)
    ink *= 1 - 0.6 * (pressure - pressure.min()) / np.ptp(pressure)
    page = np.zeros((8 * side, 8 * side), dtype=np.float32)
    part = ink[: 8 * side - 16, : 8 * side - 16]
    top, left = (int(rng.integers(8, 8 * side - length - 7)) for length in part.shape)
    page[top : top + part.shape[0], left : left + part.shape[1]] = part
    paper = rng.uniform(200, 255)
    grey = on_paper(resized(page, side, side), paper=paper, pen=paper - rng.uniform(90, 190))
    return encoded(grey + rng.normal(0, rng.uniform(0, 2), grey.shape))


def reduced_photo(ink: Array, rng: Generator, side: int, *, paper: float) -> bytes:
    """Photograph a square page, reduce the photo to `side` pixels, and store it as messengers do.

    `ink` is the page's coverage by ink, with at least `side` pixels. `paper` is the grey value of paper in the light.
    """
    grey = on_paper(ink, paper=paper, pen=paper * (1 - rng.uniform(0.45, 0.8)))
    grey *= light(grey.shape, rng, depth=rng.uniform(0.1, 0.4))
    grey += texture(grey.shape, rng, strength=rng.uniform(1, 4))
    grey = ndimage.gaussian_filter(grey, rng.uniform(0.5, 1.2)) + rng.normal(0, rng.uniform(0.5, 3), grey.shape)
    photo = Image.fromarray(np.clip(np.rint(grey), 0, 255).astype(np.uint8))
    reduced = np.asarray(photo.resize((side, side), Image.Resampling.LANCZOS), dtype=np.float32)
    return encoded(reduced[..., None] * rng.uniform(0.9, 1.0, 3), format="JPEG", quality=int(rng.integers(70, 91)))


def _on_page(digit: Grey, rng: Generator, *, height: tuple[float, float]) -> Array:
    """Write a digit on a page of 768 pixels with a thin pen. Its height is a share of the page's from this range."""
    side = 768
    ink = cut(stroked(digit, int(side * rng.uniform(*height) * 28 / 20), side * rng.uniform(0.004, 0.009)))
    page = np.zeros((side, side), dtype=np.float32)
    top, left = (int(rng.uniform(0.05, 0.95) * (side - length)) for length in ink.shape)
    page[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return page


def _thin_pen(digit: Grey, rng: Generator) -> bytes:
    return reduced_photo(_on_page(digit, rng, height=(0.15, 0.5)), rng, 256, paper=rng.uniform(150, 240))


def _dark_photo(digit: Grey, rng: Generator) -> bytes:
    """Photograph a tall digit in little light."""
    side = int(rng.choice([256, 384, 512]))
    return reduced_photo(_on_page(digit, rng, height=(0.55, 0.85)), rng, side, paper=rng.uniform(60, 110))


FAMILIES: dict[str, Callable[[Grey, Generator], bytes]] = {
    "as is": lambda digit, _rng: encoded(digit),
    "inverted": lambda digit, _rng: encoded(255 - digit),
    "page": _page,
    "transparent": _transparent,
    "photo": _photo,
    "pencil": _pencil,
    "hairline": _hairline,
    "marker": _marker,
    "speckled": _speckled,
    "rotated": _rotated,
    "scaled strokes": _scaled_strokes,
    "far": _far,
    "cut, 16x16 bitmap": _cut_bitmap,
    "cut, bold": _cut_bold,
    "cut, scan": _cut_scan,
    "faint, dark on light": _faint,
    "photo, 256 pixels": _thin_pen,
    "photo, dark": _dark_photo,
}
"""By name, in the order of the table."""
