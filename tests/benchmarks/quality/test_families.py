"""Families make pictures of the kind that their name says, and pictures without a digit show none."""

import io

import numpy as np
import pytest
from PIL import Image

from benchmarks.quality.families import family
from benchmarks.quality.without_digit import SURFACES, pictures_without_digit
from digits.features import Grey
from tests.conftest import Mnist


@pytest.fixture(scope="module")
def digits(mnist: Mnist) -> Grey:
    """20 digits, two of each class."""
    return mnist.pixels[::250]


def made(name: str, digits: Grey) -> list[Grey]:
    pictures = family(name, digits, np.random.default_rng(5))
    return [np.asarray(Image.open(io.BytesIO(data)).convert("L")) for data in pictures]


def rim(picture: Grey) -> Grey:
    return np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])


@pytest.mark.parametrize(("name", "side"), [("cut, 16x16 bitmap", 16), ("cut, 32x32 bitmap", 32)])
def test_cut_bitmaps_have_two_levels_and_ink_on_an_edge(name: str, side: int, digits: Grey) -> None:
    for picture in made(name, digits):
        assert picture.shape == (side, side)
        assert set(np.unique(picture).tolist()) == {0, 255}
        # An edge that no stroke touches has one level.
        edges = [len(np.unique(edge)) for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1])]
        assert max(edges[:2]) == 2 or max(edges[2:]) == 2


def test_a_bold_one_covers_half_of_its_picture() -> None:
    bar = np.zeros((28, 28), dtype=np.uint8)
    bar[4:24, 12:16] = 255

    (picture,) = made("cut, bold", bar[None])

    assert 0.4 < (picture > 0).mean() < 0.6


def test_cut_scans_have_ink_on_their_edge(digits: Grey) -> None:
    for picture in made("cut, scan", digits):
        assert rim(picture).min() < 0.8 * np.percentile(picture, 95)


@pytest.mark.parametrize(("name", "is_dark"), [("faint, light on dark", False), ("faint, dark on light", True)])
def test_faint_scans_are_small_with_few_pixels_of_low_contrast(name: str, is_dark: bool, digits: Grey) -> None:
    for picture in made(name, digits):
        ground = float(np.median(picture))
        difference = (ground - picture) if is_dark else (picture - ground)

        assert 24 <= len(picture) <= 36
        assert 10 < difference.max() < 170
        assert (difference > difference.max() / 2).mean() < 0.15


@pytest.mark.parametrize(("name", "side"), [("photo, 512 pixels", 512), ("photo, 256 pixels", 256)])
def test_reduced_photos_have_the_size_that_their_name_says(name: str, side: int, digits: Grey) -> None:
    assert {picture.shape for picture in made(name, digits[:2])} == {(side, side)}


def test_dark_photos_are_dark(digits: Grey) -> None:
    assert all(np.median(picture) < 115 for picture in made("photo, dark", digits[:2]))


@pytest.mark.parametrize("name", SURFACES)
def test_the_same_seed_makes_the_same_pictures_without_a_digit(name: str) -> None:
    one, again, other = (pictures_without_digit(name, 2, np.random.default_rng(seed)) for seed in (3, 3, 4))

    assert one == again
    assert one != other
