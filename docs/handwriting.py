"""Write digits as a person with a pen does: curves that a hand bends, slants and trembles.

    rng = np.random.default_rng(0)
    write("2048", Hand.drawn(rng), PENS["ballpoint"], rng)    the ink of four digits, a (rows, columns) array

The curves belong to this module alone: training draws from others, so the pictures are new to the network.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Points = NDArray[np.floating[Any]]

HEIGHT = 240
"""Height of a digit in pixels, before a picture is reduced."""

SHAPES: dict[str, list[str]] = {
    "0": [
        "40,4 22,10 8,34 7,62 18,90 36,98 54,84 62,56 58,26 46,8 34,4",
        "44,8 30,4 14,22 8,52 14,82 32,97 50,86 58,56 53,22 42,5 30,9",
    ],
    "1": ["30,2 28,34 26,68 24,99", "8,26 20,16 31,1 | 30,34 29,66 28,99"],
    "2": [
        "7,24 14,8 32,1 50,9 53,26 42,50 22,76 5,97 | 26,95 46,96 62,92",
        "10,20 22,5 40,4 50,18 46,40 28,70 12,90 6,98 10,88 22,86 36,94 50,99 62,93",
    ],
    "3": [
        "8,12 22,3 40,3 49,17 42,36 24,45 | 42,48 54,64 50,86 32,98 14,96 3,86",
        "8,6 24,4 46,3 | 36,20 22,38 | 40,42 54,58 52,80 36,96 16,97 3,88",
    ],
    "4": ["28,2 20,26 5,60 | 26,61 60,57 / 44,36 42,66 39,100", "40,3 22,30 3,63 | 30,64 62,62 / 44,40 43,70 42,100"],
    "5": [
        "16,5 13,24 11,44 | 28,37 46,42 53,62 46,84 28,97 8,93 / 15,6 32,5 52,2",
        "50,4 34,5 17,6 | 14,26 11,46 | 26,38 44,42 54,60 48,84 28,98 6,92",
    ],
    "6": [
        "42,2 26,18 12,44 7,72 16,92 34,98 50,86 51,68 38,57 20,62 9,78",
        "46,4 30,12 14,36 7,66 14,90 32,99 48,88 50,70 38,58 22,60 10,74",
    ],
    "7": ["4,6 24,6 52,4 | 40,32 28,64 20,99", "4,8 24,6 54,3 | 42,30 30,62 22,99 / 14,53 30,50 48,48"],
    "8": [
        "48,14 34,2 16,8 12,26 24,42 42,56 52,76 42,95 22,98 8,84 14,64 32,48 48,32 50,16",
        "46,10 30,2 14,12 16,32 34,46 50,64 50,86 32,99 12,92 8,74 22,54 42,36 47,18 44,9",
    ],
    "9": [
        "48,16 34,3 16,10 8,30 16,48 34,48 46,34 49,14 | 48,40 46,70 42,99",
        "50,14 36,3 16,8 6,28 14,47 32,48 46,36 50,16 | 50,48 44,78 32,95 16,97",
    ],
    "?": ["28,4 14,14 6,34 14,48 34,45 52,32 / 55,2 51,38 46,68 40,99"],
    "M": ["4,98 6,50 10,2 | 22,30 36,62 | 50,30 66,2 | 69,50 72,98"],
}
"""How each digit and a letter are written, in one or two ways. "?" is between a 4 and a 9.

A digit is 100 high, and y points downwards.

