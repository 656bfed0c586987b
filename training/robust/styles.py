"""Draw handwriting styles that MNIST has few of, from pen strokes that are curves with random control points."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from digits.features import SIDE, Grey
from digits.normalization.mnist_form import BOX, MIDDLE

_Array = NDArray[np.float64]

_Point = tuple[float, float]
"""x and y in units of the digit's height. (0, 0) is at the top left, and y points downwards."""

_Curve = list[_Point]
"""A pen stroke, or its part up to a corner: the points that it passes through."""

_Uniform = Callable[[float, float], float]
"""Draws a number from a range."""

_FINE = 4
"""Pixels in which a picture is drawn, per pixel of the result and side."""

_FRACTION_BITS = 4
"""Positions and radii are drawn to a 16th of such a pixel."""

_DRAWINGS = 300
"""Number of different drawings of each style. The distortions make more of them."""

_STEPS = 36
"""Positions of the pen along a line as long as the digit is high: at most 0.6 pixels of the result apart."""


@dataclass(frozen=True, slots=True)
class Style:
    """A way of writing a digit."""

    label: int
    strokes: Callable[[_Uniform], list[_Curve]]
    """Returns the strokes of one digit, with random control points."""
    widest: float = 3.6
    """Width in pixels of the widest pen that leaves the digit legible."""
    narrowest: float = 1.3
    """Width in pixels of the narrowest pen."""


def draw(name: str, count: int, rng: np.random.Generator) -> Grey:
    """Draw `count` different digits of one of STYLES in MNIST's form, uint8 (count, 28, 28)."""
    style = STYLES[name]
    return np.stack([_render(style, rng) for _ in range(count)])


@cache
def drawings(label: int) -> Grey:
    """Return the same drawings in every process: _DRAWINGS of each style of a digit, uint8 (N, 28, 28)."""
    rng = np.random.default_rng(label)
    return np.concatenate([draw(name, _DRAWINGS, rng) for name, style in STYLES.items() if style.label == label])


def _render(style: Style, rng: np.random.Generator) -> Grey:
    """Draw a digit with a pen of random width, slant and speed. Returns uint8 (28, 28)."""
    round_corners = int(rng.integers(0, 4))
    paths = [smooth(through(curve), round_corners) for curve in style.strokes(rng.uniform)]
    thinning = rng.uniform(0, 0.35)
    pressure = np.concatenate([1 - thinning * relative_speed(path) for path in paths])
    points = bend(np.concatenate(paths), rng)
    points[:, 0] *= rng.uniform(0.62, 1.25)
    points[:, 0] -= rng.uniform(-0.15, 0.4) * points[:, 1]
    points = points @ turn(rng.uniform(-8, 8))
    width = rng.triangular(style.narrowest, (2 * style.narrowest + style.widest) / 3, style.widest)
    return _centred(ink(points, width / 2 * pressure, width))


def turn(degrees: float) -> _Array:
    """Return the matrix that turns points, (N, 2), from the right."""
    angle = np.deg2rad(degrees)
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def through(points: _Curve) -> _Array:
    """Return positions, (N, 2), on the Catmull-Rom spline through points. Two points give a straight line."""
    knots = np.array(points)
    knots = np.concatenate([[2 * knots[0] - knots[1]], knots, [2 * knots[-1] - knots[-2]]])
    before, first, last, after = (knots[start : len(knots) - 3 + start, None] for start in range(4))
    longest = np.hypot(*(last - first)[:, 0].T).max()
    t = np.linspace(0, 1, max(3, int(np.ceil(_STEPS * longest))))[:, None]
    spline: _Array = 0.5 * (
        2 * first
        + (last - before) * t
        + (2 * before - 5 * first + 4 * last - after) * t**2
        + (3 * first - before - 3 * last + after) * t**3
    )
    return spline.reshape(-1, 2)


