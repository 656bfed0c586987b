"""Draw what people write around digits in the same pen: lines, rings, boxes, letters, words, signs and strokes."""

from collections.abc import Callable

import numpy as np

from training.finder.layout import Layout, Piece, Stroke, Writer
from training.finder.paper import SIDE, Rng, log_uniform, near_level

_ON_SHEETS = 0.2
"""Share of the lines below and above, rings and boxes that sheets have."""

_OF_AMOUNTS, _ON_AMOUNTS = ("dash", "equals", "point", "slash", "end", "hash", "flourish"), 4.0
"""Marks that amounts have more often, and how much more often."""


class _Around:
    """The digits of a layout, and the frame around them."""

    def __init__(self, layout: Layout) -> None:
        digits = layout.digits
        self.digits = digits
        self.height, self.pen = layout.height, digits[0].pen
        self.first, self.last = min(digits, key=lambda each: each.x), max(digits, key=lambda each: each.x)
        self.left, self.right = self.first.x - 0.35 * self.first.size, self.last.x + 0.35 * self.last.size
        self.top = min(each.y for each in digits) - 0.5 * self.height
        self.bottom = max(each.y for each in digits) + 0.5 * self.height


_Lines = list[list[tuple[float, float]]]


def add_marks(layout: Layout, writer: Writer, rng: Rng) -> None:
    """Add one to three marks to a layout, or strokes of any length if it has no digits."""
    if not layout.digits:
        height, pen = log_uniform(rng, 12, 60), log_uniform(rng, 0.6, 6)
        for _ in range(int(rng.integers(0, 4))):
            start = rng.uniform(0, SIDE, 2)
            end = start + rng.uniform(-1.2, 1.2, 2) * height * (1, rng.choice([0.1, 1.0]))
            layout.strokes.append(Stroke([[tuple(start), tuple(end)]], pen, "other"))
        return
    around = _Around(layout)
    chances = np.array([chance for chance, _ in _MARKS.values()])
    if layout.kind == "sheet":
        chances[[list(_MARKS).index(name) for name in ("underline", "overline", "ring", "box")]] *= _ON_SHEETS
    elif layout.kind == "amount":
        chances[[list(_MARKS).index(name) for name in _OF_AMOUNTS]] *= _ON_AMOUNTS
    count = int(rng.choice([1, 2, 3], p=[0.5, 0.35, 0.15]))
    for name in rng.choice(list(_MARKS), count, p=chances / chances.sum()):
        _MARKS[name][1](layout, around, writer, rng)


def _dash(layout: Layout, around: _Around, _: Writer, rng: Rng) -> None:
    """Draw a dash before or behind the number, as at the end of an amount."""
    u, height = rng.uniform, around.height
    is_behind = rng.random() < 0.65
    x, y = (around.right, around.last.y) if is_behind else (around.left, around.first.y)
    side = 1 if is_behind else -1
    start = x + side * u(0.05, 0.4) * height, y + u(-0.15, 0.4) * height
    end = start[0] + side * u(0.25, 1.5) * height, start[1] + u(-0.1, 0.1) * height
    layout.strokes.append(Stroke([[start, end]], around.pen, "dash"))


def _equals(layout: Layout, around: _Around, _: Writer, rng: Rng) -> None:
    u, height = rng.uniform, around.height
    x, y = around.right + u(0.08, 0.3) * height, around.last.y + u(-0.2, 0.25) * height
    length, apart = u(0.25, 0.7) * height, u(0.12, 0.3) * height
    lines = [[(x, y + k * apart), (x + length, y + k * apart + u(-0.06, 0.06) * height)] for k in (0, 1)]
    layout.strokes.append(Stroke(lines, around.pen, "other"))


def _point(layout: Layout, around: _Around, _: Writer, rng: Rng) -> None:
    u, height = rng.uniform, around.height
    is_comma = rng.random() < 0.5
    for _number in range(int(rng.choice([1, 1, 1, 3]))):
        digit = around.digits[int(rng.integers(len(around.digits)))]
        x, y = digit.x + u(0.3, 0.55) * height, digit.y + u(0.36, 0.56) * height
        tail = height * (u(0.08, 0.25) if is_comma else u(0, 0.04))
        lines = [[(x, y), (x - 0.4 * tail, y + tail)]]
        layout.strokes.append(Stroke(lines, around.pen * u(1, 1.4), "comma" if is_comma else "point"))


