"""The finder's network: from two contrasts of each pixel to centres, sizes, classes and ink.

`training/finder/` trains it on scenes that it makes. The version that comes with the code is loaded on first use and
shared by all threads.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Self

from digits.errors import DamagedArtifact
from digits.features import Floats, Grey
from digits.model.artifact import Manifest, Tensor
from digits.normalization.map_network import MapNetwork

NAME = "finder"

CLASSES = (*"0123456789", "point", "comma", "colon", "dash", "slash", "other")
"""What can be at a centre: a digit, a separator, or another sign."""

DIGITS = 10
"""Number of the CLASSES that are digits."""

OUTPUTS = tuple(
    Tensor(name=name, dtype="float32", shape=(-1, channels, -1, -1))
    for name, channels in {"heat": 2, "votes": 2, "sizes": 2, "classes": len(CLASSES), "ink": 2}.items()
)


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


@dataclass(frozen=True, slots=True)
class Decoding:
    """How to decode the maps. `training.finder.decoding` fits these values, and they stand in the manifest."""

    least_heat: float = 0.38
    """A digit's centre has at least this heat."""
    doubtful_heat: float = 0.2
    """Between this and `least_heat`, something may be a digit that is not read."""
    mark_heat: float = 0.3
    """A mark's centre has at least this heat."""
    mark_weight: float = 0.8
    """Where a digit and a mark compete, the mark's probability is multiplied by this. The larger one wins."""
    rival: float = 0.4
    """A mark that has lost to a digit remains if it is at least this many times as probable as the digit."""
    certain_heat: float = 0.6
    """A centre with at least this heat is a digit, whatever it looks like."""
    heat_weight: float = 1.5
    most_strange: float = 0.5
    """Another centre is no digit if its novelty, less `heat_weight` times its heat, is above `most_strange`."""
    most_novelty: float = 0.8
    """The highest novelty of a digit among others. Each digit is one more chance for a letter to look like one."""
    most_mark: float = 0.1
    """A digit that is a mark with a higher probability than this is not accepted."""
    share: float = 0.3
    """Weight of the finder's opinion of a digit's class. The classifier's has the rest."""


class FinderNetwork(MapNetwork):
    """A loaded and checked version of the finder. It is thread-safe."""

    NAME, TITLE, OUTPUTS, GOLDEN_MAPS = NAME, "the finder", OUTPUTS, ("heat", "ink")

    decoding = Decoding()

    @classmethod
    def of_version(cls, manifest: Manifest, files: Mapping[str, bytes]) -> Self:
        """Load a version with the values of its manifest. Raises DamagedArtifact and GoldenMismatch."""
        network = super().of_version(manifest, files)
        try:
            network.decoding = Decoding(**(manifest.decoding or {}))
        except TypeError as exc:
            raise DamagedArtifact(f"expected the decoding {list(Decoding.__annotations__)}: {exc}") from exc
        return network

    def computed_maps(self, grey: Grey) -> dict[str, Floats]:
        """Return the heat and the ink."""
        maps = self.maps(grey)
        return {"heat": maps.heat, "ink": maps.ink}

    def maps(self, grey: Grey) -> Maps:
        """Return what the network says about a picture, uint8 (height, width). 0 is black."""
        height, width = grey.shape
        heat, votes, sizes, classes, ink = self.outputs(grey)
        return Maps(heat, votes, sizes, classes, ink[:, :height, :width])


@cache
def shipped() -> FinderNetwork:
    """Return the highest version that comes with the code, loaded once. Raises DamagedArtifact if there is none."""
    return FinderNetwork.load_shipped()
