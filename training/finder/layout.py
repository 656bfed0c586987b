"""Place the digits of a scene, and the separators between them: one digit, a number, a page, a cell, or none."""

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from digits.features import Floats
from training.finder import glyphs
from training.finder.paper import SIDE, Rng, log_uniform, near_level

Kind = Literal["empty", "strangers", "single", "sheet", "number", "page", "cell", "amount"]

MAX_DIGITS = 44
"""Of a scene. More are left out."""

_CHOSEN_FROM = 6
"""Number of random glyphs. The one that slants most like the hand is written."""

_Point = tuple[float, float]


class Shares:
    """The shares of the scenes, or of the digits, that are of a kind. The rest of the scenes are numbers."""

    empty: float = 0.04
    strangers: float = 0.09
    """Letters and signs alone, or one of them."""
    single: float = 0.28
    sheet: float = 0.05
    page: float = 0.07
    """Of the numbers: many lines of small digits."""
    cell: float = 0.14
    """Of the numbers: a small blurred photo of a cell, cut at its frame."""
    amount: float = 0.36
    """Of the numbers: an amount as on a form or a cheque, cut near its ink."""
    leading_one: float = 0.2
    """Of the numbers: the first digit is a 1."""
    one: float = 0.07
    """Of the other digits of numbers: additional 1s, which must not be taken for slashes."""
    large: float = 0.16
    """Of single digits: as large as the scene."""
    straight: float = 0.08
    """Of single digits: of straight strokes, which look like lines of paper."""
    long_one: float = 0.22
    """Of the 1s: the upstroke is about as long as the stem."""
    linked: float = 0.4
    """Of two 0s beside each other: a stroke leads from one to the next."""
    separated: float = 0.4
    """Of the numbers: with separators between digits."""
    repeating: float = 0.2
    """Of the numbers: made of few different digits that touch and look alike."""
    uneven: float = 0.25
    """Of the numbers: the digits differ much in height."""
    one_hand: float = 0.5
    """Of the numbers: all digits have about the same slant."""
    straight_ones: float = 0.35
    """Of the numbers: all 1s are a single stroke."""
    blots: float = 0.4
    """Of the numbers, sheets and single digits: the digits have their own ink instead of that of one pen."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A digit, a letter or a sign to write. Lengths are in pixels of the scene."""

    x: float
    y: float
    """Its middle."""
    size: float
    """Its longer side, without the pen."""
    width: float
    """Without the pen too."""
    pen: float
    """Width of its strokes."""
    field: NDArray[np.float16]
    """As in `Glyphs.fields`."""
    label: int
    """A digit, or UNKNOWN."""
    angle: float = 0.0
    """In radians."""
    is_linked: bool = False
    """Whether a stroke leads from it to the next piece."""


@dataclass(frozen=True, slots=True)
class Stroke:
    """Lines of the same pen that are no digit, through points of the scene."""

    lines: list[list[_Point]]
    pen: float
    kind: str | None
    """A name of `finder.CLASSES`. None for what has no place of its own, such as a ring around a digit."""


@dataclass(slots=True)
class Layout:
    """What is written on a scene."""

    kind: Kind
    digits: list[Piece] = field(default_factory=list)
    strangers: list[Piece] = field(default_factory=list)
    strokes: list[Stroke] = field(default_factory=list)

    @property
    def height(self) -> float:
        """Of its typical digit. 0 without a digit."""
        return float(np.median([each.size for each in self.digits])) if self.digits else 0.0


