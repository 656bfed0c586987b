"""Collect the strokes that scenes are written with: digits with their labels, and letters and signs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digits.features import Floats, Grey
from training.data.images import Labels
from training.finder.strokes import (
    FIELD,
    MIN_LENGTH,
    distance_to,
    distances,
    distances_to_edge,
    middle_line,
    skeleton,
    straight_fields,
    stretched,
)
from training.robust.styles import STYLES, draw
from training.trust import signs

_SIGNS_PEN = 1.2, 2.4
"""Narrowest and widest pen with which letters and signs are drawn before their middle line is taken."""

_LONG_ONES = 150
"""How many different 1s are made that begin with a stroke upwards, about as long as the one downwards."""

_STRAIGHT_ONES = 80
"""Number of different 1s that are a single stroke."""

BLOT = 0.09
"""Width of the pen that writes digits with their own ink, as a share of their longer side."""

UNKNOWN = -1
"""The label of a digit whose class is not known."""


@dataclass(frozen=True, slots=True)
class Glyphs:
    """Strokes that a pen of any width can follow."""

    fields: NDArray[np.float16]
    """(N, FIELD, FIELD): distances to the middle of the strokes, as shares of the glyph's longer side."""
    labels: NDArray[np.int64]
    """(N,): digits, or UNKNOWN."""

    @property
    def slants(self) -> Floats:
        """How far ink is to the right for each pixel that it is higher, (N,)."""
        near = self.fields < 0.03
        y, x = np.mgrid[:FIELD, :FIELD].astype(np.float32) / FIELD - 0.5
        count = near.sum((1, 2))
        dx, dy = (axis - ((near * axis).sum((1, 2)) / count)[:, None, None] for axis in (x, y))
        slants: Floats = -(near * dx * dy).sum((1, 2)) / np.maximum((near * dy * dy).sum((1, 2)), 1e-6)
        return slants

    @property
    def spans(self) -> Floats:
        """Width and height of each middle line, as shares of the longer side, (N, 2)."""
        near = self.fields < 0.03
        spans: Floats = np.stack([near.any(axis).sum(-1) for axis in (1, 2)], 1).astype(np.float32) / (FIELD / 2)
        return spans


def digits(images: Grey, labels: Labels, per_style: int, seed: int) -> Glyphs:
    """Return the strokes of digits in MNIST form, uint8 (N, 28, 28), a sixth of them stretched, and of drawn styles."""
    rng = np.random.default_rng([seed, 0])
    pictures: list[Grey] = [*images, *stretched(images[::6])]
    names = [*labels, *labels[::6]]
    for name, style in STYLES.items():
        pictures += list(draw(name, per_style, rng))
        names += [style.label] * per_style
    return _glyphs(map(middle_line, pictures), names)


def blots(images: Grey, labels: Labels) -> Glyphs:
    """Return digits in MNIST form, uint8 (N, 28, 28), with their own ink: strokes of any width, and filled loops.

    A pen of the width BLOT writes them.
    """
    return Glyphs(np.stack([distances_to_edge(image, BLOT / 2) for image in images]), labels.astype(np.int64))


def strangers(count: int, seed: int) -> Glyphs:
    """Return the strokes of letters and signs: a half are letters of alphabets, a quarter written letters."""
    rng = np.random.default_rng([seed, 1])
    drawn = [signs.letter(rng) for _ in range(count // 2)]
    for forms in (signs.WRITTEN, signs.SIGNS):
        drawn += [signs.draw(forms, rng, _SIGNS_PEN) for _ in range(count // 4)]
    return _glyphs((skeleton(each > 110) for each in drawn), [UNKNOWN] * len(drawn))


def straight_digits() -> Glyphs:
    """Return 1s, 7s and 4s of straight strokes, without a label."""
    fields = straight_fields().astype(np.float16)
    return Glyphs(fields, np.full(len(fields), UNKNOWN))


def long_ones(seed: int) -> Glyphs:
    """Return 1s whose upstroke is about as long as the stem, as on forms of many countries."""
    rng = np.random.default_rng([seed, 2])
    y, x = np.mgrid[:FIELD, :FIELD].astype(np.float32) / (FIELD / 2) - 1
    fields = np.full((_LONG_ONES, FIELD, FIELD), np.inf, np.float32)
    for field in fields:
        wide, low, lean, bow = rng.uniform((0.2, -0.05, -0.12, -0.06), (0.75, 0.5, 0.12, 0.06))
        stem = (wide + lean) / 2, -0.5
        points = [(-wide / 2, low), (bow - wide / 4, (low - 0.5) / 2), stem, ((wide - lean) / 2, 0.5)]
        np.minimum(field, distance_to(points, x, y), out=field)
    return Glyphs(fields.astype(np.float16), np.ones(_LONG_ONES, np.int64))


def straight_ones(seed: int) -> Glyphs:
    """Return 1s that are a single stroke, nearly straight and upright."""
    rng = np.random.default_rng([seed, 3])
    y, x = np.mgrid[:FIELD, :FIELD].astype(np.float32) / (FIELD / 2) - 1
    ends = rng.normal(0.04, 0.07, _STRAIGHT_ONES).clip(-0.1, 0.2), rng.normal(0, 0.02, _STRAIGHT_ONES)
    fields = [distance_to([(-lean, 0.5), (bow, 0), (lean, -0.5)], x, y) for lean, bow in zip(*ends, strict=True)]
    return Glyphs(np.array(fields, np.float16), np.ones(_STRAIGHT_ONES, np.int64))


Kinds = dict[str, Glyphs]
"""What a `layout.Writer` writes with, by name."""


def of_writer(images: Grey, labels: Labels, *, per_style: int, other: int, seed: int) -> Kinds:
    """Return what a writer writes with. `other` is the number of letters and signs."""
    return {
        "digit": digits(images, labels, per_style, seed),
        "blot": blots(images[::2], labels[::2]),
        "long 1": long_ones(seed),
        "straight 1": straight_ones(seed),
        "straight": straight_digits(),
        "stranger": strangers(other, seed),
    }


def _glyphs(lines: Iterable[Grey], labels: Sequence[int]) -> Glyphs:
    """Return the strokes of middle lines, without those that are the dot of a blot."""
    fields, kept = [], []
    for line, label in zip(lines, labels, strict=True):
        if np.count_nonzero(line) >= MIN_LENGTH:
            fields.append(distances(line).astype(np.float16))
            kept.append(int(label))
    return Glyphs(np.stack(fields), np.array(kept))
