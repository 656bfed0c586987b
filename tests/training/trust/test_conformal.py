"""Prediction sets hold the true digit as often as they say, whatever the network."""

import math
from fractions import Fraction

import numpy as np
import pytest
from crepes import ConformalClassifier
from crepes.extras import hinge
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import betabinom, chisquare, kstest

from digits.features import Floats
from digits.prediction_sets import thresholds
from training.data import Labels
from training.trust import conformal

SEEDS = st.integers(0, 2**32 - 1)


def drawn(rng: np.random.Generator, count: int, *, sharpness: float = 2, honesty: float = 0.5) -> tuple[Floats, Labels]:
    """Probabilities of a network and true digits; with an honesty of 1 the former are right, below it too sure."""
    logits = rng.normal(0, sharpness, (count, 10))
    # Gumbel's trick: the largest of logits plus noise is a draw from their softmax.
    labels = (honesty * logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return softmax(logits, axis=1).astype(np.float32), labels.astype(np.uint8)


def of_truth(scores: np.ndarray, labels: Labels) -> np.ndarray:
    found: np.ndarray = scores[np.arange(len(labels)), labels]
    return found


@example(scores=list(range(9)), thousandths=900)
@example(scores=list(range(999)), thousandths=999)
@example(scores=list(range(24)), thousandths=280)  # 25 times 0.28 is 7.000000000000001
@given(scores=st.lists(st.integers(-5, 5), max_size=40), thousandths=st.integers(1, 999))
@settings(deadline=None)
def test_the_quantile_is_the_smallest_score_that_n_plus_one_times_the_coverage_do_not_exceed(
    scores: list[int], thousandths: int
) -> None:
    needed = Fraction(thousandths, 1000) * (len(scores) + 1)
    enough = [score for score in scores if sum(other <= score for other in scores) >= needed]

    found = conformal.quantile(np.array(scores, dtype=np.float64), thousandths / 1000)

    assert found == min(enough, default=None)


@given(seed=SEEDS, count=st.integers(10, 1200), sharpness=st.floats(0.1, 4), honesty=st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_the_thresholds_give_the_sets_of_the_scores(seed: int, count: int, sharpness: float, honesty: float) -> None:
    rng = np.random.default_rng(seed)
    probabilities, labels = drawn(rng, count, sharpness=sharpness, honesty=honesty)
    asked, _ = drawn(rng, 50, sharpness=sharpness)

    levels = conformal.calibrate(probabilities, labels).levels

    for level in levels:
        limit = conformal.quantile(of_truth(conformal.lac(probabilities), labels), level.coverage)
        assert limit is not None
        np.testing.assert_array_equal(asked >= thresholds(level), conformal.lac(asked) <= limit)


def test_crepes_gives_the_same_sets() -> None:
    rng = np.random.default_rng(0)
    # So many that no level is met exactly: there crepes keeps a digit whose p-value is the error itself.
    probabilities, labels = drawn(rng, 1200)
    asked, _ = drawn(rng, 300)
    other = ConformalClassifier().fit(hinge(probabilities.astype(np.float64), np.arange(10), labels))

    levels = conformal.calibrate(probabilities, labels).levels

    assert [level.coverage for level in levels] == list(conformal.COVERAGES)
    for level in levels:
        expected = other.predict_set(hinge(asked.astype(np.float64)), confidence=level.coverage, smoothing=False)
        np.testing.assert_array_equal(asked >= thresholds(level), expected)


def test_crepes_gives_the_same_sets_by_digit() -> None:
    rng = np.random.default_rng(0)
    probabilities, labels = drawn(rng, 1500)
    asked, _ = drawn(rng, 100)
    scores = hinge(asked.astype(np.float64))
    other = ConformalClassifier().fit(hinge(probabilities.astype(np.float64), np.arange(10), labels), bins=labels)

    level = conformal.calibrate(probabilities, labels).level(0.9)

    assert level is not None
    members = asked >= thresholds(level, per_class=True)
    for digit in range(10):
        p_values = other.predict_p(scores[:, digit], bins=np.full(100, digit), smoothing=False)
        np.testing.assert_array_equal(members[:, digit], p_values > 0.1)


@pytest.mark.parametrize("coverage", [0.9, 0.95, 0.99])
def test_the_number_covered_is_beta_binomial(coverage: float) -> None:
    """Over many calibrations of a network that is much too sure."""
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(1000):
        probabilities, labels = drawn(rng, 99 + 50)
        level = conformal.calibrate(probabilities[:99], labels[:99]).level(coverage)
        assert level is not None
        covered.append(int(of_truth(probabilities[99:] >= thresholds(level), labels[99:]).sum()))

    law = betabinom(50, round(100 * coverage), 100 - round(100 * coverage))
    assert np.mean(covered) == pytest.approx(50 * coverage, abs=4 * law.std() / np.sqrt(1000))
    # Counts that are expected fewer than ten times are taken together.
    rare = int(law.ppf(0.01)) + 1
    expected = [1000 * law.cdf(rare - 1), *1000 * law.pmf(np.arange(rare, 51))]
    observed = [sum(count < rare for count in covered), *(covered.count(count) for count in range(rare, 51))]
    assert chisquare(observed, expected).pvalue > 0.001


@given(
    coverage=st.sampled_from(conformal.COVERAGES),
    calibration=st.integers(1000, 10_000),
    test=st.integers(100, 10_000),
    error=st.sampled_from([0.0125, 0.05, 0.2]),
)
@settings(max_examples=50, deadline=None)
def test_the_band_leaves_out_no_more_than_its_error_on_either_side(
    coverage: float, calibration: int, test: int, error: float
) -> None:
    k = math.ceil((calibration + 1) * Fraction(str(coverage)))
    law = betabinom(test, k, calibration + 1 - k)

    low, high = (round(share * test) for share in conformal.coverage_band(coverage, calibration, test, error=error))

    assert law.cdf(low - 1) < error / 2 + 1e-9
    assert law.sf(high) <= error / 2 + 1e-9
    # And it is no wider than that takes.
    assert law.cdf(low) >= error / 2 - 1e-9
    assert law.sf(high - 1) > error / 2 - 1e-9


def test_thresholds_per_digit_cover_the_digit_that_the_common_one_fails() -> None:
    rng = np.random.default_rng(0)
    probabilities, labels = drawn(rng, 40_000, sharpness=3, honesty=1)
    # Half of the 8s, as it sees them, are 3s.
    labels[(labels == 8) & (rng.random(len(labels)) < 0.5)] = 3
    known, asked = slice(0, 20_000), slice(20_000, None)

    level = conformal.calibrate(probabilities[known], labels[known]).level(0.9)

    assert level is not None
    common, per_digit = (
        of_truth(probabilities[asked] >= thresholds(level, per_class=per_class), labels[asked])
        for per_class in (False, True)
    )
    share = np.array([[part[labels[asked] == digit].mean() for digit in range(10)] for part in (common, per_digit)])
    assert share[0, 3] < 0.75
    for digit in range(10):
        n, m = ((labels[part] == digit).sum() for part in (known, asked))
        low, high = conformal.coverage_band(0.9, n, m, error=0.001)
        assert low <= share[1, digit] <= high


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        pytest.param(8, [], id="8"),
        pytest.param(9, [0.9], id="9"),
        pytest.param(18, [0.9], id="18"),
        pytest.param(19, [0.9, 0.95], id="19"),
        pytest.param(98, [0.9, 0.95], id="98"),
        pytest.param(99, [0.9, 0.95, 0.99], id="99"),
        pytest.param(998, [0.9, 0.95, 0.99], id="998"),
        pytest.param(999, [0.9, 0.95, 0.99, 0.999], id="999"),
    ],
)
def test_a_level_that_so_few_images_do_not_carry_is_left_out(images: int, expected: list[float]) -> None:
    found = conformal.calibrate(*drawn(np.random.default_rng(0), images))

    assert [level.coverage for level in found.levels] == expected


