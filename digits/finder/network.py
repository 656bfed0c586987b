"""The finder's network: from two contrasts of each pixel to centres, sizes, classes and ink.

`training/finder/` trains it on scenes that it makes. The version that comes with the code is loaded on first use and
shared by all threads.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

import cv2
import numpy as np

from digits.errors import ArtifactError, DamagedArtifact, GoldenMismatch
from digits.features import Floats, Grey
from digits.model import classes
from digits.model.artifact import GOLDEN, MODEL, SHIPPED, Manifest, Tensor, read_version, versions
from digits.model.onnx_runtime import Session, UnusableGraph

NAME = "finder"

CLASSES = (*classes.DIGITS, "point", "comma", "colon", "dash", "slash", "other")
"""What can be at a centre: a digit, a separator, or another sign."""

DIGITS = len(classes.DIGITS)
"""Number of the CLASSES that are digits."""

CONTRASTS_INPUT = Tensor(name="contrasts", dtype="float32", shape=(-1, -1, -1, 2))

ONLY_INK = "only_ink"
"""An optional input. If it is true, all outputs but the ink are empty, which takes three quarters of the time."""

OUTPUTS = tuple(
    Tensor(name=name, dtype="float32", shape=(-1, channels, -1, -1))
    for name, channels in {"heat": 2, "votes": 2, "sizes": 2, "classes": len(CLASSES), "ink": 2}.items()
)

GOLDEN_TOLERANCE = 1.0
"""Maximum difference between a golden map and the computed one, both in 0 to 255. Golden maps are whole numbers."""

MULTIPLE = 16
"""Height and width of what the network sees are multiples of this."""

_NEAR, _FAR = 17, 129
"""Sides in pixels of the surroundings that a pixel is compared with. Both are odd."""


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


def written(ink: Floats, share: float) -> Floats:
    """Return where the ink is that is read, float32 (height, width): `share` of digits' ink, and the rest of any.

    A 1 that may be a slash is clearly ink of the pen, and less clearly a digit's. `ink` is as in `Maps`.
    """
    of_digits, of_pen = ink
    mixed: Floats = share * of_digits + (1 - share) * of_pen
    return mixed


@dataclass(frozen=True, slots=True)
class Decoding:
    """How to decode the maps. `training.finder.decoding` fits these values, and they stand in the manifest."""

    least_heat: float = 0.38
    """A digit's centre has at least this heat."""
    doubtful_heat: float = 0.2
    """Between this and `least_heat`, something may be a digit that is not read."""
    mark_heat: float = 0.3
    """A mark's centre has at least this heat."""
    mark_weight: float = 0.6
    """Where a digit and a mark compete, the mark's probability is multiplied by this. The larger one wins."""
    rival: float = 0.4
    """A mark that has lost to a digit remains if it is at least this many times as probable as the digit. One that has
    won is no separator if the digit is at least this many times as probable as the mark."""
    certain_heat: float = 0.6
    """A centre with at least this heat is a digit, whatever it looks like."""
    heat_weight: float = 1.5
    most_strange: float = 0.5
    """Another centre is no digit if its novelty, less `heat_weight` times its heat, is above `most_strange`."""
    most_novelty: float = 0.8
    """The highest novelty of a digit among others. Each digit is one more chance for a letter to look like one."""
    most_mark: float = 0.2
    """The highest probability that any digit of a picture is a mark. Digits that would exceed it are not accepted."""
    share: float = 0.3
    """Weight of the finder's opinion of a digit's class. The classifier's has the rest."""
    digits_ink: float = 0.4
    """Weight of the ink of digits in the ink that is read. Any ink of the pen has the rest."""


