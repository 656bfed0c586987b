"""Bring a grey picture to MNIST form: light ink on dark, a 20x20 box, the centre of mass in the middle of 28x28.

LeCun et al. (1998) made MNIST like this, from black and white scans. Other pictures have paper, uneven light and
specks, and may be of any size. These steps remove the differences. Words in quotes are the steps that a reply reports:

    DigitLook         find the sheet of paper ("rectified"), and the ink on it. Dark ink becomes light ("inverted").
                      Keep only the parts of the digit ("cropped"). `Look` has the order of the looks.
    _normalized       If the digit is small in its picture, repeat this on its surroundings.
    redraw            draw the digit with strokes as wide as MNIST's ("thickened" or "thinned"), resize it to the box,
                      and place its centre of mass in the middle ("centered")
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from digits.errors import NoInk, WrongSize
from digits.features import SIDE, Floats, Grey, to_features
from digits.normalization import ink_map
from digits.normalization.doubts import with_neighbours_of
from digits.normalization.look import Look, OtherLook, reduced_view
from digits.normalization.mnist_form import BOX, Mode, are_mnist_form
from digits.normalization.page import moved
from digits.normalization.paper import SMALL_SIDE, VIEW_SIDE, EvenPaper, is_darker
from digits.normalization.parts import (
    FULL,
    SOLID,
    WHOLE,
    Ints,
    Mask,
    Part,
    Parts,
    Slices,
    extent,
    find_parts,
    inside_frame,
    smallest_rectangle,
    without_line_above,
    without_mark,
)
from digits.normalization.redraw import redraw

_FINE_VIEW_SIDE = 2 * VIEW_SIDE
"""The same as VIEW_SIDE for a digit that is too small for the first view."""

_MIN_INK = 0.2
"""A pixel belongs to the digit if at least this share of it is ink."""

_MIN_TOTAL = 6.0
"""A digit, or what counts beside it or in it, covers at least this many pixels of the view."""

_AT_EDGE = 0.25
"""How much a part that touches the picture's edge counts, compared with others."""

_NEAR = 0.3
"""A large part that is nearer to the digit than this, in longer sides of the digit, belongs to it. A small one above or
below it is a dot."""

_SMALL_MARKS = 0.3
"""Parts near the digit may be marks, such as printed words, if they have less ink than this share of its main part."""

_MIN_STRONG, _MUCH_FAINT = 0.7, 0.2
"""Ink is strong above the first. Other ink is much if it has more pixels than the second, as a share of the strong."""

_FREE = 0.6
"""An edge that a digit touches cuts it off if the opposite edge is further away than this share of its longer side."""

_WIDE = 0.6
"""A solid shape that is wider than this share of its length is no digit: a 1 is narrower, and others have loops or
gaps."""

_NO_STROKES = "no ink found: the picture has no strokes of a digit"


@dataclass(frozen=True, slots=True)
class Normalized:
    """A picture in MNIST form."""

    pixels: NDArray[Any]
    """uint8 (28, 28). If there are no steps, the unchanged input: uint8, or floats in [0, 1]."""
    steps: tuple[str, ...]
    """The steps that changed the picture, in order. () if it is unchanged."""
    ink: Grey | None = None
    """Where the finder saw ink in the picture, from `ink_map.reduced`. None if it was not needed."""
    part: Part = WHOLE
    """The part of the picture that the digit is in."""
    doubts: tuple[str, ...] = ()
    """Why it may be something else than one whole digit. A word is repeated for each mark that it is about."""
    is_alone: bool = False
    """Whether the digit is in one piece, and there is nothing else of its size."""
    other_look: OtherLook | None = None
    """How `second_look` can see the picture in another way. None if it cannot."""
    is_less_sure: bool = False
    """Whether it is without a mark of which the finder has erased a part, or that is only fainter than it, or
    without small parts near it."""
    without_mark: "Normalized | None" = None
    """The digit without a mark around or below all other parts, or without small marks near it, if there are any. The
    network chooses."""

    @property
    def choices(self) -> "list[Normalized]":
        """The digit, and the digit without a mark if there is one."""
        return [self] if self.without_mark is None else [self, self.without_mark]


