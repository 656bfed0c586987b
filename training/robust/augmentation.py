"""Distorted copies of pictures in MNIST's form, to train on what people draw and MNIST has few of.

All is NumPy on whole chunks: a copy of 54 000 pictures takes a second or two. A copy is a function of its seed alone,
however many threads make it.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from digits.features import SIDE, Floats, Grey
from training.data import Labels
from training.recipes import Distortions
from training.robust.styles import restyle

FINE = 2 * SIDE
"""Rows, and columns, of the enlarged picture from which the distorted one is sampled, so that it is not blurred."""

_Number = TypeVar("_Number", bound=np.generic)

_CHUNK = 100  # pictures; a chunk's arrays fit a processor's second-level cache

_CONTROL = 5  # rows, and columns, of the points whose displacements make the elastic field: smooth over six pixels

_COARSE = (8, 10, 12, 16)  # pixels a side


def distorted(fine: Grey, labels: Labels, distortions: Distortions, seed: Sequence[int]) -> Grey:
    """A copy of each picture, distorted at random.

    Args:
        fine: uint8 (N, 56, 56): pictures in MNIST's form, from `enlarge`.
        labels: (N,); only 1s and 7s are restyled.
        distortions: how far.
        seed: of all that is random.

    Returns:
        uint8 (N, 28, 28).
    """
    copy = np.empty((len(fine), SIDE, SIDE), dtype=np.uint8)

    def fill(start: int) -> None:
        part = slice(start, start + _CHUNK)
        rng = np.random.default_rng([*seed, start])
        copy[part] = _distort(fine[part].copy(), labels[part], distortions, rng)

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(fill, range(0, len(fine), _CHUNK)))
    return copy


def _distort(fine: Grey, labels: Labels, distortions: Distortions, rng: np.random.Generator) -> Grey:
    plain = rng.random(len(fine)) < distortions.plain
    side, untouched = _longer_side(fine), fine[plain]
    upright = restyle(fine, labels, distortions.restyled, rng)
    fine[plain], upright[plain] = untouched, 0
    lot = rng.triangular(-1, 0, 1, len(fine))
    pixels = lot * np.where(lot < 0, distortions.thinner, distortions.thicker)
    pixels[plain] = 0
    redrawn = (rng.random(len(fine)) < distortions.redrawn) & ~plain
    fine[redrawn] = centre_line(fine[redrawn])
    pixels[redrawn] = rng.uniform(0, distortions.pen, redrawn.sum())
    fine = thicken(fine, pixels)
    # What has grown or shrunk is brought back to the box that it had.
    fitting = (side / _longer_side(fine)).clip(0.7, 1.4)
    pictures = _sample(fine, *_source(fine, upright, fitting, plain=plain, distortions=distortions, rng=rng))
    for share, change in (
        (distortions.coarse, _coarsen),
        (distortions.blurred, _blur),
        (distortions.contrast, _stretch_contrast),
    ):
        chosen = np.flatnonzero((rng.random(len(fine)) < share) & ~plain)
        pictures[chosen] = change(pictures[chosen], rng)
    whole: Grey = np.rint(pictures.clip(0, 255)).astype(np.uint8)
    return whole


def enlarge(images: Grey) -> Grey:
    """Twice the size by cubic splines: (N, 28, 28) to (N, 56, 56)."""
    fine = np.empty((len(images), FINE, FINE), dtype=np.uint8)
    for start in range(0, len(images), _CHUNK):
        part = slice(start, start + _CHUNK)
        fine[part] = np.rint(_both_ways(_ENLARGE, images[part].astype(np.float32)).clip(0, 255))
    return fine


def thicken(fine: Grey, pixels: NDArray[np.float64]) -> Grey:
    """Strokes wider by so many pixels of the 28x28 field, (N,); what is negative, down to -1, makes them thinner.

    Grey dilation and erosion with a cross: one pixel of the fine picture on either side is one pixel of the small one.
    """
    changed = fine.copy()
    thinner = pixels < 0
    changed[thinner] = _blend(fine[thinner], _extreme(fine[thinner], np.minimum), -pixels[thinner])
    for step in range(int(np.ceil(pixels.max(initial=0)))):
        wider = pixels > step
        before = changed[wider]
        changed[wider] = _blend(before, _extreme(before, np.maximum), (pixels[wider] - step).clip(0, 1))
    return changed


def centre_line(fine: Grey) -> Grey:
    """Every stroke made thin: where it is nearly as deep as nearby it is deepest."""
    layer, depth = fine, fine.astype(np.float32)
    for _ in range(5):
        layer = _extreme(layer, np.minimum)
        depth += layer
    deepest = depth
    for _ in range(4):
        deepest = _extreme(deepest, np.maximum)
    line: Grey = np.rint(255 * ((depth / deepest.clip(1) - 0.65) / 0.2).clip(0, 1)).astype(np.uint8)
    return np.minimum(line, _extreme(fine, np.maximum))


def _blend(one: Grey, other: Grey, share: NDArray[np.float64]) -> Grey:
    weight = share.astype(np.float32)[:, None, None]
    return np.rint(one + weight * (other.astype(np.float32) - one)).astype(np.uint8)


def _extreme(fine: NDArray[_Number], choose: np.ufunc) -> NDArray[_Number]:
    """Of each pixel and its four neighbours."""
    found = fine.copy()
    for here, there in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[:, :, 1:], np.s_[:, :, :-1])):
        choose(found[here], fine[there], out=found[here])
        choose(found[there], fine[here], out=found[there])
    return found


def _source(
    fine: Grey,
    upright: Floats,
    fitting: Floats,
    *,
    plain: NDArray[np.bool_],
    distortions: Distortions,
    rng: np.random.Generator,
) -> tuple[Floats, Floats]:
    """Where in the fine picture each pixel of the distorted one comes from: x and y, (N, 28, 28) each."""
    n = len(fine)
    # A strength for each picture: most are moderate, and what is like MNIST's test images stays the most frequent.
    strength: Floats = rng.random((n, 1, 1), dtype=np.float32)
    strength[plain] *= distortions.plain_strength

    def lot(largest: float) -> Floats:
        return rng.uniform(-largest, largest, (n, 1, 1)).astype(np.float32)

    def amount(largest: float) -> Floats:
        return strength * lot(largest)

    angle, shear = np.deg2rad(amount(distortions.rotation_degrees)), amount(distortions.shear) + upright[:, None, None]
    both = amount(distortions.scale) + np.log(fitting)[:, None, None]
    scale_x = (
        np.exp(both + amount(distortions.scale / 2)) * _squaring(fine, plain, distortions.squared, rng)[:, None, None]
    )
    scale_y = np.exp(both + amount(distortions.scale / 2))
    # MNIST's images are centred to whole pixels, these to fractions: a part of the shift is no distortion.
    shift_x, shift_y = lot(distortions.shift_pixels), lot(distortions.shift_pixels)

    # The inverse map: from a pixel's place to its source's. First scale and shear, which keep to rows and columns.
    grid = np.arange(SIDE, dtype=np.float32) - SIDE / 2
    x, y = (grid - shift_x) / scale_x, (grid[:, None] - shift_y) / scale_y
    sheared = x + shear * y
    cos, sin = np.cos(angle), np.sin(angle)
    bend = rng.standard_normal((2, n, _CONTROL, _CONTROL), dtype=np.float32)
    bend_x, bend_y = _both_ways(_BEND, bend * strength * distortions.elastic_pixels)
    centre_x, centre_y = _centre_of_mass(fine)
    return centre_x + 2 * (cos * sheared - sin * y + bend_x), centre_y + 2 * (sin * sheared + cos * y + bend_y)


def _centre_of_mass(fine: Grey) -> tuple[Floats, Floats]:
    """Its x and y, (N, 1, 1) each."""
    places = np.arange(FINE, dtype=np.float32)
    columns, rows = fine.sum(axis=1, dtype=np.float32), fine.sum(axis=2, dtype=np.float32)
    mass = rows.sum(axis=1).clip(1)
    return (columns @ places / mass)[:, None, None], (rows @ places / mass)[:, None, None]


def _squaring(fine: Grey, plain: NDArray[np.bool_], share: float, rng: np.random.Generator) -> Floats:
    """Horizontal factors: 1, and for a share of the pictures what brings their box some way toward a square."""
    width, height = _sides(fine)
    full = (height / width).clip(1, 2.5)
    return np.where((rng.random(len(fine)) < share) & ~plain, full ** rng.random(len(fine)), 1.0).astype(np.float32)


def _longer_side(fine: Grey) -> Floats:
    return np.maximum(*_sides(fine)).astype(np.float32)


def _sides(fine: Grey) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Width and height of the ink, (N,) each."""
    return _extent(fine.max(axis=1) > 64), _extent(fine.max(axis=2) > 64)


