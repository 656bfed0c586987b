"""Draw the example pictures of the drawing page: a photo, a digit between a 4 and a 9, and a letter.

python -m docs.example_pictures

Each stroke is a curve, so no data set is needed. The same script always draws the same pictures.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

FOLDER = Path(__file__).resolve().parent.parent / "app/pages/static"

SIDE = 320
"""The side of a picture, in pixels."""

FINE = 4
"""Strokes are drawn this many times larger, then reduced, so that their edges are smooth."""

Stroke = list[tuple[float, float]]
"""Points that a curve passes through. Coordinates are fractions of the side."""

THREE: list[Stroke] = [
    [(0.35, 0.31), (0.43, 0.24), (0.55, 0.24), (0.60, 0.33), (0.54, 0.43), (0.45, 0.47)],
    [(0.45, 0.47), (0.58, 0.49), (0.65, 0.60), (0.59, 0.73), (0.46, 0.78), (0.33, 0.72)],
]
FOUR_OR_NINE: list[Stroke] = [
    [(0.505, 0.26), (0.41, 0.32), (0.35, 0.43), (0.40, 0.52), (0.53, 0.50), (0.63, 0.42)],
    [(0.66, 0.25), (0.64, 0.45), (0.61, 0.62), (0.58, 0.80)],
]
LETTER: list[Stroke] = [
    [(0.26, 0.78), (0.27, 0.50), (0.30, 0.24)],
    [(0.30, 0.24), (0.40, 0.42), (0.50, 0.60)],
    [(0.50, 0.60), (0.60, 0.42), (0.70, 0.24)],
    [(0.70, 0.24), (0.72, 0.50), (0.74, 0.78)],
]


def curve(points: Stroke) -> NDArray[np.float64]:
    """Return points of a smooth curve through all `points` (a Catmull-Rom spline), (N, 2)."""
    p = np.array([points[0], *points, points[-1]])
    t = np.linspace(0, 1, 40, endpoint=False)[:, None]
    parts = [
        0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        for a, b, c, d in zip(p, p[1:], p[2:], p[3:], strict=False)
    ]
    return np.concatenate([*parts, p[-1:]])


def ink(strokes: list[Stroke], width: float) -> NDArray[np.float64]:
    """Return how much of each pixel is ink, (SIDE, SIDE), 0 to 1. `width` is a fraction of the side."""
    page = Image.new("L", (SIDE * FINE, SIDE * FINE))
    pen = ImageDraw.Draw(page)
    for stroke in strokes:
        points = curve(stroke) * SIDE * FINE
        pressure = 1 + 0.12 * np.sin(np.linspace(0, 5, len(points)))
        for (x, y), radius in zip(points, width * SIDE * FINE / 2 * pressure, strict=True):
            pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=255)
    return np.asarray(page.resize((SIDE, SIDE), Image.Resampling.BOX)) / 255


def on_white(strokes: list[Stroke], width: float) -> Image.Image:
    """Return black strokes on white."""
    return Image.fromarray(np.rint(255 * (1 - ink(strokes, width))).astype(np.uint8))


def photo(strokes: list[Stroke], width: float) -> Image.Image:
    """Return blue strokes on squared paper, in uneven light and a little out of focus."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    across, down = x + 0.05 * y, y - 0.05 * x  # the paper lies a little askew
    lines = np.maximum(*(np.exp(-((((axis * 11) % 1 - 0.5) / 0.035) ** 2)) for axis in (across, down)))
    paper = np.full((SIDE, SIDE, 3), (244.0, 240.0, 228.0))
    paper += (np.array([176.0, 200.0, 222.0]) - paper) * 0.5 * lines[..., None]
    paper += (np.array([34.0, 48.0, 120.0]) - paper) * 0.93 * ink(strokes, width)[..., None]
    shadow = 1 / (1 + np.exp((1.25 - x - 0.8 * y) * 9))  # of the hand with the phone
    paper *= (1.02 - 0.22 * x - 0.12 * y - 0.16 * shadow)[..., None]
    sharp = Image.fromarray(np.clip(paper, 0, 255).astype(np.uint8))
    blurred = np.asarray(sharp.filter(ImageFilter.GaussianBlur(1.1)), dtype=float)
    noise: NDArray[Any] = rng.normal(0, 3.5, (SIDE, SIDE, 1))
    return Image.fromarray(np.clip(blurred + noise, 0, 255).astype(np.uint8))


def main() -> None:
    """Write the pictures."""
    photo(THREE, 0.055).save(FOLDER / "example-photo.jpg", quality=80)
    on_white(FOUR_OR_NINE, 0.065).save(FOLDER / "example-unclear.png", optimize=True)
    on_white(LETTER, 0.065).save(FOLDER / "example-letter.png", optimize=True)


if __name__ == "__main__":
    main()
