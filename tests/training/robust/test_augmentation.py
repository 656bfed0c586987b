"""Distorted copies, scans and drawings keep MNIST's form, and the seed determines them."""

from dataclasses import fields, replace

import numpy as np
import pytest

from digits.features import Grey, to_features
from digits.model.classifier import Classifier
from digits.normalization.mnist_form import are_mnist_form
from tests.conftest import Mnist
from training.data.images import Labels, Split
from training.network.recipes import Distortions, Own, Robust
from training.robust.augmentation import Crops, distort, enlarge
from training.robust.repetition import copies, examples
from training.robust.scanning import scan
from training.robust.styles import STYLES, draw

RECIPE = Robust("robust").distortions

CROPS: Crops = {label: np.full((3, 28, 28), 10 + label, np.uint8) for label in range(10)}
"""Crops that no other picture looks like."""


@pytest.fixture(scope="module")
def images(mnist: Mnist) -> Grey:
    return mnist.pixels[::20]


@pytest.fixture(scope="module")
def labels(mnist: Mnist) -> Labels:
    return mnist.labels[::20].astype(np.uint8)


@pytest.fixture(scope="module")
def fine(images: Grey) -> Grey:
    return enlarge(images)


@pytest.fixture(scope="module")
def copy(fine: Grey, labels: Labels) -> Grey:
    return distort(fine, labels, RECIPE, [0, 0], CROPS)


@pytest.mark.parametrize("name", [field.name for field in fields(Distortions)])
def test_each_distortion_has_an_effect(fine: Grey, labels: Labels, copy: Grey, name: str) -> None:
    without = distort(fine, labels, replace(RECIPE, **{name: 0.0}), [0, 0], CROPS)

    assert not np.array_equal(without, copy)


@pytest.mark.parametrize(
    ("plain", "found", "expected"),
    [
        pytest.param(0.0, 0.3, 0.3, id="the given share"),
        pytest.param(0.0, 1.0, 1.0, id="all pictures"),
        pytest.param(0.4, 1.0, 0.6, id="all pictures that are not plain"),
        pytest.param(1.0, 1.0, 0.0, id="no plain picture"),
    ],
)
def test_crops_of_the_same_digit_replace_pictures_that_are_not_plain(
    fine: Grey, labels: Labels, plain: float, found: float, expected: float
) -> None:
    distortions = replace(RECIPE, plain=plain, found=found)

    with_crops, without = (distort(fine, labels, distortions, [0, 0], crops) for crops in (CROPS, None))

    is_crop = (with_crops == 10 + labels[:, None, None]).all(axis=(1, 2))
    assert is_crop.mean() == pytest.approx(expected, abs=0.1)
    np.testing.assert_array_equal(with_crops[~is_crop], without[~is_crop])


def test_a_digit_without_crops_is_not_replaced(fine: Grey, labels: Labels) -> None:
    distortions = replace(RECIPE, plain=0, found=1)

    copy = distort(fine, labels, distortions, [0, 0], {7: CROPS[7]})

    is_crop = (copy == 17).all(axis=(1, 2))
    np.testing.assert_array_equal(is_crop, labels == 7)


def test_a_scan_shows_the_same_digit_in_mnist_form_and_the_seed_determines_it(
    images: Grey, labels: Labels, classifier: Classifier
) -> None:
    pictures = images[::2].astype(np.float32)

    scans, again, other = (scan(pictures, np.random.default_rng(seed)) for seed in (0, 0, 1))

    features = to_features(np.rint(scans).astype(np.uint8))
    assert scans.dtype == np.float32
    assert are_mnist_form(features).mean() > 0.95  # others are placed a little differently, as in the service
    assert (scans != pictures).any(axis=(1, 2)).mean() > 0.95
    assert (classifier.probabilities(features).argmax(axis=1) == labels[::2]).mean() > 0.9
    assert np.array_equal(scans, again)
    assert not np.array_equal(scans, other)


@pytest.mark.parametrize("name", STYLES)
def test_a_drawn_style_has_mnist_form_and_reads_as_its_digit(name: str, classifier: Classifier) -> None:
    pictures, again, other = (draw(name, 20, np.random.default_rng(seed)) for seed in (0, 0, 1))

    features = to_features(pictures)
    assert pictures.dtype == np.uint8
    assert are_mnist_form(features).all()
    assert len(np.unique(pictures, axis=0)) == 20
    assert (classifier.probabilities(features).argmax(axis=1) == STYLES[name].label).mean() > 0.6
    assert np.array_equal(pictures, again)
    assert not np.array_equal(pictures, other)


@pytest.mark.parametrize("strokes", [True, False], ids=["distorted strokes", "shifted textures"])
def test_few_pictures_are_repeated_and_changed_each_time(images: Grey, labels: Labels, strokes: bool) -> None:
    recipe = Own("own", pictures_per_epoch=200).suited_to(strokes=strokes, digits=False)
    split = Split(images[:20], labels[:20], images[:0], labels[:0], images[:0], labels[:0])

    first, again, next_epoch = (examples(recipe, split, images[:0], seed=0)(epoch) for epoch in (0, 0, 1))

    x, targets = first
    assert x.shape == (200, 784)
    assert (targets.sum(axis=0)[: split.classes] == 10 * np.bincount(split.y_train)).all()
    assert len(np.unique(x, axis=0)) > 100
    np.testing.assert_array_equal(x, again[0])
    assert not np.array_equal(x, next_epoch[0])


def test_of_other_things_no_class_is_more_probable(images: Grey) -> None:
    recipe = Own("own", pictures_per_epoch=200).suited_to(strokes=True, digits=False)
    labels = np.resize(np.arange(3, dtype=np.uint8), 15)
    split = Split(images[:15], labels, images[:0], labels[:0], images[:0], labels[:0])

    _, targets = examples(recipe, split, images[15:20], seed=0)(0)

    assert (targets == np.float32(1 / split.classes)).all(axis=1).sum() == 50
    assert (targets.max(axis=1) == 1).sum() == 150


def test_a_network_sees_the_same_copies_without_those_of_pictures_that_are_held_back(
    images: Grey, labels: Labels
) -> None:
    recipe = Own("own", pictures_per_epoch=250).suited_to(strokes=True, digits=False)
    split = Split(images[:20], labels[:20], images[:0], labels[:0], images[:0], labels[:0])
    everything = copies(recipe, split, images[20:25], seed=0)(0)

    seen = everything.without(np.arange(5))

    x, targets = seen.examples()
    assert set(seen.rows) == set(range(5, 25))  # pictures of other things are never held back
    assert x.shape == (200, 784)
    np.testing.assert_array_equal(x, everything.examples()[0][everything.rows >= 5])
    np.testing.assert_array_equal(targets, everything.targets[everything.rows >= 5])
