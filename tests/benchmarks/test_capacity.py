"""The plan for many replicas follows from the measured cost of a request."""

import math

import numpy as np
import pytest

from benchmarks.capacity import RATES, Cost, Load, fit

SHARED = Cost(fixed_seconds=444e-6, each_seconds=70e-6, max_in_turn=128)
ALONE = Cost(fixed_seconds=0, each_seconds=4e-3, max_in_turn=1)


def test_loads_that_share_turns_differently_give_both_costs() -> None:
    loads = [Load(batch, 180e-6 / batch + 55e-6) for batch in (1, 1.5, 4, 20)]

    cost = fit(loads, share_passes=True)

    assert (cost.fixed_seconds, cost.each_seconds) == pytest.approx((180e-6, 55e-6))
    assert [cost.error(one) for one in loads] == pytest.approx([0] * 4)
    assert fit([Load(1, 2e-3), Load(3, 1e-3)], share_passes=False) == Cost(0, 1.5e-3, max_in_turn=1)


def simulated_seconds(cost: Cost, share: float, requests: int = 100_000) -> list[float]:
    """Return the times of requests at Poisson times, which wait for a replica that works in turns."""
    arrivals = np.random.default_rng(0).exponential(1 / (share * cost.capacity), requests).cumsum()
    seconds: list[float] = []
    now, first = 0.0, 0
    while first < requests:
        now = max(now, arrivals[first])
        waiting = int(np.searchsorted(arrivals, now, side="right")) - first
        together = min(waiting, cost.max_in_turn)
        now += cost.fixed_seconds + cost.each_seconds * together
        seconds += (now - arrivals[first : first + together]).tolist()
        first += together
    return seconds


@pytest.mark.parametrize(
    ("cost", "quantile", "tolerance"),
    [
        pytest.param(SHARED, 0.5, 0.1, id="shared turns, median"),
        pytest.param(SHARED, 0.99, 0.1, id="shared turns, 99th percentile"),
        pytest.param(ALONE, 0.99, 0.15, id="one after another, 99th percentile"),
    ],
)
def test_the_formula_agrees_with_a_simulated_queue(cost: Cost, quantile: float, tolerance: float) -> None:
    for share in (0.6, 0.9):  # as planned, and without a zone
        simulated = float(np.quantile(simulated_seconds(cost, share), quantile))

        assert cost.quantile_seconds(quantile, share) == pytest.approx(simulated, rel=tolerance)
    assert cost.quantile_seconds(quantile, 1) == math.inf


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("cost", [SHARED, ALONE], ids=["shared turns", "one after another"])
def test_the_planned_replicas_answer_in_time_while_a_zone_or_one_replica_is_gone(cost: Cost, rate: float) -> None:
    replicas = cost.replicas(rate)

    assert replicas >= 2
    assert rate / replicas <= 0.6 * cost.capacity
    for left in (replicas - 1, replicas - math.ceil(replicas / 3)):
        assert rate / left <= cost.greatest_load() * cost.capacity
