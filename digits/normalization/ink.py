"""Tell ink from paper, noise and shadows, by the rules that one digit and a sheet of digits share."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from digits.features import Floats

# The service prepares one picture per thread. OpenCV would start as many threads again for each of them.
cv2.setNumThreads(1)

Slices = tuple[slice, slice]
"""Rows and columns."""

WORKING_SIDE = 160
"""Longer side of the reduced picture in which the digit is located. A stroke is about 15 pixels wide in it."""

LIGHT_SIDE = 40
"""Longer side of the reduced picture in which the light is measured."""

TINY_SIDE = 20
"""If a side has fewer pixels, uneven light cannot be distinguished from ink."""

MIN_CONTRAST = 4.0
"""Grey values. A difference below this is not ink."""

_NOISE_SIDE = 40
"""Maximum number of pixels along a side from which the background's noise is estimated."""

_REWEIGHTINGS = 3
"""How often the fit of the light is repeated. More do not improve the accuracy."""


@dataclass(frozen=True, slots=True)
class Ink:
    """The ink of a picture, as light ink on dark."""

    pixels: Floats
    """(height, width): each pixel's difference from the paper in grey values, positive for ink."""
    is_dark: bool
    """Whether the ink was darker than its paper."""
    contrast: float | None = None
    """The difference between ink and paper in grey values if the light is even, else None."""
    enlarged: int = 1
    """How many of these pixels are as wide as a pixel of the picture."""


def background_noise(ink: Floats, contrast: float | None) -> tuple[float, float]:
    """Return the background's mean and its noise, which is its standard deviation.

    Both are estimated from the 5th and the 30th percentile, because up to half the picture may be ink. In a normal
    distribution these lie 1.12 standard deviations apart, and the 30th lies 0.52 below the mean. If the contrast is
    known, only pixels that are nearer to the paper count.
    """
    step = -(-max(ink.shape) // _NOISE_SIDE)
    sample = ink[::step, ::step]
    if contrast is not None:
        sample = sample[sample < contrast / 2]
        if not sample.size:  # all pixels of the sample are ink
            return 0.0, 0.0
    ranks = sample.size * 5 // 100, sample.size * 30 // 100
    ordered = np.partition(sample, ranks, axis=None)
    percentile_5, percentile_30 = (float(ordered[rank]) for rank in ranks)
    noise = (percentile_30 - percentile_5) / 1.12
    return percentile_30 + 0.52 * noise, noise


def is_noise(small: Floats) -> bool:
    """Return whether neighbouring pixels are uncorrelated."""
    flat = small - cv2.mean(small)[0]
    pairs = np.vdot(flat[1:], flat[:-1]) + np.vdot(flat[:, 1:], flat[:, :-1])
    # The thinnest drawings have a correlation of 0.18. In a tiny picture, noise may reach that by chance.
    return bool(pairs < (0.2 if min(small.shape) < TINY_SIDE else 0.12) * 2 * np.vdot(flat, flat))


def squared_slopes(ink: Floats) -> Floats:
    """Return the squared slope of each pixel. Ink has sharp edges, and shading does not."""
    down, across = np.zeros_like(ink), np.zeros_like(ink)
    cv2.subtract(ink[1:], ink[:-1], down[:-1])
    cv2.subtract(ink[:, 1:], ink[:, :-1], across[:, :-1])
    steepness: Floats = cv2.accumulateSquare(across, cv2.multiply(down, down))
    return steepness


def is_background_light(small: Floats, lightest: Floats, darkest: Floats) -> bool:
    """Return whether most pixels near ink are nearer to the lightest than to the darkest of their surroundings."""
    contrast = np.maximum(lightest - darkest, 1e-3)
    near_ink = contrast > contrast.max() / 2
    # Each pixel near ink votes: above 0 is light, below 0 is dark.
    votes = ((small - darkest) / contrast - 0.5) * near_ink
    inner = votes[1:-1, 1:-1]
    vote, rim_vote = votes.sum(), votes.sum() - inner.sum()
    # The rim votes again at half weight, because it is mostly background.
    return bool(vote / np.count_nonzero(near_ink) + rim_vote / (votes.size - inner.size) / 2 > 0)


def light_side(small: Floats) -> NDArray[np.uint8]:
    """Return 1 for the pixels above Otsu's threshold (1979), else 0."""
    levels = cv2.normalize(small, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
    light: NDArray[np.uint8] = cv2.threshold(levels, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1]
    return light


def light_trend(small: Floats) -> Floats:
    """Return how the light changes across the picture: a quadratic surface fitted to the rim, mostly background."""
    quadratic = _quadratic(*small.shape)
    level, basis = small.ravel()[quadratic.rim], quadratic.rim_terms
    if level.max() - level.min() < 1:
        return np.zeros_like(small)
    surface: NDArray[Any] = quadratic.least_squares @ level
    deviation = np.abs(level - surface @ basis)
    # Reweighting approximates a least-absolute-deviation fit, which strokes on the rim hardly affect.
    for _ in range(_REWEIGHTINGS):
        if deviation.max() < 1:
            break
        weighted = basis / (deviation + 1)
        # OpenCV solves so few equations in a quarter of NumPy's time.
        surface = cv2.solve(weighted @ basis.T, (weighted @ level)[:, None], flags=cv2.DECOMP_CHOLESKY)[1].ravel()
        deviation = np.abs(level - surface @ basis)
    if cv2.mean(deviation)[0] > 0.1 * (small.max() - small.min()):
        # The fit is poor: the rim contains a digit or a shadow's edge, so there is no smooth trend to remove.
        return np.zeros_like(small)
    trend: Floats = (surface @ quadratic.terms).reshape(small.shape)
    return trend


@dataclass(frozen=True, slots=True)
class _Quadratic:
    """The terms of a quadratic surface over the pixels of a picture."""

    terms: Floats
    """(6, pixels): 1, x, y, x², xy and y², with x and y in [-1, 1]."""
    rim: NDArray[np.int64]
    """The indices of the pixels in the outer four rows and columns."""
    rim_terms: Floats
    """(6, rim pixels)"""
    least_squares: Floats
    """(6, rim pixels): maps the grey values of the rim to the surface that fits them best."""


@lru_cache(maxsize=32)
def _quadratic(height: int, width: int) -> _Quadratic:
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y]).astype(np.float32).reshape(6, -1)
    rim = np.flatnonzero(rim_mask((height, width), 4))
    return _Quadratic(terms, rim, terms[:, rim], np.linalg.pinv(terms[:, rim].T))


