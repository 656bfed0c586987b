"""The lecture's network: 784 features, one hidden layer, ten probabilities."""

from typing import Any

from digits.features import CLASSES, FEATURES
from training.backend import keras
from training.recipes import Recipe


def build(recipe: Recipe) -> Any:
    """The network with fresh weights, not compiled, so that it carries no optimizer."""
    layers = keras().layers
    return keras().Sequential(
        [
            keras().Input((FEATURES,), name="features"),
            layers.Dense(recipe.hidden_units, activation="relu", name="hidden"),
            layers.Dense(CLASSES, activation="softmax", name="probabilities"),
        ],
        name="mnist_dense",
    )


def build_for_training(recipe: Recipe) -> Any:
    """The same, compiled; its optimizer's variables exist before the first step, so that they can be restored."""
    network = build(recipe)
    network.compile(optimizer=recipe.optimizer, loss="categorical_crossentropy", metrics=["accuracy"])
    network.optimizer.build(network.trainable_variables)
    return network
