"""Fit the finder on scenes, of which processes make the next epoch's while one is trained on."""

import itertools
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from training.backend import make_reproducible
from training.data.images import LabelledImages
from training.finder import glyphs
from training.finder.decoding import is_clear
from training.finder.graph import convolutions, serving_graph
from training.finder.layout import Writer
from training.finder.network import build, build_for_training
from training.finder.scenes import Scene, make_scene
from training.finder.start import begin_as, mean_of
from training.finder.targets import Views
from training.fit.epochs import History, fit_epochs

_VALIDATION, _DECODING = 2**31, 2**31 + 1
"""The numbers of the validation scenes, and of those that the decoding is fitted on. No epoch has them."""

_STATISTICS = 96
"""Number of views from which batch normalizations take their statistics."""

_AT_ONCE = 128
"""Number of scenes that a process makes at once."""

_INVERTED, _GAIN = 0.12, 0.15
"""Share of the views whose contrasts are inverted, and the standard deviation of the factor of all contrasts."""


@dataclass(frozen=True, slots=True)
class FinderRecipe:
    """The hyper-parameters of the finder."""

    parts: int = 8
    """Number of times that the learning rate rises and falls. Each part begins with the network of the one before, and
    ends with the mean of that and what it became."""
    part: int = 1
    """The part that is trained, from 1 on."""
    epochs: int = 56
    """Of a part."""
    scenes: int = 3072
    """Number of views of new scenes per epoch."""
    repetitions: int = 2
    """How often each scene is seen in its epoch, with other contrasts."""
    batch_size: int = 16
    learning_rate: float = 2.5e-3
    digits: int = 21000
    """Number of training images that provide strokes. A fifth as many provide those of the validation scenes."""
    per_style: int = 150
    """Number of drawings of each style that provide strokes too."""
    strangers: int = 1900
    """Number of letters and signs that provide strokes."""
    validation_scenes: int = 512
    decoding_scenes: int = 300
    """Number of clear scenes that the decoding of the maps is fitted on."""

    @property
    def views(self) -> int:
        """Number of views in all epochs of a part."""
        return self.epochs * self.scenes * self.repetitions


def fit(
    recipe: FinderRecipe, data: LabelledImages, *, seed: int, folder: Path, start: bytes
) -> tuple[Any, History, Views, list[Scene]]:
    """Train one part. Return the network, which outputs logits, its history, and the validation scenes' views.

    Return also scenes of the same digits to fit the decoding on.

    The last sixth of the training images is kept for validation. The seed determines the weights of new channels and
    the scenes. The folder is as for `fit_epochs`. `start` is the serving graph whose weights the training begins with.

    Raises:
        CannotWrite: the state cannot be saved or read.
    """
    make_reproducible(seed)
    with _scene_makers(recipe, data, [seed, recipe.part]) as (make, clear_scenes):
        validation = Views.joined([each.result() for each in make(_VALIDATION, recipe.validation_scenes)])
        network = build_for_training(recipe.views // recipe.batch_size, recipe.learning_rate)
        network.set_weights(begin_as(start, validation.seen[:_STATISTICS].astype(np.float32)).get_weights())
        made: dict[int, list[Future[Views]]] = {}

        def examples(epoch: int) -> tuple[Any, Any]:
            for number in (epoch, epoch + 1):
                if number not in made and number < recipe.epochs:
                    made[number] = make(number, recipe.scenes)
            rng = np.random.default_rng([seed, recipe.part, epoch])
            return _examples(Views.joined([each.result() for each in made.pop(epoch)]), recipe.repetitions, rng)

        history = fit_epochs(
            network,
            examples,
            epochs=recipe.epochs,
            batch_size=recipe.batch_size,
            validation=(validation.seen, (validation.half, validation.quarter, validation.ink)),
            folder=folder,
        )
        scenes = clear_scenes(recipe.decoding_scenes)
    trained = build()  # in float32
    trained.set_weights(network.get_weights())
    if recipe.part > 1:
        both = mean_of(start, serving_graph(convolutions(trained)))
        trained = begin_as(both, validation.seen[:_STATISTICS].astype(np.float32))
    return trained, history, validation, scenes


def _examples(views: Views, repetitions: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """Return the views in a random order for each repetition, with changed contrasts."""
    count = len(views.seen)
    order = np.concatenate([rng.permutation(count) for _ in range(repetitions)])
    gains = 1 + _GAIN * rng.standard_normal((len(order), 1, 1, 2))
    gains *= np.where(rng.random((len(order), 1, 1, 1)) < _INVERTED, -1, 1)
    return _Rows(views.seen, order, gains.astype(np.float32)), tuple(
        _Rows(each, order) for each in (views.half, views.quarter, views.ink)
    )


class _Rows:
    """Rows of an array in some order, each multiplied by its factor. They are copied when a batch asks for them."""

    def __init__(self, values: Any, order: Any, factors: Any = None) -> None:
        self._values, self._order, self._factors = values, order, factors

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, part: slice) -> Any:
        rows = self._values[self._order[part]].astype(np.float32)
        return rows if self._factors is None else np.clip(rows * self._factors[part], -5, 5)


class _Maker:
    """Makes scenes in a process of its own."""

    writer: Writer

    @classmethod
    def begin(cls, pieces: glyphs.Kinds) -> None:
        """Prepare this process."""
        cv2.setNumThreads(1)
        cls.writer = Writer(pieces)

    @classmethod
    def make(cls, count: int, seed: list[int]) -> Views:
        """Return this number of views of new scenes."""
        rng = np.random.default_rng(seed)
        return Views.of((make_scene(cls.writer, rng) for _ in itertools.count()), count)

    @classmethod
    def clear_scenes(cls, count: int, seed: list[int]) -> list[Scene]:
        """Return this number of new scenes that are clear."""
        rng = np.random.default_rng(seed)
        every = (make_scene(cls.writer, rng) for _ in itertools.count())
        return list(itertools.islice(filter(is_clear, every), count))


@contextmanager
def _scene_makers(recipe: FinderRecipe, data: LabelledImages, seed: list[int]) -> Iterator[Any]:
    """Return a function that lets a process make the scenes of an epoch. Those of validation have other digits.

    The second function returns clear scenes of the digits of validation.
    """
    last = len(data.x_train) * 5 // 6
    part = slice(0, last, max(1, last // recipe.digits))
    held_back = slice(last, None, max(1, 5 * (len(data.x_train) - last) // recipe.digits))
    pieces = {
        name: glyphs.of_writer(
            data.x_train[rows], data.y_train[rows], per_style=per_style, other=strangers, seed=number
        )
        for number, (name, rows, per_style, strangers) in enumerate(
            (("train", part, recipe.per_style, recipe.strangers), ("held back", held_back, 4, recipe.strangers // 8))
        )
    }
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(1, context, _Maker.begin, (pieces["train"],)) as training,
        ProcessPoolExecutor(1, context, _Maker.begin, (pieces["held back"],)) as validation,
    ):

        def make(epoch: int, count: int) -> list[Future[Views]]:
            pool = validation if epoch == _VALIDATION else training
            starts = range(0, count, _AT_ONCE)
            return [pool.submit(_Maker.make, min(_AT_ONCE, count - start), [*seed, epoch, start]) for start in starts]

        yield make, lambda count: validation.submit(_Maker.clear_scenes, count, [*seed, _DECODING]).result()
