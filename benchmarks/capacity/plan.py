"""Derive from the cost of a request how many replicas are needed, what else they need, and what they cost."""

import math
import random
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.capacity import proxying
from benchmarks.capacity.open_loop import SendResult
from benchmarks.capacity.queueing import BALANCERS, Outcome, batch_means, bursty, connections_at_most, poisson, simulate
from benchmarks.capacity.service_times import MANY, PICTURES, Cost, Load
from benchmarks.harness.bodies import Body
from benchmarks.harness.report import table

RATES = (1_000, 100_000, 10_000_000)
"""Pictures per second."""

LIMIT_SECONDS = 0.050
"""Time within which 99 % of the requests must be answered."""

NETWORK_SECONDS = 0.0005
"""Assumed round trip within a zone, which is added to the time of a replica."""

TARGET_LOAD = 0.6
"""Planned load of a replica, as a share of its capacity."""

SHARE_WITHOUT_A_ZONE = 2 / 3
"""Share of the replicas that remain when one of three zones is lost."""

MANY_REPLICAS = 32
"""Number of simulated replicas that represents any larger number, unless the balancer chooses at random."""

REQUESTS_PER_REPLICA = 10_000
"""Minimum number of simulated requests per replica. A nearly full replica needs hundreds of turns with 100 requests
each until the empty start no longer matters."""

SCRAPE_SECONDS = 15
DAY = 86_400
GIGA = 1e9

MIN_CORE_SHARE = 0.9
"""Share of its core that the fully loaded service gets at least, if the machine does nothing else."""

SEGMENT = 1448
"""Bytes of payload in an Ethernet frame of TCP with timestamps."""

OVERHEAD = 90
"""Bytes of a frame besides the payload: preamble and gap 20, Ethernet 18, IPv4 20, TCP 32."""

Stream = Callable[[float, np.random.Generator], Iterator[float]]
"""Yields the gaps between requests, by the requests per second."""


@dataclass(frozen=True, slots=True)
class BytesPerRequest:
    """Mean number of bytes of a request, of its reply and of its line in the access log."""

    request: float
    reply: float
    log: float


@dataclass(frozen=True, slots=True)
class PoissonLoad:
    """The result of requests at Poisson times, at one rate."""

    share: float
    """Share of the greatest rate that was measured."""
    rate: float
    sent: SendResult
    busy: float
    """Share of the time that the process worked."""


@dataclass(frozen=True, slots=True)
class BodyMeasurement:
    """Everything that was measured with one kind of body."""

    body: Body
    loads: Sequence[Load]
    cost: Cost
    sizes: BytesPerRequest
    poisson_loads: Sequence[PoissonLoad]

    @property
    def greatest_rate(self) -> float:
        """Return the greatest measured rate, in requests per second."""
        return max(load.rate for load in self.loads)

    @property
    def pictures(self) -> int:
        """Return the number of pictures in a request."""
        return PICTURES if self.body is MANY else 1

    def replicas_worth(self, rate: float) -> float:
        """Return the number of replicas that this rate, in pictures per second, keeps fully busy."""
        return rate / self.pictures / self.cost.capacity


@dataclass(frozen=True, slots=True)
class Process:
    """Properties of a replica besides its speed."""

    resident_bytes: int
    series: int
    """Number of time series in `/metrics`."""
    exposition_bytes: int
    """Size of the reply of `/metrics`."""


class Simulator:
    """Runs simulations, all with the same seed."""

    def __init__(self, seed: int, requests: int) -> None:
        """Simulate at least this number of requests in each run."""
        self._seed = seed
        self._requests = requests

    def run(
        self, cost: Cost, share: float, balancer: str = "random", replicas: int = 1, stream: Stream = poisson
    ) -> Outcome:
        """Simulate replicas whose load is this share of their capacity."""
        return simulate(
            stream(share * cost.capacity * replicas, np.random.default_rng(self._seed)),
            cost.turn_seconds,
            max(self._requests, REQUESTS_PER_REPLICA * replicas),
            replicas=replicas,
            choose=BALANCERS[balancer](random.Random(self._seed)),
            max_in_turn=cost.max_in_turn,
        )

    def greatest_share(self, cost: Cost, balancer: str, stream: Stream = poisson) -> float:
        """Return the greatest load, in hundredths of the capacity, at which a replica answers 99 % in time."""
        replicas = 1 if balancer == "random" else MANY_REPLICAS

        def late(hundredths: int) -> bool:
            outcome = self.run(cost, hundredths / 100, balancer, replicas, stream)
            return outcome.quantile(0.99) + NETWORK_SECONDS >= LIMIT_SECONDS

        return max(bisect_left(range(1, 100), True, key=late), 1) / 100


Shares = Mapping[tuple[str, str], float]
"""Greatest load of a replica, by body and balancer."""


