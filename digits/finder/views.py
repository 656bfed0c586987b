"""Choose how closely to look: small copies of the whole picture first, then a closer view of where digits are."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from digits.features import Grey
from digits.finder.centres import Centre, centres, sureness, typical_height
from digits.finder.network import FinderNetwork, Maps
from digits.finder.page import find_page
from digits.normalization.paper import VIEW_SIDE
from digits.normalization.parts import COVERED
from digits.pictures.downscale import downscale, halving_factor

SIDES = (VIEW_SIDE, 320, 768)
"""Longer sides of the whole picture that are looked at, until its digits are found."""

MAX_VIEWS = len(SIDES) + 1
"""Of a picture: one more than there are sides."""

MAX_VIEW_PIXELS = SIDES[-1] ** 2
"""Of a view: those of a square one with the longest side."""

VIEW_BYTES = 80 * MAX_VIEW_PIXELS
"""Memory that the network takes at most while it looks at a view."""

_LEVEL = 8
"""What is written counts as level if it is turned by fewer degrees."""

_LONG = 0.6
"""Ink tells by how much it is turned if its rectangle is at most this share of its length high. Blocks do not."""

_AROUND = 0.7
"""Of a picture that is turned until it is level, this much of the ink's longer side is seen around the ink."""

_HEIGHT = 28.0
"""Height of the digits in a closer view, in pixels."""

_NEAR_ENOUGH = 1.35
"""A view in which digits are at most this many times too high or too low needs no closer one."""

_LARGE = _HEIGHT / _NEAR_ENOUGH
"""A view in which digits are this high is enough."""

_MARGIN = 3.0
"""Around the part of the picture that a closer view shows, in heights of a digit."""

_MOST_ENLARGED = 4
"""The largest factor by which the whole picture is enlarged."""

Part = tuple[int, int, int, int]
"""Left, top, right and bottom, in pixels of the picture."""


@dataclass(frozen=True, slots=True)
class View:
    """A picture at some size, and what the network says about it."""

    grey: Grey
    maps: Maps
    digits: list[Centre]
    """The surest first."""
    doubts: list[Centre]
    """What may be a digit, and is not read."""
    scale: float
    """Pixels of the view per pixel of the picture."""
    part: Part
    """What of the picture it shows."""

    @property
    def nbytes(self) -> int:
        """The memory that it takes."""
        maps = self.maps
        return sum(each.nbytes for each in (self.grey, maps.heat, maps.votes, maps.sizes, maps.classes, maps.ink))


Matrix = NDArray[np.float64]

CopyOf = Callable[[int], Grey]
"""Returns a copy of a picture, uint8 (height, width), for a length. Its longer side has at least that many pixels,
or as many as the picture has."""


class Eye:
    """Looks at a picture, of which it has a copy as large as was needed so far."""

    def __init__(self, network: FinderNetwork, size: tuple[int, int], copy_of: CopyOf) -> None:
        """Look at a picture of this width and height."""
        self.size = size
        self._network, self._copy_of = network, copy_of
        self._copy, self._side = np.empty((0, 0), np.uint8), 0

    def first_view(self, side: int = SIDES[0]) -> View:
        """Return a view of the whole picture with this longer side."""
        return self.view(side / max(self.size))

    def straightened(self, first: View) -> "tuple[Eye, Matrix] | None":
        """Return an eye for the sheet of paper that lies on something, seen from above, or for what is written, turned
        until it is level. `first` is the first view.

        Return also the matrix (3, 3) from the pixels of that eye's picture to those of this one's. None if there is no
        such sheet, and the ink is level.
        """
        copy = self._copy_with(SIDES[-1])
        copy = downscale(copy, halving_factor(copy, 2 * SIDES[-1]))  # OpenCV turns no picture of 32 767 pixels or more
        page = find_page(copy)
        found = _turned(copy, first) if page is None else page.from_above(copy)
        if found is None:
            return None
        seen, matrix = found
        scale = self.size[0] / copy.shape[1]
        return Eye(self._network, seen.shape[::-1], lambda _side: seen), np.diag([scale, scale, 1]) @ matrix

    def view(self, scale: float, part: Part | None = None) -> View:
        """Look at the picture, or at a part of it."""
        whole = (0, 0, *self.size)
        left, top, right, bottom = part = part or whole
        scale = min(scale, math.sqrt(MAX_VIEW_PIXELS / ((right - left) * (bottom - top))))
        grey = self._copy_with(math.ceil(scale * max(self.size)))
        if part != whole:
            x0, y0, x1, y1 = (round(each * grey.shape[1] / self.size[0]) for each in part)
            grey = np.ascontiguousarray(grey[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)])
        shown_size = [max(16, round(length * scale)) for length in (right - left, bottom - top)]
        is_smaller = shown_size[0] < grey.shape[1]
        shown = cv2.resize(grey, shown_size, interpolation=cv2.INTER_AREA if is_smaller else cv2.INTER_CUBIC)
        maps = self._network.maps(shown)
        decoding = self._network.decoding
        found = centres(maps, 0, decoding.doubtful_heat)
        count = sum(each.heat > decoding.least_heat for each in found)
        return View(shown, maps, found[:count], found[count:], scale, part)

    def _copy_with(self, side: int) -> Grey:
        """Return the copy. Its longer side is at least this long, or as long as the picture's."""
        side = min(side, max(self.size))
        if side > self._side:
            self._copy, self._side = self._copy_of(side), side
        return self._copy


