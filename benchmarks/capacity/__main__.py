"""How many replicas answer 1 000, 100 000 and 10 000 000 requests per second, 99 % within 50 ms, and at what cost?

    python -m benchmarks.capacity --seconds 2 --price 0.04

This benchmark measures what a request costs one process on one core (`service_times.py`) and simulates the queues of
any number of replicas (`queueing.py`). It compares the simulation with the real process, which receives requests at
Poisson times (`open_loop.py`). It takes five minutes and needs wrk and two cores that do nothing else. It measures the
cost of HAProxy too if HAProxy is installed, or if Ray Serve has installed it.
"""

import itertools
import time
from contextlib import ExitStack

import numpy as np
import psutil

from benchmarks.capacity import open_loop, plan, proxying
from benchmarks.capacity.plan import BodyMeasurement, BytesPerRequest, PoissonLoad, Process, Shares, Simulator
from benchmarks.capacity.queueing import BALANCERS, bursty, poisson
from benchmarks.capacity.service_times import BODIES, MANY, connections, fit, measure, on_core
from benchmarks.harness import wrk
from benchmarks.harness.bodies import JSON, RAW, Body
from benchmarks.harness.command import parser, progress
from benchmarks.harness.own_service import own_service
from benchmarks.harness.report import header
from benchmarks.harness.servers import Server
from benchmarks.harness.wrk import put_under_load

POISSON_LOADS = (0.2, 0.5, 0.7, 0.8, 0.9, 0.95)
"""Rates of the requests at Poisson times, as shares of the greatest measured rate."""

SERVICE_CORE, CLIENTS_CORE = 0, 1

Balancing = dict[tuple[str, str], float]
"""Processor seconds per request, by mode and body."""


def measure_body(server: Server, body: Body, seconds: int, seed: int) -> BodyMeasurement:
    """Measure one kind of body: its cost, its bytes, and its latencies at Poisson times."""
    put_under_load(server, body, 16, wrk.WARM_SECONDS)
    loads = []
    for busy in connections(body):
        loads.append(measure(server, body, busy, seconds))
        progress(f"{body.name}, {busy} connections: {loads[-1].rate:,.0f} requests/s")
    requests = open_loop.requests(body, server.port)
    logged = len(server.output())
    sent = open_loop.send(server.port, requests, itertools.repeat(0.02), 0.5)
    log_bytes = (len(server.output()) - logged) / len(sent.seconds)
    sizes = BytesPerRequest(sent.request_bytes, sent.reply_bytes, log_bytes)
    greatest_rate = max(load.rate for load in loads)
    poisson_loads = []
    for share in () if body is MANY else POISSON_LOADS:  # MANY has too few requests per second for a percentile
        rate = share * greatest_rate
        cpu_began, began = server.cpu_seconds(), time.perf_counter()
        sent = open_loop.send(server.port, requests, poisson(rate, np.random.default_rng(seed)), seconds + 1)
        busy_share = (server.cpu_seconds() - cpu_began) / (time.perf_counter() - began)
        poisson_loads.append(PoissonLoad(share, rate, sent, busy_share))
        progress(f"{body.name}, {rate:,.0f} requests/s: p99 {1000 * np.quantile(sent.seconds, 0.99):.2f} ms")
    return BodyMeasurement(body, loads, fit(body, loads), sizes, poisson_loads)


def measure_balancers(server: Server, seconds: int) -> Balancing:
    """Measure HAProxy. Return nothing if it is not installed."""
    program = proxying.haproxy()
    if program is None:
        progress("HAProxy is not installed: its cost is left out")
        return {}
    return {
        (mode, body.name): proxying.cpu_seconds_per_request(program, mode, server, body, seconds)
        for mode in proxying.MODES
        for body in (JSON, RAW)
    }


def main() -> None:
    """Print the tables."""
    arguments = parser(__doc__, seconds=2)
    arguments.add_argument("--price", type=float, default=0.04, help="price per core and hour (default: %(default)s)")
    arguments.add_argument("--requests", type=int, default=200_000, help="per simulation (default: %(default)s)")
    arguments.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    options = arguments.parse_args()
    versions = {"wrk": wrk.version()}
    with ExitStack() as running:
        with on_core(SERVICE_CORE):
            server = running.enter_context(own_service())
        with on_core(CLIENTS_CORE):
            measured = [measure_body(server, body, options.seconds, options.seed) for body in BODIES]
            balancing = measure_balancers(server, options.seconds)
        metrics = server.get("/metrics").body.decode()
        series = sum(not line.startswith("#") for line in metrics.splitlines())
        process = Process(psutil.Process(server.process.pid).memory_info().rss, series, len(metrics))
    simulator = Simulator(options.seed, options.requests)
    shares: Shares = {
        (one.body.name, balancer): simulator.greatest_share(one.cost, balancer)
        for one in measured
        for balancer in BALANCERS
    }
    under_bursts = {one.body.name: simulator.greatest_share(one.cost, "random", bursty) for one in measured}
    sections = {
        "Replicas": plan.replicas(measured, shares),
        "How full a replica may be": plan.greatest_shares(measured, shares, under_bursts),
        "What a request costs": plan.costs(measured),
        "Simulated and measured latency": plan.compare_with_simulation(measured, simulator),
        "Latency at the planned load, and while a zone is gone": plan.latencies(measured, simulator),
        f"Two choices, by number of replicas ({JSON.name})": plan.convergence(measured[0].cost, simulator),
        "Connections that are spread at random": plan.connection_spread(),
        "Bytes per request": plan.bytes_per_request(measured),
        "Other resources": plan.other_resources(measured, process, shares),
        "A proxy in front": plan.balancers(balancing),
        f"Price of a million predictions, at {options.price} per core and hour": plan.prices(
            measured, shares, options.price
        ),
        "The loads that the costs are fitted to": plan.loads(measured),
    }
    print(header(["simpy", "uvicorn", "onnxruntime"], versions))
    print(f"\n{plan.describe_disturbance(measured)}")
    print(
        f"\nA process: {process.resident_bytes / 2**20:,.0f} MiB resident, {process.series} time series, "
        f"{process.exposition_bytes:,} bytes per scrape."
    )
    for title, lines in sections.items():
        print(f"\n## {title}\n\n{lines}")


if __name__ == "__main__":
    main()
