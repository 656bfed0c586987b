"""Scenes show digits on paper, and tell how much of each pixel the pen has covered."""

import numpy as np
import pytest

pytest.importorskip("scipy")

from digits.features import Floats, Grey
from tests.conftest import Mnist
from training.ink.scenes import SIDE, Chances, make_scene
from training.ink.strokes import distance_fields

ON_PLAIN_PAPER = Chances(empty=0, plain=1, surface=0, inverted=0, blurred=0, small=0, jpeg=0)


@pytest.fixture(scope="module")
def fields(mnist: Mnist) -> Floats:
    return distance_fields(mnist.pixels[::500])


def scene(fields: Floats, seed: int, **chances: Chances) -> tuple[Grey, Grey]:
    return make_scene(fields, np.random.default_rng(seed), **chances)


def test_the_same_seed_makes_the_same_scene(fields: Floats) -> None:
    one, again, other = (scene(fields, seed) for seed in (3, 3, 4))

    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not np.array_equal(one[0], other[0])


def test_on_plain_paper_ink_is_what_is_darker(fields: Floats) -> None:
    for seed in range(8):
        grey, ink = scene(fields, seed, chances=ON_PLAIN_PAPER)

        assert grey.shape == ink.shape == (SIDE, SIDE)
        assert np.corrcoef(255.0 - grey.ravel(), ink.ravel())[0, 1] > 0.9


def test_a_scene_without_digits_has_no_ink(fields: Floats) -> None:
    scenes = [scene(fields, seed, chances=Chances(empty=1)) for seed in range(10)]

    assert not any(ink.any() for _, ink in scenes)
    assert len({grey.tobytes() for grey, _ in scenes}) == 10
