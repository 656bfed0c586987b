"""Fit the ink network on scenes, of which the next epoch's are made while one is trained on."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from digits.features import Floats, Grey
from digits.normalization.map_network import contrasts
from training.backend import make_reproducible
from training.fit.epochs import History, fit_epochs
from training.ink.network import build_for_training
from training.ink.scenes import make_scene
from training.ink.strokes import distance_fields, drawn_fields, stretched

_VALIDATION = 2**31
"""The number of the validation scenes. No epoch has it."""


@dataclass(frozen=True, slots=True)
class InkRecipe:
    """The hyper-parameters of the ink network."""

    epochs: int = 200
    scenes: int = 512
    """Number of new scenes per epoch. Each is seen twice, turned or mirrored differently."""
    batch_size: int = 16
    learning_rate: float = 3e-3
    digits: int = 2500
    """Number of training images that provide strokes. A fifth as many provide those of the validation scenes. A third
    of both are stretched too."""
    per_style: int = 60
    """Number of drawings of each style that are written too."""


def fit(recipe: InkRecipe, images: Grey, *, seed: int, folder: Path) -> tuple[Any, History]:
    """Train the ink network. Return the network, which outputs logits, and its history. Raises CannotWrite.

    The last sixth of the images, digits in MNIST form, uint8 (N, 28, 28), is kept for validation. The seed determines
    the initial weights and the scenes. The folder is as for `fit_epochs`.
    """
    make_reproducible(seed)
    steps = recipe.epochs * 2 * recipe.scenes // recipe.batch_size
    network = build_for_training(steps, recipe.learning_rate)
    fields = np.concatenate([_fields(images[: _last(images)], recipe.digits), drawn_fields(recipe.per_style)])
    validation = _examples(validation_scenes(recipe, images, seed))
    with ThreadPoolExecutor(1) as thread:
        made: dict[int, Future[tuple[Floats, Floats]]] = {}

        def examples(epoch: int) -> tuple[Floats, Floats]:
            for number in (epoch, epoch + 1):
                if number not in made and number < recipe.epochs:
                    made[number] = thread.submit(_new_examples, fields, recipe.scenes, [seed, number])
            return made.pop(epoch).result()

        epochs, batch_size = recipe.epochs, recipe.batch_size
        history = fit_epochs(
            network, examples, epochs=epochs, batch_size=batch_size, validation=validation, folder=folder
        )
    return network, history


def validation_scenes(recipe: InkRecipe, images: Grey, seed: int) -> list[tuple[Grey, Grey]]:
    """Return scenes with digits that the network is not trained on, and their ink."""
    rng = np.random.default_rng([seed, _VALIDATION])
    fields = _fields(images[_last(images) :], recipe.digits // 5)
    return [make_scene(fields, rng) for _ in range(recipe.scenes // 4)]


def _last(images: Grey) -> int:
    return len(images) * 5 // 6


def _fields(images: Grey, count: int) -> Floats:
    chosen = images[:: max(1, len(images) // count)]
    return distance_fields([*chosen, *stretched(chosen[::3])])


def _new_examples(fields: Floats, count: int, seed: list[int]) -> tuple[Floats, Floats]:
    """Return the contrasts and the ink of new scenes, each seen from two sides, in a random order."""
    rng = np.random.default_rng(seed)
    views = []
    for _ in range(count):
        scene = make_scene(fields, rng)
        for turns, step in zip(rng.choice(4, 2, replace=False), rng.choice([1, -1], 2), strict=True):
            grey, ink = (np.ascontiguousarray(np.rot90(each[:, ::step], turns)) for each in scene)
            views.append((grey, ink))
    return _examples([views[index] for index in rng.permutation(len(views))])


def _examples(scenes: list[tuple[Grey, Grey]]) -> tuple[Floats, Floats]:
    seen = np.stack([contrasts(grey) for grey, _ in scenes])
    ink: Floats = np.stack([ink for _, ink in scenes])[..., None].astype(np.float32)
    return seen, ink / np.float32(255)