def _in_mnist_form(picture: NDArray[Any]) -> Normalized | None:
    """Return a picture that is in MNIST form, perhaps inverted, else None."""
    if picture.shape != (SIDE, SIDE):
        return None
    for steps in (), ("inverted",):
        if steps:
            picture = 255 - (picture if picture.dtype == np.uint8 else np.rint(picture * 255).astype(np.uint8))
        if are_mnist_form(to_features(picture[None]))[0]:
            return Normalized(picture, steps, part=_part(extent(picture > 0), picture.shape), is_alone=True)
    return None


def normalize(picture: NDArray[Any], mode: Mode = "auto", look: "DigitLook | None" = None) -> Normalized:
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
    if mode == "auto" and (unchanged := _in_mnist_form(picture)):
        return unchanged
    grey: Grey = picture if picture.dtype == np.uint8 else np.rint(picture * 255).astype(np.uint8)
    look = look or DigitLook.at(grey)
    try:
        return _normalized(grey, look, look.other)
    except NoInk:
        if look.page is None:
            raise
    return second_look(grey, DigitLook.again(grey, "whole"))  # what was seen on the page is nothing from near


def second_look(picture: Grey, look: "DigitLook") -> Normalized:
    """Bring a picture to MNIST form, uint8 (height, width), after `DigitLook.again` at it. Raises NoInk."""
    return _normalized(picture, look, None)


class DigitLook(Look):
    """A look that finds one digit."""

    @cached_property
    def found(self) -> "list[_Found]":
        """The digit in the view, and without a mark if there is one. Empty if no ink is visible."""
        try:
            return _find(self.view, self.paper)
        except NoInk:
            return []

    @classmethod
    def at(cls, picture: Grey) -> Self:
        """Take the first look at a picture, uint8 (height, width), that shows a digit. Raises NoInk if it is blank."""
        return next(look for look in cls.in_order(picture) if look.page is None or look.found)

    def shows_large_digit(self, picture: Grey) -> bool:
        """Return whether the digit is as large in the picture that was looked at as in MNIST, so that a larger picture
        of it would not be read better.
        """
        longer = max(picture.shape) if self.page is None else self.page.longer_side(picture)
        scale = longer / max(self.view.shape)
        return bool(self.found) and min(found.side for found in self.found) * scale >= BOX


def _normalized(picture: Grey, look: DigitLook, other_look: OtherLook | None) -> Normalized:
    """Redraw the digit that a look shows, and the one without a mark. A small one is looked at again from near."""
    flat, matrix = (picture, np.eye(3)) if look.page is None else look.page.from_above(picture)
    view, found = look.view, look.found
    if not found:
        if max(flat.shape) <= _FINE_VIEW_SIDE:
            raise NoInk(_NO_STROKES)
        view = reduced_view(flat, _FINE_VIEW_SIDE)
        found = _find(view, look.paper, WHOLE)
    normalized = None
    for each in found[::-1]:
        way = _redrawn(each, view, flat, look.paper)
        if look.page is not None:
            boxes = np.array([way.part]) * (flat.shape[::-1] * 2)
            (part,) = (moved(boxes, matrix) / (picture.shape[::-1] * 2)).clip(0, 1).tolist()
            way = replace(way, steps=("rectified", *way.steps), part=tuple(part))
        normalized = replace(way, other_look=other_look, without_mark=normalized)
    assert normalized is not None
    return normalized


