"""Make the non-digit pictures that novelty is tested on. Their seeds are fixed.

Letters, shapes and pairs of digits are drawn, textures are cut out of photographs. Fashion-MNIST is added if Debian's
package dataset-fashion-mnist is installed.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from digits.features import SIDE, Grey
from training.data import read_idx
from training.trust.drawing import FIELD, draw_picture, normalize_pictures

FASHION = Path("/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz")

LETTERS = "AEFHKMNPRTUVWXYadefhkmnprtuvwx"
"""Letters without those that look like a digit in some font, such as B, D, I, O, S, Z, b, g, l, q and y."""

_FONTS = (
    *("DejaVuSans", "DejaVuSans-BoldOblique", "DejaVuSansMono", "DejaVuSerif", "DejaVuSerif-Italic"),
    *("STIXGeneral", "STIXGeneralBolIta", "cmr10", "cmss10", "cmtt10"),
)
"""Fonts that Matplotlib ships, so that every machine draws the same letters."""

Generator = np.random.Generator


def non_digits(digits: Grey, count: int = 1000) -> dict[str, Grey]:
    """Make pictures of each kind, in the form that the network receives.

    Args:
        digits: uint8 (N, 28, 28), the source of the pictures with two digits.
        count: number of pictures per kind. Letters are the exception: there is one of each letter in each font.

    Returns:
        Kind to uint8 (M, 28, 28). Pictures are normalized, and left out if they have no ink. Noise is not normalized.
        Fashion-MNIST is included both normalized and unchanged.
    """
    kinds: dict[str, Callable[[Generator, int], list[Grey]]] = {
        "letters": _letters,
        "shapes": _shapes,
        "textures": _textures,
        "two digits": lambda rng, number: _two_digits(digits, rng, number),
    }
    pictures: dict[str, Grey] = {}
    if FASHION.exists():
        pictures["Fashion-MNIST, as it is"] = np.stack(_fashion(np.random.default_rng(0), count))
        kinds = {"Fashion-MNIST": _fashion} | kinds
    pictures |= {kind: normalize_pictures(make(np.random.default_rng(0), count)) for kind, make in kinds.items()}
    return pictures | {"noise": np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE), dtype=np.uint8)}


def _fashion(rng: Generator, count: int) -> list[Grey]:
    """Choose clothes from the test images of Fashion-MNIST (Xiao, Rasul and Vollgraf 2017)."""
    images = read_idx(FASHION, dimensions=3)
    return list(images[rng.choice(len(images), min(count, len(images)), replace=False)])


def _letters(_rng: Generator, _count: int) -> list[Grey]:
    from matplotlib import get_data_path

    folder = Path(get_data_path()) / "fonts" / "ttf"
    fonts = [ImageFont.truetype(folder / f"{name}.ttf", 64) for name in _FONTS]
    middle = (FIELD / 2, FIELD / 2)

    def render(font: ImageFont.FreeTypeFont, letter: str) -> Grey:
        return draw_picture(lambda pen: pen.text(middle, letter, fill=255, font=font, anchor="mm"))

    return [render(font, letter) for font in fonts for letter in LETTERS]


def _shapes(rng: Generator, count: int) -> list[Grey]:
    """Draw stars, houses, crosses, asterisks, arrows, grids, hearts, smileys and check marks.

    Stars, houses and hearts are outlined or filled.
    """
    return [_shape(rng) for _ in range(count)]


def _shape(rng: Generator) -> Grey:
    def star(points: int, inner: float) -> list[tuple[float, float]]:
        radius = [36.0, 36.0 * inner] * points
        angle = np.pi * np.arange(2 * points) / points + rng.uniform(-0.3, 0.3)
        return [(48 + r * np.sin(a), 48 - r * np.cos(a)) for r, a in zip(radius, angle, strict=True)]

    width = int(rng.integers(4, 11))
    closed: list[tuple[float, float]] | None = None
    lines: list[list[tuple[float, float]]] = []
    kind = rng.integers(10)
    if kind == 0:  # a star with five points
        closed = star(5, 0.4)
    elif kind == 1:  # a star with three points
        closed = star(3, 0.5)
    elif kind == 2:  # a house
        closed = [(14, 82), (82, 82), (82, 44), (48, 14), (14, 44)]
    elif kind == 3:  # a cross
        lines = [[(48, 12), (48, 84)], [(12, 48), (84, 48)]]
    elif kind == 4:  # an asterisk
        lines = [[(12, 12), (84, 84)], [(84, 12), (12, 84)], [(48, 6), (48, 90)]]
    elif kind == 5:  # an arrow
        lines = [[(10, 48), (86, 48)], [(60, 22), (86, 48), (60, 74)], [(24, 28), (10, 48), (24, 68)]]
    elif kind == 6:  # a heart: two quarter turns above a corner
        side, t = rng.uniform(26, 34), np.linspace(np.pi, 0, 9)
        closed = [(48 + x * side / 2 + side / 2 * np.cos(a), 40 - side / 2 * np.sin(a)) for x in (-1, 1) for a in t]
        closed.append((48.0, 40 + 1.3 * side))
    elif kind == 7:  # a smiley
        t = np.linspace(0, 2 * np.pi, 25)
        lines = [[(48 + 38 * np.cos(a), 48 + 38 * np.sin(a)) for a in t]]
        lines += [[(x, 34.0), (x, 40.0)] for x in (36.0, 60.0)]
        lines.append([(48 + 20 * np.cos(a), 52 + 18 * np.sin(a)) for a in t[2:11]])
    elif kind == 8:  # a check mark
        lines = [[(14, 50), (36, 78), (84, rng.uniform(12, 30))]]
    else:  # a grid
        lines = [[(at, 12.0), (at, 84.0)] for at in (20.0, 48.0, 76.0)]
        lines += [[(12.0, at), (84.0, at)] for at in (20.0, 48.0, 76.0)]

    def draw(pen: ImageDraw.ImageDraw) -> None:
        if closed is not None and rng.random() < 0.5:
            pen.polygon(closed, fill=255)
        elif closed is not None:
            pen.line([*closed, closed[0], closed[1]], fill=255, width=width, joint="curve")
        for line in lines:
            pen.line(line, fill=255, width=width, joint="curve")

    turned = Image.fromarray(draw_picture(draw)).rotate(rng.uniform(-30, 30), Image.Resampling.BILINEAR)
    return np.asarray(turned)


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
    pictures = []
    for _ in range(count):
        picture = np.zeros((SIDE, 2 * SIDE - 10), dtype=np.uint8)
        picture[:, :SIDE] = digits[rng.integers(len(digits))]
        picture[:, -SIDE:] = np.maximum(picture[:, -SIDE:], digits[rng.integers(len(digits))])
        pictures.append(picture)
    return pictures
