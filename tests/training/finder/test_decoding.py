"""How the maps are decoded is fitted on clear scenes, where a number that is accepted and wrong costs the most."""

import numpy as np
import pytest

from training.finder.decoding import Figures, is_clear
from training.finder.scenes import Box, Scene

pytestmark = pytest.mark.training


def scene(*labels: int, ink: int = 220, is_whole: bool = True) -> Scene:
    """Return a scene with bars for digits and marks, each 4 pixels wide."""
    owner = np.zeros((20, 10 * len(labels)), np.uint8)
    boxes = []
    for number, label in enumerate(labels, start=1):
        left = 10 * number - 8
        owner[2:18, left : left + 4] = number
        boxes.append(Box(left, 2, left + 4, 18, label, is_whole))
    drawn = np.where(owner > 0, ink, 0).astype(np.uint8)
    return Scene(255 - drawn, drawn, drawn, owner, boxes)


def test_a_number_is_clear() -> None:
    assert is_clear(scene(3, 1, 4))


@pytest.mark.parametrize(
    ("unclear", "why"),
    [
        (scene(3), "one digit"),
        (scene(*[7] * 11), "more than ten digits"),
        (scene(3, 4, ink=100), "faint digits"),
        (scene(3, 4, is_whole=False), "digits that are cut off"),
        (scene(3, -1), "a digit whose class is not known"),
        (scene(3, 12, 10), "one digit between marks"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_scene_is_not_clear_with(unclear: Scene, why: str) -> None:
    assert not is_clear(unclear), why


def test_ten_numbers_that_are_read_do_not_outweigh_one_that_is_accepted_and_wrong() -> None:
    careful, careless = Figures(0.80, 0.10, 0.00), Figures(0.90, 0.10, 0.01)

    assert careless.worth < careful.worth
