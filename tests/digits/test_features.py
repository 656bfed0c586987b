"""`to_features` does the lecture's preprocessing."""

import re

import numpy as np
import pytest

from digits.errors import WrongSize
from digits.features import to_features
from tests.conftest import Mnist


def test_real_digits_become_the_lectures_features(mnist: Mnist) -> None:
    lecture = mnist.pixels.reshape((5000, 28 * 28)).astype("float32") / 255

    np.testing.assert_array_equal(to_features(mnist.pixels), lecture)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        pytest.param((1, 28, 29), "expected 28x28 pixels, received 29x28 (width x height)", id="one column too many"),
        pytest.param((1, 27, 28), "expected 28x28 pixels, received 28x27 (width x height)", id="one row too few"),
        pytest.param((28, 28), "expected pictures of shape (N, 28, 28), received (28, 28)", id="no batch axis"),
        pytest.param((1, 784), "received (1, 784)", id="flat, in a batch"),
        pytest.param((), "received ()", id="a single number"),
    ],
)
def test_other_shapes_are_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(WrongSize, match=re.escape(message)):
        to_features(np.zeros(shape, dtype=np.uint8))
