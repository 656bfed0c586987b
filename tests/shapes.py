"""Pictures of ten shapes in varied places, sizes and angles, as an example of own data."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIDE = 64
"""Width and height of a picture in pixels."""

Points = list[tuple[float, float]]


def _regular(corners: int) -> Points:
    angles = 2 * np.pi * np.arange(corners) / corners
    return [(float(np.sin(angle)), float(-np.cos(angle))) for angle in angles]


def _star(points: int) -> Points:
    radii = [1, 0.4] * points
    return [(radius * x, radius * y) for radius, (x, y) in zip(radii, _regular(2 * points), strict=True)]


SHAPES: dict[str, Points] = {
    "arrow": [(-0.2, 1), (-0.2, 0), (-0.7, 0), (0, -1), (0.7, 0), (0.2, 0), (0.2, 1)],
    "bar": [(-1, -0.15), (1, -0.15), (1, 0.15), (-1, 0.15)],
    "circle": _regular(40),
    "crescent": [*_regular(40)[:21], *((x * 0.4, y) for x, y in _regular(40)[20::-1])],
    "cross": [(-0.25, -1), (0.25, -1), (0.25, -0.25), (1, -0.25), (1, 0.25), (0.25, 0.25), (0.25, 1), (-0.25, 1),
              (-0.25, 0.25), (-1, 0.25), (-1, -0.25), (-0.25, -0.25)],
    "heart": [(0, 1), (-0.9, 0), (-0.9, -0.5), (-0.5, -0.8), (0, -0.4), (0.5, -0.8), (0.9, -0.5), (0.9, 0)],
    "L": [(-0.6, -1), (-0.2, -1), (-0.2, 0.6), (0.7, 0.6), (0.7, 1), (-0.6, 1)],
    "square": [(-0.75, -0.75), (0.75, -0.75), (0.75, 0.75), (-0.75, 0.75)],
    "star": _star(5),
    "triangle": _regular(3),
}  # fmt: skip
"""The corners of each shape, within 1 of the origin."""


def draw(name: str, rng: np.random.Generator, *, outline: bool = False) -> Image.Image:
    """Draw a dark shape or its outline on light paper, with a random place, size, angle and shade."""
    scale, angle = rng.uniform(16, 26), rng.uniform(-0.35, 0.35)
    place = SIDE / 2 + rng.uniform(-5, 5, 2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = place + scale * np.array(SHAPES[name]) @ turn.T
    picture = Image.new("L", (SIDE, SIDE), int(rng.integers(200, 256)))
    shade, points = int(rng.integers(0, 80)), [tuple(corner) for corner in corners.tolist()]
    if outline:
        ImageDraw.Draw(picture).line([*points, points[0], points[1]], fill=shade, width=3)
    else:
        ImageDraw.Draw(picture).polygon(points, fill=shade)
    return picture


def write_folders(folder: Path, names: Sequence[str], count: int, *, outline: bool = False) -> Path:
    """Write `count` PNG files of each shape into a folder for each, and return the folder."""
    rng = np.random.default_rng(0)
    for name in names:
        (folder / name).mkdir(parents=True)
        for index in range(count):
            draw(name, rng, outline=outline).save(folder / name / f"{index:03d}.png")
    return folder