def _redrawn(found: "_Found", view: Grey, flat: Grey, paper: EvenPaper | None) -> Normalized:
    """Redraw a digit that was found in a view of a flat picture, which may be the page of another one."""
    is_dark = paper.is_ink_dark if paper is not None else is_darker(view, found.ink, found.kept)
    seen = None if paper is not None else ink_map.reduced(found.ink)
    box, fine = extent(found.kept), found
    scale, longer = _scale(flat, view), _longer_side(box)
    if scale > 1 and longer < BOX:
        around = _grown(box, longer // 3 + 3)
        rows, columns = (
            slice(int(side.start * scale), min(math.ceil(side.stop * scale), length))
            for side, length in zip(around, flat.shape, strict=True)
        )
        close = reduced_view(flat[rows, columns], VIEW_SIDE)
        fine = _find(close, paper, _part((rows, columns), flat.shape), _near(found.kept[around]))[0]
    inner = _grown(box if fine is found else extent(fine.kept), 1)
    mask = cv2.dilate(fine.kept[inner].view(np.uint8), None)  # includes the antialiased edges of the strokes
    redrawn = redraw(fine.ink[inner] * mask)
    is_solid = ("solid",) * _is_solid(redrawn.pixels)
    is_button = ("button",) * (redrawn.change == "thinned" and _is_button(fine.kept[inner]))
    return Normalized(
        redrawn.pixels,
        tuple(filter(None, ("inverted" if is_dark else "", "cropped", redrawn.change, "centered"))),
        seen,
        _part(box, view.shape),
        (*found.doubts, *is_solid, *is_button),
        found.is_alone,
        is_less_sure=found.is_less_sure,
    )


def _is_solid(pixels: Grey) -> bool:
    """Return whether a picture in MNIST form shows a solid shape, such as a disc."""
    ink = pixels > 127
    shape = ink[extent(ink)]
    return bool(min(shape.shape) > _WIDE * max(shape.shape) and np.count_nonzero(shape) > SOLID * shape.size)


def _is_button(shape: Mask) -> bool:
    """Return whether a shape is convex and has one hole that is no hole of a 0, as a disc with a symbol has."""
    outlines, tree = cv2.findContours(shape.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if len(outlines) != 2:
        return False
    outer, inner = outlines if tree[0, 0, 3] < 0 else outlines[::-1]
    if cv2.contourArea(outer) < FULL * cv2.contourArea(cv2.convexHull(outer)):
        return False
    hole = cv2.fillPoly(np.zeros(shape.shape, np.uint8), [inner], 1)
    return cv2.countNonZero(hole) >= _MIN_TOTAL and not _is_like_a_hole(hole)


def _is_like_a_hole(shape: NDArray[np.uint8]) -> bool:
    """Return whether the pixels that are 1 are an oval or an upright bar, as the hole of a 0 is."""
    pixels = cv2.findNonZero(shape)
    _, _, width, height = cv2.boundingRect(pixels)
    shorter, longer = smallest_rectangle(pixels)
    share = len(pixels) / (shorter * longer)
    is_oval = share > SOLID and (share < FULL or longer > 1.5 * shorter)  # a triangle fills half of it
    return bool(is_oval and width <= 1.2 * height)


def _part(box: Slices, shape: tuple[int, ...]) -> Part:
    """Return the part of a picture that a box takes."""
    (rows, columns), (height, width) = box, shape
    return columns.start / width, rows.start / height, columns.stop / width, rows.stop / height


def _longer_side(box: Slices) -> int:
    return max(int(side.stop - side.start) for side in box)


def _scale(picture: Grey, view: Grey) -> float:
    return float(max(picture.shape) / max(view.shape))


def _near(mask: Mask) -> Mask:
    """Return the pixels of a mask and up to 2 pixels around them."""
    return np.asarray(cv2.dilate(mask.view(np.uint8), np.ones((5, 5), np.uint8)).view(bool))


def _grown(box: Slices, margin: int) -> Slices:
    rows, columns = (slice(max(0, part.start - margin), part.stop + margin) for part in box)
    return rows, columns


@dataclass(frozen=True, slots=True)
class _Found:
    """The digit in a view. The fields without a text are as in `Normalized`."""

    ink: Floats
    """(height, width): how much of each pixel is ink."""
    kept: Mask
    """(height, width): the pixels of the digit."""
    doubts: tuple[str, ...]
    is_alone: bool
    is_less_sure: bool = False

    @property
    def side(self) -> int:
        """Longer side of the digit in pixels of the view."""
        return _longer_side(extent(self.kept))


def _find(view: Grey, paper: EvenPaper | None, part: Part | None = None, near: Mask | None = None) -> list[_Found]:
    """Find the digit of a view, and the digit without a mark around or below all other parts, or small ones near it.

    Args:
        view: uint8 (height, width).
        paper: if it is even. Otherwise the ink map finds the ink.
        part: of the picture that the paper belongs to. None: the view is what the paper was found in.
        near: where the digit may be, in other pixels. None: anywhere.
    """
    marks: Floats | None = None
    if paper is not None:
        ink = paper.ink if part is None else paper.coverage(view, part)
    else:
        ink, marks = ink_map.coverage_and_marks(view)
    if near is not None:
        ink = ink * cv2.resize(near.astype(np.float32), ink.shape[::-1])
    parts = find_parts(ink, _MIN_INK)
    if parts.totals.max() < _MIN_TOTAL:
        raise NoInk(_NO_STROKES)
    found = [_digit(ink, parts)]
    if near is not None:
        return found
    kept = without_mark(parts)
    if kept is not None:
        found += [_digit(ink, parts, kept)] if parts.totals[kept].max() >= _MIN_TOTAL else []
    elif (own := _own_ink(ink, parts, marks)) is not None:
        pixels, is_less_sure = own
        ink = ink * pixels
        parts = find_parts(ink, _MIN_INK)
        if parts.totals.max() >= _MIN_TOTAL:
            inner = _digit(ink, parts)
            is_alone = inner.is_alone and not is_less_sure
            doubts = with_neighbours_of(found[0].doubts, inner.doubts) if is_less_sure else inner.doubts
            found.append(replace(inner, is_less_sure=is_less_sure, is_alone=is_alone, doubts=doubts))
    elif (main := _main_part(found[0], parts)) is not None:
        found.append(main)
    return found


def _digit(ink: Floats, parts: Parts, among: Mask | None = None) -> _Found:
    """Return the main part, what is inside of its box, and other parts that are large and near enough.

    `among` says which parts may be chosen.
    """
    totals = parts.totals if among is None else parts.totals * among
    if np.count_nonzero(totals) == 1:
        only = int(totals.argmax())
        is_cut = is_cut_off(parts.corners[only].tolist(), ink.shape, parts.sides[only])
        return _Found(ink, parts.labels == only, ("edge",) * is_cut, is_alone=True)
    at_edge = np.asarray(parts.margins.min(axis=1) == 0)
    main = int((totals * np.where(at_edge, _AT_EDGE, 1)).argmax())
    corners, side = parts.corners, parts.sides[main]
    gaps = _gaps(corners, corners[main])
    apart = gaps.max(axis=1)
    is_other = (parts.sides >= side / 5) & (totals > 0)
    is_other[main] = False
    is_alone = not is_other.any()
    # A digit of the same number is about as high, and clearly beside it or far from it.
    heights = parts.boxes[:, 3] / parts.boxes[main, 3]
    is_digit_like = (heights >= 0.35) & (heights <= 2)
    is_digit_like &= (gaps[:, 0] >= 0.05 * parts.boxes[main, 3]) | (apart > _NEAR * side)
    neighbours = ("neighbour",) * int(np.count_nonzero(is_other & is_digit_like & ~at_edge))
    if not at_edge[main]:
        is_other &= ~at_edge | (np.maximum(apart, parts.margins[main].min()) <= 0.1 * side)
    is_within = ((corners[:, :2] >= corners[main, :2]) & (corners[:, 2:] <= corners[main, 2:])).all(axis=1)
    is_kept = is_within & (totals >= _MIN_TOTAL)  # as the eyes of a face
    is_kept[main] = True
    while (added := is_other & ~is_kept & (apart <= _NEAR * side)).any():
        is_kept |= added
        whole = np.concatenate([corners[is_kept, :2].min(axis=0), corners[is_kept, 2:].max(axis=0)])
        apart, side = _gaps(corners, whole).max(axis=1), (whole[2:] - whole[:2]).max()
    return _Found(ink, is_kept[parts.labels], (*neighbours, *_doubts(parts, is_kept)), is_alone)


def _doubts(parts: Parts, is_kept: Mask) -> tuple[str, ...]:
    """Return a doubt for each dot right above or below the digit and for each mark in the loops of its largest part,
    and one if an edge of the picture cuts it off.
    """
    left, top = parts.corners[is_kept, :2].min(axis=0).tolist()
    right, bottom = parts.corners[is_kept, 2:].max(axis=0).tolist()
    side = max(right - left, bottom - top)
    is_cut = is_cut_off([left, top, right, bottom], parts.labels.shape, side)
    middles = parts.corners[:, 0] + parts.boxes[:, 2] / 2
    beyond = np.maximum(top - parts.corners[:, 3], parts.corners[:, 1] - bottom)
    is_dot = (parts.totals >= _MIN_TOTAL) & (parts.sides < side / 5) & ~is_kept
    is_dot &= (middles >= left) & (middles <= right) & (beyond > 0) & (beyond < _NEAR * side)
    main = int((parts.totals * is_kept).argmax())
    dots = int(np.count_nonzero(is_dot))
    return (*("dotted",) * dots, *("inside",) * _marks_in_loops(parts, main), *("edge",) * is_cut)


def is_cut_off(corners: Sequence[int], shape: tuple[int, ...], side: int) -> bool:
    """Return whether an edge of the picture cuts off a digit or a number: it touches the edge, and is far from the
    opposite one. Small pictures cut nothing off.

    Args:
        corners: left, top, right and bottom, in pixels.
        shape: height and width of the picture.
        side: the longer side of a digit, or the height of a number.
    """
    left, top, right, bottom = corners
    margins = [left, top, shape[1] - right, shape[0] - bottom]
    free = _FREE * side
    opposite = margins[2:] + margins[:2]
    return max(shape) >= SMALL_SIDE and any(
        not near and far > free for near, far in zip(margins, opposite, strict=True)
    )


def _marks_in_loops(parts: Parts, main: int) -> int:
    """Return how many other parts are inside of a loop of a part, as the eyes of a face are.

    Those with a loop of their own do not count, because a digit that is drawn as an outline has them.
    """
    inside = np.flatnonzero(parts.inside(main) & (parts.totals >= _MIN_TOTAL))
    if not len(inside):
        return 0
    labels = parts.labels[parts.box(main)]
    part = np.equal(labels, main).view(np.uint8)
    outlines = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
    filled = cv2.drawContours(part, outlines, -1, 1, cv2.FILLED).view(bool)
    marks = (filled & np.isin(labels, inside)).view(np.uint8)
    nested = cv2.findContours(marks, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)[1]
    return 0 if nested is None else int(np.count_nonzero((nested[0, :, 2:] < 0).all(axis=1)))


def _own_ink(ink: Floats, parts: Parts, marks: Floats | None) -> tuple[Mask, bool] | None:
    """Return which pixels are the digit's own if its parts do not tell it apart from a mark or a stain.

    Args:
        ink: (height, width).
        parts: of the ink.
        marks: (height, width), from `ink_map.coverage_and_marks`, if the finder was asked.

    Returns:
        These pixels, and `is_less_sure`. None if there is nothing else.
    """
    if (framed := inside_frame(parts)) is not None:
        return framed, False
    if (kept := without_line_above(parts)) is not None:
        return kept[parts.labels], True
    if marks is not None:
        drawn = find_parts(marks)
        if (framed := inside_frame(drawn)) is not None:
            return framed, False
        if (kept := without_mark(drawn)) is not None:
            return _near(kept[drawn.labels]), True
    near = _near_strong(ink, marks)
    return None if near is None else (near, True)


def _near_strong(ink: Floats, marks: Floats | None) -> Mask | None:
    """Return which pixels are near strong ink, if there is much other ink, such as a stain's. `marks` as above.

    None for a small picture, in which thin strokes are faint.
    """
    if max(ink.shape) < VIEW_SIDE:
        return None
    strong = np.asarray((ink if marks is None else np.minimum(ink, marks)) > _MIN_STRONG)
    near = _near(strong)
    faint = np.count_nonzero((ink > _MIN_INK) & ~near)
    return near if faint > _MUCH_FAINT * np.count_nonzero(strong) else None


def _main_part(found: _Found, parts: Parts) -> _Found | None:
    """Return the largest part of a digit, if all others together are small and beside it. None if it has no others."""
    if np.count_nonzero(parts.totals) == 1:
        return None
    totals = np.bincount(parts.labels[found.kept], minlength=len(parts.totals)) * (parts.totals > 0)
    main, *others = totals.argsort()[::-1][: np.count_nonzero(totals)].tolist()
    if not others:
        return None
    is_beside = _gaps(parts.corners[others], parts.corners[main]).max(axis=1) >= 0
    if is_beside.all() and totals.sum() < (1 + _SMALL_MARKS) * totals[main]:
        return replace(found, kept=parts.labels == main, doubts=(*found.doubts, "specks"), is_less_sure=True)
    return None


def _gaps(corners: Ints, box: Ints) -> Ints:
    """Return the distances across and down, (N, 2), between boxes and another one. They are negative if both overlap.

    Args:
        corners: (N, 4): left, top, right and bottom of each box.
        box: (4,): the same of the other one.
    """
    gaps: Ints = np.maximum(corners[:, :2] - box[2:], box[:2] - corners[:, 2:])
    return gaps
