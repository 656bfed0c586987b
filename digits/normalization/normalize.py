"""Bring a grey picture to MNIST form: light ink on dark, a 20x20 box, the centre of mass in the middle of 28x28.

LeCun et al. (1998) made MNIST like this, from black and white scans. Other pictures have paper, uneven light and
specks, and may be of any size. These steps remove the differences. Words in quotes are the steps that a reply reports:

    Look              reduce or enlarge the picture, and find its ink: by the difference from even paper, or else by the
                      ink map. Dark ink becomes light ("inverted"). Keep only the parts of the digit ("cropped").
    _locate           If the digit is small in its picture, repeat this on its surroundings.
    redraw            draw the digit with strokes as wide as MNIST's ("thickened" or "thinned"), resize it to the box,
                      and place its centre of mass in the middle ("centered")
"""

import math
from dataclasses import dataclass
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from digits.errors import NoInk, WrongSize
from digits.features import SIDE, Floats, Grey, to_features
from digits.normalization import ink_map
from digits.normalization.mnist_form import Mode, are_mnist_form
from digits.normalization.paper import MIN_CONTRAST, TINY_SIDE, EvenPaper, even_paper, is_darker
from digits.normalization.parts import Mask, Slices, extent, find_parts, longer_side
from digits.normalization.redraw import redraw
from digits.pictures.downscale import downscale, downscale_factor

_VIEW_SIDE = 128
"""Longer side of the reduced picture in which the digit is located. A stroke is about 12 pixels wide in it."""

_FINE_VIEW_SIDE = 256
"""The same for a digit that is too small for the first view."""

_ENLARGED_SIDE = 64
"""Smaller pictures are enlarged to at least this longer side, so that thin faint strokes stay connected. Those below
TINY_SIDE are not."""

_LARGE_DIGIT = 50
"""Longer side in pixels from which on a larger picture of the digit would not be read better."""

_MIN_INK = 0.2
"""A pixel belongs to the digit if at least this share of it is ink."""

_MIN_TOTAL = 6.0
"""The digit covers at least this many pixels of the view."""

_AT_EDGE = 0.4
"""How much a part that touches the picture's edge counts, compared with others."""

_NO_STROKES = "no ink found: the picture has no pen strokes"


@dataclass(frozen=True, slots=True)
class Normalized:
    """A picture in MNIST form."""

    pixels: NDArray[Any]
    """uint8 (28, 28). If there are no steps, the unchanged input: uint8, or floats in [0, 1]."""
    steps: tuple[str, ...]
    """The steps that changed the picture, in order. () if it is unchanged."""
    left_out: int = 0
    """Number of marks beside the digit that look like other digits of a number."""
    ink: Grey | None = None
    """Where the ink network saw ink in the picture, from `ink_map.reduced`. None if it was not needed."""


def _is_mnist_form(picture: NDArray[Any]) -> bool:
    return picture.shape == (SIDE, SIDE) and bool(are_mnist_form(to_features(picture[None]))[0])


def normalize(picture: NDArray[Any], mode: Mode = "auto", look: "Look | None" = None) -> Normalized:
    """Bring a picture to MNIST form.

    Args:
        picture: (height, width), uint8 or floats in [0, 1]. 0 is black.
        mode: "auto": leave pictures in MNIST form unchanged. "never": leave every picture unchanged. "always":
            normalize every picture.
        look: what was seen in a reduced copy of the picture, if there is one.

    Raises:
        NoInk: the picture is blank, of one colour or noise.
        WrongSize: the mode is "never" and the picture is not 28x28.
    """
    if mode == "never":
        if picture.shape != (SIDE, SIDE):
            height, width = picture.shape
            raise WrongSize(f"expected {SIDE}x{SIDE} pixels, received {width}x{height} (width x height)")
        return Normalized(picture, ())
    if mode == "auto" and _is_mnist_form(picture):
        return Normalized(picture, ())
    grey: Grey = picture if picture.dtype == np.uint8 else np.rint(picture * 255).astype(np.uint8)
    if mode == "auto" and grey.shape == (SIDE, SIDE) and _is_mnist_form(255 - grey):
        return Normalized(255 - grey, ("inverted",))
    located = _locate(grey, look or Look.at(grey))
    redrawn = redraw(located.digit)
    steps = ["inverted"] if located.is_dark else []
    steps.append("cropped")
    if redrawn.change:
        steps.append(redrawn.change)
    steps.append("centered")
    return Normalized(redrawn.pixels, tuple(steps), located.left_out, located.ink)


@dataclass(frozen=True, slots=True)
class Look:
    """The first look at a picture: at a reduced view of it."""

    view: Grey
    """uint8, at most _VIEW_SIDE pixels along the longer side."""
    paper: EvenPaper | None
    """None if it is not even."""
    found: "_Found | None"
    """The digit in the view. None if no ink is visible."""

    @classmethod
    def at(cls, picture: Grey) -> Self:
        """Look at a picture, uint8 (height, width). Raises NoInk if it is blank."""
        view = _view(picture, _VIEW_SIDE)
        if np.ptp(view) < MIN_CONTRAST:
            raise NoInk("no ink found: the picture is blank")
        paper = even_paper(view)
        try:
            return cls(view, paper, _find(view, paper))
        except NoInk:
            return cls(view, paper, None)

    def shows_large_digit(self, picture: Grey) -> bool:
        """Return whether the digit has at least _LARGE_DIGIT pixels in the picture that was looked at."""
        return self.found is not None and self.found.side * _scale(picture, self.view) >= _LARGE_DIGIT


