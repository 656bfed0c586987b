"""How many requests per second does the service answer, beside another checkout, two floors and a template?

    python -m benchmarks.speed.requests
    python -m benchmarks.speed.requests --against ../other-checkout --services ours,floor

Two floors run on uvicorn and answer a constant: `floor` only reads the body, `decode-floor` also decodes the picture
to grey. wrk sends the requests from this machine and uses up to one core. Every round measures each service once with
each body and number of clients, on new connections. Ratios compare values of the same round. All services start anew
every second round, because page faults make some processes slower than others from their start on. `--against` also
starts `python -m app` of another checkout, with this Python.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import services, wrk
from benchmarks.harness.bodies import BODIES, PHOTO, Body
from benchmarks.harness.command import chosen, parser, progress
from benchmarks.harness.report import header, median, ratios, spread, table
from benchmarks.harness.servers import Server
from benchmarks.harness.services import Service
from benchmarks.harness.wrk import Run, put_under_load

OTHER = "other"
CPU_BASES = (OTHER, "decode-floor")
"""The table also compares the processor time of these services."""
WARM_CONNECTIONS = 16
MOST_WITH_PHOTOS = 4
"""More clients than this would only wait for each other's photos."""
ROUNDS_PER_START = 2


@dataclass(frozen=True, slots=True)
class Case:
    """One measurement that every round repeats."""

    service: Service
    body: Body
    clients: int


Results = Mapping[Case, Sequence[Run]]


def start(service: Service, bodies: Sequence[Body], running: ExitStack) -> Server:
    """Start a service, and warm it up with the bodies."""
    progress(f"starting {service.name}")
    server = running.enter_context(service.started(bodies))
    for body in bodies:
        put_under_load(server, body, WARM_CONNECTIONS, wrk.WARM_SECONDS)
    return server


def measure(groups: Sequence[Sequence[Case]], rounds: int, seconds: int) -> dict[Case, list[Run]]:
    """Measure each case once a round, in an order that differs in each round.

    So a busy moment of the machine does not hit only one service. The cases of a group are measured directly after one
    another, because the reader compares them.
    """
    results: dict[Case, list[Run]] = {case: [] for group in groups for case in group}
    bodies: dict[Service, dict[Body, None]] = {}
    for case in results:
        bodies.setdefault(case.service, {})[case.body] = None
    for first in range(0, rounds, ROUNDS_PER_START):
        with ExitStack() as running:
            servers = {service: start(service, list(sent), running) for service, sent in bodies.items()}
            for number in range(first, min(first + ROUNDS_PER_START, rounds)):
                progress(f"round {number + 1}/{rounds}")
                rng = random.Random(number)
                for group in rng.sample(groups, len(groups)):
                    for case in rng.sample(group, len(group)):
                        run = put_under_load(servers[case.service], case.body, case.clients, seconds)
                        progress(f"{case.body.name}, {case.clients} clients, {case.service.name}: {run.rate:,.0f}/s")
                        results[case].append(run)
    return results


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


def main() -> None:
    """Print the table."""
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    arguments.add_argument("--seconds", type=int, default=1, help="length of a measurement (default: %(default)s)")
    arguments.add_argument("--against", type=Path, metavar="CHECKOUT", help="measure this other checkout too")
    known = f"of {', '.join(services.SERVICES)}; default: %(default)s"
    arguments.add_argument("--services", default="ours,floor,decode-floor,template", help=known)
    known = f"of {', '.join(BODIES)}; default: %(default)s"
    arguments.add_argument("--bodies", default="json,raw,png,drawing,jpeg,ruled,photo", help=known)
    arguments.add_argument("--clients", default="1,16,64", help="default: %(default)s")
    options = arguments.parse_args()
    wrk_version = wrk.version()
    bodies = [BODIES[name] for name in chosen(arguments, "--bodies", options.bodies, BODIES)]
    names = chosen(arguments, "--services", options.services, services.SERVICES)
    measured = [services.SERVICES[name]() for name in names]
    if options.against:
        if not (options.against / "app").is_dir():
            arguments.error(f"--against: expected a checkout with a folder `app`, received {options.against}")
        measured.insert(1, services.own(folder=options.against.resolve(), name=OTHER))
    numbers = [int(number) for number in options.clients.split(",")]
    groups = [
        [Case(service, body, clients) for service in measured for body in service.bodies if body.name == one.name]
        for one in bodies
        for clients in sorted({min(each, MOST_WITH_PHOTOS) if one is PHOTO else each for each in numbers})
    ]
    groups = [group for group in groups if group]
    results = measure(groups, options.rounds, options.seconds)

    print(header(["uvicorn", "fastapi", "pillow", "opencv-python-headless", "onnxruntime"], {"wrk": wrk_version}))
    print(f"\nMedian of {options.rounds} rounds of {options.seconds} s (least-greatest).")
    if options.against:
        print(f"`{OTHER}` is {options.against.resolve()}.")
    baselines = [OTHER if options.against else "ours", "floor", "decode-floor", "template"]
    print("\n" + table(*rows(groups, results, baselines)))


if __name__ == "__main__":
    main()
