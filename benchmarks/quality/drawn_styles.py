"""Draw digits in styles that MNIST has few of, from straight lines and arcs.

    drawings("7 crossed and hooked", 300, np.random.default_rng(0))    300 encoded pictures

The same seed gives the same bytes. Training draws these styles too, but from other curves, with another pen and onto
another page. Neither knows the other, so that a network that learns training's drawings is not measured on them. The
ranges were widened once, because the shipped model read the first drawings almost without an error.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.quality.families import Array, Generator, encoded, light, on_paper, placed, resized, texture

_Line = list[tuple[float, float]]
"""A stroke: points (x, y) that are connected by straight lines. A digit is 100 high, and y points downwards."""

_Uniform = Callable[[float, float], float]
"""Draws a number from a range."""


def drawings(name: str, count: int, rng: Generator) -> list[bytes]:
    """Return encoded pictures of one of DRAWN."""
    return [_photographed(DRAWN[name](rng.uniform), rng) for _ in range(count)]


def _line(*points: tuple[float, float]) -> _Line:
    return list(points)


def _arc(centre: tuple[float, float], radii: tuple[float, float], first: float, last: float) -> _Line:
    """Return an arc of an ellipse with a horizontal and a vertical radius, from an angle in degrees to another.

    0 degrees point to the right, 90 degrees downwards.
    """
    angles = np.deg2rad(np.linspace(first, last, max(3, int(abs(last - first) / 6))))
    x, y = (
        middle + radius * turn(angles) for middle, radius, turn in zip(centre, radii, (np.cos, np.sin), strict=True)
    )
    return list(zip(x.tolist(), y.tolist(), strict=True))


def _page(lines: list[_Line], rng: Generator) -> Array:
    """Draw lines with a pen of constant width in a hand that trembles. Returns the coverage by ink.

    The pen is 20 to 72 pixels wide, and a digit about 500 pixels high.
    """
    slant, squeeze = rng.uniform(-0.15, 0.42), rng.uniform(0.65, 1.25)
    angle = np.deg2rad(rng.uniform(-8, 8))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    width = int(np.exp(rng.uniform(*np.log((20, 72)))))
    tremor, corner_size = rng.uniform(0, 1.2), rng.uniform(2, 18)
    drawn = []
    for line in lines:
        points = _rounded(np.array(line), corner_size)
        points = points + tremor * rng.normal(0, 1, points.shape)
        points[:, 0] = squeeze * points[:, 0] - slant * points[:, 1]
        drawn.append(points @ turn.T)
    corner = np.concatenate(drawn).min(axis=0)
    drawn = [5 * (points - corner) + width / 2 + 2 for points in drawn]
    whole = np.concatenate(drawn).max(axis=0) + width / 2 + 3
    page = Image.new("L", (int(whole[0]), int(whole[1])), 0)
    canvas = ImageDraw.Draw(page)
    for points in drawn:
        canvas.line([tuple(point) for point in points.tolist()], fill=255, width=width, joint="curve")
        for x, y in (points[0], points[-1]):
            canvas.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=255)
    return np.asarray(page, dtype=np.float32) / 255


def _rounded(points: Array, size: float) -> Array:
    """Round the corners of a line over about `size`, by cutting them twice (Chaikin 1974)."""
    lengths = np.hypot(*np.diff(points, axis=0).T)
    pieces = [
        np.linspace(start, end, max(1, int(length / size)), endpoint=False)
        for start, end, length in zip(points[:-1], points[1:], lengths, strict=True)
    ]
    line = np.concatenate([*pieces, points[-1:]])
    for _ in range(2):
        first, second = line[:-1], line[1:]
        cut = np.stack([0.75 * first + 0.25 * second, 0.25 * first + 0.75 * second], axis=1).reshape(-1, 2)
        line = np.concatenate([line[:1], cut, line[-1:]])
    return line


def _photographed(lines: list[_Line], rng: Generator) -> bytes:
    """Photograph or scan a drawn digit."""
    ink = _page(lines, rng)
    height = int(rng.integers(60, 300))
    small = resized(ink, height, max(4, height * ink.shape[1] // ink.shape[0]))
    # Paper on all sides, as a share of the longer side. `placed` measures margins by the height.
    field = placed(np.pad(small, max(small.shape) // 5), rng)
    paper = rng.uniform(200, 255)
    grey = on_paper(field, paper=paper, pen=paper * rng.uniform(0.05, 0.5))
    grey = grey * light(grey.shape, rng, depth=rng.uniform(0, 0.25))
    return encoded(grey + texture(grey.shape, rng, strength=rng.uniform(0, 2)), format="JPEG", quality=85)


def _one_with_long_flag(u: _Uniform) -> list[_Line]:
    length, angle = u(38, 78), np.deg2rad(u(46, 66))
    flag = (-length * float(np.cos(angle)), length * float(np.sin(angle)))
    return [_line(flag, (0, 0), (u(-3, 3), 100))]


def _one_with_flag_and_base(u: _Uniform) -> list[_Line]:
    length, angle = u(18, 48), np.deg2rad(u(25, 60))
    flag = (-length * float(np.cos(angle)), length * float(np.sin(angle)))
    return [_line(flag, (0, 0), (0, 100)), _line((-u(15, 42), 100 + u(-3, 3)), (u(15, 42), 100 + u(-3, 3)))]


def _crossed_hooked_seven(u: _Uniform) -> list[_Line]:
    right, foot, level = u(40, 62), u(10, 32), u(40, 60)
    middle = right + (foot - right) * level / 100
    hook = u(10, 32)
    return [
        _line((u(-6, 2), hook), (3, 0), (right, u(-3, 3)), (foot, 100)),
        _line((middle - u(14, 32), level + u(-4, 4)), (middle + u(14, 32), level + u(-4, 4))),
    ]


def _seven_with_left_serif(u: _Uniform) -> list[_Line]:
    right, bend = u(36, 62), u(40, 60)
    return [_line((u(-5, 2), u(15, 42)), (0, 0), (right, u(-2, 4)), (u(26, 36), bend), (u(15, 26), 100))]


def _seven_with_round_shoulder(u: _Uniform) -> list[_Line]:
    across, down = u(13, 24), u(10, 18)
    return [
        _line((-across, down + u(5, 24)))
        + _arc((0, down), (across, down), 180, 355)
        + _line((across, down + u(8, 20)), (u(-20, 5), 100))
    ]


def _nine_with_small_loop(u: _Uniform) -> list[_Line]:
    across, down = u(8, 15), u(9, 15)
    return [_arc((0, down), (across, down), -10, -355) + _line((across, down), (u(-10, across), 100))]


def _nine_with_curled_tail(u: _Uniform) -> list[_Line]:
    across, down = u(18, 27), u(18, 25)
    tail_down = u(12, 19)
    tail_across = u(16, 28)
    middle = across - tail_across + u(-2, 2)
    turn = u(165, 235)
    return [
        _arc((0, down), (across, down), -15, -375) + _line((across, 100 - tail_down)),
        _line((across, 100 - tail_down)) + _arc((middle, 100 - tail_down), (across - middle, tail_down), 0, turn),
    ]


def _six_with_curled_top(u: _Uniform) -> list[_Line]:
    across, down, high = u(19, 28), u(20, 26), u(9, 15)
    curl_across = u(15, 21)
    left = -across
    return [
        _arc((left + curl_across, high), (curl_across, high), u(20, 55), -180)
        + _line((left, 100 - down))
        + _arc((0, 100 - down), (across, down), 180, u(-190, -170)),
    ]


def _six_with_small_bowl(u: _Uniform) -> list[_Line]:
    across, down = u(11, 19), u(13, 22)
    return [
        _line((u(-15, 6), 0), (-across, 100 - 1.3 * down)) + _arc((0, 100 - down), (across, down), 180, u(-190, -150))
    ]


def _closed_four(u: _Uniform) -> list[_Line]:
    apex, level = u(26, 46), u(42, 70)
    return [_line((apex, 100), (apex, 0), (u(-3, 5), level), (apex + u(3, 24), level + u(-3, 3)))]


def _open_four(u: _Uniform) -> list[_Line]:
    level, stem = u(46, 78), u(34, 48)
    return [
        _line((u(2, 32), 0), (0, level), (stem + u(6, 20), level + u(-3, 3))),
        _line((stem + u(0, 4), level - u(18, 45)), (stem + u(-4, 2), 100)),
    ]


def _two_with_loop(u: _Uniform) -> list[_Line]:
    across, down, loop = u(20, 27), u(18, 25), u(7, 14)
    foot = -across + u(0, 6)
    return [
        _arc((0, down), (across, down), u(-175, -150), 25)
        + _arc((foot, 100 - loop), (loop * u(0.9, 1.4), loop), 60, 300)
        + _line((foot + 2 * loop, 100 - 0.9 * loop), (across * 0.7, 100), (across + u(2, 10), 100 - u(2, 10)))
    ]


def _two_with_long_base(u: _Uniform) -> list[_Line]:
    across, down, length, rise = u(15, 24), u(14, 22), u(52, 90), u(-4, 40)
    heel = -across + u(-4, 6)
    return [
        _arc((0, down), (across, down), u(-190, -160), 30) + _line((heel, 100)),
        _line((heel, 100), (heel + length, 100 - rise)),
    ]


def _slashed_zero(u: _Uniform) -> list[_Line]:
    across = u(27, 36)
    reach, angle = u(0.8, 1.25), np.deg2rad(u(40, 62))
    x, y = reach * across * float(np.cos(angle)), reach * 50 * float(np.sin(angle))
    return [_arc((0, 50), (across, 50), 0, 360), _line((x, 50 - y), (-x, 50 + y))]


def _flat_three(u: _Uniform) -> list[_Line]:
    waist, across = u(30, 44), u(22, 30)
    down = (100 - waist) / 2
    return [
        _line((u(-2, 6), u(-2, 3)), (u(40, 52), 0), (u(16, 24), waist))
        + _arc((20, waist + down), (across, down), -80, u(140, 165)),
    ]


def _five_with_closed_bowl(u: _Uniform) -> list[_Line]:
    across, neck, bar, rise = u(19, 27), u(36, 48), u(26, 42), u(-3, 16)
    down = (100 - neck) / 2
    return [
        _line((-across + bar, -rise), (-across + 4, 0), (-across, neck + down / 2))
        + _arc((0, neck + down), (across, down), -145, u(140, 185))
    ]


def _five_with_rising_bar(u: _Uniform) -> list[_Line]:
    across, neck, bar = u(17, 25), u(36, 50), u(22, 42)
    down, left = (100 - neck) / 2, -u(10, 16)
    return [
        _line((left + bar, -bar * u(0.2, 0.65)), (left + u(0, 5), 0), (left, neck + 4))
        + _arc((0, neck + down), (across, down), -110, u(110, 150))
    ]


def _open_eight(u: _Uniform) -> list[_Line]:
    across, waist, low = u(15, 24), u(42, 54), u(15, 24)
    down = (100 - waist) / 2
    return [
        _arc((0, waist / 2), (across, waist / 2), u(-60, -25), -200)
        + _arc((0, waist + down), (low, down), -60, 240)
        + _line((across + u(-3, 6), u(3, 18)))
    ]


DRAWN: dict[str, Callable[[_Uniform], list[_Line]]] = {
    "1 with a long flag": _one_with_long_flag,
    "1 with flag and base": _one_with_flag_and_base,
    "7 crossed and hooked": _crossed_hooked_seven,
    "7 with a left serif": _seven_with_left_serif,
    "7 with a round shoulder": _seven_with_round_shoulder,
    "9 with a curled tail": _nine_with_curled_tail,
    "9 with a small loop": _nine_with_small_loop,
    "6 with a curled top": _six_with_curled_top,
    "6 with a small bowl": _six_with_small_bowl,
    "4 with a closed top": _closed_four,
    "4 with an open top": _open_four,
    "2 with a loop": _two_with_loop,
    "2 with a long base": _two_with_long_base,
    "0 with a slash": _slashed_zero,
    "3 with a flat top": _flat_three,
    "5 with a closed bowl": _five_with_closed_bowl,
    "5 with a rising bar": _five_with_rising_bar,
    "8 with an open top": _open_eight,
}
"""By name, which begins with the digit that the strokes show, in the order of the table."""
