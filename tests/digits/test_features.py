"""`to_features` does the lecture's preprocessing."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from digits.errors import WrongSize
from digits.features import FEATURES, Grey, to_features
from tests.conftest import Mnist


def test_pixels_are_flattened_row_by_row() -> None:
    pixels = np.zeros((1, 28, 28), dtype=np.uint8)
    pixels[0, 1, 2] = 255

    features = to_features(pixels)

    assert features.shape == (1, FEATURES)
    assert np.flatnonzero(features[0]).tolist() == [1 * 28 + 2]


def test_floats_in_0_to_1_are_not_scaled() -> None:
    pixels = np.linspace(0, 1, FEATURES, dtype=np.float32).reshape(1, 28, 28)

    features = to_features(pixels)

    np.testing.assert_array_equal(features, pixels.reshape(1, FEATURES))


def test_float64_becomes_float32() -> None:
    features = to_features(np.full((1, 28, 28), 0.1))

    assert features.dtype == np.float32


def test_real_digits_become_the_lectures_features(mnist: Mnist) -> None:
    lecture = mnist.pixels.reshape((5000, 28 * 28)).astype("float32") / 255

    pixels = mnist.pixels.copy()

    features = to_features(pixels)

    np.testing.assert_array_equal(features, lecture)
    np.testing.assert_array_equal(pixels, mnist.pixels)  # left unchanged


@given(arrays(np.uint8, st.tuples(st.integers(0, 3), st.just(28), st.just(28))))
def test_every_picture_becomes_one_row_within_0_and_1(pixels: Grey) -> None:
    features = to_features(pixels)

    assert features.shape == (len(pixels), FEATURES)
    assert features.dtype == np.float32
    assert ((features >= 0) & (features <= 1)).all()
    np.testing.assert_array_equal(np.rint(features * 255), pixels.reshape(-1, FEATURES))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        pytest.param((1, 28, 29), "expected 28x28 pixels, received 29x28 (width x height)", id="one column too many"),
        pytest.param((1, 27, 28), "expected 28x28 pixels, received 28x27 (width x height)", id="one row too few"),
        pytest.param((1, 0, 0), "expected 28x28 pixels, received 0x0", id="no pixels"),
        pytest.param((28, 28), "expected pictures of shape (N, 28, 28), received (28, 28)", id="no batch axis"),
        pytest.param((1, 28, 28, 1), "received (1, 28, 28, 1)", id="a channel axis at the end"),
        pytest.param((784,), "received (784,)", id="flat"),
        pytest.param((1, 784), "received (1, 784)", id="flat, in a batch"),
        pytest.param((), "received ()", id="a single number"),
    ],
)
def test_other_shapes_are_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(WrongSize, match=re.escape(message)):
        to_features(np.zeros(shape, dtype=np.uint8))
