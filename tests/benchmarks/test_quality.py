"""The pictures that measure quality are the same for the same seed, and show what their name says."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from benchmarks.quality.drawn_styles import DRAWN, drawings
from benchmarks.quality.families import FAMILIES, Generator, family
from benchmarks.quality.number_pictures import NUMBERS, numbers
from benchmarks.quality.papers import ON_PAPER
from benchmarks.quality.pictures import ours
from benchmarks.quality.without_digit import SURFACES, pictures_without_digit
from digits.features import Grey, to_features
from digits.model.artifact import NAME, SHIPPED, versions
from digits.model.classifier import Classifier
from tests.conftest import Mnist
from training.robust.styles import STYLES

OTHER_NAMES = {"1 with a bold pen": "1, bold bitmap", "1 with a thin pen": "1, tall in a dark photo"}
"""The benchmark's names of training's styles, where they differ."""


@pytest.fixture(scope="module")
def digits(mnist: Mnist) -> Grey:
    """20 digits, two of each class."""
    return mnist.pixels[::250]


@pytest.fixture(scope="module")
def shipped() -> Classifier:
    return Classifier.load(SHIPPED / NAME / str(versions(SHIPPED)[0]))


@pytest.mark.parametrize(
    ("make", "names"),
    [
        pytest.param(lambda name, rng, mnist: family(name, mnist.pixels[:2], rng), list(FAMILIES)[2:], id="families"),
        pytest.param(lambda name, rng, mnist: ON_PAPER[name](mnist.pixels[0], rng), ON_PAPER, id="papers"),
        pytest.param(lambda name, rng, _: drawings(name, 2, rng), DRAWN, id="drawn styles"),
        pytest.param(lambda name, rng, _: pictures_without_digit(name, 2, rng), SURFACES, id="without a digit"),
        pytest.param(lambda name, rng, mnist: numbers(name, mnist.pixels, mnist.labels, 1, rng), NUMBERS, id="numbers"),
    ],
)
def test_the_same_seed_makes_the_same_pictures(
    make: Callable[[str, Generator, Mnist], list[object]], names: list[str], mnist: Mnist
) -> None:
    for name in names:
        one, again, other = (make(name, np.random.default_rng(seed), mnist) for seed in (3, 3, 4))

        assert one == again, name
        assert one != other, name


@pytest.mark.parametrize("name", DRAWN)
def test_most_drawings_of_a_style_are_read_as_its_digit(name: str, shipped: Classifier) -> None:
    pictures = drawings(name, 12, np.random.default_rng(0))

    answers = shipped.probabilities(to_features(np.stack([ours(data).pixels for data in pictures]))).argmax(axis=1)

    assert (answers == DRAWN[name].label).sum() >= 11


def test_every_style_that_training_draws_is_measured() -> None:
    drawn = {name: style.label for name, style in DRAWN.items()}

    assert {OTHER_NAMES.get(name, name): style.label for name, style in STYLES.items()}.items() <= drawn.items()


def made(name: str, digits: Grey) -> list[Grey]:
    pictures = family(name, digits, np.random.default_rng(5))
    return [np.asarray(Image.open(io.BytesIO(data)).convert("L")) for data in pictures]


@pytest.mark.parametrize(("name", "side"), [("cut, 16x16 bitmap", 16), ("cut, 32x32 bitmap", 32)])
def test_cut_bitmaps_have_two_levels_and_ink_on_an_edge(name: str, side: int, digits: Grey) -> None:
    for picture in made(name, digits):
        assert picture.shape == (side, side)
        assert set(np.unique(picture).tolist()) == {0, 255}
        # An edge that no stroke touches has one level.
        edges = [len(np.unique(edge)) for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1])]
        assert max(edges[:2]) == 2 or max(edges[2:]) == 2


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
