"""Imitations are distorted copies of digits, the same in every run."""

import numpy as np

from tests.conftest import Mnist
from training.trust.imitations import imitations


def test_each_digit_has_one_copy_that_differs_from_it(mnist: Mnist) -> None:
    images, labels = mnist.pixels[::20], mnist.labels[::20].astype(np.uint8)

    copies = imitations(images, labels)

    assert copies.shape == images.shape
    assert (copies != images).any(axis=(1, 2)).mean() > 0.99


def test_every_run_makes_the_same_copies(mnist: Mnist) -> None:
    images, labels = mnist.pixels[::50], mnist.labels[::50].astype(np.uint8)

    np.testing.assert_array_equal(imitations(images, labels), imitations(images, labels))
