"""Few pictures make an epoch as long as many do, and none of its copies is like another."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("keras")

from digits.features import to_features
from tests.conftest import Mnist
from training.data import Split
from training.recipes import Own
from training.robust.repetition import examples

RECIPE = Own("own", pictures_per_epoch=200)


def split_of(mnist: Mnist, count: int) -> Split:
    x, y = mnist.pixels[:count], mnist.labels[:count].astype(np.uint8)
    return Split(x, y, x[:0], y[:0], x[:0], y[:0])


@pytest.mark.parametrize("strokes", [True, False], ids=["distorted strokes", "shifted textures"])
def test_few_pictures_are_repeated_and_changed_each_time(mnist: Mnist, strokes: bool) -> None:
    recipe = RECIPE.suited_to(strokes=strokes, digits=False)
    split = split_of(mnist, 20)

    first, again, next_epoch = (examples(recipe, split, seed=0)(epoch) for epoch in (0, 0, 1))

    x, targets = first
    assert x.shape == (200, 784)
    assert (targets.sum(axis=0)[: split.classes] == 10 * np.bincount(split.y_train)).all()
    assert len(np.unique(x, axis=0)) > 100
    np.testing.assert_array_equal(x, again[0])
    assert not np.array_equal(x, next_epoch[0])


def test_enough_pictures_are_not_repeated(mnist: Mnist) -> None:
    recipe = replace(RECIPE.suited_to(strokes=False, digits=False), shift_pixels=0)
    split = split_of(mnist, 300)

    x, _ = examples(recipe, split, seed=0)(0)

    np.testing.assert_array_equal(np.sort(x.sum(axis=1)), np.sort(to_features(split.x_train).sum(axis=1)))
