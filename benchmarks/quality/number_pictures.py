"""Make pictures of numbers from MNIST digits: strings, lines of strings and sheets, in the styles of `families.py`.

    numbers("photo", digits, labels, 200, np.random.default_rng(0))    200 pictures with their texts

The same digits and seed give the same bytes. The widths, gaps, sizes and angles were chosen before any measurement.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.quality.families import (
    Array,
    Generator,
    cut,
    encoded,
    enlarged,
    marked,
    on_paper,
    pencilled,
    photographed,
    stroked,
)
from benchmarks.quality.papers import PAPERS
from benchmarks.quality.strangers import PUNCTUATED, STRANGERS, written
from digits.features import Grey


@dataclass(frozen=True, slots=True)
class NumberPicture:
    """An encoded picture and the text on it."""

    data: bytes
    text: str
    """The digits, with a newline between lines."""


_Hand = Callable[[Grey, int, Generator], Array]
"""Draws a digit. The number is the width of its field in pixels, in which the digit takes 20 of 28 parts."""


@dataclass(frozen=True, slots=True)
class _Sheet:
    """Writes digits on paper. Each method uses the next digits of MNIST in a random order."""

    digits: Grey
    labels: NDArray[np.int64]
    rng: Generator

    def string(self, length: int, hand: _Hand, style: "_Style") -> tuple[Array, str]:
        """Return the coverage by ink of one string, and its digits."""
        rng = self.rng
        known = np.flatnonzero(np.isin(self.labels, style.labels))
        chosen = known[rng.integers(0, len(known), length)]
        side = int(rng.uniform(*style.height) * 28 / 20)
        scales = np.exp(rng.uniform(-1, 1, length) * np.log(style.size_ratio))
        inks = [
            cut(hand(self.digits[index], max(24, int(side * scale)), rng))
            for index, scale in zip(chosen, scales, strict=True)
        ]
        height = 20 / 28 * side
        lefts, x = [], 0.0
        for ink, before in zip(inks, [None, *inks], strict=False):
            if before is not None:
                gap = rng.uniform(*style.gap)
                x += gap * (height if gap >= 0 else min(ink.shape[1], before.shape[1]))
            lefts.append(int(x))
            x += ink.shape[1]
        tallest = max(len(ink) for ink in inks)
        jitter = int(0.06 * height)
        page = np.zeros((tallest + 2 * jitter, max(left + ink.shape[1] for left, ink in zip(lefts, inks, strict=True))))
        page = page.astype(np.float32)
        on_baseline = rng.random() < 0.5
        for ink, left in zip(inks, lefts, strict=True):
            space = tallest - len(ink)
            top = jitter + (space if on_baseline else space // 2) + int(rng.uniform(-jitter, jitter))
            part = page[top : top + len(ink), left : left + ink.shape[1]]
            np.maximum(part, ink, out=part)
        return page, "".join(map(str, self.labels[chosen]))


_Maker = Callable[[_Sheet], NumberPicture]


@dataclass(frozen=True, slots=True)
class _Style:
    """How strings are written. Each pair is a range."""

    height: tuple[float, float] = (40, 160)
    """Of a digit, in pixels."""
    gap: tuple[float, float] = (0.08, 0.6)
    """Between two digits, as a share of their height. Below 0: the overlap, as a share of the narrower one's width."""
    size_ratio: float = 1.0
    """How much larger or smaller than `height` a digit may be."""
    labels: tuple[int, ...] = tuple(range(10))
    """The digits that are written."""


def _pen(digit: Grey, side: int, _rng: Generator) -> Array:
    return enlarged(digit, side)


def _thin(digit: Grey, side: int, rng: Generator) -> Array:
    return stroked(digit, side, max(1.5, side * rng.uniform(0.02, 0.05)))


def _bold(digit: Grey, side: int, rng: Generator) -> Array:
    return stroked(digit, side, side * rng.uniform(0.11, 0.15))


def _any_pen(digit: Grey, side: int, rng: Generator) -> Array:
    return stroked(digit, side, max(1.5, side * rng.uniform(0.025, 0.09)))


