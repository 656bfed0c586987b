"""The looks at a picture, the cheapest first."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Self

import cv2
import numpy as np

from digits.errors import NoInk
from digits.features import Grey
from digits.normalization.light import even_light
from digits.normalization.mnist_form import BOX
from digits.normalization.page import Page, find_page
from digits.normalization.paper import MIN_CONTRAST, VIEW_SIDE, EvenPaper, even_paper
from digits.pictures.downscale import downscale, fitted_size, halving_factor

OtherLook = Literal["whole", "network", "without shadows"]
"""At the whole picture instead of a sheet in it, or with the finder, perhaps after `without_shadows`."""

_ENLARGED_SIDE = 64
"""Smaller pictures are enlarged to at least this longer side, so that thin faint strokes stay connected. Those that
are smaller than a digit in MNIST are not."""


@dataclass(frozen=True)
class Look:
    """A look at a reduced view of a picture. The ink is what differs from

    1. even paper, as in drawings and scans,
    2. paper that is even after its light was evened out,
    3. and on any other paper, what the finder finds.

    Before 2, and where 1 shows something solid, a sheet of paper that lies on something else is looked for and cut
    out of the picture. If the answer is doubtful, `again` sees the picture in another way.
    """

    page: Page | None
    """The sheet of paper that is looked at. None if it is the whole picture."""
    view: Grey
    """uint8 (height, width)"""
    paper: EvenPaper | None
    """None if it is not even."""

    @classmethod
    def in_order(cls, picture: Grey) -> Iterator[Self]:
        """Yield the look at the sheet of paper in a picture, uint8 (height, width), if there is one, and at all of it.

        Raises NoInk if it is blank.
        """
        view = cls._view_with_ink(picture)
        paper = even_paper(view)
        if (paper is None or paper.is_solid) and (page := find_page(picture)) is not None:
            yield cls._on_even_paper(page, reduced_view(page.from_above(picture)[0], VIEW_SIDE))
        yield cls(None, view, paper or even_light(view))

    @classmethod
    def again(cls, picture: Grey, other: OtherLook) -> Self:
        """Look at a picture in another way, perhaps after `without_shadows`. Raises NoInk if it is blank."""
        view = cls._view_with_ink(picture)
        return cls._on_even_paper(None, view) if other == "whole" else cls(None, view, None)

    @property
    def other(self) -> OtherLook | None:
        """Which other look may be better. On even paper none is."""
        if self.page is not None:
            return "whole"
        if self.paper is None:
            return "without shadows"
        return None if self.paper.brightness is None else "network"

    @classmethod
    def _view_with_ink(cls, picture: Grey) -> Grey:
        view = reduced_view(picture, VIEW_SIDE)
        if np.ptp(view) < MIN_CONTRAST:
            raise NoInk("no ink found: the picture is blank")
        return view

    @classmethod
    def _on_even_paper(cls, page: Page | None, view: Grey) -> Self:
        return cls(page, view, even_paper(view) or even_light(view))


def reduced_view(picture: Grey, side: int) -> Grey:
    """Reduce a picture to a longer side of `side`, or enlarge a small one."""
    longer = max(picture.shape)
    if BOX <= longer < _ENLARGED_SIDE:
        times = -(-_ENLARGED_SIDE // longer)
        picture = cv2.resize(picture, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
    elif longer > 2 * side:
        picture = downscale(picture, halving_factor(picture, 2 * side))
        longer = max(picture.shape)
    if longer <= side:
        return picture
    view: Grey = cv2.resize(picture, fitted_size(picture, side), interpolation=cv2.INTER_AREA)
    return view
