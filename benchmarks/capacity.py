"""How many replicas do three loads need, and what does a replica do with more than it can answer?

    python -m benchmarks.capacity --seconds 2

1. Measure the processor time of a request on one core, in turns of the event loop that many requests share.
2. Derive from it the capacity of a replica, a formula for its latency, and the number of replicas for three loads.
3. Keep more connections busy than a replica accepts requests, and print what it answers and what it refuses.

This needs wrk, Linux, and two cores that do nothing else: one for the service and one for its clients.
"""

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
from prometheus_client.parser import text_string_to_metric_families
from scipy.optimize import nnls

from benchmarks.harness import wrk
from benchmarks.harness.bodies import BODIES, JSON, MANY, MANY_PICTURES, PNG, RAW, Body
from benchmarks.harness.command import chosen, parser, progress
from benchmarks.harness.own_service import own_service
from benchmarks.harness.report import header, table
from benchmarks.harness.servers import Server
from benchmarks.harness.wrk import put_under_load

RATES = (1_000, 10_000, 100_000)
"""Pictures per second."""
LIMIT_SECONDS = 0.050
"""Time within which 99 % of the requests must be answered."""
TARGET_LOAD = 0.6
"""Planned load of a replica, as a share of its capacity. A burst may then reach 1.67 times the mean."""
ZONES = 3
"""The replicas that remain when one of this many zones is lost must still answer within the limit."""
LATENCY_LOADS = (TARGET_LOAD, 0.9)
"""Loads for which the formula's latencies are printed: as planned, and while a zone is lost."""
OVERLOAD_CONNECTIONS = 1500
"""More than `MNIST_MAX_REQUESTS`, 1024. A client that is refused sends its next request at once."""
OVERLOAD_SECONDS = 10
"""Longer than 1024 drawings take."""

SHARE_PASSES = (JSON, RAW, PNG)
"""Bodies that share a forward pass with other requests. The others are answered one after another."""
MAX_IN_TURN = 128
"""Maximum number of requests in a forward pass, equal to `app.inference.batching.PASS_ROWS`."""

TURNS = {0.5: 1.5, 0.99: 3.0}
"""The number of mean turns that a share of the requests takes. The median request waits for half a turn, and then takes
one. Turns are not equal, so the 99th percentile comes from a simulation, which `tests/benchmarks` repeats."""


@dataclass(frozen=True, slots=True)
class Load:
    """The measured result of a number of busy connections."""

    batch: float
    """Mean number of requests in a forward pass."""
    each_seconds: float
    """Processor time per request."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Processor time of a turn with n requests: `fixed_seconds + each_seconds * n`."""

    fixed_seconds: float
    each_seconds: float
    max_in_turn: int

    @property
    def capacity(self) -> float:
        """Return the requests per second when every turn is full."""
        return self.max_in_turn / (self.fixed_seconds + self.each_seconds * self.max_in_turn)

    def error(self, load: Load) -> float:
        """Return the relative error of this cost for a request of a measured load."""
        return (self.each_seconds + self.fixed_seconds / load.batch) / load.each_seconds - 1

    def quantile_seconds(self, share: float, load: float) -> float:
        """Return the time within which a share of the requests is answered, 0.5 or 0.99, at this load of the capacity.

        Requests that share turns: a turn takes all requests that arrived during the turn before it, so that a turn of T
        seconds has n = rate * T requests, and T = fixed / (1 - rate * each).

        Requests one after another: the wait in an M/D/1 queue exceeds t with a probability of about
        load * exp(-2 (1 - load) t / service) in the tail (Kingman).
        """
        if load >= 1:
            return math.inf
        if self.max_in_turn > 1:
            return TURNS[share] * self.fixed_seconds / (1 - load * self.capacity * self.each_seconds)
        wait = self.each_seconds * math.log(load / (1 - share)) / 2 / (1 - load)
        return self.each_seconds + max(0.0, wait)

    def greatest_load(self) -> float:
        """Return the greatest load, in hundredths of the capacity, at which 99 % are answered within the limit."""
        in_time = [load for load in range(2, 100) if self.quantile_seconds(0.99, load / 100) <= LIMIT_SECONDS]
        return max(in_time, default=1) / 100

    def replicas(self, rate: float) -> int:
        """Return the planned number of replicas for this many requests per second, at least two."""
        worth = rate / self.capacity
        without_a_zone = math.ceil(worth / self.greatest_load()) / (1 - 1 / ZONES)
        return max(2, math.ceil(worth / TARGET_LOAD), math.ceil(without_a_zone))