def smooth(path: _Array, reach: int) -> _Array:
    """Average each position with `reach` neighbours on both sides, as a fast hand does. The ends do not move."""
    position = np.arange(len(path))
    near = np.minimum(np.minimum(position, position[::-1]), reach)
    sums = np.concatenate([np.zeros((1, 2)), path.cumsum(axis=0)])
    smooth: _Array = (sums[position + near + 1] - sums[position - near]) / (2 * near + 1)[:, None]
    return smooth


def relative_speed(path: _Array) -> _Array:
    """Return the pen's speed at each position, (N,), where 1 is the stroke's highest."""
    speed = np.hypot(*np.gradient(path, axis=0).T)
    relative: _Array = speed / max(float(speed.max()), 1e-9)
    return relative


def bend(points: _Array, rng: np.random.Generator) -> _Array:
    """Displace positions by two smooth waves, so that strokes that meet still meet."""
    bent = points.copy()
    for _ in range(2):
        direction, wave, phase = rng.normal(0, 0.012, 2), rng.uniform(-7, 7, 2), rng.uniform(0, 2 * np.pi)
        bent += direction * np.sin(points @ wave + phase)[:, None]
    return bent


def ink(points: _Array, radii: _Array, width: float) -> Grey:
    """Draw discs around positions, (N, 2), in any unit, fitted to MNIST's box, uint8 (112, 112).

    The radii, (N,), and the width of the pen are in pixels of the 28x28 picture. The positions are changed.
    """
    # The ink fills the box, whose corner is on a whole pixel.
    points -= points.min(axis=0)
    points *= (BOX - 0.2 - width) / points.max()
    points += (SIDE - BOX + 0.2 + width) / 2
    drawn = np.zeros((SIDE * _FINE, SIDE * _FINE), dtype=np.uint8)
    units = _FINE << _FRACTION_BITS  # per pixel of the result
    # OpenCV counts from the middle of the first pixel.
    centres = np.rint((points - 0.5 / _FINE) * units).astype(int).tolist()
    for centre, radius in zip(centres, np.rint(radii * units).astype(int).tolist(), strict=True):
        cv2.circle(drawn, centre, radius, 255, cv2.FILLED, shift=_FRACTION_BITS)
    return drawn