def _slash(layout: Layout, around: _Around, _: Writer, rng: Rng) -> None:
    """Draw one or two slashes before or behind the number."""
    u, height = rng.uniform, around.height
    x = around.right + u(0.0, 0.3) * height if rng.random() < 0.8 else around.left - u(0.2, 0.7) * height
    low, tall, lean = around.last.y + u(0.4, 0.7) * height, u(0.85, 1.5) * height, u(0.05, 0.8) * height
    for k in range(1 + int(rng.random() < 0.15)):
        shift = k * u(0.15, 0.3) * height
        layout.strokes.append(Stroke([[(x + shift, low), (x + shift + lean, low - tall)]], around.pen, "slash"))


def _end(layout: Layout, around: _Around, _: Writer, rng: Rng) -> None:
    """Draw what ends an amount: a point or a slash, and one or two dashes behind it."""
    u, height = rng.uniform, around.height
    x, base = around.right + u(0.05, 0.25) * height, around.last.y + u(0.35, 0.55) * height
    if rng.random() < 0.5:
        layout.strokes.append(Stroke([[(x, base), (x + 0.02 * height, base)]], around.pen * u(1, 1.4), "point"))
    else:
        tall, lean = u(0.8, 1.4) * height, u(0.05, 0.7) * height
        layout.strokes.append(Stroke([[(x, base), (x + lean, base - tall)]], around.pen, "slash"))
        x += lean
    start, length, level = x + u(0.1, 0.3) * height, u(0.25, 1.2) * height, around.last.y + u(-0.1, 0.35) * height
    lines: _Lines = []
    for k in range(1 + int(rng.random() < 0.4)):
        y = level + k * u(0.12, 0.25) * height
        lines.append([(start, y), (start + length, y + u(-0.08, 0.08) * height)])
    layout.strokes.append(Stroke(lines, around.pen, "dash" if len(lines) == 1 else "other"))


def _plus(layout: Layout, around: _Around, _: Writer, rng: Rng) -> None:
    u, height = rng.uniform, around.height
    x, y, reach = around.left - u(0.25, 0.6) * height, around.first.y + u(-0.1, 0.15) * height, u(0.15, 0.32) * height
    lines: _Lines = [[(x - reach, y), (x + reach, y)], [(x, y - reach), (x, y + reach)]]
    layout.strokes.append(Stroke(lines, around.pen, "other"))


def _brackets(layout: Layout, around: _Around, _: Writer, rng: Rng) -> None:
    u, height = rng.uniform, around.height
    bow, reach = u(0.08, 0.25) * height, u(0.5, 0.7) * height
    sides = ((-1, around.left - u(0.05, 0.3) * height), (1, around.right + u(0.05, 0.3) * height))
    for side, x in sides if rng.random() < 0.5 else sides[1:]:
        line = [(x - side * bow * t * t, around.first.y + t * reach) for t in np.linspace(-1, 1, 7).tolist()]
        layout.strokes.append(Stroke([line], around.pen, "other"))


def _percent(layout: Layout, around: _Around, _: Writer, rng: Rng) -> None:
    """Draw a percent sign, whose rings and slash look like digits."""
    u, height = rng.uniform, around.height
    tall, radius = u(0.7, 1.1) * height, u(0.1, 0.2) * height
    x, y, lean = around.right + u(0.1, 0.4) * height, around.last.y + u(-0.1, 0.1) * height, u(0.2, 0.6) * tall
    turns = np.linspace(0, 2 * np.pi, 12)
    rings = [
        [(cx + radius * float(np.cos(t)), cy + u(0.9, 1.3) * radius * float(np.sin(t))) for t in turns]
        for cx, cy in ((x + radius, y - 0.3 * tall), (x + lean + u(0.6, 1.2) * radius, y + 0.3 * tall))
    ]
    slash = [(x + 0.2 * radius, y + tall / 2), (x + lean + radius, y - tall / 2)]
    layout.strokes.append(Stroke([*rings, slash], around.pen, "other"))


