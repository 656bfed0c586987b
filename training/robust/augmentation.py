"""Make distorted copies of pictures in MNIST's form, to train on handwriting that is rare in MNIST.

NumPy and OpenCV work on chunks of pictures in several threads, so that a copy of 50 000 pictures takes about six
seconds on two cores. The seed alone determines the copy, not the number of threads.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import zoom

from digits.features import SIDE, Floats, Grey
from training.data.images import Labels
from training.network.recipes import Distortions
from training.progress import track
from training.robust.restyling import restyle
from training.robust.scanning import scan
from training.robust.styles import STYLED, drawings

Crops = Mapping[int, Grey]
"""Digits that the finder has cut out of scenes, by label: uint8 (N, 28, 28) each."""

FINE = 2 * SIDE
"""Side of the enlarged pictures in pixels. Sampling from them keeps the distorted pictures sharp."""

_Number = TypeVar("_Number", bound=np.generic)

_CHUNK = 100  # pictures per chunk, so that its arrays fit into the second-level cache

_CONTROL = 5  # the elastic field has 5x5 control points, so that it is smooth over six pixels

_COARSE = (8, 10, 12, 16)  # possible sides in pixels

_NARROWEST = 0.5  # smallest width of a narrowed picture, as a share of the width before


def distort(
    fine: Grey, labels: Labels, distortions: Distortions, seed: Sequence[int], crops: Crops | None = None
) -> Grey:
    """Return a randomly distorted copy of each picture, uint8 (N, 28, 28).

    `fine` are pictures in MNIST's form from `enlarge`, uint8 (N, 56, 56). Their labels, uint8 (N,), determine the
    styles in which a picture may be drawn, and the crops that may replace it. Without crops, no picture is replaced.
    """
    copy = np.empty((len(fine), SIDE, SIDE), dtype=np.uint8)
    for label in STYLED if distortions.drawn else ():  # before the threads, so that they do not all make the drawings
        drawings(label)

    def fill(start: int) -> None:
        part = slice(start, start + _CHUNK)
        rng = np.random.default_rng([*seed, start])
        copy[part] = _distort_chunk(fine[part].copy(), labels[part], distortions, crops or {}, rng)

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        starts = range(0, len(fine), _CHUNK)
        list(track(threads.map(fill, starts), "distorting digits", len(starts)))
    return copy


def _distort_chunk(
    fine: Grey, labels: Labels, distortions: Distortions, crops: Crops, rng: np.random.Generator
) -> Grey:
    plain = rng.random(len(fine)) < distortions.plain
    drawn = (rng.random(len(fine)) < distortions.drawn) & ~plain & np.isin(labels, STYLED)
    fine[drawn] = enlarge(_choose(drawings, labels[drawn], rng))
    side, untouched = _longer_ink_side(fine), fine[plain]
    upright_shear = restyle(fine, labels, np.where(drawn, 0, distortions.restyled), rng)
    fine[plain], upright_shear[plain] = untouched, 0
    draw = rng.triangular(-1, 0, 1, len(fine))
    width_change = draw * np.where(draw < 0, distortions.thinner, distortions.thicker)
    width_change[plain | drawn] = 0  # drawings have a pen of random width already
    redrawn = (rng.random(len(fine)) < distortions.redrawn) & ~plain & ~drawn
    fine[redrawn] = centre_line(fine[redrawn])
    width_change[redrawn] = rng.uniform(0, distortions.pen, redrawn.sum())
    fine = thicken(fine, width_change)
    # Thicker or thinner strokes change the bounding box. This factor restores it.
    fitting_scale = (side / _longer_ink_side(fine)).clip(0.7, 1.4)
    x, y = _source_positions(fine, upright_shear, fitting_scale, plain=plain, distortions=distortions, rng=rng)
    pictures = _sample(fine, x, y)
    for share, change in (
        (distortions.coarse, _coarsen),
        (distortions.blurred, _blur),
        (distortions.contrast, _stretch_contrast),
        (distortions.scanned, scan),
    ):
        chosen = np.flatnonzero((rng.random(len(fine)) < share) & ~plain)
        pictures[chosen] = change(pictures[chosen], rng)
    copies: Grey = np.rint(pictures.clip(0, 255)).astype(np.uint8)
    found = (rng.random(len(fine)) < distortions.found) & ~plain & np.isin(labels, list(crops))
    copies[found] = _choose(crops.__getitem__, labels[found], rng)
    return copies


def _choose(pictures_of: Callable[[int], Grey], labels: Labels, rng: np.random.Generator) -> Grey:
    """Return one of the pictures of each label, uint8 (N, 28, 28)."""
    pictures = np.empty((len(labels), SIDE, SIDE), dtype=np.uint8)
    for label in np.unique(labels).tolist():
        places = np.flatnonzero(labels == label)
        pictures[places] = rng.choice(pictures_of(label), len(places))
    return pictures


def enlarge(images: Grey) -> Grey:
    """Double the size with cubic splines, uint8 (N, 28, 28) to (N, 56, 56)."""
    fine = np.empty((len(images), FINE, FINE), dtype=np.uint8)
    for start in range(0, len(images), _CHUNK):
        part = slice(start, start + _CHUNK)
        fine[part] = np.rint(_multiply_both_sides(_ENLARGE, images[part].astype(np.float32)).clip(0, 255))
    return fine


def thicken(fine: Grey, pixels: NDArray[np.float64]) -> Grey:
    """Make strokes wider by grey dilation with a cross, or thinner by grey erosion.

    `pixels`, (N,), are the change in width in pixels of the 28x28 picture, at least -1.
    """
    changed = fine.copy()
    thinner = pixels < 0
    changed[thinner] = _blend(fine[thinner], _extreme_of_neighbours(fine[thinner], np.minimum), -pixels[thinner])
    for step in range(int(np.ceil(pixels.max(initial=0)))):
        wider = pixels > step
        before = changed[wider]
        changed[wider] = _blend(before, _extreme_of_neighbours(before, np.maximum), (pixels[wider] - step).clip(0, 1))
    return changed


def centre_line(fine: Grey) -> Grey:
    """Reduce every stroke to its centre line: the pixels that are nearly as deep inside as the deepest one nearby."""
    layer, depth = fine, fine.astype(np.float32)
    for _ in range(5):
        layer = _extreme_of_neighbours(layer, np.minimum)
        depth += layer
    deepest = depth
    for _ in range(4):
        deepest = _extreme_of_neighbours(deepest, np.maximum)
    line: Grey = np.rint(255 * ((depth / deepest.clip(1) - 0.65) / 0.2).clip(0, 1)).astype(np.uint8)
    return np.minimum(line, _extreme_of_neighbours(fine, np.maximum))


def _blend(one: Grey, other: Grey, share: NDArray[np.float64]) -> Grey:
    weight = share.astype(np.float32)[:, None, None]
    return np.rint(one + weight * (other.astype(np.float32) - one)).astype(np.uint8)


def _extreme_of_neighbours(fine: NDArray[_Number], choose: np.ufunc) -> NDArray[_Number]:
    """Return the minimum or maximum (`choose`) of each pixel and its four neighbours."""
    extreme = fine.copy()
    for here, there in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[:, :, 1:], np.s_[:, :, :-1])):
        choose(extreme[here], fine[there], out=extreme[here])
        choose(extreme[there], fine[here], out=extreme[there])
    return extreme


def _source_positions(
    fine: Grey,
    upright_shear: Floats,
    fitting_scale: Floats,
    *,
    plain: NDArray[np.bool_],
    distortions: Distortions,
    rng: np.random.Generator,
) -> tuple[Floats, Floats]:
    """Return the position in the fine picture that each pixel is sampled from: x and y, (N, 28, 28) each."""
    n = len(fine)
    # Each picture has its own strength, so that pictures like MNIST's test images stay the most frequent.
    strength: Floats = rng.random((n, 1, 1), dtype=np.float32)
    strength[plain] *= distortions.plain_strength

    def uniform(largest: float) -> Floats:
        return rng.uniform(-largest, largest, (n, 1, 1)).astype(np.float32)

    def amount(largest: float) -> Floats:
        return strength * uniform(largest)

    angle = np.deg2rad(amount(distortions.rotation_degrees))
    shear = amount(distortions.shear) + upright_shear[:, None, None]
    log_scale = amount(distortions.scale) + np.log(fitting_scale)[:, None, None]
    scale_x = np.exp(log_scale + amount(distortions.scale / 2))
    scale_x = scale_x * _width_factors(fine, plain, distortions, rng)[:, None, None]
    scale_y = np.exp(log_scale + amount(distortions.scale / 2))
    # MNIST's images are centred to whole pixels, these pictures to fractions of a pixel. The shift also imitates that
    # rounding.
    shift_x, shift_y = uniform(distortions.shift_pixels), uniform(distortions.shift_pixels)

    # This is the inverse map, from a pixel to its source: first scale and shear, then rotate and bend.
    grid = np.arange(SIDE, dtype=np.float32) - SIDE / 2
    x, y = (grid - shift_x) / scale_x, (grid[:, None] - shift_y) / scale_y
    sheared = x + shear * y
    cos, sin = np.cos(angle), np.sin(angle)
    bend = rng.standard_normal((2, n, _CONTROL, _CONTROL), dtype=np.float32)
    bend_x, bend_y = _multiply_both_sides(_BEND, bend * strength * distortions.elastic_pixels)
    centre_x, centre_y = _centre_of_mass(fine)
    return centre_x + 2 * (cos * sheared - sin * y + bend_x), centre_y + 2 * (sin * sheared + cos * y + bend_y)


def _centre_of_mass(fine: Grey) -> tuple[Floats, Floats]:
    """Return x and y of the centre of mass, (N, 1, 1) each."""
    places = np.arange(FINE, dtype=np.float32)
    columns, rows = fine.sum(axis=1, dtype=np.float32), fine.sum(axis=2, dtype=np.float32)
    mass = rows.sum(axis=1).clip(1)
    return (columns @ places / mass)[:, None, None], (rows @ places / mass)[:, None, None]


def _width_factors(fine: Grey, plain: NDArray[np.bool_], distortions: Distortions, rng: np.random.Generator) -> Floats:
    """Return horizontal factors, (N,), that stretch some pictures towards a square and narrow others."""
    width, height = _ink_sides(fine)
    full = (height / width).clip(1, 2.5)
    draw, strength = rng.random((2, len(fine)))
    squared = draw < distortions.squared
    narrowed = ~squared & (draw < distortions.squared + distortions.narrowed)
    factors = np.where(squared, full**strength, np.where(narrowed, _NARROWEST**strength, 1.0))
    return np.where(plain, 1.0, factors).astype(np.float32)


def _longer_ink_side(fine: Grey) -> Floats:
    return np.maximum(*_ink_sides(fine)).astype(np.float32)


def _ink_sides(fine: Grey) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return width and height of the ink in fine pixels, (N,) each."""
    return _extent(fine.max(axis=1) > 64), _extent(fine.max(axis=2) > 64)