def _extent(ink: NDArray[np.bool_]) -> NDArray[np.int64]:
    """From the first True to the last of each row, (N, 56) to (N,); at least 1."""
    extent: NDArray[np.int64] = (FINE - ink[:, ::-1].argmax(axis=1) - ink.argmax(axis=1)).clip(1)
    return extent


def _sample(fine: Grey, x: Floats, y: Floats) -> Floats:
    """Bilinear: the values of (N, 56, 56) at fractional places (N, 28, 28); 0 outside."""
    # A frame of two zeros on every side, and places held inside it: what lies outside is then 0 without a question.
    framed = np.pad(fine, ((0, 0), (2, 2), (2, 2)))
    side = FINE + 4
    x, y = ((place + np.float32(2)).clip(0, np.float32(side - 1.01)) for place in (x, y))
    left, top = x.astype(np.intp), y.astype(np.intp)
    right_share, bottom_share = x - left.astype(np.float32), y - top.astype(np.float32)
    first = np.arange(len(fine))[:, None, None] * (side * side) + top * side + left
    flat = framed.ravel()

    def between(first: NDArray[np.intp]) -> Floats:
        one, next_one = flat.take(first).astype(np.float32), flat.take(first + 1).astype(np.float32)
        blended: Floats = one + (next_one - one) * right_share
        return blended

    upper, lower = between(first), between(first + side)
    sampled: Floats = upper + (lower - upper) * bottom_share
    return sampled