def _turned(picture: Grey, first: View) -> tuple[Grey, Matrix] | None:
    """Return what is written on a picture, turned until it is level, and the matrix (3, 3) from its pixels to those of
    the picture. None if its ink is level in the first view.
    """
    inked = cv2.findNonZero((first.maps.ink[1] > COVERED).view(np.uint8))
    if inked is None:
        return None
    middle, sides, angle = cv2.minAreaRect(inked)
    quarters = round(angle / 90)
    angle -= 90 * quarters
    if abs(angle) < _LEVEL or min(sides) > _LONG * max(sides):
        return None
    enlarged = picture.shape[1] / first.grey.shape[1]
    room = enlarged * (np.array(sides[::-1] if quarters % 2 else sides) + _AROUND * max(sides))
    size = np.clip(room, 16, 2 * max(picture.shape)).astype(int)
    x, y = enlarged * np.array(middle)
    turn = cv2.getRotationMatrix2D((x, y), angle, 1)
    turn[:, 2] += size / 2 - (x, y)
    turned = cv2.warpAffine(picture, turn, size.tolist(), borderMode=cv2.BORDER_REPLICATE)
    return turned, np.vstack([cv2.invertAffineTransform(turn), (0, 0, 1)])


def look(eye: Eye, first: View, most: int = MAX_VIEWS) -> View:
    """Return the view in which the digits are seen best, after the first one and `most` at most.

    One large digit is not looked at closely.
    """
    longer, views = max(eye.size), [first]
    for side in (side for side in SIDES[1:] if side > round(first.scale * longer)):
        if len(views) >= most or side > _MOST_ENLARGED * longer or typical_height(views[-1].digits) > _LARGE:
            break  # in a view that is larger still, a number may be too large to be seen whole
        views.append(eye.view(side / longer))
    best = max(views, key=lambda view: sureness(view.digits))
    for _ in range(most - len(views)):
        closer = _closer(eye, best)
        if closer is None or not closer.digits:
            break
        best = closer
    return best


def _closer(eye: Eye, view: View) -> View | None:
    """Return a view in which the digits have the best height. None if they have it already, and for one large digit."""
    height = typical_height(view.digits)
    if not height or (len(view.digits) == 1 and height > _LARGE):
        return None
    scale = view.scale * _HEIGHT / height
    if 1 / _NEAR_ENOUGH < scale / view.scale < _NEAR_ENOUGH:
        return None
    found = [each.corners for each in (*view.digits, *view.doubts)]
    return eye.view(scale, _part(found, view, _MARGIN * height / view.scale, eye.size))


def _part(corners: Sequence[tuple[float, ...]], view: View, margin: float, size: tuple[int, int]) -> Part:
    """Return the part of a picture around corners in a view."""
    places = np.array(corners) / view.scale + view.part[:2] * 2
    left, top = np.clip(places[:, :2].min(axis=0) - margin, 0, np.subtract(size, 1)).astype(int)
    right, bottom = np.minimum(places[:, 2:].max(axis=0) + margin + 1, size).astype(int)
    return int(left), int(top), max(int(right), int(left) + 1), max(int(bottom), int(top) + 1)
