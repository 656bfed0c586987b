"""Make example pictures of classes other than digits, for docs/how-to/own-data.md.

python -m docs.example_classes drawings FOLDER    # circles, squares and triangles, black on white
python -m docs.example_classes photos FOLDER      # the same on paper, photographed
python -m docs.example_classes fabrics FOLDER     # four weaves in many colors and sizes

FOLDER gets a folder for each class. The pen, the paper and the camera are those of docs/example_pictures.py.
"""

import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from docs.example_pictures import INKS, SURFACES, Rng, blurred, encoded, inked, layout, photo, screen, texture
from docs.handwriting import PENS, Array, Hand, write

COUNT = 40
"""Pictures of each class."""

SIDE = 240
"""Width and height of a picture in pixels."""

SHAPES = {
    "circle": "50,2 18,14 3,48 16,84 50,98 84,84 97,50 84,16 52,2",
    "square": "4,4 5,50 4,96 | 50,95 96,96 | 95,50 96,4 | 50,5 4,4",
    "triangle": "50,4 27,50 4,94 | 50,95 96,94 | 73,50 50,4",
}
"""How each shape is drawn, in the form of `docs.handwriting.SHAPES`."""

WEAVES = {
    "basket": ["1100", "1100", "0011", "0011"],
    "plain": ["10", "01"],
    "satin": ["10000", "00100", "00001", "01000", "00010"],
    "twill": ["1100", "0110", "0011", "1001"],
}
"""One repeat of each weave: 1 where the upright thread is on top."""


def drawing(shape: str, rng: Rng) -> bytes:
    """Return a PNG of a shape, drawn with a mouse, a finger or a stylus."""
    return screen(
        _page(shape, "white canvas", _any(["mouse", "finger", "stylus"], rng), "black", rng), rng, (SIDE, SIDE)
    )


def photograph(shape: str, rng: Rng) -> bytes:
    """Return a JPEG of a shape on some paper, from a slant and in uneven light."""
    surface = _any(["paper", "sticky note", "envelope"], rng)
    pen = _any(["ballpoint", "fountain pen", "felt pen", "pencil"], rng)
    page = _page(shape, surface, pen, _any(["blue", "black", "red", "graphite"], rng), rng)
    return photo(page, rng, (SIDE, SIDE))


def fabric(weave: str, rng: Rng) -> bytes:
    """Return a JPEG of a woven fabric, dark upright threads across light ones, turned a little."""
    repeat = np.array([[int(cell) for cell in row] for row in WEAVES[weave]], np.float32)
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    angle, thread = np.deg2rad(rng.uniform(-4, 4)), rng.uniform(26, 34)
    column = (x * np.cos(angle) - y * np.sin(angle)) / thread + rng.uniform(100, 120)
    row = (x * np.sin(angle) + y * np.cos(angle)) / thread + rng.uniform(100, 120)
    on_top = repeat[row.astype(int) % len(repeat), column.astype(int) % len(repeat)]
    edge_shade = 1 - 0.5 * np.abs(np.where(on_top == 1, column, row) % 1 - 0.5)
    upright, level = rng.uniform(20, 110, 3), rng.uniform(140, 240, 3)
    colors = np.where(on_top[..., None] == 1, upright, level) * edge_shade[..., None]
    return encoded(blurred(colors, 1.2) + 4 * texture(y.shape, rng, 0.7)[..., None], quality=80)


def _page(shape: str, surface: str, pen: str, ink: str, rng: Rng) -> Array:
    """Return the colors of a page, twice as large as its picture, on which a random hand has drawn a shape."""
    hand = replace(Hand.drawn(rng), slant=rng.uniform(-0.15, 0.15), shapes={shape: SHAPES[shape]})
    drawn = write([shape], hand, PENS[pen], rng)
    turn = cv2.getRotationMatrix2D((drawn.shape[1] / 2, drawn.shape[0] / 2), rng.uniform(-12, 12), 0.85)
    drawn = cv2.warpAffine(drawn, turn, drawn.shape[::-1])
    size = (2 * SIDE, 2 * SIDE)
    ink_on_page = layout([drawn], size, int(2 * SIDE * rng.uniform(0.4, 0.75)), rng)
    paper = SURFACES[surface]
    return inked(paper.make(size, rng), ink_on_page, INKS[ink], rng, grip=paper.grip)


def _any(names: list[str], rng: Rng) -> str:
    return names[rng.integers(len(names))]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of pictures: its classes, the file suffix, and a function that makes a picture of a class."""

    classes: Collection[str]
    suffix: str
    make: Callable[[str, Rng], bytes]


KINDS = {
    "drawings": Kind(SHAPES, "png", drawing),
    "photos": Kind(SHAPES, "jpg", photograph),
    "fabrics": Kind(WEAVES, "jpg", fabric),
}


def write_folders(kind: Kind, folder: Path, count: int = COUNT) -> Path:
    """Write pictures of each class into a folder for each, and return `folder`. Every picture has a fixed seed."""
    for label, name in enumerate(kind.classes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            picture = kind.make(name, np.random.default_rng([label, index]))
            (folder / name / f"{index:03d}.{kind.suffix}").write_bytes(picture)
    return folder


if __name__ == "__main__":
    write_folders(KINDS[sys.argv[1]], Path(sys.argv[2]))
