"""Draw what people draw first when they want to see whether a service knows that it is no digit."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw

from digits.features import Grey
from training.trust.drawing import FIELD, draw_picture

_Array = NDArray[np.float64]

_Uniform = Callable[..., float]
"""`Generator.uniform`."""

_Strokes = list[Sequence[tuple[float, float]] | _Array]
"""The points of each pen stroke, (N, 2). They lie within 1 of the middle, and y points downwards."""


def sketch(rng: np.random.Generator) -> Grey:
    """Draw a heart, star, cross, smiley, arrow, zigzag, house or check mark by an unsteady hand, uint8 (96, 96)."""
    strokes = SKETCHES[rng.integers(len(SKETCHES))](rng.uniform)
    angle, width = np.deg2rad(rng.normal(0, 8)), int(rng.integers(3, 12))
    axes = _turn(angle) @ np.array([[rng.uniform(0.7, 1.1), rng.uniform(-0.2, 0.2)], [0, 1]]) * rng.uniform(20, 36)

    def draw(pen: ImageDraw.ImageDraw) -> None:
        for stroke in strokes:
            points = (np.array(stroke) + rng.normal(0, 0.03, (len(stroke), 2))) @ axes.T + FIELD / 2
            pen.line(points.ravel().tolist(), fill=255, width=width, joint="curve")
            for end in (points[0], points[-1]):
                pen.circle(end.tolist(), width / 2, fill=255)

    return draw_picture(draw)


def _turn(angle: float) -> _Array:
    """Return the matrix that turns points by an angle in radians."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _ring(u: _Uniform) -> _Array:
    t = u(-3, 3) + np.linspace(0, 2 * np.pi + u(-0.3, 0.3), 24)
    return np.stack([np.cos(t), np.sin(t)], axis=1)


def _heart(u: _Uniform) -> _Strokes:
    t = np.linspace(u(-0.1, 0.1), 2 * np.pi + u(-0.1, 0.1), 30)
    x, y = np.sin(t) ** 3, (13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 16
    return [np.stack([x, -y * u(0.8, 1.1)], axis=1)]


def _star(u: _Uniform) -> _Strokes:
    corners, step = (10, 1) if u() < 0.5 else (5, 2)  # an outline, or a line that crosses itself
    order = np.arange(corners + 1) * step % corners
    radius = np.where(order % 2, u(0.35, 0.55), 1) if step == 1 else np.ones(corners + 1)
    t = 2 * np.pi * order / corners
    return [np.stack([radius * np.sin(t), -radius * np.cos(t)], axis=1)]


def _cross(u: _Uniform) -> _Strokes:
    if u() < 0.25:
        return [[(-1, 0), (1, 0)], [(0, -1), (0, 1)]]
    x = u(0.5, 1)
    return [[(-x, -1), (x * u(0.8, 1.2), 1)], [(x * u(0.8, 1.2), -1), (-x, 1)]]


def _smiley(u: _Uniform) -> _Strokes:
    apart, high, long = u(0.25, 0.45), u(-0.45, -0.2), u(0, 0.25)
    eyes: _Strokes = [[(x, high), (x, high + long)] for x in (-apart, apart)]
    wide, deep = u(0.35, 0.6), u(-0.3, 0.4)
    t = np.linspace(-1, 1, 12)
    mouth = np.stack([wide * t, u(0.2, 0.4) + deep * (1 - t**2)], axis=1)
    return [*([_ring(u)] if u() < 0.8 else []), *eyes, mouth]


def _arrow(u: _Uniform) -> _Strokes:
    t = np.linspace(-1, 1, 12)
    points = np.stack([t, u(-0.4, 0.4) * (1 - t**2)], axis=1)
    length, wide = u(0.3, 0.7), u(0.25, 0.7)
    strokes = [points, np.array([(1 - length, -wide), (1, 0), (1 - length, wide)])]
    if u() < 0.2:
        strokes.append(np.array([(length - 1, -wide), (-1, 0), (length - 1, wide)]))
    angle = np.pi / 2 * np.floor(u(0, 4)) + u(-0.5, 0.5)
    return [stroke @ _turn(angle) for stroke in strokes]


def _zigzag(u: _Uniform) -> _Strokes:
    count = int(u(6, 14))
    x, side = np.linspace(-1, 1, count), np.where(np.arange(count) % 2, 1, -1)
    points = np.stack([x + u(-0.2, 0.2, count), side * u(0.4, 1, count)], axis=1)
    return [points if u() < 0.5 else points[:, ::-1]]


def _house(u: _Uniform) -> _Strokes:
    wall, eaves = u(0.6, 0.9), u(-0.3, 0.2)
    strokes: _Strokes = [[(-wall, 1), (-wall, eaves), (0, -1), (wall, eaves), (wall, 1), (-wall, 1)]]
    if u() < 0.6:
        strokes.append([(-wall, eaves), (wall, eaves)])
    if u() < 0.3:
        strokes += [[(-wall, eaves), (wall, 1)], [(wall, eaves), (-wall, 1)]]
    elif u() < 0.6:
        left, right, top = u(-0.4, -0.05), u(0.05, 0.4), u(0.3, 0.7)
        strokes.append([(left, 1), (left, top), (right, top), (right, 1)])
    return strokes


def _check_mark(u: _Uniform) -> _Strokes:
    corner = (u(-0.5, -0.1), u(0.6, 1))
    return [[(-1, u(-0.1, 0.4)), corner, (1, u(-1, -0.7))]]


SKETCHES = (_heart, _star, _cross, _smiley, _arrow, _zigzag, _house, _check_mark)
