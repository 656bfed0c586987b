"""The number of replicas follows from the cost of a request."""

import math

import pytest

from benchmarks.capacity.plan import (
    LIMIT_SECONDS,
    NETWORK_SECONDS,
    RATES,
    BodyMeasurement,
    BytesPerRequest,
    Simulator,
    bytes_on_the_wire,
    planned_replicas,
)
from benchmarks.capacity.service_times import MANY, Cost
from benchmarks.harness.bodies import RAW, Body

CAPACITY = 1000.0


def measured(body: Body = RAW) -> BodyMeasurement:
    return BodyMeasurement(body, (), Cost(0, 1 / CAPACITY, 1), BytesPerRequest(1, 1, 1), ())


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("greatest", [0.3, 0.95])
def test_the_planned_replicas_answer_in_time_while_a_zone_or_one_replica_is_gone(rate: float, greatest: float) -> None:
    replicas = planned_replicas(rate, measured(), greatest)

    assert replicas >= 2
    assert rate / (replicas - 1) <= greatest * CAPACITY
    assert rate / (replicas - math.ceil(replicas / 3)) <= greatest * CAPACITY
    assert rate / replicas <= 0.6 * CAPACITY


def test_a_rate_of_pictures_needs_fewer_requests_when_a_request_has_many() -> None:
    assert measured(MANY).replicas_worth(1024 * CAPACITY) == pytest.approx(1)


def test_the_greatest_load_is_where_the_99th_percentile_meets_the_limit() -> None:
    milliseconds = 2.0
    cost = Cost(0, milliseconds / 1000, max_in_turn=1)

    share = Simulator(seed=0, requests=100_000).greatest_share(cost, "random")

    # At high loads, the wait of an M/D/1 queue exceeds t with probability exp(-2 (1 - load) t / service) (Kingman).
    wait = 1000 * (LIMIT_SECONDS - NETWORK_SECONDS) - milliseconds
    assert share == pytest.approx(1 - math.log(100) * milliseconds / 2 / wait, abs=0.02)


@pytest.mark.parametrize(("payload", "frames"), [(1, 1), (1448, 1), (1449, 2)])
def test_every_tcp_segment_adds_its_headers(payload: int, frames: int) -> None:
    assert bytes_on_the_wire(payload) == payload + 90 * frames
