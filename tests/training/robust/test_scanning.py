"""A scan is coarse or faint, and shows the same digit in MNIST's form."""

import numpy as np
import pytest

from digits.features import Grey, to_features
from digits.model.artifact import NAME, SHIPPED, versions
from digits.model.classifier import Classifier
from digits.normalization.mnist_form import are_mnist_form
from tests.conftest import Mnist
from training.robust.scanning import scan


@pytest.fixture(scope="module")
def digits(mnist: Mnist) -> Grey:
    """100 digits, ten of each class."""
    return mnist.pixels[::50]


def test_a_scan_shows_the_same_digit_in_mnist_form(mnist: Mnist, digits: Grey) -> None:
    shipped = Classifier.load(SHIPPED / NAME / str(versions(SHIPPED)[0]))

    scans = scan(digits.astype(np.float32), np.random.default_rng(0))

    features = to_features(np.rint(scans).astype(np.uint8))
    assert scans.dtype == np.float32
    assert are_mnist_form(features).mean() > 0.95  # others are placed a little differently, as in the service
    assert (scans != digits).any(axis=(1, 2)).mean() > 0.95
    assert (shipped.probabilities(features).argmax(axis=1) == mnist.labels[::50]).mean() > 0.9


def test_the_seed_determines_the_scans(digits: Grey) -> None:
    pictures = digits[:10].astype(np.float32)

    one, again, other = (scan(pictures, np.random.default_rng(seed)) for seed in (1, 1, 2))

    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
