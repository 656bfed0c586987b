"""The simulator agrees with the exact results of queueing theory."""

import math
import random
from itertools import repeat

import numpy as np
import pytest

from benchmarks.capacity.queueing import (
    BALANCERS,
    Outcome,
    TurnSeconds,
    at_random,
    batch_means,
    bursty,
    connections_at_most,
    least_connections,
    poisson,
    round_robin,
    simulate,
    two_choices,
)

REQUESTS = 100_000


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def exponential() -> TurnSeconds:
    """Return turns with a mean of 1."""
    draws = iter(np.random.default_rng(1).exponential(1, 2 * REQUESTS).tolist())
    return lambda _: next(draws)


def assert_within_the_interval(outcome: Outcome, mean: float) -> None:
    estimate, half = batch_means(outcome.seconds)
    assert half < 0.1 * mean, "an interval that holds everything proves nothing"
    assert abs(estimate - mean) < half, f"expected {mean}, received {estimate} ± {half}"


@pytest.mark.parametrize("load", [0.3, 0.7, 0.9])
def test_equal_service_times_follow_pollaczek_and_khinchine(load: float) -> None:
    outcome = simulate(poisson(load, rng()), lambda _: 1.0, REQUESTS, max_in_turn=1, max_in_work=REQUESTS)

    assert_within_the_interval(outcome, 1 + load / (2 * (1 - load)))
    assert outcome.busy == pytest.approx(load, rel=0.02)


def test_exponential_service_times_follow_the_m_m_1_queue() -> None:
    outcome = simulate(poisson(0.7, rng()), exponential(), REQUESTS, max_in_turn=1, max_in_work=REQUESTS)

    assert_within_the_interval(outcome, 1 / (1 - 0.7))
    # The time in the system is exponential.
    assert outcome.quantile(0.99) == pytest.approx(math.log(100) / (1 - 0.7), rel=0.1)


def test_a_bounded_queue_refuses_as_many_as_the_m_m_1_k_queue() -> None:
    load, most = 0.9, 5

    outcome = simulate(poisson(load, rng()), exponential(), REQUESTS, max_in_turn=1, max_in_work=most)

    blocked = (1 - load) * load**most / (1 - load ** (most + 1))
    assert outcome.refused / REQUESTS == pytest.approx(blocked, rel=0.05)


def test_turns_that_take_all_waiting_requests_follow_renewal_theory() -> None:
    outcome = simulate(poisson(1.0, rng()), lambda _: 1.0, REQUESTS)

    # With probability exp(-1) no request waits after a turn of 1. The mean time to the next arrival is then 1.
    busy = 1 / (1 + math.exp(-1))
    assert outcome.busy == pytest.approx(busy, rel=0.01)
    assert outcome.batch == pytest.approx(1 / busy, rel=0.01)


def test_all_requests_that_wait_when_a_turn_begins_share_it() -> None:
    # Requests arrive at 1, 2, 3 and so on. The first turn is from 1 to 3.5. The next has those of 2 and 3, until 7.
    outcome = simulate(repeat(1.0), lambda n: 1.5 + n, 7)

    assert outcome.seconds.tolist() == [2.5, 5, 4]


def test_a_poisson_stream_that_is_split_at_random_is_poisson_at_each_replica() -> None:
    outcome = simulate(
        poisson(8 * 0.7, rng()),
        exponential(),
        2 * REQUESTS,
        replicas=8,
        choose=at_random(random.Random(0)),
        max_in_turn=1,
        max_in_work=REQUESTS,
    )

    assert_within_the_interval(outcome, 1 / (1 - 0.7))
    assert outcome.busy == pytest.approx(0.7, rel=0.02)


def test_two_choices_follow_mitzenmacher_for_many_replicas() -> None:
    load, replicas = 0.9, 200

    outcome = simulate(
        poisson(replicas * load, rng()),
        exponential(),
        2 * REQUESTS,
        replicas=replicas,
        choose=two_choices(random.Random(0)),
        max_in_turn=1,
    )

    # Mitzenmacher, "The power of two choices in randomized load balancing", 2001: the mean time in the system.
    assert outcome.seconds.mean() == pytest.approx(sum(load ** (2**i - 2) for i in range(1, 10)), rel=0.05)


def test_round_robin_gives_each_of_two_replicas_an_erlang_stream() -> None:
    load = 0.7

    outcome = simulate(
        poisson(2 * load, rng()),
        exponential(),
        2 * REQUESTS,
        replicas=2,
        choose=round_robin(random.Random(0)),
        max_in_turn=1,
        max_in_work=REQUESTS,
    )

    # E2/M/1: an arrival finds a geometric number of requests. Its parameter is the root below 1 of
    # x = (2 load / (2 load + 1 - x))^2.
    root = 0.5
    for _ in range(1000):
        root = (2 * load / (2 * load + 1 - root)) ** 2
    assert_within_the_interval(outcome, 1 / (1 - root))


@pytest.mark.parametrize("name", BALANCERS)
def test_every_balancer_uses_every_replica(name: str) -> None:
    choose = BALANCERS[name](random.Random(0))
    in_work = [0] * 5

    for _ in range(1000):
        in_work[choose(in_work)] += 1

    assert min(in_work) > 100


@pytest.mark.parametrize("name", ["two choices", "least connections"])
def test_balancers_that_see_the_load_avoid_the_busy_replica(name: str) -> None:
    choose = BALANCERS[name](random.Random(0))

    assert {choose([9, 3]) for _ in range(100)} == {1}


def test_least_connections_spreads_over_equally_busy_replicas() -> None:
    choose = least_connections(random.Random(0))

    assert {choose([3, 1, 1]) for _ in range(100)} == {1, 2}


def test_a_refused_request_counts_as_infinitely_late() -> None:
    outcome = Outcome(np.arange(1.0, 99.0), refused=2, busy=1, batch=1)

    assert outcome.quantile(0.5) == 50
    assert outcome.quantile(0.98) == 98
    assert outcome.quantile(0.99) == math.inf


def test_a_bursty_stream_has_the_requested_rate_and_variation() -> None:
    gaps = bursty(100, rng(), variation=4)

    drawn = np.array([next(gaps) for _ in range(200_000)])

    assert drawn.mean() == pytest.approx(0.01, rel=0.02)
    assert drawn.var() / drawn.mean() ** 2 == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize("capacity", [10, 100, 1000])
def test_one_request_in_a_hundred_meets_an_overloaded_replica(capacity: int) -> None:
    mean = connections_at_most(capacity)

    connections = rng().poisson(mean, 1_000_000)

    overloaded = connections[connections > capacity].sum() / connections.sum()
    assert overloaded == pytest.approx(0.01, abs=0.001)
