"""Imitations are distorted copies of digits, the same in every run."""

import numpy as np

from tests.conftest import Mnist
from training.trust.imitations import imitations


def test_each_digit_has_one_copy_that_differs_from_it_and_is_the_same_in_every_run(mnist: Mnist) -> None:
    images, labels = mnist.pixels[::50], mnist.labels[::50].astype(np.uint8)

    copies, again = imitations(images, labels), imitations(images, labels)

    assert copies.shape == images.shape
    assert (copies != images).any(axis=(1, 2)).mean() > 0.99
    np.testing.assert_array_equal(copies, again)
