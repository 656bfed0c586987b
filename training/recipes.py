"""Frozen hyper-parameters by name: what decides the outcome, beside the seed and the data."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything about the network and its training that is a choice."""

    name: str
    hidden_units: int = 512
    optimizer: str = "rmsprop"  # with Keras' defaults, as in the lecture
    epochs: int = 5
    batch_size: int = 128
    validation_split: float = 1 / 12
    """Part of the training images held back for validation, and as large a one for calibration, stratified: of MNIST's
    60 000, 5 000 and 5 000. 0 is the lecture's very run."""


@dataclass(frozen=True, slots=True)
class Distortions:
    """How far a picture may be from the one that it is made of. Pixels are those of the 28x28 field."""

    plain: float = 0.4
    """Share of the pictures that stay near MNIST's own: only turned, scaled, sheared and bent."""
    plain_strength: float = 0.5
    """How far these are, as a part of how far the others are."""
    rotation_degrees: float = 14
    shear: float = 0.2
    scale: float = 0.15
    """Natural logarithm of the largest factor, of both axes together and of each alone by half as much."""
    shift_pixels: float = 0.8
    elastic_pixels: float = 1.1
    """Standard deviation of the displacement field (Simard, Steinkraus and Platt 2003)."""
    thinner: float = 0.5
    """Pixels that a stroke may lose."""
    thicker: float = 1.2
    """Pixels that a stroke may gain."""
    redrawn: float = 0.15
    """Share that is drawn anew along the middle of its strokes, with a pen of one width."""
    pen: float = 3.5
    """Pixels by which that pen may be wider than a hairline."""
    squared: float = 0.12
    """Share of the pictures that are stretched toward a square box."""
    coarse: float = 0.1
    """Share that went through a smaller picture, of 8x8 to 16x16 pixels."""
    blurred: float = 0.1
    """Share that is blurred, by at most a pixel's standard deviation."""
    contrast: float = 0.4
    """Share whose grey levels are stretched, as thresholds in a normalization do."""
    restyled: float = 0.25
    """Share of the 1s that get a flag and a foot, and of the 7s that get a bar."""


@dataclass(frozen=True, slots=True)
class Robust(Recipe):
    """The same network, fitted to a teacher's answers on distorted copies of the images."""

    optimizer: str = "adam"
    epochs: int = 300
    batch_size: int = 256
    learning_rate: float = 1e-2
    """At the start; falls to 0 as half a cosine (Loshchilov and Hutter 2017), as the teacher's does."""
    copies: int = 24
    """Distorted copies of the training images; each epoch sees one of them."""
    distortions: Distortions = Distortions(plain_strength=1.0, elastic_pixels=1.6)
    mild_copies: int = 16
    mild_distortions: Distortions = Distortions()
    """Of the copies that the teacher is trained on, and the network in its last epochs. What is distorted beyond these
    the teacher is less sure of, and should be."""
    mild_epochs: float = 0.25
    """Share of the network's epochs, the last ones, that see a mild copy."""
    teacher_epochs: int = 26
    teacher_learning_rate: float = 3e-3
    teacher_share: float = 0.7
    """Of the teacher's probabilities in what the network is fitted to; the label has the rest."""


RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (Recipe("lecture"), Robust("robust"))}
