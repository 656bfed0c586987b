"""The recipes: named sets of hyper-parameters. Recipe, seed and data determine the trained network."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Recipe:
    """The hyper-parameters of the lecture's network and its training."""

    name: str
    hidden_units: int = 512
    optimizer: str = "rmsprop"  # with Keras' defaults, as in the lecture
    epochs: int = 5
    batch_size: int = 128
    validation_split: float = 1 / 12
    """Share of the training images held back for validation, and again for calibration: 5 000 and 5 000 of MNIST's
    60 000. 0 trains exactly as the lecture does."""


@dataclass(frozen=True, slots=True)
class Distortions:
    """The strength of the distortions. Pixels refer to the 28x28 picture. Shares of the pictures are from 0 to 1."""

    plain: float = 0.4
    """Share that is plain: only rotated, scaled, sheared and bent."""
    plain_strength: float = 0.5
    """Strength of the distortion of plain pictures, relative to the others."""
    rotation_degrees: float = 14
    shear: float = 0.2
    scale: float = 0.15
    """Natural logarithm of the largest factor for both axes. Each axis also has a factor of at most half of it."""
    shift_pixels: float = 0.8
    elastic_pixels: float = 1.1
    """Standard deviation of the displacement field (Simard, Steinkraus and Platt 2003)."""
    thinner: float = 0.5
    """Largest loss of stroke width, in pixels."""
    thicker: float = 1.2
    """Largest gain of stroke width, in pixels."""
    redrawn: float = 0.12
    """Share that is redrawn along the centre line of its strokes, with a pen of constant width."""
    pen: float = 3.5
    """Largest number of pixels by which the pen widens the centre line."""
    squared: float = 0.12
    """Share that is stretched towards a square bounding box."""
    narrowed: float = 0.12
    """Share that is narrowed, by a factor of at least 0.5."""
    coarse: float = 0.1
    """Share that is reduced to between 8x8 and 16x16 pixels and enlarged again."""
    blurred: float = 0.1
    """Share that is blurred, with a standard deviation of at most one pixel."""
    contrast: float = 0.4
    """Share whose grey levels are stretched between two thresholds, as normalization does."""
    restyled: float = 0.25
    """Share of the 1s that get a flag and a foot, and share of the 7s that get a bar."""
    drawn: float = 0.2
    """Share of each digit's pictures that are replaced by drawings in styles that MNIST has few of."""
    scanned: float = 0.12
    """Share that is scanned as a small bitmap or with a faint pen, and normalized."""
    found: float = 0.2
    """Share that is replaced by digits that the finder cut out of scenes, with remains of what is beside them."""

    def without_styles(self) -> Self:
        """Return the same distortions without those that only digits have."""
        return replace(self, restyled=0, drawn=0, found=0)


@dataclass(frozen=True, slots=True)
class Robust(Recipe):
    """The hyper-parameters of the lecture's network fitted to a teacher's answers on distorted copies."""

    optimizer: str = "adam"
    epochs: int = 300
    batch_size: int = 256
    learning_rate: float = 1e-2
    """Initial value. It falls to 0 along half a cosine (Loshchilov and Hutter 2017), and so does the teacher's."""
    copies: int = 24
    """Number of distorted copies of the training images. Each epoch uses one of them."""
    distortions: Distortions = Distortions(plain_strength=1.0, elastic_pixels=1.6)
    mild_copies: int = 16
    mild_distortions: Distortions = Distortions()
    """For the copies that train the teacher, and for the network's last epochs. The teacher labels the stronger copies
    too. It is less certain about them, as it should be."""
    mild_epochs: float = 0.25
    """Share of the network's epochs that use mild copies, at the end of the training."""
    teacher_epochs: int = 26
    teacher_learning_rate: float = 3e-3
    teacher_share: float = 0.7
    """Weight of the teacher's probabilities in the targets. The label has the remaining weight."""
    crops: int = 40_000
    """Number of digits that the finder cuts out of scenes."""
    finder: int | None = None
    """The finder's version, which a training sets. None in recipes of earlier releases, which have no crops."""


@dataclass(frozen=True, slots=True)
class Own(Recipe):
    """The hyper-parameters of the lecture's network and its training on your own pictures, however few they are."""

    optimizer: str = "adam"
    epochs: int = 30
    batch_size: int = 64
    validation_split: float = 1 / 8
    pictures_per_epoch: int = 5_000
    """Minimum. Fewer training pictures are repeated, each time changed in another way."""
    patience: int = 3
    """The training ends after as many epochs without a smaller validation loss, and keeps the best epoch's weights."""
    distortions: Distortions | None = Distortions(found=0)
    """For pictures of strokes. None for pictures that are only resized, which are shifted."""
    shift_pixels: int = 2
    """Largest shift of a resized picture in both directions."""

    def suited_to(self, *, strokes: bool, digits: bool) -> Self:
        """Return the recipe without the distortions that these pictures do not have."""
        if self.distortions is None or not strokes:
            return replace(self, distortions=None)
        return self if digits else replace(self, distortions=self.distortions.without_styles())


RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (Recipe("lecture"), Robust("robust"), Own("own"))}


def of_manifest(values: Mapping[str, Any]) -> Recipe:
    """Return the recipe that a manifest records. Those of earlier releases have no crops."""
    fields: dict[str, Any] = {
        name: Distortions(**{"found": 0, **value}) if isinstance(value, Mapping) else value
        for name, value in values.items()
    }
    recipe = RECIPES[values["name"]]
    return replace(replace(recipe, crops=0) if isinstance(recipe, Robust) else recipe, **fields)
