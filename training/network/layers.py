"""Build the networks: the lecture's dense network, and the teacher and the student of the robust recipe."""

from typing import Any

import numpy as np

from digits.features import FEATURES, SIDE, Floats
from digits.model.classes import DIGITS
from training.backend import keras
from training.network.recipes import Recipe, Robust

_EPSILON = 1e-5
"""Added to a variance before dividing by it."""


def build(recipe: Recipe, classes: int = len(DIGITS)) -> Any:
    """Build the lecture's network with fresh weights: 784 features, one hidden layer, a probability for each class.

    It is not compiled, so that a saved network contains no optimizer.
    """
    layers = keras().layers
    return keras().Sequential(
        [
            keras().Input((FEATURES,), name="features"),
            layers.Dense(recipe.hidden_units, activation="relu", name="hidden"),
            layers.Dense(classes, activation="softmax", name="probabilities"),
        ],
        name="mnist_dense",
    )


def activations(network: Any, features: Floats) -> tuple[Floats, Floats]:
    """Return the hidden layer (N, 512) and the logits (N, classes) of the lecture's network, in float32."""
    hidden_kernel, hidden_bias, kernel, bias = network.get_weights()
    hidden: Floats = np.maximum(features @ hidden_kernel + hidden_bias, 0)
    logits: Floats = hidden @ kernel + bias
    return hidden, logits


def build_for_training(recipe: Recipe, classes: int) -> Any:
    """Build and compile the lecture's network."""
    return _compile(build(recipe, classes), recipe.optimizer)


def build_teacher(recipe: Robust, steps: int, classes: int) -> Any:
    """Build a small convolutional network with the same input and output, compiled for a number of training steps."""
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
            layers.Dense(classes, activation="softmax", name="probabilities"),
        ],
        name="teacher",
    )
    return _compile(teacher, _cosine_decay(recipe, recipe.teacher_learning_rate, steps))


def build_student(recipe: Robust, steps: int, classes: int = len(DIGITS)) -> Any:
    """Build the lecture's network with batch normalization (Ioffe and Szegedy 2015).

    It is compiled with a learning rate that falls to 0 within `steps`. `fold_normalization` removes the batch
    normalization after training.
    """
    layers = keras().layers
    student = keras().Sequential(
        [
            keras().Input((FEATURES,), name="features"),
            layers.Dense(recipe.hidden_units, use_bias=False),
            layers.BatchNormalization(momentum=0.98, epsilon=_EPSILON),
            layers.ReLU(),
            layers.Dense(classes, activation="softmax"),
        ],
        name="student",
    )
    return _compile(student, _cosine_decay(recipe, recipe.learning_rate, steps))


def fold_normalization(student: Any, recipe: Robust) -> Any:
    """Return the lecture's network that computes the same as the student.

    Batch normalization is a factor and a bias per hidden unit, so that the layer's kernel and bias can absorb it.
    """
    kernel, gain, bias, last_kernel, last_bias, mean, variance = (
        variable.numpy() for variable in (*student.trainable_variables, *student.non_trainable_variables)
    )
    factor = gain / np.sqrt(variance + _EPSILON)
    plain = build(recipe, len(last_bias))
    plain.set_weights([kernel * factor, bias - mean * factor, last_kernel, last_bias])
    return plain


def _cosine_decay(recipe: Robust, learning_rate: float, steps: int) -> Any:
    schedule = keras().optimizers.schedules.CosineDecay(learning_rate, steps)
    return keras().optimizers.get({"class_name": recipe.optimizer, "config": {"learning_rate": schedule}})


def _compile(network: Any, optimizer: Any) -> Any:
    network.compile(optimizer=optimizer, loss="categorical_crossentropy", metrics=["accuracy"])
    # The optimizer's variables must exist before the first step, so that a resumed run can restore them.
    network.optimizer.build(network.trainable_variables)
    return network
