"""Make pictures of digits on the papers that people write on, photographed in uneven light.

    PAPERS["ruled"](ink, rng)    the coverage by ink, (height, width) in [0, 1], to an encoded picture
    ON_PAPER["on ruled paper"](digit, rng)    the same for one digit of MNIST, as `families.FAMILIES` has it

Only the thinning of strokes is shared with `training/finder/`, which makes the scenes that train the finder.
"""

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from benchmarks.quality.families import Array, Generator, cut, encoded, light, side_strip, stroked, texture
from benchmarks.quality.without_digit import SURFACES
from digits.features import Grey


def _axes(shape: tuple[int, ...], rng: Generator, *, most_degrees: float) -> tuple[Array, Array]:
    """Return the rows and columns of each pixel, turned by a small angle."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    angle = np.deg2rad(rng.uniform(-most_degrees, most_degrees))
    return np.cos(angle) * rows + np.sin(angle) * columns, np.cos(angle) * columns - np.sin(angle) * rows


def _rules(along: Array, pitch: float, width: float, rng: Generator) -> Array:
    distance = np.abs((along + rng.uniform(0, pitch)) % pitch - pitch / 2)
    return np.clip(width / 2 + 0.5 - distance, 0, 1)


def _photographed(
    ink: Array, paper: Array | float, rng: Generator, *, depth: tuple[float, float] = (0.1, 0.5)
) -> bytes:
    """Photograph dark ink. `paper` is the brightness of each pixel of the paper. Bare paper has 1."""
    grey = paper * (1 - rng.uniform(0.45, 0.85) * ink) * light(ink.shape, rng, depth=rng.uniform(*depth))
    return _taken(rng.uniform(150, 240) * grey, rng)


def _taken(grey: Array, rng: Generator) -> bytes:
    grey = grey + texture(grey.shape, rng, strength=rng.uniform(0.5, 4))
    grey = ndimage.gaussian_filter(grey, rng.uniform(0.4, 1.8)) + rng.normal(0, rng.uniform(0.5, 3), grey.shape)
    if rng.random() < 0.5:  # as messengers reduce it
        scale = max(grey.shape) / rng.uniform(128, 512)
        if scale > 1:
            size = int(grey.shape[1] / scale), int(grey.shape[0] / scale)
            grey = np.asarray(Image.fromarray(grey.astype(np.float32)).resize(size, Image.Resampling.BOX))
    return encoded(grey[..., None] * rng.uniform(0.92, 1.0, 3), format="JPEG", quality=int(rng.integers(60, 93)))


def _ruled(ink: Array, rng: Generator) -> bytes:
    down, across = _axes(ink.shape, rng, most_degrees=4)
    lines = _rules(down, rng.uniform(0.1, 0.35) * max(ink.shape), rng.uniform(1, 3.5), rng)
    if rng.random() < 0.3:
        margin = np.abs(across - rng.uniform(0.05, 0.95) * ink.shape[1])
        lines = np.maximum(lines, np.clip(1.5 - margin, 0, 1))
    return _photographed(ink, 1 - rng.uniform(0.1, 0.6) * lines, rng)


def _squared(ink: Array, rng: Generator) -> bytes:
    axes = _axes(ink.shape, rng, most_degrees=6)
    pitch, width = rng.uniform(0.05, 0.2) * max(ink.shape), rng.uniform(1, 2.5)
    lines = np.maximum(*(_rules(axis, pitch, width, rng) for axis in axes))
    return _photographed(ink, 1 - rng.uniform(0.1, 0.5) * lines, rng)


def _boxed(ink: Array, rng: Generator) -> bytes:
    """Draw the box of a form around the ink, which may touch it, and a word above it."""
    page = Image.new("L", ink.shape[::-1])
    pen = ImageDraw.Draw(page)
    rows, columns = (np.flatnonzero((ink > 0.5).any(axis=axis)) for axis in (1, 0))
    height = int(np.ptp(rows))
    gaps = rng.uniform(-0.02, 0.25, 4) * height
    corners = columns[0] - gaps[0], rows[0] - gaps[1], columns[-1] + gaps[2], rows[-1] + gaps[3]
    pen.rectangle(corners, outline=255, width=int(rng.integers(1, 6)))
    pen.text(
        (corners[0], corners[1] - height / 4), "Total No. 3", fill=255, font=ImageFont.load_default(max(8, height // 6))
    )
    turned = np.asarray(page.rotate(rng.uniform(-2, 2), Image.Resampling.BILINEAR), dtype=np.float32) / 255
    return _photographed(ink, 1 - rng.uniform(0.3, 0.85) * turned, rng)


def _table(ink: Array, rng: Generator) -> bytes:
    axes = _axes(ink.shape, rng, most_degrees=2)
    rows = np.flatnonzero((ink > 0.5).any(axis=1))
    # The lowest of the lines runs just below the digits.
    pitch, width = float(np.ptp(rows)) * rng.uniform(1.1, 1.5), rng.uniform(1.5, 5)
    lines = np.clip(width / 2 + 0.5 - np.abs((axes[0] - rows[-1] - 0.06 * pitch + pitch / 2) % pitch - pitch / 2), 0, 1)
    columns = _rules(axes[1], max(ink.shape) * rng.uniform(0.55, 0.9), width, rng)
    return _photographed(ink, 1 - rng.uniform(0.3, 0.8) * np.maximum(lines, columns * (ink == 0)), rng)


def _under_shadow(ink: Array, rng: Generator) -> bytes:
    """Let the hard edge of a shadow cross the ink."""
    strip = side_strip(ink.shape, rng, share=rng.uniform(0.35, 0.65))
    shadow = ndimage.gaussian_filter(strip, rng.uniform(0.5, 4))
    return _photographed(ink, 1 - rng.uniform(0.25, 0.65) * shadow, rng)


def _thin(ink: Array, rng: Generator) -> bytes:
    """Let the other side of a thin sheet shine through."""
    shift = [int(rng.uniform(-0.4, 0.4) * length) for length in ink.shape]
    behind = ndimage.gaussian_filter(np.roll(ink[:, ::-1], shift, axis=(0, 1)), rng.uniform(1, 3))
    return _photographed(ink, 1 - rng.uniform(0.08, 0.3) * behind, rng)


def _crumpled(ink: Array, rng: Generator) -> bytes:
    """Fold and crumple the sheet."""
    shape = ink.shape
    hills = ndimage.gaussian_filter(rng.normal(0, 1, shape), max(shape) / rng.uniform(12, 30))
    down, across = _axes(shape, rng, most_degrees=90)
    fold = (down + across) / 2
    fold = fold - rng.uniform(0.3, 0.7) * fold.max()
    shade = (
        rng.uniform(0.03, 0.1) * hills / hills.std()
        + rng.uniform(0.05, 0.2) * (fold > 0)
        - 0.2 * np.exp(-np.abs(fold) / 3)
    )
    return _photographed(ink, 1 + shade, rng)


def _on_surface(ink: Array, rng: Generator, *, surface: str) -> bytes:
    shape = ink.shape[0], ink.shape[1]
    grey = SURFACES[surface](shape, rng)
    is_dark = grey.mean() > 110
    return _taken(grey * (1 - 0.8 * ink) if is_dark else grey + (230 - grey) * 0.8 * ink, rng)


def _blackboard(ink: Array, rng: Generator) -> bytes:
    shape = ink.shape
    smears = ndimage.gaussian_filter(rng.normal(0, 1, shape), (max(shape) / 40, max(shape) / 8))
    board = (
        rng.uniform(40, 90) * light(shape, rng, depth=rng.uniform(0.2, 0.6)) + rng.uniform(2, 8) * smears / smears.std()
    )
    chalk = 1 - np.clip(texture(shape, rng, strength=0.2), 0, 0.5)
    return _taken(board + rng.uniform(70, 150) * ink * chalk, rng)


def _paper_on_table(ink: Array, rng: Generator) -> bytes:
    """Photograph a sheet that ends in the picture. A table is behind it."""
    height, width = (int(0.3 * side) for side in ink.shape)
    ink = np.pad(ink, ((height, height), (width, width)))
    table = side_strip(ink.shape, rng, share=rng.uniform(0.08, 0.18))
    wood = SURFACES["wood"]((ink.shape[0], ink.shape[1]), rng) / 255
    return _photographed(ink, (1 - table) + table * wood * rng.uniform(0.3, 1), rng)


def _sheet_on_table(ink: Array, rng: Generator) -> bytes:
    """Photograph a sheet that lies on a table, at an angle from above. Up to two of its sides are outside the photo."""
    margins = (max(ink.shape) * rng.uniform(0.15, 0.7, (2, 2))).astype(int)
    return _lying(np.pad(ink, margins), rng, most_degrees=20, tilt=0.12, around=(0.02, 0.4), cut=0.25)


def _note_on_table(ink: Array, rng: Generator) -> bytes:
    """Photograph a small note that lies on a table. It fills a fifth to a half of the photo's side."""
    side = int(1.1 * max(ink.shape))
    margins = [((side - length) // 2, side - length - (side - length) // 2) for length in ink.shape]
    return _lying(np.pad(ink, margins), rng, most_degrees=30, tilt=0.06, around=(0.5, 1.8), cut=0.0)


def _lying(
    ink: Array, rng: Generator, *, most_degrees: float, tilt: float, around: tuple[float, float], cut: float
) -> bytes:
    """Photograph a piece of paper on something else.

    `tilt` is by how much a corner is displaced at most, as a share of the paper's side. `around` is how much of the
    table is beside each side, as a share of the longer side. `cut` is the chance that a side is outside the photo. Two
    at most are.
    """
    height, width = ink.shape
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], dtype=np.float32)
    angle = np.deg2rad(rng.uniform(-most_degrees, most_degrees))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    seen = corners @ turn.T + rng.uniform(-tilt, tilt, (4, 2)) * min(height, width)
    beside = max(height, width) * rng.uniform(*around, 4)
    for side in rng.permutation(4)[:2]:
        if rng.random() < cut:
            beside[side] = -0.1 * min(height, width)
    low, high = seen.min(axis=0) - beside[:2], seen.max(axis=0) + beside[2:]
    scale = min(1.0, 1000 / max(high - low))
    target = ((seen - low) * scale).astype(np.float32)
    size = tuple(int(side) for side in (high - low) * scale)
    matrix = cv2.getPerspectiveTransform(corners, target)
    moved, covered = (
        cv2.warpPerspective(plane, matrix, size, flags=cv2.INTER_AREA) for plane in (ink, np.ones_like(ink))
    )
    shape = size[1], size[0]
    kind = str(rng.choice(["wood", "cloth", "plain"]))
    table = SURFACES[kind](shape, rng) / 255 if kind != "plain" else np.full(shape, rng.uniform(0.2, 0.9))
    paper = rng.uniform(0.75, 1.0)
    table *= (paper * rng.uniform(0.2, 0.75) if rng.random() < 0.85 else rng.uniform(1.25, 1.5)) / table.mean()
    shadow = ndimage.shift(covered, rng.uniform(-6, 6, 2), order=1) * (1 - covered)
    table = table * (1 - rng.uniform(0, 0.5) * ndimage.gaussian_filter(shadow, rng.uniform(1, 4)))
    grey = table * (1 - covered) + paper * (1 - rng.uniform(0.45, 0.85) * moved) * covered
    grey = np.minimum(grey, 1.15) * light(shape, rng, depth=rng.uniform(0.05, 0.4))
    return _taken(rng.uniform(150, 215) * grey, rng)