class FinderNetwork:
    """A loaded and checked version of the finder. It is thread-safe."""

    def __init__(self, model: bytes, golden: bytes, decoding: Decoding = Decoding()) -> None:
        """Load an ONNX graph and run the self-test.

        Raises:
            DamagedArtifact: the graph cannot be loaded or has another signature, or the golden maps cannot be read.
            GoldenMismatch: the graph does not reproduce the golden maps within GOLDEN_TOLERANCE.
        """
        self.decoding = decoding
        try:
            self._session = Session(model)
        except UnusableGraph as exc:
            raise DamagedArtifact(f"{MODEL}: {exc}") from exc
        expected = [f"{each.name} tensor(float) {list(each.shape)}" for each in (CONTRASTS_INPUT, *OUTPUTS)]
        expected.append(f"{ONLY_INK} tensor(bool) []")
        received = [*self._session.inputs, *self._session.outputs, *self._session.optional_inputs]
        if received != expected:
            raise DamagedArtifact(f"{MODEL}: expected {expected}, received {received}")
        try:
            scenes = [
                [np.array(each["grey"], np.uint8), np.array(each["heat"]), np.array(each["ink"])]
                for each in json.loads(golden)["scenes"]
            ]
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as exc:
            raise DamagedArtifact(f"{GOLDEN}: {exc}") from exc
        for grey, *stored in scenes:
            maps = self.maps(grey)
            for computed, golden_map in zip((maps.heat, maps.ink), stored, strict=True):
                difference = float(np.abs(255 * computed - golden_map).max())
                if not difference <= GOLDEN_TOLERANCE:  # so that NaN fails
                    raise GoldenMismatch(
                        f"expected golden maps within {GOLDEN_TOLERANCE} of 255 grey values, received {difference:.3g}"
                    )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load a published version with the decoding of its manifest.

        Raises DamagedArtifact and GoldenMismatch. The message names the folder.
        """
        manifest, files = read_version(folder)
        try:
            return cls(files[MODEL], files[GOLDEN], _decoding(manifest))
        except ArtifactError as exc:
            raise type(exc)(f"{folder}: {exc}") from exc

    def maps(self, grey: Grey) -> Maps:
        """Return what the network says about a picture, uint8 (height, width). 0 is black."""
        return Maps(*self._run(OUTPUTS, grey))

    def written(self, grey: Grey) -> Floats:
        """Return where the ink of a picture, uint8 (height, width), is, float32 (height, width) in [0, 1]."""
        (ink,) = self._run(OUTPUTS[-1:], grey)
        return written(ink, self.decoding.digits_ink)

    def _run(self, outputs: Sequence[Tensor], grey: Grey) -> list[Floats]:
        """Return these outputs for a picture. The last of them is the ink."""
        height, width = grey.shape
        seen = cv2.copyMakeBorder(contrasts(grey), 0, -height % MULTIPLE, 0, -width % MULTIPLE, cv2.BORDER_REPLICATE)
        inputs = {CONTRASTS_INPUT.name: seen[None], ONLY_INK: np.array(len(outputs) == 1)}
        *others, ink = (each[0] for each in self._session.run([each.name for each in outputs], inputs))
        return [*others, ink[:, :height, :width]]


def _decoding(manifest: Manifest) -> Decoding:
    try:
        return Decoding(**(manifest.decoding or {}))
    except TypeError as exc:
        raise DamagedArtifact(f"expected the decoding {list(Decoding.__annotations__)}: {exc}") from exc


def shipped_version() -> int:
    """Return the highest version that comes with the code. Raises DamagedArtifact if there is none."""
    known = versions(SHIPPED, NAME)
    if not known:
        raise DamagedArtifact(f"{SHIPPED / NAME}: expected a version of the finder, found none")
    return known[0]


@cache
def shipped() -> FinderNetwork:
    """Return that version, loaded once.

    Raises DamagedArtifact and GoldenMismatch. Clients may read the message, so it names no folder of the machine.
    """
    try:
        return FinderNetwork.load(SHIPPED / NAME / str(shipped_version()))
    except ArtifactError as exc:
        raise type(exc)(str(exc).replace(f"{SHIPPED}/", "")) from exc


def contrasts(grey: Grey) -> Floats:
    """Return the contrast of each pixel with its near and its far surroundings.

    Args:
        grey: uint8 (height, width).

    Returns:
        float32 (height, width, 2). Each is the difference from the mean, in standard deviations, in [-5, 5].
    """
    picture = grey.astype(np.float32)
    flat = picture - cv2.blur(picture, (_FAR, _FAR))
    spread = cv2.sqrt(np.maximum(cv2.blur(flat * flat, (_FAR, _FAR)), 0))  # rounding may give less
    near = picture - cv2.blur(picture, (_NEAR, _NEAR))
    near_spread = cv2.sqrt(np.maximum(cv2.blur(near * near, (2 * _NEAR - 1, 2 * _NEAR - 1)), 0))
    # Noise of a few grey values must not look like ink.
    both = cv2.merge([near / (near_spread + 0.1 * spread + 1.5), flat / (spread + 2)])
    seen: Floats = np.clip(both, -5, 5, out=both)
    return seen
