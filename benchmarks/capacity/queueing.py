"""Simulate requests that queue for replicas behind a balancer, as discrete events with SimPy.

A replica works in turns, as `app.inference.batching` does. All requests that wait when a turn begins are answered
together when it ends. Later requests wait for the next turn. A Poisson stream that is split at random is a Poisson
stream at each replica, so that one simulated replica represents any number of them.
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
"""Returns the duration of a turn by its number of requests. It may be random."""

Choose = Callable[[Sequence[int]], int]
"""Returns the index of the replica that receives a request, given the number of requests in work at each replica."""

WARM_SHARE = 0.1
"""Share of the first replies that are not counted, because all replicas are empty at the start."""

_CHUNK = 4096


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a stream of requests."""

    seconds: NDArray[np.float64]
    """Time from arrival to reply, in the order of the replies, without the warm-up."""
    refused: int
    """Number of requests that met a replica with the maximum number of requests in work."""
    busy: float
    """Share of the time that a replica works, as the mean over replicas."""
    batch: float
    """Mean number of requests in a turn."""

    def quantile(self, share: float) -> float:
        """Return the seconds within which this share of the requests is answered, or infinity if too few are."""
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
    max_in_turn: int = 128,
    max_in_work: int = 1024,
) -> Outcome:
    """Simulate a number of requests.

    Args:
        gaps: seconds from one arrival to the next.
        turn_seconds: duration of a turn.
        requests: number of requests that arrive.
        replicas: number of replicas.
        choose: the balancer.
        max_in_turn: maximum number of requests in a turn.
        max_in_work: maximum number of requests at a replica, waiting or in a turn. It refuses more.
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
            together = queue[:max_in_turn]
            del queue[:max_in_turn]
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
            if in_work[number] >= max_in_work:
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
    """Yield the gaps of independent requests at this rate per second."""
    while True:
        yield from rng.exponential(1 / rate, _CHUNK).tolist()


def bursty(rate: float, rng: np.random.Generator, variation: float = 4) -> Iterator[float]:
    """Yield hyperexponential gaps, most of them short and some long, with balanced means.

    Args:
        rate: requests per second.
        rng: the source of randomness.
        variation: squared coefficient of variation of a gap, above 1. A Poisson stream has 1.
    """
    short = (1 + math.sqrt((variation - 1) / (variation + 1))) / 2  # Whitt, "Approximating a point process", 1982
    while True:
        means = np.where(rng.random(_CHUNK) < short, 1 / (2 * short * rate), 1 / (2 * (1 - short) * rate))
        yield from (means * rng.exponential(1, _CHUNK)).tolist()


def at_random(rng: random.Random) -> Choose:
    """Choose at random, as a Kubernetes Service with iptables does for each connection."""
    return lambda in_work: int(rng.random() * len(in_work))


def round_robin(rng: random.Random) -> Choose:
    """Choose one after the other, as nginx does, starting at a random one."""
    last = rng.randrange(1_000_000)

    def choose(in_work: Sequence[int]) -> int:
        nonlocal last
        last = (last + 1) % len(in_work)
        return last

    return choose


def two_choices(rng: random.Random) -> Choose:
    """Choose the less busy one of two random replicas, as Ray Serve and Envoy do."""

    def choose(in_work: Sequence[int]) -> int:
        replicas = len(in_work)
        one = int(rng.random() * replicas)
        if replicas == 1:
            return one
        other = (one + 1 + int(rng.random() * (replicas - 1))) % replicas
        return one if in_work[one] <= in_work[other] else other

    return choose


def least_connections(rng: random.Random) -> Choose:
    """Choose one of the least busy replicas, as leastconn in HAProxy does."""

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
    """Return a statistic of a stationary sequence, and half the width of its 95 % interval.

    Neighbouring values depend on each other. Long parts of the sequence hardly do (Law, *Simulation Modeling and
    Analysis*, section 9.5).
    """
    each = [statistic(part) for part in np.array_split(values, parts)]
    half = stats.t.ppf(0.975, parts - 1) * np.std(each, ddof=1) / math.sqrt(parts)
    return float(np.mean(each)), float(half)


def connections_at_most(capacity: float, share: float = 0.01) -> float:
    """Return the mean number of connections that a replica may have when a balancer spreads them at random.

    The number of connections of a replica then has a Poisson distribution. A random connection shares its replica with
    a Poisson number of others. All connections send at the same rate.

    Args:
        capacity: connections that a replica can serve.
        share: the share of the requests that may meet a replica with more connections.
    """
    # P(1 + Poisson(m) > c) = share, by the duality of Poisson and gamma distribution.
    return float(stats.gamma.ppf(share, math.floor(capacity)))
