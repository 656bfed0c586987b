"""Bring a grey picture to MNIST form: light ink on dark, a 20x20 box, the centre of mass in the middle of 28x28.

LeCun et al. (1998) made MNIST like this, from black and white scans. Other pictures have paper, uneven light and
specks, and may be of any size. These steps remove the differences. Words in quotes are the steps that a reply reports:

    Look        find the ink of the paper. Dark ink becomes light ("inverted"). Keep only the parts of the digit
                ("cropped").
    _redrawn    If the digit is small in its picture, repeat this on its surroundings.
    redraw      draw the digit with strokes as wide as MNIST's ("thickened" or "thinned"), resize it to the box,
                and place its centre of mass in the middle ("centered")
"""

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from digits.errors import NoInk, WrongSize
from digits.features import SIDE, Grey, to_features
from digits.normalization import ink_map
from digits.normalization.digit import MIN_TOTAL, Found, longer_side
from digits.normalization.look import Look, reduced_view
from digits.normalization.mnist_form import BOX, Mode, are_mnist_form
from digits.normalization.paper import VIEW_SIDE, is_darker
from digits.normalization.parts import (
    FULL,
    SOLID,
    WHOLE,
    Mask,
    Part,
    Slices,
    extent,
    smallest_rectangle,
)
from digits.normalization.redraw import Redrawn, redraw

_FINE_VIEW_SIDE = 2 * VIEW_SIDE
"""The same as VIEW_SIDE for a digit that is too small for the first view."""

_WIDE = 0.6
"""A solid shape that is wider than this share of its length is no digit: a 1 is narrower, and others have loops or
gaps."""


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
    may_differ: bool = False
    """Whether the finder may see another digit: the paper is not even, or there is something else on it."""
    finders_digit: int | None = None
    """What the finder takes it for. None if the finder has not read it."""


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


def normalize(picture: NDArray[Any], mode: Mode = "auto", look: Look | None = None) -> Normalized:
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
    look = look or Look.at(grey)
    view, found = look.view, look.found
    if found is None:
        view = reduced_view(grey, _FINE_VIEW_SIDE)
        found = look.find(view)
    return _redrawn(look, found, view, grey)


def _redrawn(look: Look, found: Found, view: Grey, picture: Grey) -> Normalized:
    """Redraw a digit that was found in a view of a picture. A small one is looked at again from near."""
    paper = look.paper
    is_dark = paper.is_ink_dark if paper is not None else is_darker(view, found.ink, found.kept)
    seen = None if paper is not None else ink_map.reduced(found.ink)
    box, fine = extent(found.kept), found
    scale, longer = _scale(picture, view), longer_side(box)
    if scale > 1 and longer < BOX:
        around = _grown(box, longer // 3 + 3)
        rows, columns = (
            slice(int(side.start * scale), min(math.ceil(side.stop * scale), length))
            for side, length in zip(around, picture.shape, strict=True)
        )
        close = reduced_view(picture[rows, columns], VIEW_SIDE)
        with suppress(NoInk):  # a thick stroke alone fills it and is no ink for the finder
            fine = look.find(close, found.kept[around])
    inner = _grown(box if fine is found else extent(fine.kept), 1)
    mask = cv2.dilate(fine.kept[inner].view(np.uint8), None)  # includes the antialiased edges of the strokes
    redrawn = redraw(fine.ink[inner] * mask)
    shape = shape_doubts(fine.kept[inner], redrawn)
    return Normalized(
        redrawn.pixels,
        steps_to(redrawn, is_dark=is_dark),
        seen,
        _part(box, view.shape),
        (*found.doubts, *shape),
        found.is_alone,
        # A solid shape may be a sheet of paper on a table, with the digit on it.
        may_differ=paper is None or not found.is_alone or "solid" in shape,
    )


def steps_to(redrawn: Redrawn, *, is_dark: bool) -> tuple[str, ...]:
    """Return the steps that lead to a digit in MNIST form. `is_dark`: it was darker than its paper."""
    return tuple(filter(None, ("inverted" if is_dark else "", "cropped", redrawn.change, "centered")))


def shape_doubts(shape: Mask, redrawn: Redrawn) -> tuple[str, ...]:
    """Return a doubt if a digit is a solid shape or a button: the pixels of its ink, and the digit in MNIST form."""
    is_button = redrawn.change == "thinned" and _is_button(shape)
    return ("solid",) * _is_solid(redrawn.pixels) + ("button",) * is_button


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
    return cv2.countNonZero(hole) >= MIN_TOTAL and not _is_like_a_hole(hole)


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


def _scale(picture: Grey, view: Grey) -> float:
    return float(max(picture.shape) / max(view.shape))


def _grown(box: Slices, margin: int) -> Slices:
    rows, columns = (slice(max(0, part.start - margin), part.stop + margin) for part in box)
    return rows, columns