class Writer:
    """Chooses glyphs, and knows how large they are."""

    def __init__(self, kinds: glyphs.Kinds) -> None:
        """Write with these glyphs."""
        self._kinds = kinds
        self._spans = {name: each.spans for name, each in self._kinds.items()}
        self._of: dict[str, list[NDArray[np.intp]]] = {}
        self._slants: dict[str, Floats] = {}
        for name in ("digit", "blot"):
            labels, slants = kinds[name].labels, kinds[name].slants
            self._of[name] = [np.flatnonzero(labels == digit) for digit in range(10)]
            for rows in filter(len, self._of[name]):
                slants[rows] -= np.median(slants[rows])
            self._slants[name] = slants
        self.behind = kinds["digit"].fields[::9].astype(np.float32)
        """The strokes of what is written on the other side of the paper."""

    def digit(
        self,
        rng: Rng,
        at: _Point,
        height: float,
        pen: float,
        label: int | None = None,
        *,
        slant: float | None = None,
        is_blot: bool = False,
        is_straight: bool = False,
    ) -> Piece:
        """Return a digit of this height. Without a label, it is a random one.

        `slant` is how much more it leans to the right than half of the digits with its label, or None for any lean. A
        blot has its own ink instead of the pen's. A straight 1 is a single stroke.
        """
        label = int(rng.integers(10)) if label is None else label
        if label == 1 and is_straight:
            return self.other("straight 1", rng, at, height, pen)
        if label == 1 and rng.random() < Shares.long_one:
            return self.other("long 1", rng, at, height, pen)
        kind = "blot" if is_blot and len(self._of["blot"][label]) else "digit"
        some = rng.choice(self._of[kind][label], 1 if slant is None else _CHOSEN_FROM)
        index = some[np.abs(self._slants[kind][some] - (slant or 0)).argmin()]
        piece = self._piece(kind, int(index), at, height, pen)
        return replace(piece, pen=glyphs.BLOT * piece.size) if kind == "blot" else piece

    def other(self, kind: str, rng: Rng, at: _Point, height: float, pen: float) -> Piece:
        """Return a glyph of this kind and height."""
        return self._piece(kind, int(rng.integers(len(self._spans[kind]))), at, height, pen)

    def line_of_strangers(self, rng: Rng, at: _Point, height: float, pen: float, count: int) -> list[Piece]:
        """Return letters and signs beside each other. The first one begins at this place."""
        (x, y), pieces = at, list[Piece]()
        for _ in range(count):
            piece = self.other("stranger", rng, at, height * float(np.exp(rng.normal(0, 0.12))), pen)
            pieces.append(replace(piece, x=x + piece.width / 2, y=y + rng.normal(0, 0.06 * height)))
            x += piece.width + rng.uniform(-0.05, 0.3) * height + 0.6 * pen
        return pieces

    def _piece(self, kind: str, index: int, at: _Point, height: float, pen: float) -> Piece:
        pieces, span = self._kinds[kind], self._spans[kind][index]
        size = float(min(height / max(span[1], 0.3), 1.3 * height))
        return Piece(*at, size, float(span[0]) * size, pen, pieces.fields[index], int(pieces.labels[index]))


def place(writer: Writer, rng: Rng) -> Layout:
    """Return what is written on a scene, without marks around the digits."""
    kind = rng.random()
    if kind < Shares.empty:
        return Layout("empty")
    if (kind := kind - Shares.empty) < Shares.strangers:
        return _strangers(writer, rng)
    if (kind := kind - Shares.strangers) < Shares.single:
        return _single(writer, rng)
    if kind - Shares.single < Shares.sheet:
        return _sheet(writer, rng)
    return _number(writer, rng)


def _strangers(writer: Writer, rng: Rng) -> Layout:
    u = rng.uniform
    if rng.random() < 0.45:
        height = log_uniform(rng, 14, 112)
        x, y = (u(min(height / 2, SIDE / 2), max(SIDE - height / 2, SIDE / 2)) for _ in range(2))
        pen = max(0.5, height * log_uniform(rng, 0.02, 0.17))
        return Layout("strangers", strangers=writer.line_of_strangers(rng, (x - 0.3 * height, y), height, pen, 1))
    height = log_uniform(rng, 12, 70)
    pen, count = max(0.5, height * log_uniform(rng, 0.02, 0.15)), int(rng.integers(1, 7))
    line = writer.line_of_strangers(rng, (u(-0.2, 0.4) * SIDE, u(0.2, 0.8) * SIDE), height, pen, count)
    return Layout("strangers", strangers=line)


