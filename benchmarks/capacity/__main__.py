"""How many replicas answer 1 000, 100 000 and 10 000 000 requests a second, 99 of 100 within 50 ms, and at what cost?

    python -m benchmarks.capacity --seconds 2 --price 0.04

What a request costs one process on one core is measured (`service_times.py`); what queues make of that, for any number
of replicas, is simulated (`queueing.py`); the simulation is held against the real process, asked at Poisson times
(`open_loop.py`). It takes five minutes, and wants wrk and two cores that do nothing else. HAProxy's cost a request is
measured where it is installed, or Ray Serve has brought it along.
"""

import argparse
import itertools
import signal
import sys
import time
from contextlib import ExitStack

import numpy as np
import psutil

from benchmarks.capacity import open_loop, plan, proxying
from benchmarks.capacity.plan import Checked, Measured, Process, Simulator, Wire
from benchmarks.capacity.queueing import BALANCERS, bursty, poisson
from benchmarks.capacity.service_times import (
    BODIES,
    MANY,
    connections,
    exposition,
    fit,
    measure,
    on_core,
    processor_seconds,
)
from benchmarks.harness.bodies import JSON, RAW, Body
from benchmarks.harness.own_service import own_service
from benchmarks.harness.report import header
from benchmarks.harness.servers import Server
from benchmarks.harness.wrk import put_under_load, version

SHARES = (0.2, 0.5, 0.7, 0.8, 0.9, 0.95)
"""Of the most that it answered busy connections, at which the service is asked at Poisson times."""

WARM_SECONDS = 1
CORE_OF_SERVICE, CORE_OF_CLIENTS = 0, 1

Balancing = dict[tuple[str, str], float]
"""Processor seconds a request, by mode and body."""


def measure_all(seconds: int, seed: int) -> tuple[list[Measured], Process, Balancing]:
    """Everything that is measured, of one process of the service."""
    with ExitStack() as running:
        with on_core(CORE_OF_SERVICE):
            server = running.enter_context(own_service())
        with on_core(CORE_OF_CLIENTS):
            measured = [_measure(server, body, seconds, seed) for body in BODIES]
            balancing = _measure_balancers(server, seconds)
        said = exposition(server)
        series = sum(not line.startswith("#") for line in said.splitlines())
        resident = psutil.Process(server.process.pid).memory_info().rss
        return measured, Process(resident, series, len(said)), balancing


def _measure(server: Server, body: Body, seconds: int, seed: int) -> Measured:
    put_under_load(server, body, 16, WARM_SECONDS)
    loads = []
    for busy in connections(body):
        loads.append(measure(server, body, busy, seconds))
        _say(f"{body.name}, {busy} connections: {loads[-1].rate:,.0f} requests/s")
    wires = open_loop.requests(body, server.port)
    logged = len(server.output())
    asked = open_loop.ask(server.port, wires, itertools.repeat(0.02), 0.5)
    wire = Wire(asked.request_bytes, asked.reply_bytes, (len(server.output()) - logged) / len(asked.seconds))
    measured = Measured(body, loads, fit(body, loads), wire, checked := [])
    for share in () if body is MANY else SHARES:  # of which there are too few a second to say anything of the slowest
        rate = share * measured.most_rate
        worked, began = processor_seconds(server), time.perf_counter()
        asked = open_loop.ask(server.port, wires, poisson(rate, np.random.default_rng(seed)), seconds + 1)
        share_worked = (processor_seconds(server) - worked) / (time.perf_counter() - began)
        checked.append(Checked(share, rate, asked, share_worked))
        _say(f"{body.name}, {rate:,.0f} requests/s come: p99 {1000 * np.quantile(asked.seconds, 0.99):.2f} ms")
    return measured


def _measure_balancers(server: Server, seconds: int) -> Balancing:
    program = proxying.haproxy()
    if program is None:
        _say("no HAProxy, neither the system's nor Ray Serve's: its cost is left out")
        return {}
    return {
        (mode, body.name): proxying.seconds_each(program, mode, server, body, seconds)
        for mode in proxying.MODES
        for body in (JSON, RAW)
    }


def _say(what: str) -> None:
    print(f"capacity: {what}", file=sys.stderr, flush=True)


def _section(title: str, lines: str) -> None:
    print(f"\n## {title}\n\n{lines}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capacity", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=2, help="of each load (default: %(default)s)")
    parser.add_argument("--price", type=float, default=0.04, help="of a core for an hour (default: %(default)s)")
    parser.add_argument("--requests", type=int, default=200_000, help="in each simulation (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    options = parser.parse_args()
    wrk = version()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the service is ended
    measured, process, balancing = measure_all(options.seconds, options.seed)
    simulator = Simulator(options.seed, options.requests)
    shares, under_bursts = {}, {}
    for one in measured:
        for balancer in BALANCERS:
            shares[one.body.name, balancer] = simulator.greatest_share(one.cost, balancer)
        under_bursts[one.body.name] = simulator.greatest_share(one.cost, "random", bursty)
        _say(f"{one.body.name} is simulated")
    print(header(["simpy", "uvicorn", "onnxruntime"], {"wrk": wrk}))
    print(f"\n{plan.quiet(measured)}")
    _section("Replicas", plan.replicas(measured, shares))
    _section("How full a replica may be", plan.greatest_shares(measured, shares, under_bursts))
    _section("What a request costs", plan.costs(measured))
    _section("The simulation beside the service", plan.check(measured, simulator))
    _section("Latency at the planned load, and while a zone is gone", plan.latencies(measured, simulator))
    _section(f"Two choices, by number of replicas ({JSON.name})", plan.convergence(measured[0].cost, simulator))
    _section("Connections that are spread at random", plan.connection_spread())
    _section("Bytes a request", plan.wires(measured))
    print(
        f"\nA process: {process.resident_bytes / 2**20:,.0f} MiB resident, {process.series} time series, "
        f"{process.exposition_bytes:,} bytes a scrape."
    )
    _section("What else it takes", plan.elsewhere(measured, process, shares))
    if balancing:
        _section("A proxy in front", plan.balancers(balancing))
    _section(
        f"A million predictions, where a core costs {options.price} an hour",
        plan.prices(measured, shares, options.price),
    )
    _section("The loads that the costs are fitted to", plan.loads(measured))


if __name__ == "__main__":
    main()
