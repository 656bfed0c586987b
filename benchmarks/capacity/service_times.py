"""Measure the processor time of requests: a fixed part for each turn of the event loop, and a part for each request.

The service runs on one core and the clients on another. The mean cost of a turn is linear in the mean number of
requests that share it. Loads of 1 to 64 connections share turns differently, so that a fit separates both parts.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from prometheus_client.parser import text_string_to_metric_families
from scipy.optimize import nnls

from benchmarks.harness.bodies import DRAWING, JSON, PNG, RAW, Body
from benchmarks.harness.servers import Server
from benchmarks.harness.wrk import put_under_load

PICTURES = 1024
"""Maximum number of pictures in a request, the default of `MNIST_MAX_BATCH`."""

MANY = Body(f"{PICTURES} as raw bytes", RAW.headers, lambda pixels: pixels.tobytes() * PICTURES)

BODIES = (JSON, RAW, PNG, DRAWING, MANY)

SHARE_PASSES = (JSON, RAW, PNG)
"""Bodies that are decoded on the event loop and share a forward pass with other requests. Drawings are normalized in a
thread, one after the other. A request with many pictures has its own passes."""

MAX_IN_TURN = 128
"""Maximum number of requests in a forward pass, equal to `app.inference.batching.PASS_ROWS`."""


def connections(body: Body) -> tuple[int, ...]:
    """Return the numbers of busy connections to measure with."""
    return (1, 2, 4, 8, 16, 32, 64) if body in SHARE_PASSES else (1, 4, 8)


@dataclass(frozen=True, slots=True)
class Load:
    """The measured result of a number of busy connections."""

    connections: int
    rate: float
    """Requests per second."""
    batch: float
    """Mean number of requests in a forward pass."""
    each_seconds: float
    """Processor time per request."""

    @property
    def core_share(self) -> float:
        """Return the share of its core that the service used."""
        return self.rate * self.each_seconds


@dataclass(frozen=True, slots=True)
class Cost:
    """Processor time of a turn with n requests: `fixed_seconds + each_seconds * n`."""

    fixed_seconds: float
    each_seconds: float
    max_in_turn: int

    def turn_seconds(self, requests: int) -> float:
        """Return the processor time of a turn with this number of requests."""
        return self.fixed_seconds + self.each_seconds * requests

    @property
    def capacity(self) -> float:
        """Return the requests per second when every turn is full."""
        return self.max_in_turn / self.turn_seconds(self.max_in_turn)

    def error(self, load: Load) -> float:
        """Return the relative error of this cost for a request of a measured load."""
        return (self.each_seconds + self.fixed_seconds / load.batch) / load.each_seconds - 1


@contextmanager
def on_core(number: int) -> Iterator[None]:
    """Keep this process, and every process that it starts in the block, on one of the allowed cores.

    Raises:
        SystemExit: the system has too few cores, or is not Linux.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise SystemExit("this benchmark needs Linux, which can bind the service and its clients to one core each")
    allowed = sorted(os.sched_getaffinity(0))
    if number >= len(allowed):
        raise SystemExit(f"expected one core for the service and one for its clients, received {len(allowed)}")
    os.sched_setaffinity(0, {allowed[number]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def measure(server: Server, body: Body, busy: int, seconds: int) -> Load:
    """Measure the service with this number of busy connections.

    Raises:
        SystemExit: a request failed.
    """
    before = _counts(server)
    run = put_under_load(server, body, busy, seconds)
    after = _counts(server)
    if any(run.errors.values()):
        raise SystemExit(f"{body.name}, {busy} connections: expected no errors, received {run.errors}")
    batch = (after.requests - before.requests) / (after.passes - before.passes)
    return Load(busy, run.rate, batch, run.cpu_us / 1e6)


def fit(body: Body, loads: Sequence[Load]) -> Cost:
    """Fit the cost to the loads, by least squares of the relative errors."""
    if body not in SHARE_PASSES:
        each_seconds = [load.each_seconds for load in loads if load.connections > 1]
        return Cost(0.0, float(np.mean(each_seconds)), max_in_turn=1)
    measured = np.array([load.each_seconds for load in loads])
    parts = np.array([[1 / load.batch, 1.0] for load in loads])
    (fixed, each), _ = nnls(parts / measured[:, None], np.ones(len(loads)))
    return Cost(float(fixed), float(each), MAX_IN_TURN)


@dataclass(frozen=True, slots=True)
class _Counts:
    """Totals since the start of the service."""

    requests: float
    passes: float


def _counts(server: Server) -> _Counts:
    """Read from `/metrics` the requests to `/predict` and the forward passes."""
    counts = {"digits_request_seconds_count": 0.0, "digits_pass_pictures_count": 0.0}
    for family in text_string_to_metric_families(server.get("/metrics").body.decode()):
        for sample in family.samples:
            if sample.name in counts and sample.labels.get("route", "/predict") == "/predict":
                counts[sample.name] += sample.value
    return _Counts(*counts.values())
