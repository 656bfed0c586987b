"""The drawn styles are in MNIST's form, differ from each other, and read as their digits."""

import numpy as np
import pytest

from digits.features import to_features
from digits.model.artifact import NAME, SHIPPED, versions
from digits.model.classifier import Classifier
from digits.normalization.mnist_form import are_mnist_form
from training.robust.styles import STYLED, STYLES, draw, drawings


@pytest.fixture(scope="module")
def shipped() -> Classifier:
    return Classifier.load(SHIPPED / NAME / str(versions(SHIPPED)[0]))


@pytest.mark.parametrize("name", STYLES)
def test_a_drawn_style_has_mnist_form_and_reads_as_its_digit(name: str, shipped: Classifier) -> None:
    pictures = draw(name, 20, np.random.default_rng(0))

    features = to_features(pictures)
    assert pictures.dtype == np.uint8
    assert are_mnist_form(features).all()
    assert len(np.unique(pictures, axis=0)) == 20
    answers = shipped.probabilities(features).argmax(axis=1)
    assert (answers == STYLES[name].label).mean() > 0.6  # version 1 has not learnt them


def test_the_drawings_of_a_digit_show_all_of_its_styles() -> None:
    assert sorted(STYLED) == list(range(10))
    assert len(drawings(7)) == 3 * len(drawings(0))


def test_the_seed_determines_the_drawings() -> None:
    one, again, other = (draw("2 with a loop", 3, np.random.default_rng(seed)) for seed in (1, 1, 2))

    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
