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
    validation_split: float = 0.1
    """Part of the training images held back, stratified; 0 is the lecture's very run."""


RECIPES = {recipe.name: recipe for recipe in (Recipe("lecture"),)}
