"""Prediction sets contain the true digit as often as promised, for any network."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.special import softmax

from digits.features import Floats
from digits.model.prediction_sets import class_thresholds
from training.data.images import Labels
from training.trust import conformal


def drawn(rng: np.random.Generator, count: int, *, sharpness: float = 2, honesty: float = 0.5) -> tuple[Floats, Labels]:
    """Draw a network's probabilities and the true digits. An honesty below 1 makes the network overconfident."""
    logits = rng.normal(0, sharpness, (count, 10))
    # Gumbel's trick: the largest of logits plus noise is a draw from their softmax.
    labels = (honesty * logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return softmax(logits, axis=1).astype(np.float32), labels.astype(np.uint8)


def at_true_digit(values: np.ndarray, labels: Labels) -> np.ndarray:
    return np.asarray(values[np.arange(len(labels)), labels])


@example(scores=list(range(9)), thousandths=900)
@example(scores=list(range(999)), thousandths=999)
@example(scores=list(range(24)), thousandths=280)  # 25 times 0.28 is 7.000000000000001
@given(scores=st.lists(st.integers(-5, 5), max_size=40), thousandths=st.integers(1, 999))
def test_the_quantile_is_the_smallest_score_that_covers_enough(scores: list[int], thousandths: int) -> None:
    needed = Fraction(thousandths, 1000) * (len(scores) + 1)
    enough = [score for score in scores if sum(other <= score for other in scores) >= needed]

    quantile = conformal.quantile(np.array(scores, dtype=np.float64), thousandths / 1000)

    assert quantile == min(enough, default=None)


def test_thresholds_per_digit_cover_a_digit_that_the_common_threshold_misses() -> None:
    rng = np.random.default_rng(0)
    probabilities, labels = drawn(rng, 40_000, sharpness=3, honesty=1)
    # Half of the pictures that look like an 8 show a 3.
    labels[(labels == 8) & (rng.random(len(labels)) < 0.5)] = 3
    known, new = slice(0, 20_000), slice(20_000, None)

    calibrated = conformal.calibrate(probabilities[known], labels[known])

    level = next(level for level in calibrated.levels if level.coverage == 0.9)
    common, per_digit = (
        at_true_digit(probabilities[new] >= class_thresholds(level, per_class=per_class, classes=10), labels[new])
        for per_class in (False, True)
    )
    share = np.array([[part[labels[new] == digit].mean() for digit in range(10)] for part in (common, per_digit)])
    assert share[0, 3] < 0.75
    for digit in range(10):
        n, m = ((labels[part] == digit).sum() for part in (known, new))
        low, high = conformal.coverage_band(0.9, n, m, error=0.001)
        assert low <= share[1, digit] <= high


@pytest.mark.parametrize(("images", "levels"), [(8, 0), (9, 1), (18, 1), (19, 2), (98, 2), (99, 3), (998, 3), (999, 4)])
def test_a_level_with_too_few_images_is_left_out(images: int, levels: int) -> None:
    sets = conformal.calibrate(*drawn(np.random.default_rng(0), images))

    assert [level.coverage for level in sets.levels] == list(conformal.COVERAGES[:levels])


@pytest.mark.parametrize(
    ("images", "coverage"), [(8, None), (9, 0.9), (18, 0.9), (19, 0.95), (98, 0.95), (99, 0.99), (10_000, 0.99)]
)
def test_the_default_coverage_is_the_highest_that_the_images_can_promise(images: int, coverage: float | None) -> None:
    assert conformal.supported_coverage(images) == coverage
    assert conformal.needed_images() == 9


def test_each_image_is_compared_with_those_that_other_networks_scored() -> None:
    of_class_0 = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.1], dtype=np.float32)
    probabilities = np.stack([of_class_0, 1 - of_class_0], axis=1)
    folds = np.array([0, 0, 1, 1, 2, 2])

    thresholds = conformal.other_folds_thresholds(probabilities, np.zeros(6, np.uint8), folds, 0.6)

    # The third highest of the four others, as 3 is 0.6 times 5.
    assert thresholds.ravel().tolist() == pytest.approx([0.5, 0.5, 0.5, 0.5, 0.7, 0.7])


@pytest.mark.parametrize(("nines", "expected"), [(8, []), (9, [0.9])])
def test_thresholds_per_digit_need_enough_images_of_each(nines: int, expected: list[float]) -> None:
    labels = np.array([*np.repeat(np.arange(9), 18), *[9] * nines], dtype=np.uint8)
    probabilities, _ = drawn(np.random.default_rng(0), len(labels))

    sets = conformal.calibrate(probabilities, labels)

    assert [level.coverage for level in sets.levels if level.per_class is not None] == expected
