"""Drawn styles are pictures of their digit."""

import numpy as np
import pytest

from benchmarks.quality.drawn_styles import DRAWN, drawings
from benchmarks.quality.pictures import ours
from digits.features import to_features
from digits.model.artifact import NAME, SHIPPED, versions
from digits.model.classifier import Classifier
from training.robust.styles import STYLES

OTHER_NAMES = {"1 with a bold pen": "1, bold bitmap", "1 with a thin pen": "1, tall in a dark photo"}
"""The benchmark's names of training's styles, where they differ."""


@pytest.fixture(scope="module")
def shipped() -> Classifier:
    return Classifier.load(SHIPPED / NAME / str(versions(SHIPPED)[0]))


@pytest.mark.parametrize("name", DRAWN)
def test_most_drawings_of_a_style_are_read_as_its_digit(name: str, shipped: Classifier) -> None:
    pictures = drawings(name, 12, np.random.default_rng(0))

    answers = shipped.probabilities(to_features(np.stack([ours(data).pixels for data in pictures]))).argmax(axis=1)

    assert (answers == DRAWN[name].label).sum() >= 11


@pytest.mark.parametrize("name", DRAWN)
def test_the_same_seed_makes_the_same_drawings(name: str) -> None:
    one, again, other = (drawings(name, 2, np.random.default_rng(seed)) for seed in (3, 3, 4))

    assert one == again
    assert one != other


def test_every_style_that_training_draws_is_measured() -> None:
    drawn = {name: style.label for name, style in DRAWN.items()}

    assert {OTHER_NAMES.get(name, name): style.label for name, style in STYLES.items()}.items() <= drawn.items()
