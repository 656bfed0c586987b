"""Choose how closely to look: small copies of the whole picture first, then a closer view of where digits are."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from digits.features import Grey
from digits.finder.centres import Centre, centres, sureness, typical_height
from digits.finder.network import FinderNetwork, Maps

SIDES = (128, 256, 512, 1024)
"""Longer sides of the whole picture that are looked at, until its digits are found."""

MAX_VIEWS = 4
"""Of a picture."""

MAX_VIEW_PIXELS = 600_000
"""Of a view."""

VIEW_BYTES = 80 * MAX_VIEW_PIXELS
"""Memory that the network takes at most while it looks at a view."""

_SURE_SIDE, _LEGIBLE = 256, 9.0
"""From this side on, a view in which digits have this height is enough."""

_HEIGHT, _LONE_HEIGHT = 28.0, 48.0
"""Height of the digits in a closer view, in pixels, and of a lone digit."""

_NEAR_ENOUGH = 1.35
"""A view in which digits are at most this many times too high or too low needs no closer one."""

_PART_PIXELS = 120_000
"""A closer view with more pixels shows only the part of the picture where digits were found."""

_MARGIN = 1.5
"""Around this part, in heights of a digit."""

_LESS_SURE = 0.8
"""A closer view is left again if its centres are less sure than this share of the ones before."""

_MAX_ENLARGED = 6.0


@dataclass(frozen=True, slots=True)
class View:
    """A picture at some size, and what the network says about it."""

    grey: Grey
    maps: Maps
    digits: list[Centre]
    scale: float
    """Pixels of the view per pixel of the picture."""
    left: int = 0
    top: int = 0
    """Where the view begins, in pixels of the picture."""


def look(network: FinderNetwork, grey: Grey, least: float) -> View:
    """Return the view in which the digits with a heat above `least` are seen best."""
    longer, views = max(grey.shape), list[View]()
    for side in SIDES[: MAX_VIEWS - 1]:
        if views and side > 2 * longer:
            break
        if side > _SURE_SIDE and any(view.digits and typical_height(view.digits) > _LEGIBLE for view in views):
            break
        views.append(_view(network, grey, side / longer, least))
    best = max(views, key=lambda view: sureness(view.digits))
    for _ in range(MAX_VIEWS - len(views)):
        closer = _closer(network, grey, best, least)
        if closer is None or sureness(closer.digits) < _LESS_SURE * sureness(best.digits):
            break
        best = closer
    return best


def _view(network: FinderNetwork, grey: Grey, scale: float, least: float) -> View:
    scale = min(scale, float(np.sqrt(MAX_VIEW_PIXELS / grey.size)), _MAX_ENLARGED)
    size = [max(16, round(side * scale)) for side in grey.shape[::-1]]
    shown = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    maps = network.maps(shown)
    return View(shown, maps, centres(maps, 0, least), scale)


def _closer(network: FinderNetwork, grey: Grey, view: View, least: float) -> View | None:
    """Return a view in which the digits have the best height. None if they have it already."""
    if not view.digits:
        return None
    height = typical_height(view.digits)
    scale = view.scale * (_LONE_HEIGHT if len(view.digits) == 1 else _HEIGHT) / height
    if 1 / _NEAR_ENOUGH < scale / view.scale < _NEAR_ENOUGH:
        return None
    left, top, right, bottom = 0, 0, grey.shape[1], grey.shape[0]
    if grey.size * scale * scale > _PART_PIXELS:
        left, top, right, bottom = _part(view.digits, view, _MARGIN * height / view.scale, grey.shape)
    part = np.ascontiguousarray(grey[top:bottom, left:right])
    return replace(_view(network, part, scale, least), left=left, top=top)


def _part(found: Sequence[Centre], view: View, margin: float, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the part of a picture where digits were found."""
    corners = np.array([each.corners for each in found]) / view.scale + (view.left, view.top) * 2
    left, top = np.maximum(corners[:, :2].min(axis=0) - margin, 0).astype(int)
    right, bottom = np.minimum(corners[:, 2:].max(axis=0) + margin + 1, shape[::-1]).astype(int)
    return int(left), int(top), int(right), int(bottom)
