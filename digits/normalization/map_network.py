"""Load and check a network from the contrasts of a picture to maps, such as that of its ink."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

import cv2
import numpy as np

from digits.errors import ArtifactError, DamagedArtifact, GoldenMismatch
from digits.features import Floats, Grey
from digits.model.artifact import GOLDEN, MODEL, SHIPPED, Manifest, Tensor, read_version, versions
from digits.model.onnx_runtime import Session, UnusableGraph

CONTRASTS_INPUT = Tensor(name="contrasts", dtype="float32", shape=(-1, -1, -1, 2))

GOLDEN_TOLERANCE = 1.0
"""Maximum difference between a golden map and the computed one, both in 0 to 255. Golden maps are whole numbers."""

MULTIPLE = 16
"""Height and width of what a network sees are multiples of this."""

_NEAR, _FAR = 17, 129
"""Sides in pixels of the surroundings that a pixel is compared with. Both are odd."""


class MapNetwork:
    """A loaded and checked version of a network. It is thread-safe. Subclasses say what its maps are."""

    NAME: ClassVar[str]
    TITLE: ClassVar[str]
    """What messages call it."""
    OUTPUTS: ClassVar[tuple[Tensor, ...]]
    GOLDEN_MAPS: ClassVar[tuple[str, ...]]
    """The maps that `golden.json` has of each scene."""

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
        expected = [f"{each.name} tensor(float) {list(each.shape)}" for each in (CONTRASTS_INPUT, *self.OUTPUTS)]
        if (received := [*self._session.inputs, *self._session.outputs]) != expected:
            raise DamagedArtifact(f"{MODEL}: expected {expected}, received {received}")
        try:
            scenes = [
                (np.array(each["grey"], np.uint8), {name: np.array(each[name]) for name in self.GOLDEN_MAPS})
                for each in json.loads(golden)["scenes"]
            ]
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as exc:
            raise DamagedArtifact(f"{GOLDEN}: {exc}") from exc
        for grey, maps in scenes:
            computed = self.computed_maps(grey)
            for name, stored in maps.items():
                difference = float(np.abs(255 * computed[name] - stored).max())
                if not difference <= GOLDEN_TOLERANCE:  # so that NaN fails
                    raise GoldenMismatch(
                        f"expected golden maps within {GOLDEN_TOLERANCE} of 255 grey values, received {difference:.3g}"
                    )

    def computed_maps(self, grey: Grey) -> Mapping[str, Floats]:
        """Return GOLDEN_MAPS of a picture, each in [0, 1]."""
        raise NotImplementedError

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load a published version. Raises DamagedArtifact and GoldenMismatch. The message names the folder."""
        manifest, files = read_version(folder)
        try:
            return cls.of_version(manifest, files)
        except ArtifactError as exc:
            raise type(exc)(f"{folder}: {exc}") from exc

    @classmethod
    def of_version(cls, _: Manifest, files: Mapping[str, bytes]) -> Self:
        """Load the files of a version. Raises DamagedArtifact and GoldenMismatch."""
        return cls(files[MODEL], files[GOLDEN])

    @classmethod
    def shipped_version(cls) -> int:
        """Return the highest version that comes with the code. Raises DamagedArtifact if there is none."""
        known = versions(SHIPPED, cls.NAME)
        if not known:
            raise DamagedArtifact(f"{SHIPPED / cls.NAME}: expected a version of {cls.TITLE}, found none")
        return known[0]

    @classmethod
    def load_shipped(cls) -> Self:
        """Load that version."""
        return cls.load(SHIPPED / cls.NAME / str(cls.shipped_version()))

    def outputs(self, grey: Grey) -> list[Floats]:
        """Return OUTPUTS for a picture that is enlarged to multiples of MULTIPLE, below and to the right."""
        height, width = grey.shape
        seen = cv2.copyMakeBorder(contrasts(grey), 0, -height % MULTIPLE, 0, -width % MULTIPLE, cv2.BORDER_REPLICATE)
        outputs = self._session.run([each.name for each in self.OUTPUTS], {CONTRASTS_INPUT.name: seen[None]})
        return [each[0] for each in outputs]


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
