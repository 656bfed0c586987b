"""The fit separates the cost of a turn from the cost of a request."""

import pytest

from benchmarks.capacity.service_times import Cost, Load, fit
from benchmarks.harness.bodies import DRAWING, JSON


def load(batch: float, each_seconds: float, connections: int = 8) -> Load:
    return Load(connections, rate=1, batch=batch, each_seconds=each_seconds)


def test_loads_that_share_turns_differently_give_both_costs() -> None:
    loads = [load(batch, 180e-6 / batch + 55e-6) for batch in (1, 1.5, 4, 20)]

    cost = fit(JSON, loads)

    assert cost.fixed_seconds == pytest.approx(180e-6)
    assert cost.each_seconds == pytest.approx(55e-6)
    assert [cost.error(one) for one in loads] == pytest.approx([0] * 4)


def test_drawings_have_no_fixed_cost_because_they_share_no_turn() -> None:
    cost = fit(DRAWING, [load(1, 9e-3, connections=1), load(1, 2e-3), load(3, 1e-3)])

    assert (cost.fixed_seconds, cost.max_in_turn) == (0, 1)
    assert cost.each_seconds == pytest.approx(1.5e-3)


def test_the_capacity_assumes_full_turns() -> None:
    cost = Cost(fixed_seconds=0.1, each_seconds=0.01, max_in_turn=10)

    assert cost.capacity == pytest.approx(10 / (0.1 + 10 * 0.01))
