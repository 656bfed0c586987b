"""Draw pictures that make reading numbers costly: combs, spirals, zigzags, checkerboards, rings and dust.

A few hundred bytes of PNG have thousands of marks, or marks that could be cut at thousands of places.
"""

from collections.abc import Callable

import cv2
import numpy as np

from digits.features import Grey

_MARGIN = 5
"""Pixels of paper at each edge."""


def _comb(paper: Grey, gap: int, pen: int) -> None:
    """Draw upright strokes, half of which hang on one bar."""
    height, width = paper.shape
    for index, x in enumerate(range(_MARGIN, width - _MARGIN, gap)):
        top = _MARGIN if index % 2 else _MARGIN + 2 * gap
        cv2.line(paper, (x, top), (x, height - _MARGIN), 0, pen)
    cv2.line(paper, (_MARGIN, _MARGIN), (width - _MARGIN, _MARGIN), 0, pen)


def _spiral(paper: Grey, gap: int, pen: int) -> None:
    """Draw one line around the middle of the picture."""
    height, width = paper.shape
    angles = np.arange(0, np.pi * min(height, width) / gap, 0.05)
    radii = np.array([width, height]) / min(height, width) * (angles * gap / (2 * np.pi))[:, None]
    points = np.array([width, height]) / 2 + np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii
    cv2.polylines(paper, [np.rint(points).astype(np.int32)], False, 0, pen)


def _zigzag(paper: Grey, gap: int, pen: int) -> None:
    """Draw lines that go up and down, each below the other."""
    height, width = paper.shape
    x = np.arange(_MARGIN, width - _MARGIN)
    swing = max(2, int(0.4 * gap))
    for y in range(_MARGIN, height - _MARGIN, gap):
        points = np.stack([x, y + np.abs(x % (2 * swing) - swing)], axis=1)
        cv2.polylines(paper, [points.astype(np.int32)], False, 0, pen)


def _checkerboard(paper: Grey, gap: int, pen: int) -> None:
    """Draw squares that do not touch, or touch at their corners if the pen is wide."""
    height, width = paper.shape
    for row, y in enumerate(range(_MARGIN, height - gap, gap)):
        for x in range(_MARGIN + gap * (row % 2), width - gap, 2 * gap):
            cv2.rectangle(paper, (x, y), (x + gap - 5 + pen, y + gap - 5 + pen), 0, -1)


def _rings(paper: Grey, gap: int, pen: int) -> None:
    """Draw a chain of rings that cross, in each line."""
    height, width = paper.shape
    for y in range(_MARGIN + gap, height - gap, 3 * gap):
        for x in range(_MARGIN + gap, width - gap, max(2, int(1.6 * gap))):
            cv2.circle(paper, (x, y), gap, 0, pen)


def _dust(paper: Grey, gap: int, pen: int) -> None:
    """Draw marks at random places."""
    rng = np.random.default_rng(gap)
    for x, y in rng.integers(_MARGIN, np.array(paper.shape[::-1]) - _MARGIN, (paper.size // gap**2, 2)).tolist():
        cv2.line(paper, (x, y), (x + gap // 3, y + gap // 2), 0, pen)


KINDS: dict[str, Callable[[Grey, int, int], None]] = {
    draw.__name__[1:]: draw for draw in (_comb, _spiral, _zigzag, _checkerboard, _rings, _dust)
}
"""By name: each draws on white paper, with this gap and this width of the pen in pixels."""


def hostile(kind: str, width: int, height: int, gap: int, pen: int, *, light_ink: bool = False) -> Grey:
    """Return a picture, uint8 (height, width), of one of KINDS."""
    paper = np.full((height, width), 255, dtype=np.uint8)
    KINDS[kind](paper, gap, pen)
    return 255 - paper if light_ink else paper


def png(picture: Grey) -> bytes:
    """Return a picture as PNG of one bit for each pixel."""
    options = [cv2.IMWRITE_PNG_COMPRESSION, 9, cv2.IMWRITE_PNG_BILEVEL, 1]
    return cv2.imencode(".png", picture, options)[1].tobytes()
