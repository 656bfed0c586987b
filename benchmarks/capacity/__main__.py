"""How many replicas answer 1 000, 100 000 and 10 000 000 requests per second, 99 % within 50 ms, and at what cost?

    python -m benchmarks.capacity --seconds 2 --price 0.04

Measures what a request costs one process on one core (`service_times.py`) and simulates the queues of any number of
replicas (`queueing.py`). Compares the simulation with the real process, which gets requests at Poisson times
(`open_loop.py`). It takes five minutes and needs wrk and two cores that do nothing else. The cost of HAProxy is
measured where HAProxy is installed, or where Ray Serve has installed it.
"""

import itertools
import time
from contextlib import ExitStack

import numpy as np
import psutil

from benchmarks.capacity import open_loop, plan, proxying
from benchmarks.capacity.plan import Checked, Measured, Process, Shares, Simulator, Wire
from benchmarks.capacity.queueing import BALANCERS, bursty, poisson
from benchmarks.capacity.service_times import BODIES, MANY, connections, fit, measure, on_core
from benchmarks.harness import wrk
from benchmarks.harness.bodies import JSON, RAW, Body
from benchmarks.harness.command import parser, progress
from benchmarks.harness.own_service import own_service
from benchmarks.harness.report import header
from benchmarks.harness.servers import Server
from benchmarks.harness.wrk import put_under_load

CHECKED_SHARES = (0.2, 0.5, 0.7, 0.8, 0.9, 0.95)
"""Shares of the greatest measured rate at which the service gets requests at Poisson times."""

CORE_OF_SERVICE, CORE_OF_CLIENTS = 0, 1

Balancing = dict[tuple[str, str], float]
"""Processor seconds per request, by mode and body."""


def measure_body(server: Server, body: Body, seconds: int, seed: int) -> Measured:
    """Measure one kind of body: its loads, its bytes, and its latencies at Poisson times."""
    put_under_load(server, body, 16, wrk.WARM_SECONDS)
    loads = []
    for busy in connections(body):
        loads.append(measure(server, body, busy, seconds))
        progress(f"{body.name}, {busy} connections: {loads[-1].rate:,.0f} requests/s")
    requests = open_loop.requests(body, server.port)
    logged = len(server.output())
    sent = open_loop.send(server.port, requests, itertools.repeat(0.02), 0.5)
    wire = Wire(sent.request_bytes, sent.reply_bytes, (len(server.output()) - logged) / len(sent.seconds))
    measured = Measured(body, loads, fit(body, loads), wire, checked := [])
    for share in () if body is MANY else CHECKED_SHARES:  # MANY has too few requests per second for a percentile
        rate = share * measured.greatest_rate
        cpu_began, began = server.cpu_seconds(), time.perf_counter()
        sent = open_loop.send(server.port, requests, poisson(rate, np.random.default_rng(seed)), seconds + 1)
        busy_share = (server.cpu_seconds() - cpu_began) / (time.perf_counter() - began)
        checked.append(Checked(share, rate, sent, busy_share))
        progress(f"{body.name}, {rate:,.0f} requests/s: p99 {1000 * np.quantile(sent.seconds, 0.99):.2f} ms")
    return measured


def measure_balancers(server: Server, seconds: int) -> Balancing:
    """Measure HAProxy. Empty where it is not installed."""
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
    arguments.add_argument("--price", type=float, default=0.04, help="of a core for an hour (default: %(default)s)")
    arguments.add_argument("--requests", type=int, default=200_000, help="in each simulation (default: %(default)s)")
    arguments.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    options = arguments.parse_args()
    versions = {"wrk": wrk.version()}
    with ExitStack() as running:
        with on_core(CORE_OF_SERVICE):
            server = running.enter_context(own_service())
        with on_core(CORE_OF_CLIENTS):
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
        "The simulation beside the service": plan.check(measured, simulator),
        "Latency at the planned load, and while a zone is gone": plan.latencies(measured, simulator),
        f"Two choices, by number of replicas ({JSON.name})": plan.convergence(measured[0].cost, simulator),
        "Connections that are spread at random": plan.connection_spread(),
        "Bytes a request": plan.wires(measured),
        "What else it takes": plan.elsewhere(measured, process, shares),
        "A proxy in front": plan.balancers(balancing),
        f"A million predictions, where a core costs {options.price} an hour": plan.prices(
            measured, shares, options.price
        ),
        "The loads that the costs are fitted to": plan.loads(measured),
    }
    print(header(["simpy", "uvicorn", "onnxruntime"], versions))
    print(f"\n{plan.quiet(measured)}")
    print(
        f"\nA process: {process.resident_bytes / 2**20:,.0f} MiB resident, {process.series} time series, "
        f"{process.exposition_bytes:,} bytes a scrape."
    )
    for title, lines in sections.items():
        print(f"\n## {title}\n\n{lines}")


if __name__ == "__main__":
    main()