def _margins(ink: Array, rng: Generator) -> Array:
    """Add paper at each edge: between a tenth of the string's height and the whole of it."""
    top, bottom, left, right = (int(len(ink) * share) + 4 for share in rng.uniform(0.1, 1.0, 4))
    return np.pad(ink, ((top, bottom), (left, right)))


def _stacked(strings: Sequence[Array], rng: Generator) -> Array:
    """Place strings below each other. The paper between them is 0.3 to 0.8 of their height."""
    width = max(string.shape[1] for string in strings)
    rows: list[Array] = []
    for string in strings:
        indent = int(rng.uniform(0, 0.3) * (width - string.shape[1]))
        row = np.pad(
            string, ((0, int(len(string) * rng.uniform(0.3, 0.8))), (indent, width - string.shape[1] - indent))
        )
        rows.append(row.astype(np.float32))
    return np.concatenate(rows)


def _paged(ink: Array, rng: Generator) -> bytes:
    return encoded(on_paper(ink), format="JPEG", quality=int(rng.integers(50, 96)))


def _ruled(ink: Array, rng: Generator) -> bytes:
    """Scan ink on ruled paper that lies up to one degree askew. A third of the sheets have a margin line or squares."""
    height, width = ink.shape
    pitch = rng.uniform(25, 90)
    slope, thickness = np.tan(np.deg2rad(rng.uniform(-1, 1))), rng.uniform(1, 2.5)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)

    def ruling(along: Array, across: Array) -> Array:
        distance = np.abs((across + slope * along + rng.uniform(0, pitch)) % pitch - pitch / 2)
        coverage: Array = np.clip(thickness / 2 + 0.5 - distance, 0, 1)
        return coverage

    lines = ruling(columns, rows)
    kind = rng.integers(0, 6)
    if kind == 0:
        lines = np.maximum(lines, ruling(-rows, columns))
    elif kind == 1:
        left = rng.uniform(0.01, 0.05) * width
        lines = np.maximum(lines, np.clip(thickness / 2 + 0.5 - np.abs(columns - left - slope * rows), 0, 1))
    paper = rng.uniform(225, 252)
    faint = rng.uniform(30, 90)
    pen = rng.uniform(20, 90)
    grey = np.minimum(paper - faint * lines, on_paper(ink, paper=paper, pen=pen))
    grey = ndimage.gaussian_filter(grey, rng.uniform(0.3, 0.8)) + rng.normal(0, rng.uniform(0.5, 3), grey.shape)
    return encoded(grey, format="JPEG", quality=int(rng.integers(60, 96)))


def _sheared(ink: Array, rng: Generator) -> Array:
    """Slant each digit by up to 15 degrees."""
    slant = np.tan(np.deg2rad(rng.uniform(-15, 15)))
    reach = int(abs(slant) * len(ink)) + 2
    wide = np.pad(ink, ((0, 0), (reach, reach)))
    shift = [0, -slant * len(ink) / 2]
    sheared: Array = np.clip(ndimage.affine_transform(wide, [[1, 0], [slant, 1]], offset=shift, order=1), 0, 1)
    return sheared


def _turned(ink: Array, rng: Generator) -> Array:
    """Turn the whole string by up to 15 degrees."""
    return _rotated(ink, rng.uniform(-15, 15))


def _turned_far(ink: Array, rng: Generator) -> Array:
    """Turn the whole string by 15 to 40 degrees."""
    return _rotated(ink, rng.choice([-1, 1]) * rng.uniform(15, 40))


def _rotated(ink: Array, degrees: float) -> Array:
    turned: Array = np.clip(ndimage.rotate(ink, degrees, order=1, reshape=True), 0, 1)
    return turned


_PLAIN = _Style()


def _one_string(
    finish: Callable[[Array, Generator], bytes],
    *,
    style: _Style = _PLAIN,
    hand: _Hand = _pen,
    length: tuple[int, int] = (2, 8),
    change: Callable[[Array, Generator], Array] = lambda ink, _rng: ink,
) -> _Maker:
    def make(sheet: _Sheet) -> NumberPicture:
        ink, text = sheet.string(int(sheet.rng.integers(length[0], length[1] + 1)), hand, style)
        return NumberPicture(finish(_margins(change(ink, sheet.rng), sheet.rng), sheet.rng), text)

    return make


