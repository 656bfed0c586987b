"""The simulator against what queueing theory knows exactly."""

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
    """Turns of 1 in the mean."""
    draws = iter(np.random.default_rng(1).exponential(1, 2 * REQUESTS).tolist())
    return lambda _: next(draws)


def assert_within_the_interval(outcome: Outcome, mean: float) -> None:
    estimate, half = batch_means(outcome.seconds)
    assert half < 0.1 * mean, "an interval that holds everything proves nothing"
    assert abs(estimate - mean) < half, f"expected {mean}, received {estimate} ± {half}"


@pytest.mark.parametrize("load", [0.3, 0.7, 0.9])
def test_one_at_a_time_with_equal_service_times_waits_as_pollaczek_and_khinchine_say(load: float) -> None:
    outcome = simulate(poisson(load, rng()), lambda _: 1.0, REQUESTS, most_in_turn=1, most_in_work=REQUESTS)

    assert_within_the_interval(outcome, 1 + load / (2 * (1 - load)))
    assert outcome.busy == pytest.approx(load, rel=0.02)


def test_one_at_a_time_with_exponential_service_times_is_an_m_m_1_queue() -> None:
    outcome = simulate(poisson(0.7, rng()), exponential(), REQUESTS, most_in_turn=1, most_in_work=REQUESTS)

    assert_within_the_interval(outcome, 1 / (1 - 0.7))
    # The time in the system is exponential.
    assert outcome.quantile(0.99) == pytest.approx(math.log(100) / (1 - 0.7), rel=0.1)


def test_a_bound_refuses_as_an_m_m_1_k_queue_does() -> None:
    load, most = 0.9, 5

    outcome = simulate(poisson(load, rng()), exponential(), REQUESTS, most_in_turn=1, most_in_work=most)

    blocked = (1 - load) * load**most / (1 - load ** (most + 1))
    assert outcome.refused / REQUESTS == pytest.approx(blocked, rel=0.05)


def test_turns_that_take_all_who_wait_are_as_full_and_as_seldom_idle_as_renewal_theory_says() -> None:
    outcome = simulate(poisson(1.0, rng()), lambda _: 1.0, REQUESTS)

    # A turn of 1 is followed by none at once with probability exp(-1); the wait for the next arrival is 1 in the mean.
    busy = 1 / (1 + math.exp(-1))
    assert outcome.busy == pytest.approx(busy, rel=0.01)
    assert outcome.batch == pytest.approx(1 / busy, rel=0.01)


def test_a_turn_is_paid_once_for_all_who_wait_when_it_begins() -> None:
    # They come at 1, 2, 3, ...; the first turn is from 1 to 3.5, the next has those of 2 and 3, until 7.
    outcome = simulate(repeat(1.0), lambda n: 1.5 + n, 7)

    # One tenth of three are not counted: none.
    assert outcome.seconds.tolist() == [2.5, 5, 4]


def test_of_a_poisson_stream_split_at_random_each_replica_sees_a_poisson_stream() -> None:
    outcome = simulate(
        poisson(8 * 0.7, rng()),
        exponential(),
        2 * REQUESTS,
        replicas=8,
        choose=at_random(random.Random(0)),
        most_in_turn=1,
        most_in_work=REQUESTS,
    )

    assert_within_the_interval(outcome, 1 / (1 - 0.7))
    assert outcome.busy == pytest.approx(0.7, rel=0.02)


def test_two_choices_queue_as_mitzenmacher_says_for_many_replicas() -> None:
    load, replicas = 0.9, 200

    outcome = simulate(
        poisson(replicas * load, rng()),
        exponential(),
        2 * REQUESTS,
        replicas=replicas,
        choose=two_choices(random.Random(0)),
        most_in_turn=1,
    )

    # Mitzenmacher, "The power of two choices in randomized load balancing", 2001: the mean time in the system.
    assert outcome.seconds.mean() == pytest.approx(sum(load ** (2**i - 2) for i in range(1, 10)), rel=0.05)


def test_round_robin_of_two_gives_each_an_erlang_stream() -> None:
    load = 0.7

    outcome = simulate(
        poisson(2 * load, rng()),
        exponential(),
        2 * REQUESTS,
        replicas=2,
        choose=round_robin(random.Random(0)),
        most_in_turn=1,
        most_in_work=REQUESTS,
    )

    # E2/M/1: an arrival finds a geometric number, of the root of x = (2 load / (2 load + 1 - x))^2 below 1.
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
def test_a_balancer_that_looks_passes_the_busy_one_by(name: str) -> None:
    choose = BALANCERS[name](random.Random(0))

    assert {choose([9, 3]) for _ in range(100)} == {1}


def test_of_replicas_that_are_equally_busy_each_has_a_chance() -> None:
    choose = least_connections(random.Random(0))

    assert {choose([3, 1, 1]) for _ in range(100)} == {1, 2}


def test_who_is_refused_was_not_answered_in_time() -> None:
    outcome = Outcome(np.arange(1.0, 99.0), refused=2, busy=1, batch=1)

    assert outcome.quantile(0.5) == 50
    assert outcome.quantile(0.98) == 98
    assert outcome.quantile(0.99) == math.inf


def test_a_bursty_stream_has_the_rate_and_the_variation_that_it_was_asked_for() -> None:
    gaps = bursty(100, rng(), variation=4)

    drawn = np.array([next(gaps) for _ in range(200_000)])

    assert drawn.mean() == pytest.approx(0.01, rel=0.02)
    assert drawn.var() / drawn.mean() ** 2 == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize("capacity", [10, 100, 1000])
def test_one_request_in_a_hundred_meets_a_replica_with_more_connections_than_it_can_serve(capacity: int) -> None:
    mean = connections_at_most(capacity)

    connections = rng().poisson(mean, 1_000_000)

    overloaded = connections[connections > capacity].sum() / connections.sum()
    assert overloaded == pytest.approx(0.01, abs=0.001)
