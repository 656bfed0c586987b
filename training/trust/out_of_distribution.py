"""Pictures that show no digit, to see whether a network can tell: drawn, rendered and cut out, with fixed seeds.

Only Fashion-MNIST is a file of others; it is taken where it lies (Debian's package dataset-fashion-mnist).
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from digits.features import SIDE, Grey
from training.data import read_idx
from training.trust.drawing import FIELD, drawn, normalized

FASHION = Path("/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz")

LETTERS = "AEFHKMNPRTUVWXYadefhkmnprtuvwx"
"""But those that look like a digit in one font or another, as B, D, I, O, S, Z, b, g, l, q and y do."""

_FONTS = (
    *("DejaVuSans", "DejaVuSans-BoldOblique", "DejaVuSansMono", "DejaVuSerif", "DejaVuSerif-Italic"),
    *("STIXGeneral", "STIXGeneralBolIta", "cmr10", "cmss10", "cmtt10"),
)
"""Of Matplotlib, so that the same letters are there on every machine."""

Generator = np.random.Generator


def outliers(digits: Grey, count: int = 1000) -> dict[str, Grey]:
    """Of each kind so many pictures, as the network sees them.

    Args:
        digits: (N, 28, 28), of which two are put into one picture.
        count: pictures of each kind, but letters: each once in each font.

    Returns:
        Kind to uint8 (M, 28, 28), normalized; those that are refused for having no ink are left out. Noise, which would
        be refused, is not normalized, and Fashion-MNIST's are both.
    """
    kinds: dict[str, Callable[[Generator, int], list[Grey]]] = {
        "letters": _letters,
        "shapes": _shapes,
        "textures": _textures,
        "two digits": lambda rng, number: _two_digits(digits, rng, number),
    }
    found: dict[str, Grey] = {}
    if FASHION.exists():
        found["Fashion-MNIST, as it is"] = np.stack(_fashion(np.random.default_rng(0), count))
        kinds = {"Fashion-MNIST": _fashion} | kinds
    found |= {kind: normalized(make(np.random.default_rng(0), count)) for kind, make in kinds.items()}
    return found | {"noise": np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE), dtype=np.uint8)}


def _fashion(rng: Generator, count: int) -> list[Grey]:
    """Clothes (Xiao, Rasul and Vollgraf 2017), from the test images."""
    images = read_idx(FASHION, dimensions=3)
    return list(images[rng.choice(len(images), min(count, len(images)), replace=False)])


def _letters(_rng: Generator, _count: int) -> list[Grey]:
    from matplotlib import get_data_path

    folder = Path(get_data_path()) / "fonts" / "ttf"
    fonts = [ImageFont.truetype(folder / f"{name}.ttf", 64) for name in _FONTS]
    middle = (FIELD / 2, FIELD / 2)

    def render(font: ImageFont.FreeTypeFont, letter: str) -> Grey:
        return drawn(lambda pen: pen.text(middle, letter, fill=255, font=font, anchor="mm"))

    return [render(font, letter) for font in fonts for letter in LETTERS]


def _shapes(rng: Generator, count: int) -> list[Grey]:
    """Stars, crosses, triangles, arrows, houses, grids and zigzags; outlined or filled."""
    return [_shape(rng) for _ in range(count)]


def _shape(rng: Generator) -> Grey:
    def star(points: int, inner: float) -> list[tuple[float, float]]:
        radius = [36.0, 36.0 * inner] * points
        angle = np.pi * np.arange(2 * points) / points + rng.uniform(-0.3, 0.3)
        return [(48 + r * np.sin(a), 48 - r * np.cos(a)) for r, a in zip(radius, angle, strict=True)]

    width = int(rng.integers(4, 11))
    closed: list[tuple[float, float]] | None = None
    lines: list[list[tuple[float, float]]] = []
    kind = rng.integers(7)
    if kind == 0:
        closed = star(5, 0.4)
    elif kind == 1:
        closed = star(3, 0.5)
    elif kind == 2:
        closed = [(14, 82), (82, 82), (82, 44), (48, 14), (14, 44)]
    elif kind == 3:
        lines = [[(48, 12), (48, 84)], [(12, 48), (84, 48)]]
    elif kind == 4:
        lines = [[(12, 12), (84, 84)], [(84, 12), (12, 84)], [(48, 6), (48, 90)]]
    elif kind == 5:
        lines = [[(10, 48), (86, 48)], [(60, 22), (86, 48), (60, 74)], [(24, 28), (10, 48), (24, 68)]]
    else:
        lines = [[(at, 12.0), (at, 84.0)] for at in (20.0, 48.0, 76.0)]
        lines += [[(12.0, at), (84.0, at)] for at in (20.0, 48.0, 76.0)]

    def draw(pen: ImageDraw.ImageDraw) -> None:
        if closed is not None and rng.random() < 0.5:
            pen.polygon(closed, fill=255)
        elif closed is not None:
            pen.line([*closed, closed[0], closed[1]], fill=255, width=width, joint="curve")
        for line in lines:
            pen.line(line, fill=255, width=width, joint="curve")

    turned = Image.fromarray(drawn(draw)).rotate(rng.uniform(-30, 30), Image.Resampling.BILINEAR)
    return np.asarray(turned)


def _textures(rng: Generator, count: int) -> list[Grey]:
    """Patches of scikit-learn's two photographs: roofs, sky, petals, leaves."""
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
    """Side by side, nearly touching, as in a number."""
    pictures = []
    for _ in range(count):
        picture = np.zeros((SIDE, 2 * SIDE - 10), dtype=np.uint8)
        picture[:, :SIDE] = digits[rng.integers(len(digits))]
        picture[:, -SIDE:] = np.maximum(picture[:, -SIDE:], digits[rng.integers(len(digits))])
        pictures.append(picture)
    return pictures
