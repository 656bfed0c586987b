"""Make scenes: numbers and what is written around them, on any paper and in any light, and what the finder must say.

It knows whose ink a pixel has, and where each digit and mark is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from digits.features import Grey
from digits.finder.network import CLASSES
from training.finder import paper as papers
from training.finder.layout import Layout, Piece, Stroke, Writer, place
from training.finder.marks import add_marks
from training.finder.paper import (
    SIDE,
    PlacedDigit,
    Plane,
    Rng,
    X,
    Y,
    grain,
    line_coverage,
    log_uniform,
    near_level,
    turned,
)
from training.finder.strokes import FIELD, distance_to

NOBODY = 255
"""In `Scene.owner`: ink that belongs to no digit and no mark, such as a ring around a digit."""


class Shares:
    """The shares of the scenes that have something."""

    marked: float = 0.5
    """With marks around the digits."""
    cheque: float = 0.2
    """Of scenes on paper: with the pattern of a cheque."""
    cheque_of_amounts: float = 0.6
    """The same of amounts."""
    tight: float = 0.45
    """Of the numbers and single digits: cut near the ink. A fourth as many of the others are."""
    steep: float = 0.25
    """Of the hands: leaning up to 45 degrees."""
    faint: float = 0.14
    """Of the pens: faint ones."""
    plain: float = 0.3
    """On clean paper in even light."""
    dark: float = 0.1
    """Of the pictures: underexposed."""


@dataclass(frozen=True, slots=True)
class Box:
    """Where a digit or a mark is, in pixels of the scene."""

    left: float
    top: float
    right: float
    bottom: float
    label: int
    """An index in CLASSES. UNKNOWN for a digit whose class is not known."""
    is_whole: bool = True
    """False for a digit that is cut or hard to see: the finder may say anything there."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture, and what the finder must say about it."""

    grey: Grey
    """uint8 (height, width), at most SIDE each."""
    digit_ink: Grey
    pen_ink: Grey
    """uint8 (height, width): how much of each pixel the ink of digits, or any ink of the pen, covers."""
    owner: Grey
    """uint8 (height, width): which of `boxes` the ink at a pixel belongs to, counted from 1. Rings, frames and lines
    have no box, so their ink is NOBODY's. 0 where there is no ink."""
    boxes: list[Box]


@dataclass(slots=True)
class _Written:
    """The ink of a layout."""

    pen_ink: Plane
    digit_ink: Plane
    owner: Grey
    boxes: list[Box]


def make_scene(writer: Writer, rng: Rng) -> Scene:
    """Return a scene."""
    layout = place(writer, rng)
    if layout.kind == "strangers" or rng.random() < Shares.marked:
        add_marks(layout, writer, rng)
    written = _write(layout, rng)
    height = layout.height
    cell = _cell(written.boxes, height, rng) if layout.kind == "cell" else None
    strength = rng.uniform(0.3, 0.95) if Shares.faint <= rng.random() or 0 < height < 14 else rng.uniform(0.12, 0.3)
    is_plain = rng.random() < Shares.plain
    if cell is not None:
        is_plain, strength = False, rng.uniform(0.1, 0.45)
    is_amount = layout.kind == "amount"
    if is_amount:
        strength = rng.uniform(0.25, 0.95)
    is_surface = cell is None and not is_amount and rng.random() < (0.5 if layout.kind == "empty" else 0.05)
    if is_surface:
        strength = max(strength, 0.4)
        paper = np.clip(rng.uniform(0.2, 0.8) + log_uniform(rng, 0.01, 0.12) * papers.surface(rng), 0.05, 1)
    else:
        paper = np.ones_like(X) if is_plain else _paper(layout, written, strength, writer, rng)
    if cell is not None:
        paper = paper * _frame(cell, height, rng)
    covered = strength * papers.pressure(rng) * written.pen_ink
    grey = np.minimum(paper, 1 - covered) if rng.random() < 0.4 else paper * (1 - covered)
    if not is_plain and not is_surface and not is_amount and cell is None and rng.random() < papers.Chances.table:
        before = written.pen_ink
        grey, written.pen_ink = papers.end_paper(grey, before, rng)
        written.digit_ink = np.minimum(written.digit_ink, written.pen_ink) * (written.pen_ink > 0.5 * before)
    light = np.ones_like(X) if is_plain else papers.uneven_light(_placed(layout), rng)
    light = light * np.float32(rng.uniform(100, 250) if Shares.dark <= rng.random() else rng.uniform(45, 110))
    visible = papers.visibility((paper - grey) * light)
    grey = grey * light
    if not is_plain:
        grey = grey + log_uniform(rng, 0.3, 6) * grain(rng, rng.uniform(1, 2.5)) * light / 255
        if rng.random() < papers.Chances.haze:
            grey = grey + rng.uniform(10, 60)
    if cell is not None:
        grey = cv2.GaussianBlur(grey, (0, 0), log_uniform(rng, 0.5, 2.0))
    photo = papers.photograph(grey, height, rng, is_plain=is_plain)
    left, top, right, bottom = cell or _cut(layout, written, rng)
    window = slice(top, bottom), slice(left, right)
    return Scene(
        grey=np.ascontiguousarray(photo[window]),
        digit_ink=_bytes(written.digit_ink * visible)[window],
        pen_ink=_bytes(written.pen_ink * visible)[window],
        owner=written.owner[window],
        boxes=_seen(written, visible, (left, top, right, bottom)),
    )


