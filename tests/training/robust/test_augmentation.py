"""Distorted copies keep MNIST's form, and the seed determines them."""

from dataclasses import fields, replace

import numpy as np
import pytest

from digits.features import Grey
from tests.conftest import Mnist
from training.data import Labels
from training.recipes import RECIPES, Distortions, Robust
from training.robust.augmentation import distort, enlarge, thicken
from training.robust.restyling import restyle
from training.robust.styles import STYLED

NONE = Distortions(**{field.name: 0.0 for field in fields(Distortions)})


@pytest.fixture(scope="module")
def digits(mnist: Mnist) -> tuple[Grey, Labels]:
    """250 digits, 25 of each class."""
    return mnist.pixels[::20], mnist.labels[::20].astype(np.uint8)


@pytest.fixture
def as_recipe() -> Distortions:
    robust = RECIPES["robust"]
    assert isinstance(robust, Robust)
    return robust.distortions


def test_copies_keep_shape_type_and_ink(digits: tuple[Grey, Labels], as_recipe: Distortions) -> None:
    images, labels = digits

    copy = distort(enlarge(images), labels, as_recipe, [0, 0])

    assert copy.shape == images.shape
    assert copy.dtype == np.uint8
    ink = copy.reshape(len(copy), -1).max(axis=1)
    assert np.percentile(ink, 2) > 64  # almost no picture has faded away
    assert 0.5 < copy.mean() / images.mean() < 2


def test_the_seed_determines_the_copy(digits: tuple[Grey, Labels], as_recipe: Distortions) -> None:
    images, labels = digits
    fine = enlarge(images)

    first, again, other = (distort(fine, labels, as_recipe, seed) for seed in ([1, 2], [1, 2], [1, 3]))

    assert np.array_equal(first, again)
    assert (first != other).mean() > 0.1


def test_distorting_does_not_change_the_enlarged_pictures(digits: tuple[Grey, Labels], as_recipe: Distortions) -> None:
    images, labels = digits
    fine = enlarge(images)
    before = fine.copy()

    distort(fine, labels, as_recipe, [0, 0])

    assert np.array_equal(fine, before)


def test_without_distortions_a_copy_equals_the_picture(digits: tuple[Grey, Labels]) -> None:
    images, labels = digits

    copy = distort(enlarge(images), labels, NONE, [0, 0])

    # Copies are centred to a fraction of a pixel, MNIST's images to whole pixels.
    assert np.corrcoef(copy.ravel(), images.ravel())[0, 1] > 0.95


@pytest.mark.parametrize("name", [field.name for field in fields(Distortions)])
def test_each_distortion_has_an_effect(digits: tuple[Grey, Labels], as_recipe: Distortions, name: str) -> None:
    images, labels = digits
    fine = enlarge(images)

    without = distort(fine, labels, replace(as_recipe, **{name: 0.0}), [0, 0])

    assert not np.array_equal(without, distort(fine, labels, as_recipe, [0, 0]))


def test_plain_copies_are_close_to_the_picture(digits: tuple[Grey, Labels], as_recipe: Distortions) -> None:
    images, labels = digits
    fine = enlarge(images)

    nearest, near, far = (
        np.corrcoef(distort(fine, labels, replace(as_recipe, **plain), [0, 0]).ravel(), images.ravel())[0, 1]
        for plain in ({"plain": 1.0, "plain_strength": 0.5}, {"plain": 1.0}, {"plain": 0.0})
    )

    assert nearest > far + 0.05
    assert nearest > near + 0.02
    assert near > far + 0.02


def test_drawings_replace_the_digits_that_have_a_style(digits: tuple[Grey, Labels]) -> None:
    images, labels = digits
    fine = enlarge(images)

    without, drawn = (distort(fine, labels, replace(NONE, drawn=share), [0, 0]) for share in (0.0, 1.0))

    changed = (drawn != without).any(axis=(1, 2))
    assert np.array_equal(changed, np.isin(labels, STYLED))


def test_plain_copies_are_neither_drawn_nor_scanned(digits: tuple[Grey, Labels]) -> None:
    images, labels = digits
    fine = enlarge(images)

    without, plain = (
        distort(fine, labels, replace(NONE, plain=1.0, drawn=share, scanned=share), [0, 0]) for share in (0.0, 1.0)
    )

    assert np.array_equal(plain, without)


def test_strokes_become_wider_or_thinner_as_requested(digits: tuple[Grey, Labels]) -> None:
    fine = enlarge(digits[0])

    ink = [thicken(fine, np.full(len(fine), pixels)).mean() for pixels in (-1, -0.5, 0, 0.5, 1, 1.5, 2)]

    assert ink == sorted(ink)
    assert ink[2] == fine.mean()


def test_restyling_adds_ink_to_ones_and_sevens_only(digits: tuple[Grey, Labels]) -> None:
    images, labels = digits
    fine = enlarge(images)
    restyled = fine.copy()

    upright = restyle(restyled, labels, 1.0, np.random.default_rng(0))

    changed = (restyled != fine).any(axis=(1, 2))
    assert set(labels[changed].tolist()) == {1, 7}
    assert changed[np.isin(labels, (1, 7))].mean() > 0.9
    assert (restyled >= fine).all()
    assert set(labels[upright != 0].tolist()) == {1}
