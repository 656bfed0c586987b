"""Cut digits out of scenes as the service does, with the remains of neighbours, lines and rings that the finder leaves.

Processes make and read the scenes. The seed alone determines the crops, not the number of processes.
"""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray

from digits.features import Grey
from digits.finder.find import found_on
from digits.finder.network import FinderNetwork, shipped
from training.data.images import Crops, Labels
from training.finder import glyphs
from training.finder.layout import Writer
from training.finder.scenes import make_scene
from training.progress import track

_AT_ONCE = 100
"""Number of crops that a process makes at once."""

_PER_IMAGE, _PER_DRAWING, _PER_STRANGER = 12, 1300, 20
"""Number of crops per training image that provides strokes, per drawing of each style, and per letter or sign."""

_MOST_PROCESSES = 4
"""Each needs 400 MB for 40 000 crops."""

_SCENES = 2000
"""No copy that a network is trained with has this number, so that none of them has the same random numbers."""

_LEAST_OVERLAP = 0.5
"""Of the boxes of a digit and of its crop: intersection over union."""

_SURE = 0.25
"""Of a crop, at least: the finder's heat times its probability of the label. Less sure crops are often illegible."""

Corners = tuple[float, float, float, float]
"""Left, top, right and bottom."""


def cut_digits(
    count: int, images: Grey, labels: Labels, seed: int, *, load: Callable[[], FinderNetwork] = shipped
) -> Crops:
    """Return digits that the finder cut out of scenes.

    The strokes in the scenes come from these images, from drawn styles, and from letters and signs. `load` returns the
    finder in each process.
    """
    step = max(1, len(images) * _PER_IMAGE // count)
    pieces = glyphs.of_writer(
        images[::step],
        labels[::step],
        per_style=max(1, count // _PER_DRAWING),
        other=max(4, count // _PER_STRANGER),
        seed=seed,
    )
    starts = range(0, count, _AT_ONCE)
    counts = [min(_AT_ONCE, count - start) for start in starts]
    seeds = [[seed, _SCENES, start] for start in starts]
    context = multiprocessing.get_context("spawn")
    count_processes = min(os.cpu_count() or 1, _MOST_PROCESSES)
    with ProcessPoolExecutor(count_processes, context, _Cutter.begin, (pieces, load)) as processes:
        cut = processes.map(_Cutter.cut, counts, seeds)
        parts = list(track(cut, "cutting digits out of scenes", len(starts)))
    pixels, names = (np.concatenate(each) for each in zip(*parts, strict=True))
    return pixels, names


class _Cutter:
    """Cuts digits out of scenes in a process of its own."""

    writer: Writer
    finder: FinderNetwork

    @classmethod
    def begin(cls, pieces: glyphs.Kinds, load: Callable[[], FinderNetwork]) -> None:
        """Prepare this process."""
        cv2.setNumThreads(1)
        cls.writer, cls.finder = Writer(pieces), load()

    @classmethod
    def cut(cls, count: int, seed: list[int]) -> Crops:
        """Return this number of crops of new scenes, and their labels."""
        rng = np.random.default_rng(seed)
        crops, labels = list[Grey](), list[int]()
        while len(crops) < count:
            scene = make_scene(cls.writer, rng)
            boxes = [box for box in scene.boxes if box.is_whole and 0 <= box.label <= 9]
            if len(boxes) < 2:  # a digit alone has few remains beside it
                continue
            found = found_on(cls.finder, scene.grey).digits
            corners = [(box.left, box.top, box.right, box.bottom) for box in boxes]
            for crop, box in match([each.box.corners for each in found], corners):
                digit, label = found[crop], boxes[box].label
                if digit.heat * digit.classes[label] >= _SURE:
                    crops.append(digit.pixels)
                    labels.append(label)
        return np.stack(crops[:count]), np.array(labels[:count], dtype=np.uint8)


def match(crops: Sequence[Corners], boxes: Sequence[Corners]) -> list[tuple[int, int]]:
    """Return the indices of each crop and box that overlap enough, and overlap no other box and crop more."""
    if not crops or not boxes:
        return []
    one, other = np.array(crops)[:, None], np.array(boxes)[None]
    both = _area(np.concatenate([np.maximum(one, other)[..., :2], np.minimum(one, other)[..., 2:]], axis=-1))
    overlap = both / (_area(one) + _area(other) - both)
    nearest, best = overlap.argmax(axis=1), overlap.argmax(axis=0)
    return [
        (crop, box)
        for crop, box in enumerate(nearest.tolist())
        if best[box] == crop and overlap[crop, box] >= _LEAST_OVERLAP
    ]


def _area(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the areas of boxes, (..., 4) to (...). They are 0 if the left is right of the right one."""
    areas: NDArray[np.float64] = (corners[..., 2:] - corners[..., :2]).clip(0).prod(axis=-1)
    return areas
