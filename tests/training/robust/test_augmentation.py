"""Distortions: pictures stay pictures in MNIST's form, and a seed decides them."""

from dataclasses import fields, replace

import numpy as np
import pytest

from digits.features import Grey
from tests.conftest import Mnist
from training.data import Labels
from training.recipes import RECIPES, Distortions, Robust
from training.robust.augmentation import distorted, enlarge, thicken
from training.robust.styles import restyle

NONE = Distortions(**{field.name: 0.0 for field in fields(Distortions)})


@pytest.fixture(scope="module")
def digits(mnist: Mnist) -> tuple[Grey, Labels]:
    """250 of them, 25 a class."""
    return mnist.pixels[::20], mnist.labels[::20].astype(np.uint8)


@pytest.fixture
def as_recipe() -> Distortions:
    robust = RECIPES["robust"]
    assert isinstance(robust, Robust)
    return robust.distortions


def test_copies_are_pictures_of_the_same_form(digits: tuple[Grey, Labels], as_recipe: Distortions) -> None:
    images, labels = digits

    copy = distorted(enlarge(images), labels, as_recipe, [0, 0])

    assert copy.shape == images.shape
    assert copy.dtype == np.uint8
    ink = copy.reshape(len(copy), -1).max(axis=1)
    assert np.percentile(ink, 2) > 64  # hardly one has faded away
    assert 0.5 < copy.mean() / images.mean() < 2


def test_a_seed_decides_the_copy(digits: tuple[Grey, Labels], as_recipe: Distortions) -> None:
    images, labels = digits
    fine = enlarge(images)

    first, again, other = (distorted(fine, labels, as_recipe, seed) for seed in ([1, 2], [1, 2], [1, 3]))

    assert np.array_equal(first, again)
    assert (first != other).mean() > 0.1


def test_images_and_their_enlargements_are_left_as_they_were(
    digits: tuple[Grey, Labels], as_recipe: Distortions
) -> None:
    images, labels = digits
    fine = enlarge(images)
    before = fine.copy()

    distorted(fine, labels, as_recipe, [0, 0])

    assert np.array_equal(fine, before)


def test_without_distortions_a_copy_is_the_picture(digits: tuple[Grey, Labels]) -> None:
    images, labels = digits

    copy = distorted(enlarge(images), labels, NONE, [0, 0])

    # Centred to the fraction of a pixel, where MNIST's images are to the next whole one.
    assert np.corrcoef(copy.ravel(), images.ravel())[0, 1] > 0.95


@pytest.mark.parametrize("name", [field.name for field in fields(Distortions)])
def test_each_distortion_changes_something(digits: tuple[Grey, Labels], as_recipe: Distortions, name: str) -> None:
    images, labels = digits
    fine = enlarge(images)

    without = distorted(fine, labels, replace(as_recipe, **{name: 0.0}), [0, 0])

    assert not np.array_equal(without, distorted(fine, labels, as_recipe, [0, 0]))


def test_plain_copies_stay_near_the_picture(digits: tuple[Grey, Labels], as_recipe: Distortions) -> None:
    images, labels = digits
    fine = enlarge(images)

    nearest, near, far = (
        np.corrcoef(distorted(fine, labels, replace(as_recipe, **plain), [0, 0]).ravel(), images.ravel())[0, 1]
        for plain in ({"plain": 1.0, "plain_strength": 0.5}, {"plain": 1.0}, {"plain": 0.0})
    )

    assert nearest > far + 0.05
    assert nearest > near + 0.02
    assert near > far + 0.02


def test_strokes_become_wider_and_thinner_as_asked(digits: tuple[Grey, Labels]) -> None:
    fine = enlarge(digits[0])

    ink = [thicken(fine, np.full(len(fine), pixels)).mean() for pixels in (-1, -0.5, 0, 0.5, 1, 1.5, 2)]

    assert ink == sorted(ink)
    assert ink[2] == fine.mean()


def test_only_ones_and_sevens_are_restyled_and_only_by_adding_ink(digits: tuple[Grey, Labels]) -> None:
    images, labels = digits
    fine = enlarge(images)
    restyled = fine.copy()

    upright = restyle(restyled, labels, 1.0, np.random.default_rng(0))

    changed = (restyled != fine).any(axis=(1, 2))
    assert set(labels[changed].tolist()) == {1, 7}
    assert changed[np.isin(labels, (1, 7))].mean() > 0.9
    assert (restyled >= fine).all()
    assert set(labels[upright != 0].tolist()) == {1}