def _coarsen(pictures: Floats, rng: np.random.Generator) -> Floats:
    """Down to a few pixels a side, and smoothly up again."""
    chosen = rng.integers(0, len(_COARSE), len(pictures))
    for index, there_and_back in enumerate(_COARSEN):
        part = chosen == index
        pictures[part] = _both_ways(there_and_back, pictures[part])
    # The strokes have lost contrast; a soft threshold gives it back, as normalizing a tiny picture does.
    brightest = pictures.max(axis=(1, 2), keepdims=True).clip(1)
    low, high = _between(0.0, 0.4, pictures, rng), _between(0.6, 1.0, pictures, rng)
    clear: Floats = 255 * ((pictures / brightest - low) / (high - low)).clip(0, 1)
    return clear


def _blur(pictures: Floats, rng: np.random.Generator) -> Floats:
    """By a Gaussian, a part of it blended in."""
    return pictures + _between(0.2, 1.0, pictures, rng) * (_both_ways(_BLUR, pictures) - pictures)


def _stretch_contrast(pictures: Floats, rng: np.random.Generator) -> Floats:
    """Soft thresholds: grey below the first becomes black, above the second white; and a gamma in between."""
    low, high = _between(0.0, 0.2, pictures, rng), _between(0.5, 1.0, pictures, rng)
    stretched: Floats = 255 * ((pictures / 255 - low) / (high - low)).clip(0, 1) ** _between(0.6, 1.5, pictures, rng)
    return stretched


def _between(low: float, high: float, pictures: Floats, rng: np.random.Generator) -> Floats:
    """A number a picture, (N, 1, 1)."""
    return rng.uniform(low, high, (len(pictures), 1, 1)).astype(np.float32)


def _both_ways(matrix: Floats, pictures: Floats) -> Floats:
    """Columns and rows of each picture multiplied by a matrix."""
    return np.asarray(matrix @ pictures @ matrix.T, dtype=np.float32)


def _zoom(rows: int, columns: int, order: int) -> Floats:
    """The matrix (rows, columns) that resizes a column of pixels by splines, whose pixels have an extent."""
    from scipy.ndimage import zoom

    found: Floats = zoom(
        np.eye(columns), (rows / columns, 1), order=order, mode="grid-constant", grid_mode=True, output=np.float32
    )
    return found


def _average(rows: int, columns: int) -> Floats:
    """The matrix (rows, columns) that makes a column of pixels shorter by the mean over each new pixel's extent."""
    edges = np.linspace(0, columns, rows + 1)
    overlap = np.minimum(edges[1:, None], np.arange(1, columns + 1)) - np.maximum(edges[:-1, None], np.arange(columns))
    shares: Floats = (overlap.clip(0) * rows / columns).astype(np.float32)
    return shares


def _gaussian(sigma: float) -> Floats:
    """The matrix (28, 28) that blurs a column of pixels."""
    distance = np.subtract.outer(np.arange(SIDE), np.arange(SIDE))
    kernel = np.exp(-0.5 * (distance / sigma) ** 2)
    weights: Floats = (kernel / kernel[SIDE // 2].sum()).astype(np.float32)
    return weights


_ENLARGE = _zoom(FINE, SIDE, order=3)
_BEND = _zoom(SIDE, _CONTROL, order=3)
_COARSEN = [_zoom(SIDE, side, order=3) @ _average(side, SIDE) for side in _COARSE]
_BLUR = _gaussian(1.0)