def _single(writer: Writer, rng: Rng) -> Layout:
    u = rng.uniform
    if rng.random() < Shares.large:
        pen = log_uniform(rng, 2.5, 20)
        height, x, y = SIDE - pen + u(-8, 4), SIDE / 2 + u(-2, 2), SIDE / 2 + u(-2, 2)
    else:
        height = log_uniform(rng, 10, 116)
        share = log_uniform(rng, 0.008, 0.17) if rng.random() < 0.75 else u(0.1, 0.24)
        pen = float(np.clip(height * share, 0.45, 22))
        x, y = (SIDE / 2 + u(-1, 1) * max(3, SIDE / 2 - part * height) for part in (0.4, 0.52))
    if rng.random() < Shares.straight:
        return Layout("single", [writer.other("straight", rng, (x, y), height, pen)])
    return Layout("single", [writer.digit(rng, (x, y), height, pen, is_blot=rng.random() < Shares.blots)])


def _sheet(writer: Writer, rng: Rng) -> Layout:
    u = rng.uniform
    count = int(rng.integers(8, 41))
    columns = int(max(3, np.sqrt(count) * u(0.8, 1.7)))
    rows = -(-count // columns)
    gap, lead = u(0.7, 1.3), u(1.2, 1.9)
    height = min(log_uniform(rng, 9, 26), 0.97 * SIDE / max(columns * gap, rows * lead))
    pen = max(0.45, height * log_uniform(rng, 0.03, 0.18))
    left, top = (
        u(0.5 * height, max(0.6 * height, SIDE - 0.5 * height - (n - 1) * step * height))
        for n, step in ((columns, gap), (rows, lead))
    )
    digits, is_blot = [], rng.random() < Shares.blots
    for n in range(count):
        dx, dy = rng.normal(0, 0.07 * height, 2)
        x, y = left + n % columns * gap * height + dx, top + n // columns * lead * height + dy
        digits.append(writer.digit(rng, (x, y), height * u(0.85, 1.15), pen, is_blot=is_blot))
    return Layout("sheet", digits)


_FEW = ((0, 6, 8, 9), (1, 7, 4), (0, 5), (1, 7, 2), (0,), (1,), (1, 0), (9, 4, 7))
"""Digits that touch and look alike in numbers of few different ones."""


def _number(writer: Writer, rng: Rng) -> Layout:
    """Place one to three rows, a page or a cell, on lines of any slope."""
    u, part = rng.uniform, rng.random()
    kinds: list[Kind] = ["page", "cell", "amount", "number"]
    kind = kinds[int(np.searchsorted(np.cumsum([Shares.page, Shares.cell, Shares.amount]), part, side="right"))]
    rows = {"page": int(rng.integers(4, 10)), "cell": 1, "amount": 1}.get(kind) or int(
        rng.choice([1, 2, 3], p=[0.78, 0.16, 0.06])
    )
    count = int(rng.choice(np.arange(2, 11), p=[0.18, 0.19, 0.17, 0.15, 0.12, 0.07, 0.06, 0.03, 0.03]))
    if kind == "page":
        count = min(count, 40 // rows)
    height = (
        log_uniform(rng, 17, 36)
        if kind in ("cell", "amount")
        else log_uniform(rng, 8 if kind == "page" else 11, min(86.0, 0.95 * SIDE / (rows * 1.2)))
    )
    if rng.random() < 0.92:
        height = min(height, 1.25 * SIDE / (count * 0.72))
    mood = rng.random()  # touching or crossing, near, far, very far
    gap = u(-0.16, 0.02) if mood < 0.33 else u(0.0, 0.2) if mood < 0.73 else u(0.2, 0.8) if mood < 0.88 else u(0.8, 2.2)
    if gap > 0.5:
        height = max(min(height, 1.1 * SIDE / (count * (0.5 + gap))), 9.0)
    pen = max(0.45, height * log_uniform(rng, 0.05 if kind == "amount" else 0.015, 0.17))
    few = _FEW[int(rng.integers(len(_FEW)))] if rng.random() < Shares.repeating else None
    spread = u(0.15, 0.42) if rng.random() < Shares.uneven else 0.08
    slope, lead = near_level(rng, 1.5, 7), u(1.15, 1.6) * height
    separator = _separator_of(rng) if rng.random() < Shares.separated else None
    slant = float(rng.normal(0, 0.15)) if rng.random() < Shares.one_hand else None
    level = 0.5 if rng.random() < 0.5 else 0.0
    ones, blots = rng.random() < Shares.straight_ones, rng.random() < Shares.blots
    hand = _Hand(height, pen, gap, spread, level, slant, ones, blots, few, separator)
    lines = []
    for _ in range(rows):
        length = (
            count
            if rows == 1
            else int(rng.integers(1, count + 1))
            if kind == "page"
            else max(1, count + int(rng.integers(-1, 2)))
        )
        lines.append(_line(writer, rng, length, hand))
    widest = max(width for _, _, width in lines)
    start = u(min(0.1 * height, SIDE - widest), max(0.1 * height, SIDE - widest))
    middle = SIDE / 2 + u(-0.5, 0.5) * (SIDE - 0.9 * height - (rows - 1) * lead) - (rows - 1) * lead / 2
    layout = Layout(kind)
    for row, (pieces, strokes, width) in enumerate(lines):
        left = start + (0 if rng.random() < 0.6 else u(0, max(0.0, widest - width)))
        level = middle + row * lead

        def moved(x: float, y: float, left: float = left, level: float = level) -> _Point:
            return left + x, level + y + float(np.tan(slope)) * (left + x - SIDE / 2)

        placed = []
        for piece in pieces:
            x, y = moved(piece.x, piece.y)
            placed.append(replace(piece, x=x, y=y, pen=piece.pen * u(0.92, 1.08), angle=slope * u(0.3, 1)))
        for index, (piece, after) in enumerate(pairwise(list(placed))):
            chance = Shares.linked if piece.label == after.label == 0 else 0.02 * (0 in (piece.label, after.label))
            if after.x - piece.x < 1.6 * height and rng.random() < chance:
                placed[index] = replace(piece, is_linked=True)
        layout.digits += placed
        for stroke in strokes:
            layout.strokes.append(replace(stroke, lines=[[moved(*point) for point in line] for line in stroke.lines]))
    layout.digits = layout.digits[: MAX_DIGITS - 1]
    return layout


@dataclass(frozen=True, slots=True)
class _Separator:
    kind: str
    every: int | None
    """Digits between two of them. None: at random places, mostly once."""
    tall: float
    lean: float
    low: float
    """Height of a slash, its lean as a share of its height, and its lower end, in heights of a digit."""
    apart: float
    """Of the two lines of a double slash, in heights of a digit. 0 for a single one."""
    length: float
    """Of a dash, in heights of a digit."""
    room: float
    """Paper at each side of it, in heights of a digit."""


def _separator_of(rng: Rng) -> _Separator:
    """Return what separates the digits of a number: dates, fractions, decimals, times, phone numbers and amounts."""
    u = rng.uniform
    kind = str(rng.choice(["point", "comma", "colon", "dash", "slash"], p=[0.23, 0.16, 0.09, 0.14, 0.38]))
    tall, lean = u(0.8, 1.6), u(0, 1) if rng.random() < 0.5 else u(0, 0.45)
    return _Separator(
        kind=kind,
        every=None if rng.random() < 0.6 else int(rng.choice([1, 2, 3, 4])),
        tall=tall,
        lean=-lean if rng.random() < 0.06 else lean,
        low=0.5 + u(-0.1, 0.6) * (tall - 0.9),
        apart=u(0.15, 0.3) if rng.random() < 0.12 else 0.0,
        length=u(0.2, 0.8),
        room=u(-0.05, 0.3),
    )


@dataclass(frozen=True, slots=True)
class _Hand:
    """How the digits of a number are written. Lengths are in pixels, or in heights of a digit if they say so."""

    height: float
    pen: float
    gap: float
    """Between two digits, in heights."""
    spread: float
    """Standard deviation of the logarithm of the height."""
    level: float
    """Where digits of all heights stand level: 0.5 at their lower ends, 0 in the middle."""
    slant: float | None
    """Of all digits, as for `Writer.digit`."""
    has_straight_ones: bool
    has_blots: bool
    few: tuple[int, ...] | None
    """The digits that most of it consists of."""
    separator: _Separator | None


def _line(writer: Writer, rng: Rng, count: int, hand: _Hand) -> tuple[list[Piece], list[Stroke], float]:
    """Return a line's digits and separators, and its width. It begins at x = 0 and stands around y = 0."""
    pieces: list[Piece] = []
    strokes: list[Stroke] = []
    height, separator, at = hand.height, hand.separator, 0.0
    breaks = set[int]()
    if separator is not None and count > 1:
        breaks = (
            set(range(separator.every, count, separator.every)) if separator.every else {int(rng.integers(1, count))}
        )
    for index in range(count):
        if separator is not None and index in breaks:
            stroke, width = _separate(separator, rng, at, hand)
            strokes.append(stroke)
            at += width
        label = None if hand.few is None or rng.random() < 0.25 else int(rng.choice(hand.few))
        if rng.random() < (Shares.leading_one if index == 0 else Shares.one):
            label = 1
        high = height * float(np.exp(rng.normal(0, hand.spread)))
        place = 0.0, float(rng.normal(0, 0.05)) * height + hand.level * (height - high)
        piece = writer.digit(
            rng,
            place,
            high,
            hand.pen,
            label,
            slant=hand.slant,
            is_blot=hand.has_blots,
            is_straight=hand.has_straight_ones,
        )
        pieces.append(replace(piece, x=at + piece.width / 2))
        apart = (hand.gap + float(rng.normal(0, 0.05))) * height + 0.55 * hand.pen
        at += piece.width + max(0.12 * height - piece.width, 0) + apart
    return pieces, strokes, at


def _separate(separator: _Separator, rng: Rng, at: float, hand: _Hand) -> tuple[Stroke, float]:
    """Return a separator that begins at `at`, and how much room it takes."""
    height, pen = hand.height, hand.pen
    room = separator.room * height

    def near(value: float, by: float = 0.04) -> float:
        return value + float(rng.normal(0, by)) * height

    x, base = at + room, near(0.45 * height)
    if separator.kind in ("point", "comma"):
        tail = height * rng.uniform(0.1, 0.28) if separator.kind == "comma" else height * rng.uniform(0, 0.03)
        lines = [[(x, base), (x - 0.4 * tail, base + tail)]]
        return Stroke(lines, pen * rng.uniform(1, 1.4), separator.kind), 2 * room + pen
    if separator.kind == "colon":
        lines = [[(x, near(y)), (x + 0.01 * height, y)] for y in (-0.2 * height, 0.35 * height)]
        return Stroke(lines, pen * rng.uniform(1, 1.4), "colon"), 2 * room + pen
    if separator.kind == "dash":
        length, y = max(2.0, near(separator.length * height)), near(0.05 * height)
        return Stroke([[(x, y), (x + length, near(y))]], pen, "dash"), 2 * room + length + pen
    tall, low = near(separator.tall * height), near(separator.low * height)
    width = near(separator.lean * tall, 0.03)
    foot, top = (x, x + width) if width > 0 else (x - width, x)
    bend = ((foot + top) / 2 + near(0, 0.02), low - tall / 2)
    line, apart = [(foot, low), bend, (top, low - tall)], separator.apart * height
    lines = [line] if apart == 0 else [line, [(x + apart, y) for x, y in line]]
    return Stroke(lines, pen, "slash"), 2 * room + 0.7 * abs(width) + apart + pen