def _placed(layout: Layout) -> list[PlacedDigit]:
    return [PlacedDigit(each.x, each.y, each.size, each.pen) for each in layout.digits]


def _paper(layout: Layout, written: _Written, strength: float, writer: Writer, rng: Rng) -> Plane:
    """Return the paper of a cheque, or any other."""
    if rng.random() < (Shares.cheque_of_amounts if layout.kind == "amount" else Shares.cheque):
        return _cheque(strength, layout.height, rng)
    if rng.random() < papers.Chances.bare:
        return papers.stained_paper(rng)
    digits = _placed(layout)
    few = digits[:1] if layout.kind == "sheet" else digits
    return papers.used_paper(few, written.pen_ink, strength, writer.behind, rng)


def _bytes(share: Plane) -> Grey:
    whole: Grey = np.rint(255 * share).astype(np.uint8)
    return whole


def _write(layout: Layout, rng: Rng) -> _Written:
    """Write all digits and marks in one hand."""
    u = rng.uniform
    slant = rng.normal(0, 0.05) if rng.random() < 0.4 else u(-0.4, 0.4)
    if rng.random() < Shares.steep:
        slant = -u(0.3, 0.95) if rng.random() < 0.8 else u(0.3, 0.6)
    angle, width = near_level(rng, 1.5, 6), u(0.75, 1.2)
    uneven = 1 + u(0, 0.15) * grain(rng, log_uniform(rng, 8, 60))
    written = _Written(np.zeros_like(X), np.zeros_like(X), np.zeros((SIDE, SIDE), np.uint8), [])
    strongest = np.full((SIDE, SIDE), 0.2, np.float32)

    def own(coverage: Plane, label: int, size: float, middle: tuple[float, float] | None = None) -> None:
        """Give a digit or mark its pixels and its box."""
        written.boxes.append(_box(coverage, label, size, middle))
        take(coverage, len(written.boxes))

    def take(coverage: Plane, owner: int) -> None:
        """Give an owner the pixels that it covers more than all before it."""
        nearer = coverage > strongest
        written.owner[nearer] = owner
        strongest[nearer] = coverage[nearer]

    ends = []
    for number, piece in enumerate([*layout.digits, *layout.strangers]):
        more = -u(0, 0.45) if piece.label == 1 and slant < 0 and rng.random() < 0.5 else 0.0
        axes = _axes(width, slant + more + rng.normal(0, 0.03), angle + piece.angle)
        coverage = line_coverage(_distance(piece, axes), piece.pen * uneven)
        np.maximum(written.pen_ink, coverage, out=written.pen_ink)
        is_digit = number < len(layout.digits)
        if is_digit:
            np.maximum(written.digit_ink, coverage, out=written.digit_ink)
            corners = np.array([[u(-0.1, 0.3), u(-0.12, 0.1)], u(-0.51, -0.36, 2)]) * piece.size
            ends.append(axes @ corners + [[piece.x], [piece.y]])
        if is_digit or number < 60:
            own(coverage, piece.label if is_digit else CLASSES.index("other"), piece.size, (piece.x, piece.y))
    _link(layout.digits, ends, written, uneven, rng)
    for stroke in layout.strokes:
        coverage = line_coverage(_distance_of(stroke), stroke.pen * uneven)
        np.maximum(written.pen_ink, coverage, out=written.pen_ink)
        if stroke.kind is not None:
            own(coverage, CLASSES.index(stroke.kind), 0)
        else:
            take(coverage, NOBODY)
    if rng.random() < 0.15:  # rough strokes
        pen = (layout.digits or layout.strangers)[0].pen if layout.digits or layout.strangers else 1.2
        by, size = min(0.25 * pen, u(0.2, 1.5)), log_uniform(rng, 1.2, 10)
        x, y = (axis + np.float32(by) * grain(rng, size) for axis in (X, Y))
        written.pen_ink, written.digit_ink = (
            cv2.remap(ink, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            for ink in (written.pen_ink, written.digit_ink)
        )
    return written


def _axes(width: float, slant: float, angle: float) -> Plane:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return turn @ np.array([[width, slant], [0, 1]])


def _distance(piece: Piece, axes: Plane) -> Plane:
    """Return the distance of each pixel to the middle of a piece's strokes."""
    scaled = 2 * piece.size / FIELD * axes
    matrix = np.column_stack([scaled, np.array([piece.x, piece.y]) - scaled @ np.full(2, FIELD / 2)])
    field = piece.field.astype(np.float32)
    distance = cv2.warpAffine(field, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_CONSTANT, borderValue=1.0)
    return distance * np.float32(piece.size)


def _distance_of(stroke: Stroke) -> Plane:
    return np.min([distance_to(line, X, Y) for line in stroke.lines], axis=0)


def _box(coverage: Plane, label: int, size: float, middle: tuple[float, float] | None) -> Box:
    """Return the box of what is covered. `size` and `middle` are a piece's, to know how much of it an edge cuts off."""
    seen = coverage > 0.35 * max(float(coverage.max()), 0.1)
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    if not len(rows):
        return Box(0, 0, 0, 0, label, is_whole=False)
    left, right, top, bottom = int(columns[0]), int(columns[-1]) + 1, int(rows[0]), int(rows[-1]) + 1
    is_whole = min(left, top) > 0 and max(right, bottom) < SIDE
    if not is_whole and middle is not None:
        is_inside = all(0 <= each < SIDE for each in middle)
        is_whole = is_inside and bottom - top > 0.6 * size
    return Box(left, top, right, bottom, label, is_whole)


def _link(digits: Sequence[Piece], ends: Sequence[Plane], written: _Written, uneven: Plane, rng: Rng) -> None:
    """Draw a stroke from each linked digit to the next one. Each gets the half that is nearer."""
    for number, (piece, start, end) in enumerate(zip(digits, ends, ends[1:], strict=False)):
        if not piece.is_linked:
            continue
        first, last = start[:, 0], end[:, 1]
        middle = (first + last) / 2 + (0, piece.size * rng.uniform(-0.05, 0.15))
        stroke = line_coverage(distance_to([tuple(first), tuple(middle), tuple(last)], X, Y), piece.pen * uneven)
        free = (stroke > 0.2) & (written.owner == 0)
        written.owner[free] = number + 1
        written.owner[free & (middle[0] < X)] = number + 2
        for ink in (written.pen_ink, written.digit_ink):
            np.maximum(ink, stroke, out=ink)


def _cheque(strength: float, height: float, rng: Rng) -> Plane:
    """Return paper with fine wavy lines, as on cheques, and sometimes ruled too."""
    u, pattern = rng.uniform, np.zeros_like(X)
    for _ in range(int(rng.integers(1, 4))):
        along, across = turned(u(0, 2 * np.pi) if rng.random() < 0.5 else near_level(rng, 4, 15))
        pitch = log_uniform(rng, 2.3, 9)
        wave = u(0, 2.5) * pitch * np.sin(2 * np.pi * along / log_uniform(rng, 8, 90) + u(0, 6)) + u(0, 1) * grain(
            rng, 40
        )
        lines = (across + wave + u(0, pitch)) % pitch - pitch / 2
        np.maximum(pattern, line_coverage(lines, u(0.4, max(0.5, pitch / 3))) * u(0.4, 1), out=pattern)
    paper = papers.stained_paper(rng) * (1 - min(u(0.08, 0.55) * strength, 0.5) * pattern)
    if rng.random() < 0.4:
        paper = paper * (1 - min(u(0.1, 0.9) * strength, 0.8) * papers.ruling(height or 30, rng))
    return paper


_Window = tuple[int, int, int, int]
"""Left, top, right and bottom of what is photographed."""


def _cell(boxes: Sequence[Box], height: float, rng: Rng) -> _Window | None:
    """Return the edges of a photo of a cell, which may cut its digits a little at the top or bottom."""
    near = [each for each in boxes if each.is_whole]
    if not near:
        return None
    margins = [rng.uniform(0.0, 0.9), rng.uniform(-0.1, 0.5), rng.uniform(0.0, 1.2), rng.uniform(-0.1, 0.5)]
    return _window(near, [margin * height for margin in margins])


def _window(boxes: Sequence[Box], margins: Sequence[float]) -> _Window | None:
    left = max(0, int(min(each.left for each in boxes) - margins[0]))
    top = max(0, int(min(each.top for each in boxes) - margins[1]))
    right = min(SIDE, int(max(each.right for each in boxes) + margins[2]) + 1)
    bottom = min(SIDE, int(max(each.bottom for each in boxes) + margins[3]) + 1)
    return (left, top, right, bottom) if right - left > 15 and bottom - top > 11 else None


def _frame(cell: _Window, height: float, rng: Rng) -> Plane:
    """Return what is left of the light of a cell's paper at the lines around it."""
    paper = np.ones_like(X)
    for number, edge in enumerate(cell):
        if rng.random() < 0.6:
            axis, along = (Y, X) if number % 2 else (X, Y)
            inside = -1 if number > 1 else 1
            distance = axis - edge - inside * rng.uniform(-1, 0.12 * height) + rng.normal(0, 0.02) * (along - SIDE / 2)
            paper = paper * (1 - rng.uniform(0.15, 0.8) * line_coverage(distance, rng.uniform(0.7, 3)))
    return paper


def _cut(layout: Layout, written: _Written, rng: Rng) -> _Window:
    """Return the whole scene, or the part near the digits, or near all ink."""
    whole = 0, 0, SIDE, SIDE
    near = [each for each in written.boxes[: len(layout.digits)] if each.right > each.left]
    chances = {"amount": 1.0, "number": Shares.tight, "single": Shares.tight}
    chance = chances.get(layout.kind, 0.25 * Shares.tight)
    if not near or rng.random() >= chance:
        return whole
    inked = np.nonzero(written.pen_ink > 0.2)
    if rng.random() < 0.6 and len(inked[0]):
        near = [*near, Box(inked[1].min(), inked[0].min(), inked[1].max() + 1, inked[0].max() + 1, 0)]
    margins = rng.uniform(0, rng.choice([0.06, 0.35]), 4) * layout.height
    return _window(near, list(margins)) or whole


def _seen(written: _Written, visible: Plane, window: _Window) -> list[Box]:
    """Return the boxes in pixels of a window. Those of which too little is seen there are not whole."""
    left, top, right, bottom = window
    boxes = []
    for number, box in enumerate(written.boxes, start=1):
        area = (box.right - box.left) * (box.bottom - box.top)
        x0, y0 = max(box.left, left), max(box.top, top)
        x1, y1 = max(min(box.right, right), x0), max(min(box.bottom, bottom), y0)
        inside = (x1 - x0) * (y1 - y0) / max(area, 1)
        if inside < 0.15:
            x0, y0, x1, y1 = left, top, left, top
        mine = written.owner == number
        is_clear = (
            bool(mine.any()) and float(visible[mine].mean()) >= 0.3 and float(written.pen_ink[mine].mean()) >= 0.1
        )
        is_whole = box.is_whole and inside >= 0.78 and is_clear
        boxes.append(Box(x0 - left, y0 - top, x1 - left, y1 - top, box.label, is_whole))
    return boxes