def _under_hand(ink: Array, rng: Generator) -> bytes:
    """Let the shadow of a hand with a phone fall on the paper: fingers and a palm with soft edges."""
    height, width = ink.shape
    page = Image.new("L", (width, height))
    pen = ImageDraw.Draw(page)
    side = max(ink.shape)
    start = np.array([rng.uniform(0, width), rng.choice([-0.1, 1.1]) * height])
    way = np.array([width, height]) * rng.uniform(0.25, 0.75, 2) - start
    for spread in rng.uniform(-0.35, 0.35, int(rng.integers(1, 5))):
        turn = np.array([[np.cos(spread), -np.sin(spread)], [np.sin(spread), np.cos(spread)]])
        tip = start + rng.uniform(0.7, 1.2) * turn @ way
        thick = int(side * rng.uniform(0.06, 0.14))
        pen.line([*start, *tip], fill=255, width=thick)
        pen.ellipse([*(tip - thick / 2), *(tip + thick / 2)], fill=255)
    palm = side * rng.uniform(0.2, 0.45)
    pen.ellipse([*(start - palm), *(start + palm)], fill=255)
    shade = ndimage.gaussian_filter(np.asarray(page, dtype=np.float32) / 255, side * rng.uniform(0.006, 0.03))
    return _photographed(ink, 1 - rng.uniform(0.25, 0.6) * shade, rng)