def _lines(
    count: int, finish: Callable[[Array, Generator], bytes], *, style: _Style = _PLAIN, length: tuple[int, int] = (2, 8)
) -> _Maker:
    def make(sheet: _Sheet) -> NumberPicture:
        height = sheet.rng.uniform(*style.height)
        same = _Style((0.9 * height, 1.1 * height), style.gap)
        lengths = sheet.rng.integers(length[0], length[1] + 1, count)
        written = [sheet.string(int(each), _pen, same) for each in lengths]
        ink = np.pad(_stacked([string for string, _ in written], sheet.rng), int(0.6 * height))
        return NumberPicture(finish(ink, sheet.rng), "\n".join(text for _, text in written))

    return make


def _template(template: str) -> _Maker:
    def make(sheet: _Sheet) -> NumberPicture:
        chosen = sheet.rng.integers(0, len(sheet.labels), template.count("d"))
        ink = written(template, list(sheet.digits[chosen]), sheet.rng)
        return NumberPicture(_paged(_margins(ink, sheet.rng), sheet.rng), "".join(map(str, sheet.labels[chosen])))

    return make


_SMALL = _Style(height=(36, 70))

NUMBERS: dict[str, _Maker] = {
    "one digit, page": _one_string(_paged, length=(1, 1)),
    "one digit, photo": _one_string(photographed, length=(1, 1)),
    "five digits, page": _one_string(_paged, length=(5, 5)),
    "five digits, photo": _one_string(photographed, length=(5, 5)),
    "five digits, pencil": _one_string(pencilled, hand=_thin, length=(5, 5)),
    "page": _one_string(_paged),
    "photo": _one_string(photographed),
    "pencil": _one_string(pencilled, hand=_thin),
    "marker": _one_string(marked, hand=_bold),
    "scan, ruled paper": _one_string(_ruled),
    "two lines": _lines(2, photographed),
    "five lines": _lines(5, photographed, style=_SMALL),
    "slanted": _one_string(_paged, change=_sheared),
    "turned": _one_string(photographed, change=_turned),
    "turned far": _one_string(photographed, change=_turned_far),
    "touching by 0 to 15 %": _one_string(_paged, style=_Style(gap=(-0.15, 0))),
    "pairs, touching by 0 to 10 %": _one_string(_paged, style=_Style(gap=(-0.1, 0)), length=(2, 2)),
    "round, crossing by 3 to 18 %": _one_string(
        _paged, hand=_thin, style=_Style(gap=(-0.18, -0.03), labels=(0, 6, 8, 9)), length=(2, 5)
    ),
    "very different sizes": _one_string(_paged, style=_Style(size_ratio=2)),
    "on blank paper": _one_string(_paged, hand=_any_pen, length=(2, 6)),  # what the papers below can reach at best
    **{f"on {name}": _one_string(paper, hand=_any_pen, length=(2, 6)) for name, paper in PAPERS.items()},
    **{f"like {template}": _template(template) for template in (*STRANGERS, *PUNCTUATED)},
    "sheet": _lines(10, _paged, style=_SMALL, length=(10, 10)),
    "sheet, photo": _lines(10, photographed, style=_SMALL, length=(10, 10)),
}
"""By name, in the order of the table."""

PLAIN = ("page", "photo", "pencil", "marker", "scan, ruled paper", "slanted", "turned")
"""The kinds with one string of two to eight digits of about the same size, which do not touch."""


def numbers(name: str, digits: Grey, labels: NDArray[np.int64], count: int, rng: Generator) -> list[NumberPicture]:
    """Return `count` pictures of one of NUMBERS. Their digits are drawn at random from N images in MNIST form."""
    sheet = _Sheet(digits, labels, rng)
    return [NUMBERS[name](sheet) for _ in range(count)]
