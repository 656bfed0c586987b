"""The pictures that measure quality are the same for the same seed, and the drawn styles read as their digits."""

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.quality.drawn_styles import DRAWN, drawings
from benchmarks.quality.families import FAMILIES, Generator, family
from benchmarks.quality.number_pictures import NUMBERS, numbers
from benchmarks.quality.papers import ON_PAPER
from benchmarks.quality.pictures import ours
from benchmarks.quality.without_digit import SURFACES, pictures_without_digit
from digits.features import to_features
from digits.model.artifact import NAME, SHIPPED
from digits.model.classifier import Classifier
from tests.conftest import SHIPPED_VERSION, Mnist

SMALL = [name for name in NUMBERS if not name.startswith("sheet")]
"""A sheet has a hundred digits, which are made like those of the other kinds."""


@pytest.mark.parametrize(
    ("make", "names"),
    [
        pytest.param(lambda name, rng, mnist: family(name, mnist.pixels[:2], rng), list(FAMILIES)[2:], id="families"),
        pytest.param(lambda name, rng, mnist: ON_PAPER[name](mnist.pixels[0], rng), ON_PAPER, id="papers"),
        pytest.param(lambda name, rng, _: drawings(name, 2, rng), DRAWN, id="drawn styles"),
        pytest.param(lambda name, rng, _: pictures_without_digit(name, 2, rng), SURFACES, id="without a digit"),
        pytest.param(lambda name, rng, mnist: numbers(name, mnist.pixels, mnist.labels, 1, rng), SMALL, id="numbers"),
    ],
)
def test_the_same_seed_makes_the_same_pictures(
    make: Callable[[str, Generator, Mnist], list[object]], names: list[str], mnist: Mnist
) -> None:
    for name in names:
        one, again, other = (make(name, np.random.default_rng(seed), mnist) for seed in (3, 3, 4))

        assert one == again, name
        assert one != other, name


def test_most_drawings_of_a_style_are_read_as_its_digit() -> None:
    shipped = Classifier.load(SHIPPED / NAME / str(SHIPPED_VERSION))

    for name, style in DRAWN.items():
        pictures = drawings(name, 12, np.random.default_rng(0))
        answers = shipped.probabilities(to_features(np.stack([ours(data).pixels for data in pictures]))).argmax(axis=1)

        assert (answers == style.label).sum() >= 11, name
