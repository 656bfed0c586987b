"""Reliability measures whether probabilities match frequencies."""

import numpy as np
import pytest

from tests.training.trust.test_conformal import drawn
from tests.training.trust.test_evaluation import probabilities
from training.trust.reliability import reliability


def test_the_figures_follow_their_definitions() -> None:
    # Two images share a bin, the first is right. The third image is right, the fourth is wrong.
    given = probabilities(*({0: share, 1: 1 - share} for share in (0.9, 0.9, 0.63, 0.55)))

    result = reliability(given, np.array([0, 1, 0, 1], dtype=np.uint8))

    assert result.ece == pytest.approx(0.5 * 0.4 + 0.25 * 0.37 + 0.25 * 0.55, abs=1e-6)
    assert result.mce == pytest.approx(0.55, abs=1e-6)
    assert result.nll == pytest.approx(-np.log([0.9, 0.1, 0.63, 0.45]).mean(), abs=1e-6)
    assert result.brier == pytest.approx(2 * np.square([0.1, 0.9, 0.37, 0.55]).mean(), abs=1e-6)
    # The bins of 0.9, 0.63 and 0.55 end at 14/15, 10/15 and 9/15.
    assert result.images[[13, 9, 8]].tolist() == [2, 1, 1]
    assert result.images.sum() == 4
    np.testing.assert_allclose(result.confidence[[13, 9, 8]], [0.9, 0.63, 0.55], atol=1e-6)
    assert result.accuracy[[13, 9, 8]].tolist() == [0.5, 1, 0]
    assert np.isnan([result.accuracy[0], result.confidence[0]]).all()


def test_right_probabilities_have_an_ece_below_chance_level_95_times_in_100() -> None:
    result = [reliability(*drawn(np.random.default_rng(seed), 150, honesty=1)) for seed in range(100)]

    below = sum(each.ece <= each.ece_by_chance for each in result)

    assert 89 <= below <= 99  # 99 % of binomial draws
    overconfident = reliability(*drawn(np.random.default_rng(0), 500, honesty=0.5))
    assert overconfident.ece > 2 * overconfident.ece_by_chance
