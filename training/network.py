"""The lecture's network: 784 features, one hidden layer, ten probabilities; and the teacher of the robust recipe."""

from typing import Any

import numpy as np

from digits.features import CLASSES, FEATURES, SIDE, Floats
from training.backend import keras
from training.recipes import Recipe, Robust

_EPSILON = 1e-5
"""Added to a variance before it divides."""


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


def activations(network: Any, features: Floats) -> tuple[Floats, Floats]:
    """What the lecture's network computes on its way: hidden layer (N, 512), and logits (N, 10) before the softmax."""
    hidden_kernel, hidden_bias, kernel, bias = network.get_weights()
    hidden: Floats = np.maximum(features @ hidden_kernel + hidden_bias, 0)
    logits: Floats = hidden @ kernel + bias
    return hidden, logits


def build_for_training(recipe: Recipe) -> Any:
    """The same, compiled; its optimizer's variables exist before the first step, so that they can be restored."""
    return _compiled(build(recipe), recipe.optimizer)


def build_teacher(recipe: Robust, steps: int) -> Any:
    """A small convolutional network with the same input and output, compiled for so many steps."""
    layers = keras().layers
    teacher = keras().Sequential(
        [
            keras().Input((FEATURES,), name="features"),
            layers.Reshape((SIDE, SIDE, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(48, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(256, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(CLASSES, activation="softmax", name="probabilities"),
        ],
        name="teacher",
    )
    return _compiled(teacher, _falling(recipe, recipe.teacher_learning_rate, steps))


def build_student(recipe: Robust, steps: int) -> Any:
    """The lecture's network with batch normalization (Ioffe and Szegedy 2015), which `without_normalization` takes out.

    Compiled for so many steps with a learning rate that falls to 0.
    """
    layers = keras().layers
    student = keras().Sequential(
        [
            keras().Input((FEATURES,), name="features"),
            layers.Dense(recipe.hidden_units, use_bias=False),
            layers.BatchNormalization(momentum=0.98, epsilon=_EPSILON),
            layers.ReLU(),
            layers.Dense(CLASSES, activation="softmax"),
        ],
        name="student",
    )
    return _compiled(student, _falling(recipe, recipe.learning_rate, steps))


def without_normalization(student: Any, recipe: Robust) -> Any:
    """The lecture's network that computes what the student does: normalizing is a factor and a bias of each unit."""
    kernel, gain, bias, last_kernel, last_bias, mean, variance = (
        variable.numpy() for variable in (*student.trainable_variables, *student.non_trainable_variables)
    )
    factor = gain / np.sqrt(variance + _EPSILON)
    plain = build(recipe)
    plain.set_weights([kernel * factor, bias - mean * factor, last_kernel, last_bias])
    return plain


def _falling(recipe: Robust, learning_rate: float, steps: int) -> Any:
    schedule = keras().optimizers.schedules.CosineDecay(learning_rate, steps)
    return keras().optimizers.get({"class_name": recipe.optimizer, "config": {"learning_rate": schedule}})


def _compiled(network: Any, optimizer: Any) -> Any:
    network.compile(optimizer=optimizer, loss="categorical_crossentropy", metrics=["accuracy"])
    network.optimizer.build(network.trainable_variables)
    return network
