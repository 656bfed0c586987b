"""How many requests per second does the service answer, beside another checkout, a floor, a template and Triton?

    python -m benchmarks.speed.requests
    python -m benchmarks.speed.requests --against ../other-checkout --services ours,floor
    python -m benchmarks.speed.requests --services ours,triton --bodies json
    python -m benchmarks.speed.requests --services ours --bodies raw,v2-binary,json,v1,v2,many --clients 32

wrk sends the requests from this machine and uses up to one core. Every round measures each service once with each body
and number of clients. Ratios compare values of the same round. `--against` also starts `python -m app` of another
checkout, with this Python. `NAME:N` is a service with N processes.
"""

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import services, wrk
from benchmarks.harness.bodies import BODIES, Body
from benchmarks.harness.command import chosen, parser, progress
from benchmarks.harness.report import header, table
from benchmarks.harness.rounds import alternate, median, ratios, spread
from benchmarks.harness.servers import Server
from benchmarks.harness.services import Service
from benchmarks.harness.wrk import Run, put_under_load

OTHER = "other"
CPU_BASES = (OTHER, "decode-floor")
"""The table also compares the processor time of these services."""
WARM_CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Case:
    """One measurement that every round repeats."""

    service: Service
    body: Body
    clients: int


Results = Mapping[Case, Sequence[Run]]


def start(service: Service, bodies: Sequence[Body], running: ExitStack) -> Server:
    """Start a service, and warm it up with the bodies that it accepts."""
    progress(f"starting {service.name}")
    accepted = [body for body in service.bodies if body.name in {one.name for one in bodies}]
    server = running.enter_context(service.started(accepted))
    for body in accepted:
        put_under_load(server, body, WARM_CONNECTIONS, wrk.WARM_SECONDS)
    return server


def measure(
    groups: Sequence[Sequence[Case]], rounds: int, seconds: int, rounds_per_start: float = math.inf
) -> dict[Case, list[Run]]:
    """Measure each case once a round, and start all services anew every `rounds_per_start` rounds."""
    bodies_by_service: dict[Service, list[Body]] = {}
    for case in (case for group in groups for case in group):
        bodies_by_service.setdefault(case.service, []).append(case.body)
    servers: dict[Service, Server] = {}
    measurements_per_start = rounds_per_start * sum(map(len, groups))
    count = 0
    with ExitStack() as running:

        def run(case: Case) -> Run:
            nonlocal count
            if not servers or count == measurements_per_start:
                count = 0
                running.close()
                servers.update({one: start(one, bodies, running) for one, bodies in bodies_by_service.items()})
            count += 1
            result = put_under_load(servers[case.service], case.body, case.clients, seconds)
            progress(f"{case.body.name}, {case.clients} clients, {case.service.name}: {result.rate:,.0f} requests/s")
            return result

        return alternate(groups, rounds, run)


def rows(
    groups: Sequence[Sequence[Case]], results: Results, baselines: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    """Return the heads and the lines of the table. Each ratio is to a service of the same group, in the same round."""
    measured = {case.service.name for case in results}
    rate_bases = [name for name in baselines if name in measured]
    cpu_bases = [name for name in rate_bases if name in CPU_BASES]
    lines = []
    for group in groups:
        runs_by_name = {case.service.name: results[case] for case in group}
        for name, runs in runs_by_name.items():
            others = {base: runs_by_name.get(base, []) for base in rate_bases if base != name}
            errors = {kind: sum(run.errors[kind] for run in runs) for kind in runs[0].errors}
            lines.append(
                [
                    group[0].body.name,
                    str(group[0].clients),
                    name,
                    spread([run.rate for run in runs]),
                    *(compared(runs, others.get(base), lambda run: run.rate) for base in rate_bases),
                    median([run.cpu_us for run in runs]),
                    *(compared(runs, others.get(base), lambda run: run.cpu_us) for base in cpu_bases),
                    median([run.p50_ms for run in runs], 2),
                    median([run.p99_ms for run in runs], 2),
                    ", ".join(f"{count} {kind}" for kind, count in errors.items() if count) or "0",
                ]
            )
    heads = ["body", "clients", "service", "requests/s", *(f"x {name}" for name in rate_bases), "CPU us/request"]
    return [*heads, *(f"CPU, x {name}" for name in cpu_bases), "p50 ms", "p99 ms", "errors"], lines


def compared(runs: Sequence[Run], bases: Sequence[Run] | None, value: Callable[[Run], float]) -> str:
    """Format the ratios of the rounds, or nothing without a base."""
    return spread(ratios([value(run) for run in runs], [value(run) for run in bases]), 2) if bases else ""


def add_options(arguments: argparse.ArgumentParser, services_: str, bodies: str) -> None:
    """Add the options that choose what is measured."""
    arguments.add_argument("--against", type=Path, metavar="CHECKOUT", help="measure this other checkout too")
    arguments.add_argument(
        "--services", default=services_, help=f"of {', '.join(services.NAMES)}; default: %(default)s"
    )
    arguments.add_argument("--bodies", default=bodies, help=f"of {', '.join(BODIES)}; default: %(default)s")


def chosen_services(arguments: argparse.ArgumentParser, options: argparse.Namespace) -> list[Service]:
    """Return the services that the options name. A wrong name or checkout ends the program with a message."""
    names = options.services.split(",")
    chosen(arguments, "--services", ",".join(name.partition(":")[0] for name in names), services.NAMES)
    if options.against and not (options.against / "app").is_dir():
        arguments.error(f"--against: expected a checkout with a folder `app`, received {options.against}")
    other = [services.own(folder=options.against.resolve(), name=OTHER)] if options.against else []
    measured = [services.service(name) for name in names]
    return [*measured[:1], *other, *measured[1:]]


def main() -> None:
    """Print the tables."""
    arguments = parser(__doc__, rounds=5, seconds=1)
    add_options(arguments, "ours,ours:2,floor,template", "json,raw,png,drawing")
    arguments.add_argument("--clients", default="1,16,64", help="default: %(default)s")
    options = arguments.parse_args()
    versions = {"wrk": wrk.version()}
    bodies = [BODIES[name] for name in chosen(arguments, "--bodies", options.bodies, BODIES)]
    measured = chosen_services(arguments, options)
    groups = [
        [Case(service, body, clients) for service in measured for body in service.bodies if body.name == one.name]
        for one in bodies
        for clients in map(int, options.clients.split(","))
    ]
    groups = [group for group in groups if group]
    results = measure(groups, options.rounds, options.seconds)

    if "triton" in options.services:
        versions["Triton"] = services.triton_version()
    print(header(["uvicorn", "fastapi", "onnxruntime"], versions))
    print(f"\nMedian of {options.rounds} rounds of {options.seconds} s (least-greatest).")
    if options.against:
        print(f"`{OTHER}` is {options.against.resolve()}.")
    baselines = [OTHER if options.against else "ours", "floor", "template"]
    print("\n" + table(*rows(groups, results, baselines)))


if __name__ == "__main__":
    main()
