"""The finder's network: from two contrasts of each pixel to centres, sizes, classes and ink.

`training/finder/` trains it on scenes that it makes. The version that comes with the code is loaded on first use and
shared by all threads.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

import cv2
import numpy as np

from digits.errors import ArtifactError, DamagedArtifact, GoldenMismatch
from digits.features import Floats, Grey
from digits.model.artifact import GOLDEN, MODEL, SHIPPED, Tensor, read_version, versions
from digits.model.onnx_runtime import Session, UnusableGraph
from digits.normalization.ink_map import CONTRASTS_INPUT, contrasts

NAME = "finder"

CLASSES = (*"0123456789", "point", "comma", "colon", "dash", "slash", "other")
"""What can be at a centre: a digit, a separator, or another sign."""

OUTPUTS = tuple(
    Tensor(name=name, dtype="float32", shape=(-1, channels, -1, -1))
    for name, channels in {"heat": 2, "votes": 2, "sizes": 2, "classes": len(CLASSES), "ink": 2}.items()
)

GOLDEN_TOLERANCE = 1.0
"""Maximum difference between a golden map and the computed one, both in 0 to 255. Golden maps are whole numbers."""

_MULTIPLE = 16
"""Height and width of what the network sees are multiples of this."""


@dataclass(frozen=True, slots=True)
class Maps:
    """What the network says about a grey picture, (height, width). Channels come first."""

    heat: Floats
    """float32 (2, height / 2, width / 2) in [0, 1]. Its maxima are the centres of digits, and of marks."""
    votes: Floats
    """float32 (2, height / 2, width / 2): the way from each inked pixel to its centre, in x and y, in half pixels."""
    sizes: Floats
    """float32 (2, height / 4, width / 4): the logarithms of width and height in pixels, near centres."""
    classes: Floats
    """float32 (CLASSES, height / 4, width / 4): probabilities, near centres."""
    ink: Floats
    """float32 (2, height, width) in [0, 1]: whether a pixel is a digit's ink, and whether it is any ink of the pen."""


class FinderNetwork:
    """A loaded and checked version of the finder. It is thread-safe."""

    def __init__(self, model: bytes, golden: bytes) -> None:
        """Load an ONNX graph and run the self-test.

        Raises:
            DamagedArtifact: the graph cannot be loaded or has another signature, or the golden maps cannot be read.
            GoldenMismatch: the graph does not reproduce the golden maps within GOLDEN_TOLERANCE.
        """
        try:
            self._session = Session(model)
        except UnusableGraph as exc:
            raise DamagedArtifact(f"{MODEL}: {exc}") from exc
        expected = [f"{each.name} tensor(float) {list(each.shape)}" for each in (CONTRASTS_INPUT, *OUTPUTS)]
        if (received := [*self._session.inputs, *self._session.outputs]) != expected:
            raise DamagedArtifact(f"{MODEL}: expected {expected}, received {received}")
        try:
            scenes = [
                (np.array(each["grey"], np.uint8), np.array(each["heat"]), np.array(each["ink"]))
                for each in json.loads(golden)["scenes"]
            ]
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as exc:
            raise DamagedArtifact(f"{GOLDEN}: {exc}") from exc
        for grey, heat, ink in scenes:
            maps = self.maps(grey)
            difference = max(float(np.abs(255 * maps.heat - heat).max()), float(np.abs(255 * maps.ink - ink).max()))
            if not difference <= GOLDEN_TOLERANCE:  # so that NaN fails
                raise GoldenMismatch(
                    f"expected golden maps within {GOLDEN_TOLERANCE} of 255 grey values, received {difference:.3g}"
                )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load a published version. Raises DamagedArtifact and GoldenMismatch. The message names the folder."""
        _, files = read_version(folder)
        try:
            return cls(files[MODEL], files[GOLDEN])
        except ArtifactError as exc:
            raise type(exc)(f"{folder}: {exc}") from exc

    def maps(self, grey: Grey) -> Maps:
        """Return what the network says about a picture, uint8 (height, width). 0 is black."""
        height, width = grey.shape
        seen = cv2.copyMakeBorder(contrasts(grey), 0, -height % _MULTIPLE, 0, -width % _MULTIPLE, cv2.BORDER_REPLICATE)
        outputs = self._session.run([each.name for each in OUTPUTS], {CONTRASTS_INPUT.name: seen[None]})
        heat, votes, sizes, classes, ink = (each[0] for each in outputs)
        return Maps(heat, votes, sizes, classes, ink[:, :height, :width])


@cache
def shipped() -> FinderNetwork:
    """Return the highest version that comes with the code, loaded once. Raises DamagedArtifact if there is none."""
    known = versions(SHIPPED, NAME)
    if not known:
        raise DamagedArtifact(f"{SHIPPED / NAME}: expected a version of the finder, found none")
    return FinderNetwork.load(SHIPPED / NAME / str(known[0]))