A curve passes through its points. The pen turns sharply at "|", and is lifted at "/".
"""


@dataclass(frozen=True, slots=True)
class Pen:
    """What a pen leaves on a page.

    `width` is a share of a digit's height. `pressure` says how much the width changes along a stroke, `nib` how much
    thinner a stroke to the upper right is than one to the lower right, and `taper` how thin a stroke ends. `flow` says
    how much lighter the ink gets where it runs dry. All but `width` are between 0 and 1.
    """

    width: float
    pressure: float = 0.1
    nib: float = 0.0
    taper: float = 0.0
    flow: float = 0.0


PENS = {
    "ballpoint": Pen(0.062, pressure=0.14, taper=0.35, flow=0.25),
    "fountain pen": Pen(0.075, pressure=0.12, nib=0.45, taper=0.3, flow=0.2),
    "felt pen": Pen(0.1, pressure=0.08, flow=0.08),
    "pencil": Pen(0.065, pressure=0.2, taper=0.3, flow=0.3),
    "chalk": Pen(0.09, pressure=0.12, flow=0.2),
    "marker": Pen(0.12, pressure=0.05, flow=0.06),
    "finger": Pen(0.13),
    "mouse": Pen(0.055, pressure=0),
    "stylus": Pen(0.085, pressure=0.3, taper=0.6),
}
"""By name."""


@dataclass(frozen=True, slots=True)
class Hand:
    """How a person writes: slant and width of the digits, unsteadiness, the gap between two digits, and the shapes."""

    slant: float
    width: float
    bend: float
    tremor: float
    gap: float
    shapes: dict[str, str]

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> "Hand":
        """Return the hand of a random person."""
        u = rng.uniform
        shapes = {character: ways[rng.integers(len(ways))] for character, ways in SHAPES.items()}
        return cls(u(-0.05, 0.28), u(0.85, 1.15), bend=u(0.8, 1.8), tremor=u(0.15, 0.35), gap=u(14, 24), shapes=shapes)


def write(characters: Iterable[str], hand: Hand, pen: Pen, rng: np.random.Generator) -> Array:
    """Return the ink of one line: (rows, columns) float32, 0 for none and 1 for full ink.

    Args:
        characters: keys of SHAPES, from left to right.
        hand: the style of the writer.
        pen: the pen.
        rng: the variation within one style.
    """
    strokes: list[Points] = []
    x = 0.0
    for character in characters:
        written = [_written(stroke, hand, rng) for stroke in hand.shapes[character].split("/")]
        written = _moved([points * rng.uniform(0.93, 1.07) for points in written], y=rng.normal(0, 1.5))
        strokes += _moved(written, x=x - min(points[:, 0].min() for points in written))
        x = max(points[:, 0].max() for points in strokes) + hand.gap * rng.uniform(0.7, 1.3)
    return _ink([points * HEIGHT / 100 for points in strokes], replace(pen, width=pen.width * HEIGHT), rng)


def _moved(strokes: list[Points], *, x: float = 0, y: float = 0) -> list[Points]:
    return [points + np.array([x, y]) for points in strokes]


def _written(stroke: str, hand: Hand, rng: np.random.Generator) -> Points:
    """Return the points of one stroke as the hand writes it, (N, 2)."""
    pieces: list[Points] = []
    for piece in stroke.split("|"):
        corners = np.array([[float(value) for value in pair.split(",")] for pair in piece.split()])
        corners += rng.normal(0, hand.bend, corners.shape)
        if pieces:
            corners = np.concatenate([pieces[-1][-1:], corners])
        pieces.append(curve(corners))
    points = np.concatenate(pieces)
    points = points + hand.tremor * smooth_noise(len(points), 12, rng, columns=2)
    points[:, 0] = hand.width * (points[:, 0] - hand.slant * (points[:, 1] - 50))
    return points


def curve(points: Points, steps: int = 30) -> Points:
    """Return points of a smooth curve through all `points` (a Catmull-Rom spline), (N, 2)."""
    p = np.concatenate([points[:1], points, points[-1:]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    parts = [
        0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        for a, b, c, d in zip(p, p[1:], p[2:], p[3:], strict=False)
    ]
    return np.concatenate([*parts, points[-1:]])


def smooth_noise(count: int, period: float, rng: np.random.Generator, columns: int = 1) -> Points:
    """Return smooth random numbers with standard deviation of about 1, (count, columns).

    They are random every `period` steps, and interpolated between.
    """
    knots = rng.normal(0, 1, (int(count / period) + 3, columns))
    at = np.arange(count) / period
    return np.stack([np.interp(at, np.arange(len(knots)), column) for column in knots.T], axis=1)


def _ink(strokes: list[Points], pen: Pen, rng: np.random.Generator) -> Array:
    """Draw discs along the strokes. `pen.width` is in pixels."""
    margin = pen.width + 4
    origin = np.concatenate(strokes).min(axis=0) - margin
    columns, rows = np.ceil(np.concatenate(strokes).max(axis=0) - origin + margin).astype(int)
    page = np.zeros((rows, columns), np.float32)
    for stroke in strokes:
        points = _evenly(stroke - origin)
        steps = len(points)
        along = np.gradient(points, axis=0)
        rising = -along[:, 0] * along[:, 1] / (along**2).sum(axis=1).clip(1e-9)  # 0.5 to the upper right
        ends = np.minimum(np.arange(steps), np.arange(steps)[::-1]) / (1.4 * pen.width)
        width = 1 + pen.pressure * smooth_noise(steps, 60, rng)[:, 0] - pen.nib * (rising + 0.2)
        width *= 1 - pen.taper * (1 - ends.clip(0, 1)) ** 2
        radius = pen.width / 2 * width.clip(0.35, 1.6)
        flow = 1 - pen.flow * np.abs(smooth_noise(steps, 45, rng)[:, 0]).clip(0, 1.6)
        for (x, y), r, ink in zip(points, radius, flow.clip(0.35, 1), strict=True):
            # OpenCV takes coordinates in sixteenths of a pixel here.
            cv2.circle(page, (round(x * 16), round(y * 16)), round(r * 16), float(ink), -1, cv2.LINE_AA, 4)
    return page


def _evenly(points: Points) -> Points:
    """Return points along the line that are about one pixel apart, with the corners a little rounded."""
    lengths = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    at = np.linspace(0, lengths[-1], max(2, int(lengths[-1])))
    even = np.stack([np.interp(at, lengths, column) for column in points.T], axis=1)
    window = min(len(even), 15)
    padded = np.pad(even, ((window // 2, (window - 1) // 2), (0, 0)), mode="edge")
    return np.stack([np.convolve(column, np.full(window, 1 / window), "valid") for column in padded.T], axis=1)
