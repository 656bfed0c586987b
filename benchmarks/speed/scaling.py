"""How does it scale over workers, and over Ray Serve's replicas, with HAProxy before them and with the proxy in Python?

    python -m benchmarks.speed.scaling --rounds 5 --seconds 3 --most 2

As `benchmarks.speed.requests`, with many clients at once. One service at a time runs and is measured, in every round
anew, for Ray's processes take a part of the cores also when nobody asks. `wrk` takes a part too, up to one:
with all cores in work the efficiency, requests a second by those of so many single ones,
says what a core is worth that clients share.
"""

import argparse
import random
import signal
import statistics
import sys
from collections.abc import Mapping, Sequence

from benchmarks.harness.report import header, spread, table
from benchmarks.harness.servers import HOST
from benchmarks.harness.services import JSON, RAW, Contender
from benchmarks.speed.requests import WARM_SECONDS, Run, put_under_load, version_of_wrk

CLIENTS = 64
HEADS = ("service", "processes", "body", "requests/s", "p50 ms", "p99 ms", "efficiency", "x one worker", "errors")

Key = tuple[str, int, str]
"""Service, its processes, body."""


def contenders(most: int) -> list[Contender]:
    """Each service in one process to `most`."""
    with_python = {"RAY_SERVE_ENABLE_HA_PROXY": "0"}
    listening = {"MNIST_HOST": HOST, "MNIST_PORT": "{port}"}
    made = []
    for number in range(1, most + 1):
        ray = (sys.executable, "-m", "benchmarks.peers.ray_replicas", str(number))
        workers = {**listening, "MNIST_WORKERS": str(number)}
        made += [
            Contender("workers", (sys.executable, "-m", "app"), (JSON, RAW), workers, number),
            Contender("Ray, HAProxy", ray, (JSON, RAW), listening, number, ready="/readyz"),
            Contender("Ray, Python proxy", ray, (JSON, RAW), listening | with_python, number, ready="/readyz"),
        ]
    return made


def measure(services: Sequence[Contender], rounds: int, seconds: int) -> dict[Key, list[Run]]:
    """Each service with each body, once a round."""
    results: dict[Key, list[Run]] = {}
    for number in range(rounds):
        for service in random.Random(number).sample(services, len(services)):
            with service.started() as server:
                for body in service.bodies:
                    put_under_load(server, body, CLIENTS, WARM_SECONDS)
                    run = put_under_load(server, body, CLIENTS, seconds)
                    results.setdefault((service.name, service.workers, body.name), []).append(run)
                    said = f"{service.name}, {service.workers}, {body.name}: {run.rate:,.0f} requests/s"
                    print(f"round {number + 1}/{rounds}: {said}", file=sys.stderr, flush=True)
    return results


def row(results: Mapping[Key, Sequence[Run]], key: Key) -> list[str]:
    """A line of the table."""
    service, processes, body = key
    runs = results[key]

    def to(other: Key) -> float:
        pairs = zip(runs, results[other], strict=True)
        return statistics.median(run.rate / base.rate for run, base in pairs)

    errors = sum(sum(run.errors.values()) for run in runs)
    return [
        service,
        str(processes),
        body,
        spread([run.rate for run in runs]),
        f"{statistics.median(run.p50_ms for run in runs):.2f}",
        f"{statistics.median(run.p99_ms for run in runs):.2f}",
        f"{to((service, 1, body)) / processes:.2f}",
        f"{to(('workers', 1, body)):.3g}",
        str(errors),
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.scaling", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--seconds", type=int, default=3, help="of load in each measurement (default: %(default)s)")
    parser.add_argument("--most", type=int, default=2, help="processes of a service (default: %(default)s)")
    options = parser.parse_args()
    wrk = version_of_wrk()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the services are ended
    results = measure(contenders(options.most), options.rounds, options.seconds)
    print(header(["uvicorn", "ray", "onnxruntime"], {"wrk": wrk}))
    print(f"\n{CLIENTS} clients, median of {options.rounds} rounds of {options.seconds} s (least-greatest).\n")
    print(table(HEADS, [row(results, key) for key in sorted(results, key=lambda key: (key[2], key[0], key[1]))]))


if __name__ == "__main__":
    main()
