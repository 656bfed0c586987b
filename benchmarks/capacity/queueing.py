"""Requests that queue for replicas behind a balancer, in simulated time: a discrete-event simulation by SimPy.

A replica works in turns, as `app.inference.batching` does: all that wait when a turn begins are answered together when
it ends, and what comes meanwhile waits for the next. Of a Poisson stream that is split at random each replica sees one
of its own: there one replica stands for any number.
"""

import math
import random
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import simpy
from numpy.typing import NDArray
from scipy import stats

TurnSeconds = Callable[[int], float]
"""What a turn takes, by how many requests are in it; may be random."""

Choose = Callable[[Sequence[int]], int]
"""Which replica gets a request, by how many each has in work."""

WARM_SHARE = 0.1
"""Of the requests, answered first, that are not counted: at the start all replicas are empty."""

_CHUNK = 4096


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a stream of requests."""

    seconds: NDArray[np.float64]
    """From arrival to answer, in the order of the answers; without those at the start."""
    refused: int
    """Whoever came when his replica had as many in work as it may have."""
    busy: float
    """Share of time that a replica works, the mean over replicas."""
    batch: float
    """Mean requests a turn."""

    def quantile(self, share: float) -> float:
        """Seconds within which that share of the requests is answered; infinite where more were refused."""
        place = math.ceil(share * (len(self.seconds) + self.refused)) - 1
        if place >= len(self.seconds):
            return math.inf
        return float(np.partition(self.seconds, place)[place])


def simulate(
    gaps: Iterator[float],
    turn_seconds: TurnSeconds,
    requests: int,
    *,
    replicas: int = 1,
    choose: Choose = lambda _: 0,
    most_in_turn: int = 128,
    most_in_work: int = 1024,
) -> Outcome:
    """Let so many requests come, and those that were not refused be answered.

    Args:
        gaps: seconds from one arrival to the next.
        turn_seconds: of each replica.
        requests: how many come.
        replicas: how many there are.
        choose: the balancer.
        most_in_turn: requests that are answered together.
        most_in_work: requests that a replica has, waiting or in its turn, before it refuses.
    """
    env = simpy.Environment()
    in_work = [0] * replicas
    waiting: list[list[float]] = [[] for _ in range(replicas)]
    idle: list[simpy.Event | None] = [None] * replicas
    seconds: list[float] = []
    refused = turns = 0
    worked = 0.0

    def replica(number: int) -> Generator[simpy.Event, None, None]:
        nonlocal turns, worked
        queue = waiting[number]
        while True:
            if not queue:
                idle[number] = woken = env.event()
                yield woken
            together = queue[:most_in_turn]
            del queue[:most_in_turn]
            took = turn_seconds(len(together))
            yield env.timeout(took)
            in_work[number] -= len(together)
            now = env.now
            seconds.extend([now - came for came in together])
            turns += 1
            worked += took

    def arrivals() -> Generator[simpy.Event, None, None]:
        nonlocal refused
        for _ in range(requests):
            yield env.timeout(next(gaps))
            number = choose(in_work)
            if in_work[number] >= most_in_work:
                refused += 1
                continue
            in_work[number] += 1
            waiting[number].append(env.now)
            woken = idle[number]
            if woken is not None:
                idle[number] = None
                woken.succeed()

    for number in range(replicas):
        env.process(replica(number))
    env.run(env.process(arrivals()))
    lasted = env.now
    answered = len(seconds)
    counted = np.array(seconds[int(WARM_SHARE * answered) :])
    return Outcome(counted, refused, worked / lasted / replicas, answered / max(turns, 1))


def poisson(rate: float, rng: np.random.Generator) -> Iterator[float]:
    """Gaps of requests that know nothing of each other, so many a second."""
    while True:
        yield from rng.exponential(1 / rate, _CHUNK).tolist()


def bursty(rate: float, rng: np.random.Generator, variation: float = 4) -> Iterator[float]:
    """Gaps that are hyperexponential, most short and some long, by balanced means.

    Args:
        rate: requests a second.
        rng: where chance comes from.
        variation: squared coefficient of variation of a gap, above 1; that of a Poisson stream is 1.
    """
    short = (1 + math.sqrt((variation - 1) / (variation + 1))) / 2  # Whitt, "Approximating a point process", 1982
    while True:
        means = np.where(rng.random(_CHUNK) < short, 1 / (2 * short * rate), 1 / (2 * (1 - short) * rate))
        yield from (means * rng.exponential(1, _CHUNK)).tolist()


def at_random(rng: random.Random) -> Choose:
    """Whichever: a Kubernetes Service by iptables, for each connection."""
    return lambda in_work: int(rng.random() * len(in_work))


def round_robin(rng: random.Random) -> Choose:
    """One after the other, from a random one on: nginx."""
    last = rng.randrange(1_000_000)

    def choose(in_work: Sequence[int]) -> int:
        nonlocal last
        last = (last + 1) % len(in_work)
        return last

    return choose


def two_choices(rng: random.Random) -> Choose:
    """The less busy one of two that are picked at random: Ray Serve, Envoy."""

    def choose(in_work: Sequence[int]) -> int:
        replicas = len(in_work)
        one = int(rng.random() * replicas)
        if replicas == 1:
            return one
        other = (one + 1 + int(rng.random() * (replicas - 1))) % replicas
        return one if in_work[one] <= in_work[other] else other

    return choose


def least_connections(rng: random.Random) -> Choose:
    """One of the least busy: HAProxy's leastconn."""

    def choose(in_work: Sequence[int]) -> int:
        least = min(in_work)
        try:
            return in_work.index(least, int(rng.random() * len(in_work)))
        except ValueError:
            return in_work.index(least)

    return choose


BALANCERS: dict[str, Callable[[random.Random], Choose]] = {
    "random": at_random,
    "round robin": round_robin,
    "two choices": two_choices,
    "least connections": least_connections,
}


def batch_means(
    values: NDArray[np.float64], statistic: Callable[[NDArray[np.float64]], float] = np.mean, parts: int = 20
) -> tuple[float, float]:
    """A statistic of a stationary sequence with half the width of its 95 % interval.

    Neighbours depend on each other, long parts of the sequence hardly (Law, *Simulation Modeling and Analysis*, 9.5).
    """
    each = [statistic(part) for part in np.array_split(values, parts)]
    half = stats.t.ppf(0.975, parts - 1) * np.std(each, ddof=1) / math.sqrt(parts)
    return float(np.mean(each)), float(half)


def connections_at_most(capacity: float, share: float = 0.01) -> float:
    """Mean connections a replica of a balancer that spreads connections at random, and each at the same rate.

    A replica's number of connections is then Poisson's; by connections, the share of requests that meet more than
    `capacity` of them is that of Poisson's variable plus one.

    Args:
        capacity: connections that a replica can serve.
        share: of all requests that may meet a replica with more.
    """
    # P(1 + Poisson(m) > c) = share, by the duality of Poisson and gamma distribution.
    return float(stats.gamma.ppf(share, math.floor(capacity)))