@lru_cache(maxsize=64)
def rim_mask(shape: tuple[int, ...], width: int) -> NDArray[np.bool_]:
    """Return which pixels are in the outer `width` rows and columns of a picture."""
    rim = np.ones(shape, dtype=bool)
    rim[width:-width, width:-width] = False
    return rim


def is_ink(ink: Ink, steepness: Floats, kept: NDArray[np.bool_], full_ink: float, noise: float) -> bool:
    """Return whether the located digit is ink, and not noise or uneven light.

    Ink must exceed the noise: 7 times, because textures reach that, or 4 times in even light. Its edges must be steep:
    a slope of 0.1 of full ink per pixel is enough, because enlarged pictures have soft edges. What may be a shadow must
    have a slope of 0.35.

    Args:
        ink: of the picture.
        steepness: its `squared_slopes`.
        kept: (height, width), the pixels of the digit.
        full_ink: the grey value of full ink.
        noise: from `background_noise`.
    """
    if noise > 1:
        steepness = squared_slopes(cv2.GaussianBlur(ink.pixels, (0, 0), 1))
    slopes = steepness[kept]
    percentile_98 = len(slopes) * 98 // 100
    sharpness = float(np.partition(slopes, percentile_98)[percentile_98]) ** 0.5 / full_ink * ink.enlarged
    if full_ink <= (7 if ink.contrast is None else 4) * noise or sharpness <= 0.1:
        return False
    return sharpness > 0.35 or not may_be_shadow(kept, is_even=ink.contrast is not None)


def may_be_shadow(kept: NDArray[np.bool_], *, is_even: bool) -> bool:
    """Return whether the located digit lies in the picture as shadows do.

    In even light, a shadow fills one side of the picture and does not reach the opposite one. In uneven light, anything
    along the edge or across the whole picture may be one.
    """
    edges = kept[0], kept[-1], kept[:, 0], kept[:, -1]
    if is_even:
        top, bottom, left, right = (float(edge.mean()) for edge in edges)
        opposites = (top, bottom), (bottom, top), (left, right), (right, left)
        return any(filled > 0.9 and not opposite for filled, opposite in opposites)
    box = extent(kept)
    across = max((part.stop - part.start) / side for part, side in zip(box, kept.shape, strict=True))
    return across > 0.9 or bool(sum(np.count_nonzero(edge) for edge in edges) > longer_side(box) / 2)


def extent(mask: NDArray[np.bool_]) -> Slices:
    """Return the smallest box that holds all pixels of a mask."""
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    return slice(top, top + height), slice(left, left + width)


def longer_side(box: Slices) -> int:
    """Return the longer side of a box, in pixels."""
    return max(int(part.stop - part.start) for part in box)
