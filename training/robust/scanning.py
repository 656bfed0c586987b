"""Scan pictures coarsely, as small bitmaps and faint small scans, and bring them to MNIST form as the service does."""

import cv2
import numpy as np

from digits.errors import NoInk
from digits.features import Floats, Grey
from digits.normalization.normalize import normalize
from digits.normalization.parts import extent

_FINE = 4
"""Factor by which a picture is enlarged before it is scanned. A stroke is then about ten pixels wide."""

_MARGIN = 5
"""Pixels of paper around a scanned digit, so that normalization seldom mistakes the paper for ink."""


def scan(pictures: Floats, rng: np.random.Generator) -> Floats:
    """Scan each picture, float32 (N, 28, 28) in 0 to 255, with a resolution between 12 and 32 pixels.

    Half of the scans are bitmaps of two levels. The others are grey, with a pen whose pressure varies, and noise. If
    normalization finds no ink in a scan, or mistakes the paper for it, the picture is returned unchanged.
    """
    scanned = pictures.copy()
    for index, picture in enumerate(pictures):
        page = _bitmap(picture, rng) if rng.random() < 0.5 else _faint_scan(picture, rng)
        try:
            normalized = normalize(page, mode="always")
        except NoInk:
            continue
        if "inverted" not in normalized.steps:
            scanned[index] = normalized.pixels
    return scanned


def _bitmap(picture: Floats, rng: np.random.Generator) -> Grey:
    """Make a bitmap whose edges cut up to half of a stroke, sometimes stretched to a square, sometimes of bold ink."""
    ink = _cut_out(picture, grow=int(rng.integers(1, 6)) if rng.random() < 0.25 else 0)
    inset = int(rng.integers(0, 6)) if rng.random() < 0.5 else 0
    ink = ink[inset : len(ink) - inset, inset : ink.shape[1] - inset] if min(ink.shape) > 4 * inset else ink
    height, width = _resolution(ink, rng)
    if 0.6 * height < width < height and rng.random() < 0.3:
        width = height
    grey = cv2.resize(ink, (width, height), interpolation=cv2.INTER_AREA)
    return np.pad(255 * (grey > 255 * rng.uniform(0.35, 0.6)).astype(np.uint8), _MARGIN)


def _faint_scan(picture: Floats, rng: np.random.Generator) -> Grey:
    """Make a grey scan in which the pen's pressure varies along the strokes."""
    ink = _cut_out(picture, grow=0)
    height, width = _resolution(ink, rng)
    grey = cv2.resize(ink, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    lightest = rng.uniform(0.3, 1)
    pressure = rng.uniform(lightest, 1, (4, 4)).astype(np.float32)
    grey *= cv2.resize(pressure, (width, height), interpolation=cv2.INTER_LINEAR) * np.float32(rng.uniform(0.3, 1))
    page = np.pad(grey, _MARGIN)
    page += rng.normal(0, rng.uniform(0, 4), page.shape)
    scan: Grey = np.rint(page.clip(0, 255)).astype(np.uint8)
    return scan


def _cut_out(picture: Floats, *, grow: int) -> Grey:
    """Enlarge a picture, make its ink sharp and `grow` pixels wider on all sides, and cut it out, 0 or 255."""
    size = [_FINE * side for side in picture.shape]
    fine = cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)
    ink = (fine >= fine.max() / 2).view(np.uint8)
    if grow:
        ink = cv2.dilate(np.pad(ink, grow), np.ones((2 * grow + 1, 2 * grow + 1)))
    cut: Grey = 255 * ink[extent(ink.view(bool))]
    return cut


def _resolution(ink: Grey, rng: np.random.Generator) -> tuple[int, int]:
    """Return the height and width in pixels of a scan whose longer side is random."""
    scale = rng.uniform(12, 32) / max(ink.shape)
    height, width = (max(2, round(scale * side)) for side in ink.shape)
    return height, width
