"""What requests cost the process that answers them, in processor time: so much a turn of its event loop, so much each.

The service runs on one core, the clients on another. The mean of what a turn costs is linear in the mean number of
requests that share it, so that loads of 1 to 64 connections, which share turns differently, tell both.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import psutil
from prometheus_client.parser import text_string_to_metric_families
from scipy.optimize import nnls

from benchmarks.harness.bodies import DRAWING, JSON, PNG, RAW, Body
from benchmarks.harness.servers import Server
from benchmarks.harness.wrk import put_under_load

PICTURES = 1024
"""The most that a request may ask about, as of `MNIST_MAX_BATCH`."""


MANY = Body(f"{PICTURES} as raw bytes", RAW.headers, lambda pixels: pixels.tobytes() * PICTURES)

BODIES = (JSON, RAW, PNG, DRAWING, MANY)

SHARE_A_TURN = (JSON, RAW, PNG)
"""Those that are decoded on the event loop, and answered by one pass for all that wait. Drawings are normalized in a
thread, one after the other; a request of many pictures has passes of its own."""

MOST_IN_TURN = 128
"""As of `app.inference.batching.PASS_ROWS`."""


def connections(body: Body) -> tuple[int, ...]:
    """Of the loads, how many connections are busy."""
    return (1, 2, 4, 8, 16, 32, 64) if body in SHARE_A_TURN else (1, 4, 8)


@dataclass(frozen=True, slots=True)
class Load:
    """What some connections that are always busy made of the service."""

    connections: int
    rate: float
    """Requests a second."""
    batch: float
    """Mean requests a forward pass."""
    each_seconds: float
    """Processor time a request."""

    @property
    def core_share(self) -> float:
        """Of its core, what the service worked."""
        return self.rate * self.each_seconds


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a turn: `fixed_seconds + each_seconds * n` for n requests."""

    fixed_seconds: float
    each_seconds: float
    most_in_turn: int

    def turn_seconds(self, requests: int) -> float:
        """Of so many requests."""
        return self.fixed_seconds + self.each_seconds * requests

    @property
    def capacity(self) -> float:
        """Requests a second, when every turn is full."""
        return self.most_in_turn / self.turn_seconds(self.most_in_turn)

    def error(self, load: Load) -> float:
        """By how much of itself the cost of a request under a load differs from what was measured."""
        return (self.each_seconds + self.fixed_seconds / load.batch) / load.each_seconds - 1


@contextmanager
def on_core(number: int) -> Iterator[None]:
    """Keep this process, and all that it starts meanwhile, on one of the cores that it may use.

    Raises:
        SystemExit: there is no such core, or the system has no way to say so.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise SystemExit("needs Linux, to keep service and clients on a core each")
    allowed = sorted(os.sched_getaffinity(0))
    if number >= len(allowed):
        raise SystemExit(f"needs {number + 1} cores, one for the service and one for its clients, has {len(allowed)}")
    os.sched_setaffinity(0, {allowed[number]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def processor_seconds(server: Server) -> float:
    """Of the process and its children, since they were started."""
    process = psutil.Process(server.process.pid)
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def exposition(server: Server) -> str:
    """What `/metrics` says."""
    connection = server.connect()
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def measure(server: Server, body: Body, busy: int, seconds: int) -> Load:
    """The load of so many busy connections, by wrk."""
    before, began = _counts(server), processor_seconds(server)
    run = put_under_load(server, body, busy, seconds)
    spent = processor_seconds(server) - began
    requests, passes = (after - was for after, was in zip(_counts(server), before, strict=True))
    if any(run.errors.values()):
        raise SystemExit(f"{body.name}, {busy} connections: expected no errors, received {run.errors}")
    return Load(busy, run.rate, requests / passes, spent / requests)


def fit(body: Body, loads: Sequence[Load]) -> Cost:
    """What explains the loads best, in relation to each one's size."""
    if body not in SHARE_A_TURN:  # one after the other, whoever waits
        return Cost(0.0, float(np.mean([load.each_seconds for load in loads if load.connections > 1])), most_in_turn=1)
    measured = np.array([load.each_seconds for load in loads])
    parts = np.array([[1 / load.batch, 1.0] for load in loads])
    (fixed, each), _ = nnls(parts / measured[:, None], np.ones(len(loads)))
    return Cost(float(fixed), float(each), MOST_IN_TURN)


def _counts(server: Server) -> tuple[float, float]:
    """Requests to `/predict` and forward passes, since the start."""
    counts = {"digits_request_seconds_count": 0.0, "digits_pass_pictures_count": 0.0}
    for family in text_string_to_metric_families(exposition(server)):
        for sample in family.samples:
            if sample.name in counts and sample.labels.get("route", "/predict") == "/predict":
                counts[sample.name] += sample.value
    requests, passes = counts.values()
    return requests, passes
