"""Draw letters and signs as an unsteady hand does, from strokes: what people write and draw beside digits."""

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits.features import Grey
from training.robust.styles import bend, ink, relative_speed, smooth, through, turn

_Array = NDArray[np.float64]

_PEN = 0.7, 3.6
"""Narrowest and widest pen, in pixels of a 28x28 picture."""

LETTERS = "AEFGHKMNPRUVWXadefhkmnpruvwx"
"""Letters that nobody takes for a digit.

Left out are those that a person may read as one, in some hand: O o D Q C c (0), I i l L j J (1), Z z (2), S s (5),
b (6), T t (7 or 1), B (8), g q (9), Y y (4).
"""

ALPHABETS = ("futural", "futuram", "rowmans", "scripts", "scriptc", "cursive", "timesr", "timesi", "gothiceng")
"""The Hershey alphabets whose letters consist of pen strokes."""

Forms = Mapping[str, list[str]]
"""Kind of sign to its forms. The data file explains how a form is written."""

_FORMS = tomllib.loads(Path(__file__).with_name("signs.toml").read_text())

SIGNS: Forms = _FORMS["signs"]
"""What people write and draw beside digits."""

COMMON = ("heart", "smiley", "star", "arrow", "tick", "hash", "at", "house")
"""The kinds of SIGNS that people draw most."""

WRITTEN: Forms = _FORMS["written"]
"""Letters as people write them, in forms that the alphabets lack."""

HELD_BACK: Forms = _FORMS["held_back"]
"""Signs that novelty is only measured on."""


def draw(forms: Forms, rng: np.random.Generator, pen: tuple[float, float] = _PEN) -> Grey:
    """Draw one of the forms of a random kind, such as those of SIGNS, uint8 (112, 112)."""
    kind = list(forms)[rng.integers(len(forms))]
    strokes = forms[kind][rng.integers(len(forms[kind]))].split("; ")
    return hand([_stroke(each.lstrip("?"), rng) for each in strokes if each[0] != "?" or rng.random() < 0.5], rng, pen)


def _stroke(text: str, rng: np.random.Generator) -> _Array:
    """Return the points of a stroke, (N, 2), in tenths of the field."""
    if text[0] == "o":
        x, y, radius = map(float, text[1:].split(","))
        return (x, y) + radius * ring(rng, (-2.5, -0.5), (0.8, 1.15))
    points = np.array([[float(number) for number in pair.split(",")] for pair in text.lstrip("~").split()])
    points += rng.normal(0, 0.4, points.shape)
    return through(list(map(tuple, points))) if text[0] == "~" and len(points) > 2 else points


def ring(rng: np.random.Generator, starts: tuple[float, float], radii: tuple[float, float]) -> _Array:
    """Return the points of a ring around (0, 0) whose ends may miss or cross each other, (24, 2).

    `starts` are the least and the greatest angle at which the pen begins, `radii` those of the radius, across as well
    as down.
    """
    angles = rng.uniform(*starts) + np.linspace(0, 2 * np.pi + rng.uniform(-0.3, 0.4), 24) * rng.choice([-1, 1])
    points: _Array = np.stack([np.cos(angles), np.sin(angles)], axis=1) * rng.uniform(*radii, 2)
    return points


@cache
def _glyphs() -> list[list[_Array]]:
    """Return the strokes of each letter in each alphabet."""
    from HersheyFonts import HersheyFonts

    found = []
    for alphabet in ALPHABETS:
        font: Any = HersheyFonts()
        font.load_default_font(alphabet)
        found += [[np.array(stroke, float) for stroke in font.strokes_for_text(letter)] for letter in LETTERS]
    return found


def letter(rng: np.random.Generator) -> Grey:
    """Draw a letter of one of ALPHABETS, uint8 (112, 112)."""
    glyphs = _glyphs()
    return hand(glyphs[rng.integers(len(glyphs))], rng)


def hand(strokes: Sequence[_Array], rng: np.random.Generator, pen: tuple[float, float] = _PEN) -> Grey:
    """Draw strokes with a pen of random width, slant and speed, by an unsteady hand, uint8 (112, 112).

    A stroke has points, (N, 2), in any unit. `pen` is as _PEN.
    """
    every = np.concatenate(strokes)
    middle, size = every.mean(axis=0), np.ptp(every, axis=0).max()
    reach, thinning, unsteadiness = int(rng.integers(0, 4)), rng.uniform(0, 0.35), rng.uniform(0.0008, 0.008)
    paths = []
    for stroke in strokes:
        path = smooth(_dense((stroke - middle) / size), reach)
        centre = path.mean(axis=0)
        # Each stroke is a little turned, stretched and misplaced.
        path = (path - centre) @ turn(rng.normal(0, 5)) * rng.normal(1, 0.06, 2) + centre + rng.normal(0, 0.025, 2)
        walk = rng.normal(0, unsteadiness, path.shape).cumsum(axis=0)
        paths.append(path + walk - walk.mean(axis=0))
    pressure = np.concatenate([1 - thinning * relative_speed(path) for path in paths])
    points = bend(np.concatenate(paths), rng)
    points[:, 0] *= np.exp(rng.normal(0, 0.18))
    points[:, 0] -= rng.uniform(-0.2, 0.4) * points[:, 1]
    width = np.exp(rng.uniform(*np.log(pen)))
    return ink(points @ turn(rng.normal(0, 6)), width / 2 * pressure, width)


def _dense(points: _Array) -> _Array:
    """Return positions along the straight lines between points, 0.03 apart."""
    at = np.concatenate([[0], np.hypot(*np.diff(points, axis=0).T).cumsum()])
    where = np.linspace(0, at[-1], max(3, int(np.ceil(at[-1] / 0.03))))
    return np.stack([np.interp(where, at, points[:, axis]) for axis in (0, 1)], axis=1)
