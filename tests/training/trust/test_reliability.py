"""Whether a probability is as frequent as it says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import brier_score_loss, log_loss

from digits.features import Floats
from training.data import Labels
from training.trust.reliability import reliability, scaled

DIGITS = np.arange(10)


def drawn(seed: int, count: int, *, temperature: float = 1) -> tuple[Floats, Labels]:
    """Probabilities and true digits, which are drawn from the former made less sure by a temperature."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (count, 10))
    # Gumbel's trick: the largest of logits plus noise is a draw from their softmax.
    labels = (logits / temperature + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return softmax(logits, axis=1).astype(np.float32), labels.astype(np.uint8)


def sure(*shares: float) -> Floats:
    """Of a 0 so sure, and the rest is a 1's."""
    made = np.zeros((len(shares), 10), dtype=np.float32)
    made[:, 0], made[:, 1] = shares, 1 - np.array(shares)
    return made


def test_the_figures_are_those_of_the_definitions() -> None:
    # Two of the same bin, the first right; one of another, right; one of a third, wrong.
    given_, labels = sure(0.9, 0.9, 0.63, 0.55), np.array([0, 1, 0, 1], dtype=np.uint8)

    found = reliability(given_, labels)

    assert found.ece == pytest.approx(0.5 * 0.4 + 0.25 * 0.37 + 0.25 * 0.55, abs=1e-6)
    assert found.mce == pytest.approx(0.55, abs=1e-6)
    assert found.nll == pytest.approx(-np.log([0.9, 0.1, 0.63, 0.45]).mean(), abs=1e-6)
    assert found.brier == pytest.approx(2 * np.square([0.1, 0.9, 0.37, 0.55]).mean(), abs=1e-6)
    # 0.9 is in the bin up to 14/15, 0.63 in that up to 10/15, 0.55 in that up to 9/15.
    assert found.images[[13, 9, 8]].tolist() == [2, 1, 1]
    assert found.images.sum() == 4
    np.testing.assert_allclose(found.confidence[[13, 9, 8]], [0.9, 0.63, 0.55], atol=1e-6)
    assert found.accuracy[[13, 9, 8]].tolist() == [0.5, 1, 0]
    assert np.isnan(found.accuracy[0])
    assert np.isnan(found.confidence[0])


def test_a_certain_answer_is_in_the_last_bin_and_a_certain_mistake_is_finite() -> None:
    found = reliability(sure(1, 1), np.array([0, 1], dtype=np.uint8))

    assert found.images.tolist() == [0] * 14 + [2]
    assert np.isfinite(found.nll)
    assert (found.ece, found.mce, found.brier) == (0.5, 0.5, 1)


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 60), temperature=st.floats(0.3, 3))
@settings(max_examples=20, deadline=None)
def test_the_figures_keep_to_their_bounds_and_the_scores_are_scikit_learns(
    seed: int, count: int, temperature: float
) -> None:
    probabilities, labels = drawn(seed, count, temperature=temperature)

    found = reliability(probabilities, labels)

    assert 0 <= found.ece <= found.mce <= 1
    assert 0 <= found.ece_by_chance <= 1
    assert found.images.sum() == count
    exact = probabilities.astype(np.float64) / probabilities.sum(axis=1, keepdims=True, dtype=np.float64)
    assert found.nll == pytest.approx(log_loss(labels, exact, labels=DIGITS), rel=1e-5)
    brier = brier_score_loss(labels, exact, labels=DIGITS, scale_by_half=False)
    assert found.brier == pytest.approx(brier, rel=1e-5)


def test_a_network_whose_probabilities_are_right_is_below_what_chance_gives_95_times_in_100() -> None:
    found = [reliability(*drawn(seed, 150)) for seed in range(100)]

    below = sum(each.ece <= each.ece_by_chance for each in found)

    assert 89 <= below <= 99  # all but one in a hundred binomial draws


def test_a_network_that_is_too_sure_is_above_what_chance_gives() -> None:
    found = reliability(*drawn(0, 500, temperature=2))

    assert found.ece > 2 * found.ece_by_chance


logits_of_ten = st.lists(st.floats(-10, 10), min_size=10, max_size=10)
temperatures = st.floats(0.25, 4)


@given(logits=logits_of_ten, temperature=temperatures)
@settings(deadline=None)
def test_scaling_probabilities_is_dividing_their_logits(logits: list[float], temperature: float) -> None:
    given_ = softmax(np.array([logits]), axis=1).astype(np.float32)

    found = scaled(given_, temperature)

    np.testing.assert_allclose(found, softmax(np.array([logits]) / temperature, axis=1), rtol=1e-4)


@given(logits=logits_of_ten, temperature=temperatures)
@settings(deadline=None)
def test_scaling_back_undoes_it(logits: list[float], temperature: float) -> None:
    given_ = softmax(np.array([logits]), axis=1).astype(np.float32)

    # The warmer first: the colder may make a float32 of a probability that is too small for one.
    found = scaled(scaled(given_, max(temperature, 1 / temperature)), min(temperature, 1 / temperature))

    np.testing.assert_allclose(found, given_, rtol=1e-3)


@given(logits=logits_of_ten)
@settings(deadline=None)
def test_a_temperature_of_1_changes_nothing(logits: list[float]) -> None:
    given_ = softmax(np.array([logits]), axis=1).astype(np.float32)

    np.testing.assert_allclose(scaled(given_, 1), given_, rtol=1e-5)


def test_a_probability_of_0_stays_next_to_nothing() -> None:
    found = scaled(np.eye(10, dtype=np.float32), 0.5)

    np.testing.assert_array_equal(found, np.eye(10))
