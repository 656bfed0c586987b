"""A model that asks for it gets pictures that are only fitted into 28x28."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from digits.errors import WrongSize
from digits.features import SIDE
from digits.normalization.resize import resize
from digits.picture import Picture
from tests.conftest import encoded


def test_a_28x28_picture_stays_as_it_is() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)

    resized = resize(picture)

    assert resized.pixels is picture
    assert resized.steps == ()


def test_a_wide_picture_keeps_its_aspect_ratio_and_its_paper() -> None:
    picture = np.full((50, 100), 200, dtype=np.uint8)
    picture[20:30, 40:60] = 10

    resized = resize(picture)

    assert resized.steps == ("resized",)
    assert (resized.pixels[[0, 6, 21, 27]] == 200).all()
    rows, columns = np.nonzero(resized.pixels < 100)
    assert np.ptp(rows) + 1 == pytest.approx(2.8, abs=1)
    assert np.ptp(columns) + 1 == pytest.approx(5.6, abs=1)


@pytest.mark.parametrize("paper", [0, 255], ids=["dark", "light"])
def test_polarity_does_not_change(paper: int) -> None:
    picture = np.full((280, 280), paper, dtype=np.uint8)
    picture[100:180, 100:180] = 255 - paper

    resized = resize(picture)

    assert resized.pixels[0, 0] == paper
    assert resized.pixels[14, 14] == 255 - paper


@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 255))
@example(1, 3000, 7)
@example(3000, 1, 7)
@example(29, 28, 7)
def test_a_picture_of_one_grey_gives_a_field_of_this_grey(height: int, width: int, grey: int) -> None:
    resized = resize(np.full((height, width), grey, dtype=np.uint8))

    assert resized.pixels.shape == (SIDE, SIDE)
    assert (resized.pixels == grey).all()


def test_an_encoded_picture_is_decoded_upright_and_resized() -> None:
    picture = Image.new("RGB", (56, 28), "white")
    picture.paste("black", (0, 0, 28, 28))

    prepared = Picture(encoded(picture)).prepare("resize")

    assert (prepared.pixels[14, 2], prepared.pixels[14, 25]) == (0, 255)


def test_never_refuses_other_sizes() -> None:
    with pytest.raises(WrongSize, match="expected 28x28 pixels, received 29x28"):
        Picture(encoded(np.zeros((28, 29), dtype=np.uint8))).prepare("never")
