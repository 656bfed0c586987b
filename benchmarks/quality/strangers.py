"""Write numbers with signs between their digits, such as 45% and 12:30, with one pen."""

import numpy as np

from benchmarks.quality.families import Array, Generator, cut, resized, stroked
from digits.features import Grey
from training.trust.signs import SIGNS, WRITTEN, draw

_FORMS: dict[str, tuple[float, float, list[str]]] = {
    "%": (1.0, 0.5, SIGNS["percent"]),
    "+": (0.6, 0.5, SIGNS["plus"]),
    "=": (0.5, 0.5, SIGNS["equals"]),
    "/": (1.2, 0.5, ["5,0 0,10", "4,0 0,10", "6,0 0,10"]),
    "-": (0.45, 0.5, ["0,5 10,5", "~0,5 5,4 10,5"]),
    ")": (1.25, 0.5, ["~0,0 3,3 3,7 0,10"]),
    ",": (0.2, 1.05, ["~3,0 3,4 0,10", "4,0 0,10"]),
    ".": (0.08, 0.95, ["~5,5 5,6"]),
    ":": (0.55, 0.55, ["~5,0 5,1; ~5,9 5,10"]),
    "A": (1.0, 0.5, WRITTEN["A"]),
    "k": (1.0, 0.5, WRITTEN["k"]),
    "g": (1.0, 0.75, ["~8,1 4,0 1,2 3,5 7,4 8,1; ~8,1 8,7 5,10 1,8", "~7,1 3,0 1,3 5,5 7,1; 7,1 7,8; ~7,8 4,10 1,8"]),
    "$": (1.1, 0.5, SIGNS["dollar"]),
    "€": (1.0, 0.5, SIGNS["euro"]),
}
"""Sign to the longer side and the middle of its height, both in heights of a digit, and the forms of its strokes."""

STRANGERS = ("dd%", "dd+dd=", "Add", "d kg", "$dd", "dd €", "dd/dd/dd", "dd)", "-dd")
"""What is written, where d is any digit: numbers with a sign that must not become a digit of an accepted number."""

PUNCTUATED = ("ddd-dddd", "d,ddd", "dd.d", "dd:dd", "dd ddd")
"""Numbers with signs that are left out without a word."""


def written(template: str, digits: list[Grey], rng: Generator) -> Array:
    """Return the coverage by ink of a template, with these digits in place of its ds."""
    height = rng.uniform(50, 120)
    pen = max(2.0, height * rng.uniform(0.04, 0.1))
    remaining = iter(digits)
    inks: list[tuple[Array, float]] = []
    for character in template.replace(" ", ""):
        if character == "d":
            side = int(height * np.exp(rng.normal(0, 0.06)) * 28 / 20)
            inks.append((cut(stroked(next(remaining), side, pen)), 0.5))
            continue
        size, middle, forms = _FORMS[character]
        longer = max(size * height * np.exp(rng.normal(0, 0.08)), pen)
        width = min(19.0, 19.8 * pen / longer)
        ink = cut(draw({character: forms}, rng, (width, width)).astype(np.float32) / 255)
        scale = longer / max(ink.shape)
        inks.append((resized(ink, *(max(2, round(length * scale)) for length in ink.shape)), middle))
    gaps = (height * rng.uniform(0.12, 0.3, len(inks))).astype(int)
    top = int(0.5 * height)
    page = np.zeros((2 * top + int(height), sum(gaps) + sum(ink.shape[1] for ink, _ in inks)), np.float32)
    left = 0
    for gap, (ink, middle) in zip(gaps, inks, strict=True):
        start = max(0, int(top + (middle + rng.normal(0, 0.03)) * height - len(ink) / 2))
        part = page[start : start + len(ink), left : left + ink.shape[1]]
        np.maximum(part, ink[: len(part)], out=part)
        left += ink.shape[1] + gap
    return page
