"""Scenes say where each digit and mark is, and whose ink a pixel has."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from digits.finder.network import CLASSES
from training.finder import glyphs
from training.finder.layout import MAX_DIGITS, Writer
from training.finder.paper import SIDE
from training.finder.scenes import NOBODY, Scene, make_scene
from training.finder.targets import Views

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    images = np.zeros((6, 28, 28), np.uint8)
    images[:, 4:24, 13:15] = 255  # 1s
    writer = Writer(glyphs.of_writer(images, np.ones(6, np.uint8), per_style=1, other=40, seed=0))
    rng = np.random.default_rng(0)
    return [make_scene(writer, rng) for _ in range(120)]


def whole(scenes: Sequence[Scene]) -> list[tuple[Scene, int]]:
    return [(scene, number) for scene in scenes for number, box in enumerate(scene.boxes, start=1) if box.is_whole]


def test_every_box_is_in_its_scene_and_holds_its_ink(scenes: list[Scene]) -> None:
    for scene, number in whole(scenes):
        box, (height, width) = scene.boxes[number - 1], scene.grey.shape
        rows, columns = np.nonzero(scene.owner == number)

        assert 0 <= box.left < box.right <= width
        assert 0 <= box.top < box.bottom <= height
        assert np.mean((rows >= box.top - 2) & (rows < box.bottom + 2)) > 0.7  # a stroke may lead to the next digit
        assert (
            np.mean((columns >= box.left - 2) & (columns < box.right + 2)) > 0.7
        )  # a stroke may lead to the next digit


def test_the_ink_of_digits_is_a_part_of_the_pens_ink(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert (scene.digit_ink <= scene.pen_ink.astype(int) + 1).all()  # each is rounded


def test_scenes_have_digits_separators_and_other_marks(scenes: list[Scene]) -> None:
    kinds = Counter(CLASSES[scene.boxes[number - 1].label] for scene, number in whole(scenes))

    assert kinds.keys() >= {"1", "7", "point", "dash", "slash", "other"}


def test_a_scene_is_at_most_128_pixels_wide_and_has_at_most_44_digits(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert max(scene.grey.shape) <= SIDE
        assert sum(box.label < 10 for box in scene.boxes) <= MAX_DIGITS


def test_the_heat_of_each_whole_digit_and_mark_has_a_maximum_of_1(scenes: list[Scene]) -> None:
    for scene in scenes:
        views = Views.of([scene], 1)
        half, quarter = views.half[0], views.quarter[0]
        for box in scene.boxes:
            if box.is_whole:
                x, y = int(box.left + box.right) // 4, int(box.top + box.bottom) // 4
                near = half[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2, int(box.label > 9)]
                assert near.max() > 0.999
        assert set(np.unique(quarter[..., 3])) <= {-1.0, *map(float, range(len(CLASSES)))}


def test_a_vote_leads_from_a_pixel_to_the_middle_of_its_box(scenes: list[Scene]) -> None:
    for scene in scenes:
        half = Views.of([scene], 1).half[0]
        for number, box in enumerate(scene.boxes, start=1):
            rows, columns = np.nonzero((scene.owner[::2, ::2] == number) & box.is_whole)
            x, y = (int(box.left) + int(box.right)) / 4, (int(box.top) + int(box.bottom)) / 4

            np.testing.assert_allclose(half[rows, columns, 3] + columns + 0.5, x, atol=0.1)
            np.testing.assert_allclose(half[rows, columns, 4] + rows + 0.5, y, atol=0.1)


def test_ink_of_a_ring_or_an_underline_votes_for_its_own_place(scenes: list[Scene]) -> None:
    marked = [scene for scene in scenes if (scene.owner == NOBODY).any()]

    assert marked
    for scene in marked:
        half = Views.of([scene], 1).half[0]
        rows, columns = np.nonzero(scene.owner[::2, ::2] == NOBODY)
        assert not half[rows, columns, 3:5].any()
        assert (half[rows, columns, 5] > 0).all()


def test_low_scenes_share_a_view_with_room_between_them(scenes: list[Scene]) -> None:
    low = [scene for scene in scenes if scene.grey.shape[0] <= 48][:2]

    high = next(scene for scene in scenes if scene.grey.shape[0] == SIDE)

    views = Views.of([low[0], high, low[1]], 2)

    second = -(-low[0].grey.shape[0] // 16) * 16 + 8
    np.testing.assert_array_equal(views.grey[0, : low[0].grey.shape[0], : low[0].grey.shape[1]], low[0].grey)
    height, width = low[1].grey.shape
    np.testing.assert_array_equal(views.grey[0, second : second + height, :width], low[1].grey)
    assert not views.seen[0, second - 8 : second].any()