def _letters(layout: Layout, around: _Around, writer: Writer, rng: Rng) -> None:
    """Write letters or signs behind the number."""
    u, height = rng.uniform, around.height
    x, count = around.right + u(0.0, 0.5) * height, int(rng.integers(1, 4))
    high = u(0.6, 1.1) * height
    layout.strangers += writer.line_of_strangers(rng, (x, around.last.y), high, around.pen, count)


def _letters_before(layout: Layout, around: _Around, writer: Writer, rng: Rng) -> None:
    height, count = around.height, int(rng.integers(1, 3))
    x = around.left - height * (0.75 * count + rng.uniform(0, 0.4))
    high = rng.uniform(0.7, 1.1) * height
    layout.strangers += writer.line_of_strangers(rng, (x, around.first.y), high, around.pen, count)


def _word(layout: Layout, around: _Around, writer: Writer, rng: Rng) -> None:
    """Write a word above or below the number."""
    u, height = rng.uniform, around.height
    small = u(0.35, 0.9) * height
    y = around.top - 0.7 * small if rng.random() < 0.5 else around.bottom + 0.7 * small
    x, pen, count = around.left + u(-0.5, 0.5) * height, around.pen * u(0.7, 1), int(rng.integers(2, 7))
    layout.strangers += writer.line_of_strangers(rng, (x, y), small, pen, count)


def _underline(layout: Layout, around: _Around, _: Writer, rng: Rng) -> None:
    """Draw one or two lines below the number, which may touch it."""
    u, height = rng.uniform, around.height
    for k in range(1 + int(rng.random() < 0.2)):
        left, right = around.left - u(-0.1, 0.4) * height, around.right + u(-0.1, 0.4) * height
        level = around.bottom + (u(-0.02, 0.25) + 0.12 * k) * height + 0.5 * around.pen
        bend, tilt = u(-0.06, 0.06) * height, float(np.tan(near_level(rng, 1.5, 4))) * (right - left)
        line = [(left, level), ((left + right) / 2, level + bend + tilt / 2), (right, level + tilt)]
        layout.strokes.append(Stroke([line], around.pen * u(0.8, 1.2), None))


def _overline(layout: Layout, around: _Around, _: Writer, rng: Rng) -> None:
    """Draw a line above the number, clearly further away than the bar of a 5 or a 7."""
    u, height = rng.uniform, around.height
    left, right = around.left - u(-0.05, 0.5) * height, around.right + u(-0.05, 0.5) * height
    level, tilt = around.top - u(0.06, 0.4) * height - 0.5 * around.pen, float(np.tan(near_level(rng, 1.5, 4)))
    line = [(left, level), (right, level + tilt * (right - left))]
    layout.strokes.append(Stroke([line], around.pen * u(0.7, 1.2), None))


def _group(around: _Around, rng: Rng) -> tuple[float, float, float, float]:
    """Return the middle and the half sides of a frame around one digit or all of them."""
    is_all = len(around.digits) < 7 and rng.random() < 0.5
    group: list[Piece] = around.digits if is_all else [around.digits[int(rng.integers(len(around.digits)))]]
    x, y = np.array([(each.x, each.y) for each in group]).T
    sizes = np.array([each.size for each in group])
    half_width = (float((x + 0.36 * sizes).max()) - float((x - 0.36 * sizes).min())) / 2
    half_height = (float((y + 0.5 * sizes).max()) - float((y - 0.5 * sizes).min())) / 2
    return float(x.mean()), float(y.mean()), half_width, half_height