def _extent(ink: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the distance from the first to the last True of each row, (N, 56) to (N,), at least 1."""
    extent: NDArray[np.int64] = (FINE - ink[:, ::-1].argmax(axis=1) - ink.argmax(axis=1)).clip(1)
    return extent


def _sample(fine: Grey, x: Floats, y: Floats) -> Floats:
    """Interpolate pictures (N, 56, 56) bilinearly at fractional positions (N, 28, 28). The value outside is 0."""
    # With a frame of two zeros on each side, clipped positions outside the picture read 0 without a branch.
    framed = np.pad(fine, ((0, 0), (2, 2), (2, 2)))
    side = FINE + 4
    x, y = ((position + np.float32(2)).clip(0, np.float32(side - 1.01)) for position in (x, y))
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
    """Reduce pictures to a few pixels and enlarge them smoothly again."""
    chosen = rng.integers(0, len(_COARSE), len(pictures))
    for index, reduce_and_enlarge in enumerate(_COARSEN):
        part = chosen == index
        pictures[part] = _multiply_both_sides(reduce_and_enlarge, pictures[part])
    # Resizing reduces the contrast. A soft threshold restores it, as the normalization of a tiny picture does.
    brightest = pictures.max(axis=(1, 2), keepdims=True).clip(1)
    low, high = _between(0.0, 0.4, pictures, rng), _between(0.6, 1.0, pictures, rng)
    clear: Floats = 255 * ((pictures / brightest - low) / (high - low)).clip(0, 1)
    return clear


def _blur(pictures: Floats, rng: np.random.Generator) -> Floats:
    """Mix each picture with its blurred form, in random proportions."""
    return pictures + _between(0.2, 1.0, pictures, rng) * (_multiply_both_sides(_BLUR, pictures) - pictures)


def _stretch_contrast(pictures: Floats, rng: np.random.Generator) -> Floats:
    """Make grey below a low threshold black and grey above a high one white, with a gamma in between."""
    low, high = _between(0.0, 0.2, pictures, rng), _between(0.5, 1.0, pictures, rng)
    stretched: Floats = 255 * ((pictures / 255 - low) / (high - low)).clip(0, 1) ** _between(0.6, 1.5, pictures, rng)
    return stretched


def _between(low: float, high: float, pictures: Floats, rng: np.random.Generator) -> Floats:
    """Return a random number for each picture, (N, 1, 1)."""
    return rng.uniform(low, high, (len(pictures), 1, 1)).astype(np.float32)


def _multiply_both_sides(matrix: Floats, pictures: Floats) -> Floats:
    """Multiply the columns and the rows of each picture by a matrix, which resizes or blurs in both directions."""
    return np.asarray(matrix @ pictures @ matrix.T, dtype=np.float32)


def _zoom(rows: int, columns: int, order: int) -> Floats:
    """Return the matrix (rows, columns) that resizes a column of pixels with splines."""
    matrix: Floats = zoom(
        np.eye(columns), (rows / columns, 1), order=order, mode="grid-constant", grid_mode=True, output=np.float32
    )
    return matrix


def _average(rows: int, columns: int) -> Floats:
    """Return the matrix (rows, columns) that shortens a column of pixels by averaging."""
    edges = np.linspace(0, columns, rows + 1)
    overlap = np.minimum(edges[1:, None], np.arange(1, columns + 1)) - np.maximum(edges[:-1, None], np.arange(columns))
    shares: Floats = (overlap.clip(0) * rows / columns).astype(np.float32)
    return shares


def _gaussian(sigma: float) -> Floats:
    """Return the matrix (28, 28) that blurs a column of pixels."""
    distance = np.subtract.outer(np.arange(SIDE), np.arange(SIDE))
    kernel = np.exp(-0.5 * (distance / sigma) ** 2)
    weights: Floats = (kernel / kernel[SIDE // 2].sum()).astype(np.float32)
    return weights


_ENLARGE = _zoom(FINE, SIDE, order=3)
_BEND = _zoom(SIDE, _CONTROL, order=3)
_COARSEN = [_zoom(SIDE, side, order=3) @ _average(side, SIDE) for side in _COARSE]
_BLUR = _gaussian(1.0)