def planned_replicas(rate: float, one: BodyMeasurement, greatest: float) -> int:
    """Return the number of replicas that is enough when a zone is lost, and at least one more than needed.

    Args:
        rate: pictures per second.
        one: the measurement of the body that carries them.
        greatest: load, as a share of its capacity, at which a replica is still in time.
    """
    worth = one.replicas_worth(rate)
    # The replicas are spread evenly over three zones, of which two must be enough.
    return max(math.ceil(worth / TARGET_LOAD), math.ceil(math.ceil(worth / greatest) / SHARE_WITHOUT_A_ZONE))


def replicas(measured: Sequence[BodyMeasurement], shares: Shares) -> str:
    """Return the table of replicas."""
    rows = []
    for one in measured:
        for rate in RATES:
            worth = one.replicas_worth(rate)
            least = [math.ceil(worth / shares[one.body.name, balancer]) for balancer in BALANCERS]
            plan = planned_replicas(rate, one, shares[one.body.name, "random"])
            cells = [f"{rate:,}", f"{worth:,.2f}", *(f"{number:,}" for number in least), f"**{plan:,}**"]
            rows.append([one.body.name, *cells])
    return table(("body", "pictures/s", "replicas' worth", *BALANCERS, "planned"), rows)


def greatest_shares(measured: Sequence[BodyMeasurement], shares: Shares, under_bursts: Mapping[str, float]) -> str:
    """Return the table of the greatest loads."""
    rows = [
        [
            one.body.name,
            *(f"{shares[one.body.name, balancer]:.0%}" for balancer in BALANCERS),
            f"{under_bursts[one.body.name]:.0%}",
        ]
        for one in measured
    ]
    return table(("body", *BALANCERS, "random, bursty"), rows)


def costs(measured: Sequence[BodyMeasurement]) -> str:
    """Return the table of the costs, with the greatest error of the fit."""
    rows = [
        [
            one.body.name,
            f"{1e6 * one.cost.fixed_seconds:,.0f}",
            f"{1e6 * one.cost.each_seconds:,.1f}",
            f"{max(abs(one.cost.error(load)) for load in one.loads):.0%}",
            f"{one.cost.capacity:,.0f}",
            f"{one.greatest_rate:,.0f}",
            f"{one.cost.capacity * one.pictures:,.0f}",
        ]
        for one in measured
    ]
    heads = (
        "body",
        "turn, us",
        "each, us",
        "largest error",
        "capacity, requests/s",
        "highest measured",
        "pictures/s",
    )
    return table(heads, rows)


def loads(measured: Sequence[BodyMeasurement]) -> str:
    """Return the table of the loads that the costs are fitted to."""
    rows = [
        [
            one.body.name,
            str(load.connections),
            f"{load.rate:,.0f}",
            f"{load.batch:.2f}",
            f"{1e6 * load.each_seconds:,.1f}",
            f"{one.cost.error(load):+.0%}",
            f"{load.core_share:.0%}",
        ]
        for one in measured
        for load in one.loads
    ]
    heads = ("body", "connections", "requests/s", "requests per pass", "processor us each", "fit", "core busy")
    return table(heads, rows)


def compare_with_simulation(measured: Sequence[BodyMeasurement], simulator: Simulator) -> str:
    """Return the table of measured and simulated latencies."""
    rows = []
    for one in measured:
        for load in one.poisson_loads:
            outcome = simulator.run(one.cost, load.rate / one.cost.capacity)
            cells = [one.body.name, f"{load.share:.0%}", f"{load.rate:,.0f}"]
            for share in (0.5, 0.99):
                real, simulated = np.quantile(load.sent.seconds, share), outcome.quantile(share)
                cells += [f"{1000 * real:.2f}", f"{1000 * simulated:.2f}", f"{real / simulated:.2f}"]
            late = np.quantile(load.sent.late_seconds, 0.99)
            rows.append([*cells, f"{load.busy:.0%}", f"{outcome.busy:.0%}", f"{1000 * late:.2f}"])
    heads = (
        *("body", "load", "requests/s", "p50 ms", "simulated", "ratio", "p99 ms", "simulated", "ratio"),
        *("busy", "simulated", "sent late, p99 ms"),
    )
    return table(heads, rows)


def describe_disturbance(measured: Sequence[BodyMeasurement]) -> str:
    """Return a sentence that says whether other programs disturbed the measurement."""
    least = min(max(load.core_share for load in one.loads) for one in measured)
    verdict = "The machine was quiet."
    if least < MIN_CORE_SHARE:
        verdict = f"EXPECTED AT LEAST {MIN_CORE_SHARE:.0%}: other programs make these rates and latencies useless."
    return f"Under full load the service got at least {least:.0%} of its core. {verdict}"