def measure(server: Server, body: Body, seconds: int) -> list[Load]:
    """Measure the service with 1 to 64 busy connections. A failed request ends the program with a message."""
    loads = []
    for connections in (1, 2, 4, 8, 16, 32, 64) if body in SHARE_PASSES else (4, 8):
        requests_before, passes_before = _requests_and_passes(server)
        run = put_under_load(server, body, connections, seconds)
        requests, passes = _requests_and_passes(server)
        if any(run.errors.values()):
            raise SystemExit(f"{body.name}, {connections} connections: expected no errors, received {run.errors}")
        batch = (requests - requests_before) / (passes - passes_before)
        loads.append(Load(batch, run.cpu_us / 1e6))
        progress(f"{body.name}, {connections} connections: {run.rate:,.0f} requests/s")
    return loads


def _requests_and_passes(server: Server) -> tuple[float, ...]:
    """Read from `/metrics` the number of requests to `/predict` and of forward passes."""
    counts = {"digits_request_seconds_count": 0.0, "digits_pass_pictures_count": 0.0}
    for family in text_string_to_metric_families(server.ask("/metrics").body.decode()):
        for sample in family.samples:
            if sample.name in counts and sample.labels.get("route", "/predict") == "/predict":
                counts[sample.name] += sample.value
    return tuple(counts.values())


def fit(loads: Sequence[Load], *, share_passes: bool) -> Cost:
    """Fit the cost to the loads, by least squares of the relative errors.

    The mean cost of a request is linear in 1 / batch, whatever the spread of the requests over the turns.
    """
    if not share_passes:
        return Cost(0.0, float(np.mean([load.each_seconds for load in loads])), max_in_turn=1)
    measured = np.array([load.each_seconds for load in loads])
    parts = np.array([[1 / load.batch, 1.0] for load in loads])
    (fixed, each), _ = nnls(parts / measured[:, None], np.ones(len(loads)))
    return Cost(float(fixed), float(each), MAX_IN_TURN)


def overload_row(server: Server, body: Body, cost: Cost) -> list[str]:
    """Return the row of a service that has more requests than it accepts."""
    run = put_under_load(server, body, OVERLOAD_CONNECTIONS, OVERLOAD_SECONDS)
    refused = run.errors["status"] / OVERLOAD_SECONDS
    others = sum(count for kind, count in run.errors.items() if kind != "status")
    cells = [body.name, f"{run.rate:,.0f}", f"{run.rate / cost.capacity:.0%}", f"{refused:,.0f}", f"{others}"]
    return [*cells, f"{run.p50_ms:,.0f}", f"{run.p99_ms:,.0f}"]


@contextmanager
def on_core(number: int) -> Iterator[None]:
    """Keep this process, and every process that it starts in the block, on one of the allowed cores."""
    allowed = sorted(os.sched_getaffinity(0))
    if number >= len(allowed):
        raise SystemExit(f"expected one core for the service and one for its clients, received {len(allowed)}")
    os.sched_setaffinity(0, {allowed[number]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def main() -> None:
    """Print the tables."""
    arguments = parser(__doc__, seconds=2)
    arguments.add_argument("--bodies", default="json,raw,png,drawing,many", help="default: %(default)s")
    options = arguments.parse_args()
    bodies = [BODIES[name] for name in chosen(arguments, "--bodies", options.bodies, BODIES)]
    versions = {"wrk": wrk.version()}
    cost_rows, replica_rows, overload_rows = [], [], []
    with ExitStack() as running:
        with on_core(0):
            server = running.enter_context(own_service())
        running.enter_context(on_core(1))
        for body in bodies:
            put_under_load(server, body, 16, wrk.WARM_SECONDS)
            loads = measure(server, body, options.seconds)
            cost = fit(loads, share_passes=body in SHARE_PASSES)
            error = max(abs(cost.error(load)) for load in loads)
            times = [f"{1e6 * cost.fixed_seconds:,.0f}", f"{1e6 * cost.each_seconds:,.1f}", f"{error:.0%}"]
            latencies = [1000 * cost.quantile_seconds(share, load) for load in LATENCY_LOADS for share in (0.5, 0.99)]
            cost_rows.append([body.name, *times, f"{cost.capacity:,.0f}", *(f"{ms:.1f}" for ms in latencies)])
            pictures = MANY_PICTURES if body is MANY else 1
            needed = (f"{cost.replicas(rate / pictures):,}" for rate in RATES)
            replica_rows.append([body.name, f"{cost.greatest_load():.0%}", *needed])
            overload_rows.append(overload_row(server, body, cost))
    print(header(["uvicorn", "onnxruntime"], versions))
    latency_heads = [f"{which} ms at {load:.0%}" for load in LATENCY_LOADS for which in ("p50", "p99")]
    heads = ["body", "turn, us", "each, us", "largest error", "capacity, requests/s", *latency_heads]
    print("\n" + table(heads, cost_rows))
    print("\n" + table(["body", "greatest load", *(f"{rate:,} pictures/s" for rate in RATES)], replica_rows))
    heads = ["overload", "answered/s", "of the capacity", "refused/s", "other errors", "p50 ms", "p99 ms"]
    print("\n" + table(heads, overload_rows))


if __name__ == "__main__":
    main()