def _ring(layout: Layout, around: _Around, _: Writer, rng: Rng) -> None:
    u = rng.uniform
    x, y, half_width, half_height = _group(around, rng)
    grow = u(0.08, 0.4) * around.height + 0.6 * around.pen
    turns = np.linspace(0, 2 * np.pi + u(-0.3, 0.5), 22) + u(0, 6)
    spiral = 1 + u(-0.12, 0.12) * (turns - turns[0]) / 6
    across, down = (half_width + grow) * u(1, 1.25), (half_height + grow) * u(1.0, 1.15)
    if rng.random() < 0.5:
        across = max(across, down * u(0.75, 1))
    line = zip(x + across * spiral * np.cos(turns), y + down * spiral * np.sin(turns), strict=True)
    layout.strokes.append(Stroke([list(line)], around.pen * u(0.7, 1.3), None))


def _box(layout: Layout, around: _Around, _: Writer, rng: Rng) -> None:
    u = rng.uniform
    x, y, half_width, half_height = _group(around, rng)
    grow = u(0.08, 0.4) * around.height + 0.6 * around.pen
    across, down = half_width + grow * u(0.7, 1.6), half_height + grow * u(0.7, 1.3)

    def near(value: float) -> float:
        return value + float(rng.normal(0, 0.04)) * around.height

    corners = [(near(x + i * across), near(y + j * down)) for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    end = near(corners[0][0]), near(corners[0][1])
    layout.strokes.append(Stroke([[*corners, end]], around.pen * u(0.7, 1.3), None))


def _crossing(layout: Layout, around: _Around, _: Writer, rng: Rng) -> None:
    """Draw a line of the same pen through the whole scene."""
    u = rng.uniform
    line = [(u(-10, 30), u(0, SIDE)), (u(SIDE - 30, SIDE + 10), u(0, SIDE))]
    layout.strokes.append(Stroke([line], around.pen * u(0.5, 1), None))


def _hash(layout: Layout, around: _Around, _: Writer, rng: Rng) -> None:
    """Draw a hash before and behind the number, as on cheques."""
    u, height = rng.uniform, around.height
    sides = ((around.left, -1, around.first.y), (around.right, 1, around.last.y))
    for x, side, y in sides if rng.random() < 0.6 else sides[:1]:
        middle, reach = x + side * u(0.3, 0.6) * height, u(0.2, 0.4) * height
        lines: _Lines = []
        for k in (-0.3, 0.3):
            lines.append([(middle - reach, y + k * reach), (middle + reach, y + (k - 0.1) * reach)])
            lines.append([(middle + (k - 0.1) * reach, y + reach), (middle + (k + 0.1) * reach, y - reach)])
        layout.strokes.append(Stroke(lines, around.pen, "other"))


def _flourish(layout: Layout, around: _Around, _: Writer, rng: Rng) -> None:
    """Draw a wave, a hook or a long stroke that ends an amount."""
    u, height = rng.uniform, around.height
    x, y, length = around.right + u(0.0, 0.25) * height, around.last.y + u(-0.2, 0.45) * height, u(0.6, 2.5) * height
    t = np.linspace(0, 1, 14)
    wave = u(0.0, 0.2) * height * np.sin(t * u(2, 14) + u(0, 6)) - u(-0.3, 0.3) * height * t * t
    layout.strokes.append(Stroke([list(zip(x + length * t, y + wave, strict=True))], around.pen * u(0.7, 1), "other"))


_Draw = Callable[[Layout, _Around, Writer, Rng], None]

_MARKS: dict[str, tuple[float, _Draw]] = {
    "dash": (2.4, _dash),
    "equals": (1.0, _equals),
    "point": (2.2, _point),
    "slash": (1.0, _slash),
    "end": (0.5, _end),
    "plus": (0.7, _plus),
    "brackets": (1.4, _brackets),
    "percent": (1.5, _percent),
    "letters": (2.4, _letters),
    "letters before": (2.0, _letters_before),
    "word": (1.2, _word),
    "underline": (3.2, _underline),
    "overline": (1.9, _overline),
    "ring": (3.2, _ring),
    "box": (2.5, _box),
    "crossing": (0.6, _crossing),
    "hash": (0.7, _hash),
    "flourish": (0.8, _flourish),
}
"""By name: how often it is drawn beside the others, and what draws it."""