def _stained(ink: Array, rng: Generator) -> bytes:
    """Leave the ring of a cup, or a stain with a dark rim, beside the ink or across it."""
    height, width = ink.shape
    side = max(ink.shape)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    y, x = rng.uniform(-0.1, 1.1, 2) * ink.shape
    wobble = ndimage.gaussian_filter(rng.normal(0, 1, ink.shape), side / 15)
    radius = side * rng.uniform(0.15, 0.5)
    distance = np.hypot(rows - y, columns - x) + 0.04 * radius * wobble / wobble.std() - radius
    rim = np.exp(-((distance / (side * rng.uniform(0.006, 0.03))) ** 2))
    inside = 1 / (1 + np.exp(np.clip(distance / (side * 0.006), -30, 30)))
    stain = rng.uniform(0.1, 0.35) * rim + rng.uniform(0, 0.2) * inside * (rng.random() < 0.6)
    return _photographed(ink, 1 - stain, rng)


PAPERS: dict[str, Callable[[Array, Generator], bytes]] = {
    "ruled paper": _ruled,
    "squared paper": _squared,
    "a form": _boxed,
    "a table": _table,
    "paper under a lamp": lambda ink, rng: _photographed(ink, 1.0, rng, depth=(0.5, 0.8)),
    "paper under a shadow": _under_shadow,
    "thin paper": _thin,
    "crumpled paper": _crumpled,
    "paper on a table": _paper_on_table,
    "a sheet on a table": _sheet_on_table,
    "a note on a table": _note_on_table,
    "paper under a hand": _under_hand,
    "stained paper": _stained,
    "wood": partial(_on_surface, surface="wood"),
    "cloth": partial(_on_surface, surface="cloth"),
    "a blackboard": _blackboard,
}
"""By name, in the order of the table."""


def _one_digit(digit: Grey, rng: Generator, *, paper: str) -> bytes:
    """Write a digit that takes a quarter to three quarters of the picture's side."""
    side = int(rng.integers(120, 401))
    ink = cut(stroked(digit, side, side * rng.uniform(0.025, 0.09)))
    around = (max(ink.shape) * rng.uniform(0.2, 1.2, (2, 2))).astype(int)
    return PAPERS[paper](np.pad(ink, around), rng)


ON_PAPER = {f"on {name}": partial(_one_digit, paper=name) for name in PAPERS}
"""One digit on each of PAPERS, as `families.FAMILIES`."""
