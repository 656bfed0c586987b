"""Distorted copies keep MNIST's form, and the seed determines them."""

from dataclasses import fields, replace

import numpy as np
import pytest

from digits.features import Grey
from tests.conftest import Mnist
from training.data import Labels
from training.recipes import Distortions, Robust
from training.robust.augmentation import distort, enlarge, thicken
from training.robust.restyling import restyle
from training.robust.styles import STYLED

NONE = Distortions(**{field.name: 0.0 for field in fields(Distortions)})
RECIPE = Robust("robust").distortions


@pytest.fixture(scope="module")
def images(mnist: Mnist) -> Grey:
    """250 digits, 25 of each class."""
    return mnist.pixels[::20]


@pytest.fixture(scope="module")
def labels(mnist: Mnist) -> Labels:
    return mnist.labels[::20].astype(np.uint8)


@pytest.fixture(scope="module")
def fine(images: Grey) -> Grey:
    return enlarge(images)


@pytest.fixture(scope="module")
def copy(fine: Grey, labels: Labels) -> Grey:
    """A copy with the recipe's distortions."""
    return distort(fine, labels, RECIPE, [0, 0])


def correlation(one: Grey, other: Grey) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def test_copies_keep_shape_type_and_ink(images: Grey, copy: Grey) -> None:
    assert copy.shape == images.shape
    assert copy.dtype == np.uint8
    ink = copy.reshape(len(copy), -1).max(axis=1)
    assert np.percentile(ink, 2) > 64  # almost no picture has faded away
    assert 0.5 < copy.mean() / images.mean() < 2


def test_the_seed_determines_the_copy_and_the_enlarged_pictures_stay_the_same(
    images: Grey, fine: Grey, labels: Labels, copy: Grey
) -> None:
    again, other = (distort(fine, labels, RECIPE, seed) for seed in ([0, 0], [0, 1]))

    assert np.array_equal(copy, again)
    assert (copy != other).mean() > 0.1
    assert np.array_equal(fine, enlarge(images))


def test_without_distortions_a_copy_equals_the_picture(images: Grey, fine: Grey, labels: Labels) -> None:
    # Copies are centred to a fraction of a pixel, MNIST's images to whole pixels.
    assert correlation(distort(fine, labels, NONE, [0, 0]), images) > 0.95


@pytest.mark.parametrize("name", [field.name for field in fields(Distortions)])
def test_each_distortion_has_an_effect(fine: Grey, labels: Labels, copy: Grey, name: str) -> None:
    without = distort(fine, labels, replace(RECIPE, **{name: 0.0}), [0, 0])

    assert not np.array_equal(without, copy)


def test_plain_copies_are_close_to_the_picture(images: Grey, fine: Grey, labels: Labels) -> None:
    nearest, near, far = (
        correlation(distort(fine, labels, replace(RECIPE, plain=plain, plain_strength=strength), [0, 0]), images)
        for plain, strength in ((1, 0.5), (1, RECIPE.plain_strength), (0, RECIPE.plain_strength))
    )

    assert nearest > near + 0.02
    assert near > far + 0.02


def test_drawings_replace_the_digits_that_have_a_style(fine: Grey, labels: Labels) -> None:
    without, drawn = (distort(fine, labels, replace(NONE, drawn=share), [0, 0]) for share in (0.0, 1.0))

    changed = (drawn != without).any(axis=(1, 2))
    assert np.array_equal(changed, np.isin(labels, STYLED))


def test_plain_copies_are_neither_drawn_nor_scanned(fine: Grey, labels: Labels) -> None:
    without, plain = (
        distort(fine, labels, replace(NONE, plain=1.0, drawn=share, scanned=share), [0, 0]) for share in (0.0, 1.0)
    )

    assert np.array_equal(plain, without)


def test_strokes_become_wider_or_thinner_as_requested(fine: Grey) -> None:
    ink = [thicken(fine, np.full(len(fine), pixels)).mean() for pixels in (-1, -0.5, 0, 0.5, 1, 1.5, 2)]

    assert ink == sorted(ink)
    assert ink[2] == fine.mean()


def test_restyling_adds_ink_to_ones_and_sevens_only(fine: Grey, labels: Labels) -> None:
    restyled = fine.copy()

    upright = restyle(restyled, labels, 1.0, np.random.default_rng(0))

    changed = (restyled != fine).any(axis=(1, 2))
    assert set(labels[changed].tolist()) == {1, 7}
    assert changed[np.isin(labels, (1, 7))].mean() > 0.9
    assert (restyled >= fine).all()
    assert set(labels[upright != 0].tolist()) == {1}