@pytest.mark.parametrize(
    ("nines", "expected"), [pytest.param(8, [], id="8 nines"), pytest.param(9, [0.9], id="9 nines")]
)
def test_thresholds_per_digit_need_enough_images_of_each(nines: int, expected: list[float]) -> None:
    labels = np.array([*np.repeat(np.arange(9), 18), *[9] * nines], dtype=np.uint8)
    probabilities, _ = drawn(np.random.default_rng(0), len(labels))

    found = conformal.calibrate(probabilities, labels)

    assert [level.coverage for level in found.levels if level.per_class is not None] == expected


ROW = np.array([[0.15, 0.5, 0.05, 0.3, 0, 0, 0, 0, 0, 0]], dtype=np.float32)


def test_the_scores_are_those_of_the_definitions() -> None:
    lac, aps, raps = conformal.lac(ROW), conformal.aps(ROW), conformal.raps(ROW, penalty=0.1, free=2)

    np.testing.assert_allclose(lac[0, :4], [0.85, 0.5, 0.95, 0.7], atol=1e-6)
    np.testing.assert_allclose(aps[0, :4], [0.95, 0.5, 1.0, 0.8], atol=1e-6)
    np.testing.assert_allclose(raps[0, :4], [1.05, 0.5, 1.2, 0.8], atol=1e-6)


