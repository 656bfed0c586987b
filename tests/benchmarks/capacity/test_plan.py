"""From what a request costs to how many replicas."""

import math

import pytest

from benchmarks.capacity.plan import LIMIT_SECONDS, NETWORK_SECONDS, RATES, Measured, Simulator, Wire, framed, planned
from benchmarks.capacity.service_times import MANY, Cost
from benchmarks.harness.bodies import RAW, Body

CAPACITY = 1000.0


def measured(body: Body = RAW) -> Measured:
    return Measured(body, (), Cost(0, 1 / CAPACITY, 1), Wire(1, 1, 1), ())


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("greatest", [0.3, 0.95])
def test_what_is_planned_is_in_time_while_a_zone_or_one_replica_is_gone(rate: float, greatest: float) -> None:
    replicas = planned(rate, measured(), greatest)

    assert replicas >= 2
    assert rate / (replicas - 1) <= greatest * CAPACITY
    assert rate / (replicas - math.ceil(replicas / 3)) <= greatest * CAPACITY
    assert rate / replicas <= 0.6 * CAPACITY


def test_many_pictures_in_a_request_take_fewer_requests() -> None:
    assert measured(MANY).replicas_worth(1024 * CAPACITY) == pytest.approx(1)


def test_a_replica_may_be_as_full_as_the_tail_of_its_queue_allows() -> None:
    milliseconds = 2.0
    cost = Cost(0, milliseconds / 1000, most_in_turn=1)

    share = Simulator(seed=0, requests=100_000).greatest_share(cost, "random")

    # The wait of an M/D/1 queue is beyond t with about exp(-2 (1 - load) t / service) for high loads (Kingman).
    wait = 1000 * (LIMIT_SECONDS - NETWORK_SECONDS) - milliseconds
    assert share == pytest.approx(1 - math.log(100) * milliseconds / 2 / wait, abs=0.02)


@pytest.mark.parametrize(("payload", "frames"), [(1, 1), (1448, 1), (1449, 2)])
def test_every_segment_has_its_heads(payload: int, frames: int) -> None:
    assert framed(payload) == payload + 90 * frames