def _centred(drawn: Grey) -> Grey:
    """Reduce a picture to 28x28, and move its centre of mass to the middle, uint8."""
    pixels = cv2.resize(drawn, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    pixels /= pixels.max()
    places = np.arange(SIDE) - MIDDLE
    down, right = (-round(pixels.sum(axis=axis) @ places / pixels.sum()) for axis in (1, 0))
    centred: Grey = np.rint(255 * np.roll(pixels, (down, right), axis=(0, 1))).astype(np.uint8)
    return centred


def _one_with_long_flag(u: _Uniform) -> list[_Curve]:
    across = u(0.14, 0.56)
    down = min(u(0.75, 2.0) * across, 0.75)
    bow = u(-0.03, 0.08)
    flag = [(-across, down), (-across / 2 - bow, down / 2 - bow), (0.0, 0.0)]
    foot = u(-0.04, 0.04) if u(0, 1) < 0.6 else u(-0.45, -0.05)  # the stem alone may lean
    return [flag, [(0.0, 0.0), (foot / 2 + u(-0.02, 0.02), 0.5), (foot, 1.0)]]


def _one_with_flag_and_base(u: _Uniform) -> list[_Curve]:
    across, down = u(0.1, 0.36), u(0.08, 0.36)
    foot, slope = u(-0.03, 0.03), u(-0.15, 0.45)  # many bases rise
    left, right = u(0.12, 0.42), u(0.12, 0.42)
    flag = [(-across, down), (-across / 2, down / 2 - u(0, 0.04)), (0.0, 0.0)]
    base = [(foot - left, 1 + slope * left), (foot, 1.0), (foot + right, 1 - slope * right)]
    return [flag, [(0.0, 0.0), (foot, 1.0)], base]


def _seven(u: _Uniform, start: _Curve) -> tuple[list[_Curve], _Point]:
    """Return the strokes of a 7 that begins with a curve to the left end of its bar, and a point on its stem."""
    left, right = start[-1], (u(0.36, 0.68), u(-0.05, 0.06))
    wave = u(0.03, 0.1) if u(0, 1) < 0.3 else 0.0
    x, y = (left[0] + right[0]) / 2, (left[1] + right[1]) / 2 + u(-0.02, 0.05)
    bar = [left, ((left[0] + x) / 2, y - wave), (x, y), ((right[0] + x) / 2, y + wave), right]
    foot, level = (u(0.06, 0.36), 1.0), u(0.42, 0.78)
    middle = (right[0] + level * (foot[0] - right[0]) + u(-0.08, 0.03), level)
    return [start, bar, [right, middle, foot]], middle


def _crossed_hooked_seven(u: _Uniform) -> list[_Curve]:
    top = u(-0.02, 0.06)
    hook = [(u(-0.04, 0.04), top + u(0.1, 0.38)), (u(-0.02, 0.02), top + u(0.04, 0.08)), (u(0.04, 0.08), top)]
    strokes, (x, y) = _seven(u, hook)
    tilt = u(-0.06, 0.06)
    return [*strokes, [(x - u(0.15, 0.42), y + tilt), (x + u(0.15, 0.42), y - tilt)]]


def _seven_with_left_serif(u: _Uniform) -> list[_Curve]:
    x, top = u(-0.02, 0.04), u(-0.02, 0.05)
    return _seven(u, [(x + u(-0.06, 0.03), top + u(0.14, 0.46)), (x, top)])[0]


def _seven_with_round_shoulder(u: _Uniform) -> list[_Curve]:
    right, foot, hook = u(0.22, 0.5), u(0.05, 0.35), u(0.12, 0.42)
    bulge = right * (1 - u(0.0, 0.12))
    stroke = [
        (u(-0.03, 0.06), hook),
        (u(0.0, 0.05), hook * 0.4),
        (right * u(0.35, 0.6), u(-0.02, 0.03)),
        (bulge, u(0.04, 0.1)),
        (right, 0.22),
        ((right + foot) / 2 + u(-0.02, 0.06), 0.6),
        (foot, 1.0),
    ]
    return [stroke]


def _nine_with_small_loop(u: _Uniform) -> list[_Curve]:
    right, low, foot = u(0.16, 0.34), u(0.18, 0.34), u(-0.08, 0.3)
    gap = u(-0.04, 0.06)  # where the loop starts and ends
    return [
        [
            (right - gap, u(0.0, 0.08)),
            (right * 0.5, 0.0),
            (0.0, low * 0.5),
            (right * 0.45, low),
            (right * 0.9, low * 0.55),
            (right, u(0.02, 0.1)),
        ],
        [(right, u(0.02, 0.1)), (right + u(-0.04, 0.06), 0.4), (foot, 1.0)],
    ]


def _nine_with_curled_tail(u: _Uniform) -> list[_Curve]:
    right, low, near = u(0.4, 0.62), u(0.28, 0.56), u(0.0, 0.14)
    loop = [
        (right + u(-0.08, 0.16), u(0.0, 0.18)),  # right of the loop, the pen comes from outside
        ((right + near) / 2, 0.0),
        (near + 0.06, low * 0.25),
        (near, low * 0.65),
        ((right + near) / 2 - 0.04, low),
        (right * 0.85, low * 0.7),
        (right, 0.16),
    ]
    left, belly, end = u(-0.35, 0.2), right + u(-0.06, 0.1), max(u(0.6, 0.97), low + 0.2)
    tail = [
        (belly, 0.55),
        (belly - u(0.02, 0.06), 0.84),
        ((right + left) / 2, 1.0),
        (left, (1 + end) / 2),
        (left + u(-0.04, 0.18), end),
    ]
    return [[*loop, *tail]]


def _six_with_curled_top(u: _Uniform) -> list[_Curve]:
    right, high = u(0.42, 0.62), u(0.44, 0.64)
    outer, low = u(0.36, 0.56), min(u(0.14, 0.4), high - 0.17)
    curl = [(outer - u(0.02, 0.16), low), (outer, low * u(0.4, 0.55)), (outer * u(0.45, 0.75), 0.0)]
    bowl = [
        (u(0.0, 0.16), 0.2),
        (0.0, 0.6),
        (0.08, 0.9),
        (right * 0.5, 1.0),
        (right, 0.85),
        (right * 0.92, high + 0.1),
        (right * 0.55, high),
        (0.1, high + 0.12),
        (0.02, high + u(0.18, 0.26)),
    ]
    return [[*curl, *bowl]]


def _six_with_small_bowl(u: _Uniform) -> list[_Curve]:
    top, right, high = u(0.0, 0.32), u(0.2, 0.44), u(0.54, 0.74)
    stroke = [
        (top, 0.0),
        (top * 0.45 + u(-0.04, 0.02), 0.45),
        (0.0, 0.84),
        (right * 0.4, 1.0),
        (right, u(0.8, 0.92)),
        (right * 0.75, high),
        (u(-0.02, right * 0.4), u(0.8, 0.92)),
    ]
    return [stroke]


def _closed_four(u: _Uniform) -> list[_Curve]:
    apex, left, tilt = (u(0.24, 0.52), 0.0), (u(-0.04, 0.06), u(0.38, 0.72)), u(-0.07, 0.05)
    right = (apex[0] + u(0.0, 0.28), left[1] + tilt)
    bow = u(-0.02, 0.08)  # a round left side is almost the loop of a 9
    return [
        [apex, ((apex[0] + left[0]) / 2 - bow, left[1] / 2 - bow), left],
        [left, right],
        [apex, (apex[0] + u(-0.05, 0.02), 1.0)],
    ]


def _open_four(u: _Uniform) -> list[_Curve]:
    corner = (0.0, u(0.46, 0.84))
    start, stem = (u(0.02, 0.46), 0.0), u(0.16, 0.54)
    right = (stem + u(0.02, 0.3), corner[1] + u(-0.07, 0.05))
    top = (stem + u(-0.02, 0.06), corner[1] - u(0.06, 0.5))  # a short stem makes the digit similar to a 6
    return [
        [start, (start[0] * 0.4 + u(-0.02, 0.02), corner[1] * 0.6), corner],
        [corner, right],
        [top, (stem + u(-0.08, 0.02), 1.0)],
    ]


def _two_with_loop(u: _Uniform) -> list[_Curve]:
    right, high = u(0.5, 0.6), u(0.72, 0.8)
    stroke = [
        (u(0.0, 0.08), u(0.16, 0.26)),
        (right * 0.5, 0.0),
        (right, 0.18),
        (right * 0.85, 0.48),
        (0.2, 0.9),
        (0.04, 0.98),
        (u(-0.08, -0.02), 0.89),
        (0.06, high),
        (0.25, high + 0.1),
        (0.45, 0.97),
        (u(0.62, 0.76), u(0.85, 0.93)),
    ]
    return [stroke]


def _two_with_curled_top(u: _Uniform) -> list[_Curve]:
    strokes, (x, y) = _curled_two(u)
    length, slope = u(0.4, 0.95), u(-0.05, 0.35)
    end = x + length, y - slope * length
    return [*strokes, [(x, y), (x + length / 2, (y + end[1]) / 2 + u(-0.06, 0.04)), end]]


def _two_with_curled_top_and_loop(u: _Uniform) -> list[_Curve]:
    strokes, (x, y) = _curled_two(u)
    left, high, end = u(0.06, 0.14), u(0.1, 0.24), u(0.4, 0.7)
    loop = [
        (x, y),
        (x - left, y - high / 2),
        (x + u(0.0, 0.08), y - high),
        (x + end / 2, y - 0.4 * high),
        (x + end, y + u(-0.14, 0.04)),
    ]
    return [*strokes, loop]


def _curled_two(u: _Uniform) -> tuple[list[_Curve], _Point]:
    """Return the stroke of a 2 whose top is almost or wholly closed, as in an 8 or a 9, and its heel."""
    right, low = u(0.34, 0.6), u(0.24, 0.46)
    heel = u(-0.1, 0.12), 1.0
    stroke = [
        (right * u(0.2, 0.85), low + u(-0.06, 0.04)),
        (right * u(0.1, 0.3), low * u(0.85, 1.0)),
        (u(-0.02, 0.06), low * u(0.45, 0.6)),
        (right * u(0.4, 0.6), 0.0),
        (right, low * u(0.4, 0.6)),
        (right * u(0.65, 0.9), u(0.46, 0.6)),
        heel,
    ]
    return [stroke], heel


def _two_with_long_base(u: _Uniform) -> list[_Curve]:
    right, start, slope = u(0.28, 0.55), u(0.06, 0.3), u(-0.05, 0.5)
    heel = (u(-0.06, 0.12), 1.0)
    length = u(0.5, 1.0)
    return [
        [
            (u(-0.02, 0.1), start),
            (right * 0.45, 0.0),
            (right, u(0.16, 0.26)),
            (right * u(0.6, 0.85), 0.58),
            heel,
        ],
        [heel, (heel[0] + length / 2, 1 - slope * length / 2 + u(-0.04, 0.03)), (heel[0] + length, 1 - slope * length)],
    ]


def _slashed_zero(u: _Uniform) -> list[_Curve]:
    half, start = u(0.27, 0.38), u(0, 0.8)
    angles = -np.pi / 2 - start - np.linspace(0, 2 * np.pi + u(-0.1, 0.4), 10)
    ring = [(half * np.cos(angle), 0.5 + 0.5 * np.sin(angle)) for angle in angles]
    # The slash ends between the inner edge of the ring and a little outside of it.
    steep, reach = u(0.75, 1.1), u(0.75, 1.3)
    x, y = reach * half * np.cos(steep), reach * 0.5 * np.sin(steep)
    return [ring, [(x, 0.5 - y), (-x, 0.5 + y)]]


def _zero_with_tail(u: _Uniform) -> list[_Curve]:
    """Draw a 0 that ends in a stroke to the right, as before another 0."""
    half, start = u(0.28, 0.48), u(-0.9, 0.5)
    angles = -np.pi / 2 - start - np.linspace(0, 2 * np.pi + u(-0.25, 0.5), 11)
    ring = [(half * np.cos(angle), 0.5 + 0.5 * np.sin(angle)) for angle in angles]
    x, y = ring[-1]
    reach = u(0.15, 0.5)
    dip = u(0.0, 0.25)
    return [ring, [(x, y), (x + 0.4 * reach, y + dip), (x + reach, y + u(-0.12, 0.12))]]


def _flat_three(u: _Uniform) -> list[_Curve]:
    right, waist = (u(0.44, 0.58), u(-0.03, 0.03)), (u(0.16, 0.28), u(0.36, 0.44))
    low = u(0.5, 0.62)
    return [
        [(u(-0.02, 0.06), u(-0.02, 0.04)), right],
        [right, waist],
        [waist, (low * 0.75, waist[1] + 0.04), (low, 0.68), (low * 0.72, 0.94), (0.2, 1.0), (u(-0.06, 0.04), 0.87)],
    ]


def _five(u: _Uniform) -> tuple[list[_Curve], _Point]:
    """Return the strokes of a 5 above its bowl, with a bar that may rise, and the upper end of the bowl."""
    left, neck, slope = u(0.0, 0.14), u(0.34, 0.52), u(-0.1, 0.7)
    top = (left + u(0.0, 0.14), u(0.0, 0.06))
    length = u(0.2, 0.5)
    bar = [(top[0] + u(-0.02, 0.08), top[1]), (top[0] + length, top[1] - slope * length)]
    return [bar, [top, (left, neck)]], (left, neck)


def _five_with_closed_bowl(u: _Uniform) -> list[_Curve]:
    right, end = u(0.4, 0.6), u(0.0, 0.16)
    strokes, (left, neck) = _five(u)
    low = (1 + neck) / 2
    bowl = [
        (left, neck),
        (right * 0.6, neck - u(-0.03, 0.06)),
        (right, low),
        (right * 0.55, 1.0),
        (u(-0.08, 0.06), u(0.86, 0.98)),
        (end, low + u(-0.08, 0.08)),
        (left + u(0.0, 0.1), neck + u(0.02, 0.16)),
    ]
    return [*strokes, bowl]


def _five_with_rising_bar(u: _Uniform) -> list[_Curve]:
    right = u(0.26, 0.55)
    strokes, (left, neck) = _five(u)
    bowl = [
        (left, neck),
        ((left + right) / 2, neck - u(-0.04, 0.06)),
        (right, (1 + neck) / 2),
        (right * 0.6, u(0.95, 1.0)),
        (u(-0.12, 0.1), u(0.86, 1.0)),
    ]
    return [*strokes, bowl]


def _open_eight(u: _Uniform) -> list[_Curve]:
    right, waist, low = u(0.3, 0.6), u(0.4, 0.56), u(0.26, 0.5)
    middle = right * u(0.35, 0.6)
    stroke = [
        (right - u(0.0, 0.12), u(0.0, 0.16)),
        (right * 0.5, u(-0.02, 0.06)),
        (u(0.0, 0.1), waist * 0.45),
        (middle, waist),
        (middle + low / 2, (1 + waist) / 2),
        (middle - u(0.0, 0.1), 1.0),
        (middle - low / 2 - u(0.0, 0.1), (1 + waist) / 2),
        (middle, waist),
        (right + u(-0.04, 0.12), u(0.02, 0.22)),
    ]
    return [stroke]


def _bar(u: _Uniform) -> list[_Curve]:
    return [[(u(-0.02, 0.02), 0.0), (u(-0.02, 0.02), 0.5), (u(-0.02, 0.02), 1.0)]]


def _bold_bar(u: _Uniform) -> list[_Curve]:
    """Return strokes side by side, so that the bar has corners."""
    half = u(0.02, 0.2)
    return [[(x, 0.0), (x, 1.0)] for x in np.linspace(-half, half, 7).tolist()]


STYLES: dict[str, Style] = {
    "1 with a bold pen": Style(1, _bold_bar, narrowest=2.5, widest=4.5),
    "1 with a thin pen": Style(1, _bar, narrowest=1.0, widest=1.6),
    "1 with a long flag": Style(1, _one_with_long_flag),
    "1 with flag and base": Style(1, _one_with_flag_and_base),
    "7 crossed and hooked": Style(7, _crossed_hooked_seven, widest=3.0),
    "7 with a left serif": Style(7, _seven_with_left_serif),
    "7 with a round shoulder": Style(7, _seven_with_round_shoulder, widest=3.0),
    "9 with a curled tail": Style(9, _nine_with_curled_tail, widest=2.9),
    "9 with a small loop": Style(9, _nine_with_small_loop, widest=2.6),
    "6 with a curled top": Style(6, _six_with_curled_top, widest=2.6),
    "6 with a small bowl": Style(6, _six_with_small_bowl, widest=2.6),
    "4 with a closed top": Style(4, _closed_four, widest=2.8),
    "4 with an open top": Style(4, _open_four),
    "2 with a loop": Style(2, _two_with_loop),
    "2 with a curled top": Style(2, _two_with_curled_top, widest=3.2),
    "2 with a curled top and a loop": Style(2, _two_with_curled_top_and_loop, widest=2.8),
    "2 with a long base": Style(2, _two_with_long_base),
    "0 with a slash": Style(0, _slashed_zero, widest=2.5),
    "0 with a tail": Style(0, _zero_with_tail, widest=3.0),
    "3 with a flat top": Style(3, _flat_three),
    "5 with a closed bowl": Style(5, _five_with_closed_bowl, widest=2.8),
    "5 with a rising bar": Style(5, _five_with_rising_bar, widest=2.8),
    "8 with an open top": Style(8, _open_eight, widest=2.6),
}
"""By name."""

STYLED = sorted({style.label for style in STYLES.values()})
"""The digits that have a style."""
