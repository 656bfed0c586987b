"""Look at a picture, and find the digit in it."""

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import cv2
import numpy as np

from digits.errors import NoInk
from digits.features import Grey
from digits.normalization import ink_map
from digits.normalization.digit import Found, find_digit
from digits.normalization.mnist_form import BOX
from digits.normalization.paper import MIN_CONTRAST, VIEW_SIDE, EvenPaper, even_paper
from digits.normalization.parts import Mask
from digits.pictures.downscale import downscale, fitted_size, halving_factor


@dataclass(frozen=True)
class Look:
    """A look at a reduced view of a picture. The ink is what differs from even paper, as in drawings and scans. On any
    other paper, it is what the finder finds.
    """

    view: Grey
    """uint8 (height, width)"""
    paper: EvenPaper | None
    """None if it is not even."""

    @classmethod
    def at(cls, picture: Grey) -> Self:
        """Look at a picture, uint8 (height, width). Raises NoInk if it is blank."""
        view = reduced_view(picture, VIEW_SIDE)
        if np.ptp(view) < MIN_CONTRAST:
            raise NoInk("no ink found: the picture is blank")
        return cls(view, even_paper(view))

    @cached_property
    def found(self) -> Found | None:
        """The digit in the view. None if no ink is visible."""
        with suppress(NoInk):
            return self.find(self.view)
        return None

    def find(self, view: Grey, near: Mask | None = None) -> Found:
        """Find the digit in this view, or in another one of the same paper. `near` is as for `find_digit`.

        Raises NoInk.
        """
        if self.paper is None:
            return find_digit(ink_map.coverage(view), near)
        return find_digit(self.paper.ink if view is self.view else self.paper.coverage(view), near)

    def shows_large_digit(self, picture: Grey) -> bool:
        """Return whether the digit is as large in the picture that was looked at as in MNIST, so that a larger picture
        of it would not be read better.
        """
        return self.found is not None and self.found.side * max(picture.shape) / max(self.view.shape) >= BOX


def reduced_view(picture: Grey, side: int) -> Grey:
    """Reduce a picture to a longer side of at most `side`."""
    if max(picture.shape) > 2 * side:
        picture = downscale(picture, halving_factor(picture, 2 * side))
    if max(picture.shape) <= side:
        return picture
    view: Grey = cv2.resize(picture, fitted_size(picture, side), interpolation=cv2.INTER_AREA)
    return view