@dataclass(frozen=True, slots=True)
class _Located:
    """The digit of a picture."""

    digit: Floats
    """The digit alone, as light ink in [0, 1]."""
    is_dark: bool
    """Whether its ink was dark."""
    left_out: int
    """As in `Normalized`."""
    ink: Grey | None
    """As in `Normalized`."""


def _locate(picture: Grey, look: Look) -> _Located:
    """Find the digit after the first look. If it is small, look again at its surroundings."""
    view, paper, found = look.view, look.paper, look.found
    if found is None:
        if max(picture.shape) <= 2 * _VIEW_SIDE:
            raise NoInk(_NO_STROKES)
        view = _view(picture, _FINE_VIEW_SIDE)
        found = _find(view, paper)
    is_dark = paper.is_ink_dark if paper is not None else is_darker(view, found.ink, found.kept)
    seen = None if paper is not None else ink_map.reduced(found.ink)
    scale, left_out = _scale(picture, view), found.left_out
    if scale > 1 and found.side < _LARGE_DIGIT:
        around = _grown(extent(found.kept), found.side // 3 + 3)
        rows, columns = (slice(int(part.start * scale), math.ceil(part.stop * scale)) for part in around)
        near = cv2.dilate(found.kept[around].astype(np.float32), np.ones((5, 5), np.uint8))
        found = _find(_view(picture[rows, columns], _VIEW_SIDE), paper, near)
    box = _grown(extent(found.kept), 1)
    mask = cv2.dilate(found.kept[box].view(np.uint8), None)  # includes the antialiased edges of the strokes
    return _Located(found.ink[box] * mask, is_dark, left_out, seen)


def _scale(picture: Grey, view: Grey) -> float:
    return float(max(picture.shape) / max(view.shape))


def _view(picture: Grey, side: int) -> Grey:
    """Reduce a picture to a longer side of `side`, or enlarge a small one."""
    longer = max(picture.shape)
    if TINY_SIDE <= longer < _ENLARGED_SIDE:
        times = -(-_ENLARGED_SIDE // longer)
        picture = cv2.resize(picture, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
    elif longer > 2 * side:  # by a whole number first, which takes less time
        picture = downscale(picture, downscale_factor(picture, 2 * side))
        longer = max(picture.shape)
    if longer <= side:
        return picture
    size = [max(1, round(length * side / longer)) for length in picture.shape[::-1]]
    view: Grey = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return view


def _grown(box: Slices, margin: int) -> Slices:
    rows, columns = (slice(max(0, part.start - margin), part.stop + margin) for part in box)
    return rows, columns


@dataclass(frozen=True, slots=True)
class _Found:
    """The digit in a view."""

    ink: Floats
    """(height, width): how much of each pixel is ink."""
    kept: Mask
    """(height, width): the pixels of the digit."""
    left_out: int
    """As in `Normalized`."""

    @property
    def side(self) -> int:
        """Longer side of the digit in pixels of the view."""
        return longer_side(extent(self.kept))


def _find(view: Grey, paper: EvenPaper | None, near: Floats | None = None) -> _Found:
    """Find the digit of a view: its main part and every other part that is large and near enough.

    Args:
        view: uint8 (height, width).
        paper: if it is even. Otherwise the ink map finds the ink.
        near: 1 where the digit may be, 0 elsewhere, in other pixels. None: anywhere.
    """
    ink = ink_map.shipped().coverage(view) if paper is None else paper.coverage(view)
    if near is not None:
        ink = ink * cv2.resize(near, ink.shape[::-1])
    parts = find_parts(ink, _MIN_INK)
    if parts.totals.max() < _MIN_TOTAL:
        raise NoInk(_NO_STROKES)
    at_edge = np.asarray(parts.edges.any(axis=0))
    main = int((parts.totals * np.where(at_edge, _AT_EDGE, 1)).argmax())
    whole = parts.box(main)
    large = np.flatnonzero((parts.sides >= longer_side(whole) / 5) & (parts.totals > 0)).tolist()
    others = {label: parts.box(label) for label in large if label != main}
    left_out = sum(_is_digit_like(box, whole) and not at_edge[label] for label, box in others.items())
    if not at_edge[main]:
        others = {
            label: box
            for label, box in others.items()
            if not at_edge[label] or _gap(box, whole) <= 0.1 * longer_side(whole)
        }
    kept = np.asarray(parts.labels == main)
    while added := [label for label, box in others.items() if _gap(box, whole) <= 0.3 * longer_side(whole)]:
        for label in added:
            kept |= parts.labels == label
            whole = _union(whole, others.pop(label))
    return _Found(ink, kept, left_out)


def _is_digit_like(box: Slices, main: Slices) -> bool:
    """Return whether a part is about as large as the digit's main part, and clearly beside it."""
    height, main_height = (part[0].stop - part[0].start for part in (box, main))
    return bool(0.5 <= height / main_height <= 2) and _gap(box, main) >= 0.05 * main_height


def _gap(box: Slices, other: Slices) -> int:
    """Return the distance between two boxes in pixels. It is negative if they overlap."""
    return max(int(max(b.start - a.stop, a.start - b.stop)) for a, b in zip(box, other, strict=True))


def _union(box: Slices, other: Slices) -> Slices:
    rows, columns = (slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(box, other, strict=True))
    return rows, columns