def latencies(measured: Sequence[BodyMeasurement], simulator: Simulator) -> str:
    """Return the table of latencies at the planned load, and while a zone is lost."""
    rows = []
    for one in measured:
        for share in (TARGET_LOAD, TARGET_LOAD / SHARE_WITHOUT_A_ZONE):
            alone = simulator.run(one.cost, share)
            _, half = batch_means(alone.seconds, lambda part: float(np.quantile(part, 0.99)))
            others = [simulator.run(one.cost, share, name, MANY_REPLICAS) for name in BALANCERS if name != "random"]
            others.append(simulator.run(one.cost, share, stream=bursty))
            rows.append(
                [
                    one.body.name,
                    f"{share:.0%}",
                    f"{1000 * alone.quantile(0.5):.2f}",
                    f"{1000 * alone.quantile(0.99):.2f} ± {1000 * half:.2f}",
                    *(f"{1000 * outcome.quantile(0.99):.2f}" for outcome in others),
                    f"{1000 * alone.quantile(0.999):.2f}",
                    f"{alone.busy:.0%}",
                    f"{alone.batch:.2f}",
                ]
            )
    heads = (
        *("body", "load", "p50 ms, random", *(f"p99, {name}" for name in BALANCERS), "p99, random, bursty"),
        *("p99.9, random", "busy", "requests per turn"),
    )
    return table(heads, rows)


def convergence(cost: Cost, simulator: Simulator) -> str:
    """Return the table of latencies by number of replicas, for two choices while a zone is lost."""
    rows = []
    for number in (1, 2, 8, MANY_REPLICAS, 256):
        outcome = simulator.run(cost, TARGET_LOAD / SHARE_WITHOUT_A_ZONE, "two choices", number)
        rows.append([str(number), *(f"{1000 * outcome.quantile(share):.2f}" for share in (0.5, 0.99, 0.999))])
    return table(("replicas", "p50 ms", "p99 ms", "p99.9 ms"), rows)


def connection_spread() -> str:
    """Return the table of how many more replicas are needed if connections are spread instead of requests."""
    rows = []
    for capacity in (10, 30, 100, 300, 1000, 10_000):
        mean = connections_at_most(capacity)
        rows.append([f"{capacity:,}", f"{mean:,.1f}", f"{capacity / mean:.2f}"])
    return table(("connections that a replica can serve", "mean that it may have", "factor of replicas"), rows)


def bytes_per_request(measured: Sequence[BodyMeasurement]) -> str:
    """Return the table of bytes per request."""
    sizes = ((one.body.name, one.sizes.request, one.sizes.reply, one.sizes.log) for one in measured)
    rows = [[name, *(f"{size:,.0f}" for size in each)] for name, *each in sizes]
    return table(("body", "request, bytes", "reply, bytes", "log line, bytes"), rows)


def bytes_on_the_wire(payload_bytes: float) -> float:
    """Return the number of bytes that Ethernet transmits for a payload."""
    return payload_bytes + math.ceil(payload_bytes / SEGMENT) * OVERHEAD


def other_resources(measured: Sequence[BodyMeasurement], process: Process, shares: Shares) -> str:
    """Return the table of the network, memory, log and metrics that the planned replicas need."""
    rows = []
    for one in measured:
        for rate in RATES:
            number, requests = planned_replicas(rate, one, shares[one.body.name, "random"]), rate / one.pictures
            figures = (
                8 * requests * bytes_on_the_wire(one.sizes.request) / GIGA,
                8 * requests * bytes_on_the_wire(one.sizes.reply) / GIGA,
                number * process.resident_bytes / GIGA,
                requests * one.sizes.log * DAY / GIGA,
                number * process.series / SCRAPE_SECONDS,
                8 * number * process.exposition_bytes / SCRAPE_SECONDS / 1e6,
            )
            rows.append([one.body.name, f"{rate:,}", f"{number:,}", *(_three_digits(figure) for figure in figures)])
    heads = (
        *("body", "pictures/s", "replicas", "Gbit/s in", "Gbit/s out", "memory, GB", "access log, GB per day"),
        *("samples/s", "scrapes, Mbit/s"),
    )
    return table(heads, rows)


def balancers(balancing: Mapping[tuple[str, str], float]) -> str:
    """Return the table of the cores that a proxy needs, from its seconds per request by mode and body."""
    rows = [
        [proxying.MODES[mode], body, f"{1e6 * seconds:.1f}", f"{1 / seconds:,.0f}", f"{RATES[-1] * seconds:,.0f}"]
        for (mode, body), seconds in balancing.items()
    ]
    return table(("balancer", "body", "processor us each", "requests/s per core", f"cores for {RATES[-1]:,}/s"), rows)


def prices(measured: Sequence[BodyMeasurement], shares: Shares, price: float) -> str:
    """Return the table of the price of a million predictions, from the price of a core for an hour."""
    rows = []
    for one in measured:
        full = 1e6 / (one.cost.capacity * one.pictures) / 3600 * price
        share = min(TARGET_LOAD, shares[one.body.name, "random"] * SHARE_WITHOUT_A_ZONE)
        rows.append([one.body.name, f"{full:.5f}", f"{share:.0%}", f"{full / share:.5f}"])
    return table(("body", "at full load", "planned load", "as planned"), rows)


def _three_digits(figure: float) -> str:
    """Format a figure with three digits, or as a whole number."""
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"