@given(seed=SEEDS, sharpness=st.floats(0.1, 5))
@settings(deadline=None)
def test_adaptive_sets_are_the_most_probable_digits_whatever_the_threshold(seed: int, sharpness: float) -> None:
    probabilities, _ = drawn(np.random.default_rng(seed), 20, sharpness=sharpness)
    order = np.argsort(-probabilities, axis=1, kind="stable")

    for score in (conformal.aps, conformal.raps):
        scores = score(probabilities)
        randomized = score(probabilities, rng=np.random.default_rng(seed))

        assert (np.diff(np.take_along_axis(scores, order, axis=1), axis=1) >= 0).all()
        # A digit that is in a set is in the randomized one too, for the same threshold.
        assert (randomized <= scores).all()
        assert (scores - randomized <= probabilities).all()
        # From 1 on, all that has no penalty is in.
        assert (conformal.aps(probabilities) <= 1 + 1e-6).all()


@given(seed=SEEDS, sharpness=st.floats(0.1, 5))
@settings(deadline=None)
def test_regularized_scores_without_a_penalty_are_the_adaptive_ones(seed: int, sharpness: float) -> None:
    probabilities, _ = drawn(np.random.default_rng(seed), 20, sharpness=sharpness)

    found = conformal.raps(probabilities, penalty=0, rng=np.random.default_rng(seed))

    np.testing.assert_array_equal(found, conformal.aps(probabilities, rng=np.random.default_rng(seed)))


def test_the_randomized_adaptive_score_is_uniform_where_the_probabilities_are_right() -> None:
    rng = np.random.default_rng(0)
    probabilities, labels = drawn(rng, 20_000, honesty=1)

    exact = of_truth(conformal.aps(probabilities, rng=rng), labels)
    larger = of_truth(conformal.aps(probabilities), labels)

    assert kstest(exact, "uniform").pvalue > 0.001
    assert all((larger <= share).mean() < share - 0.02 for share in (0.25, 0.5, 0.9))


@pytest.mark.parametrize("name", ["aps", "raps"])
def test_adaptive_sets_cover_too(name: str) -> None:
    score = {"aps": conformal.aps, "raps": conformal.raps}[name]
    rng = np.random.default_rng(0)
    probabilities, labels = drawn(rng, 10_000)
    known, asked = slice(0, 5000), slice(5000, None)

    limit = conformal.quantile(of_truth(score(probabilities[known], rng=rng), labels[known]), 0.9)

    covered = of_truth(score(probabilities[asked], rng=rng), labels[asked]) <= limit
    low, high = conformal.coverage_band(0.9, 5000, 5000, error=0.001)
    assert low <= covered.mean() <= high
