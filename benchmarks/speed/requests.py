"""How many requests per second does the service answer, compared with another checkout, bare uvicorn and the peers?

    python -m benchmarks.speed.requests
    python -m benchmarks.speed.requests --against ../other-checkout --services ours,floor
    python -m benchmarks.speed.requests --services ours,ours:2,ray,ray:2 --bodies json,raw --clients 64

wrk sends the requests from this machine and uses up to one core. Every round measures each service once with each body
and number of clients. Ratios compare values of the same round. `--against` also starts `python -m app` of another
checkout, with this Python, and prints start-up time and memory of both. `NAME:N` is a service with N processes.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import services, wrk
from benchmarks.harness.bodies import DRAWING, JSON, PNG, RAW, Body
from benchmarks.harness.command import chosen, parser, progress
from benchmarks.harness.report import header, table
from benchmarks.harness.rounds import alternate, median, ratios, spread
from benchmarks.harness.servers import Server
from benchmarks.harness.services import Service
from benchmarks.harness.wrk import Run, put_under_load

BODIES = {"json": JSON, "raw": RAW, "png": PNG, "drawing": DRAWING}
ALL = "ours,ours:2,floor,template,async-template,keras,litserve,bentoml"
OTHER = "other"
BASELINES = (OTHER, "ours", "floor", "template")
"""Services that the table compares the others with."""
WARM_CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Case:
    """One measurement that every round repeats."""

    service: Service
    body: Body
    clients: int


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a service."""

    seconds: float
    """Time until `/readyz` was answered with 200."""
    cpu_seconds: float
    """Processor time until then, including the check of the golden digits."""
    uss_mb: float
    """Memory that belongs to the service's processes alone, after a warm-up with every body."""


def warm(server: Server, bodies: Sequence[Body]) -> None:
    """Put a server under load for a second with each body."""
    for body in bodies:
        put_under_load(server, body, WARM_CONNECTIONS, wrk.WARM_SECONDS)


def measure_start(service: Service) -> Start:
    """Start a service once."""
    with service.started() as server:
        cpu_seconds = server.cpu_seconds()
        warm(server, service.bodies)
        return Start(
            server.start_seconds, cpu_seconds, sum(one.memory_full_info().uss / 1e6 for one in server.processes())
        )


def measure(cases: Sequence[Case], rounds: int, seconds: int) -> dict[Case, list[Run]]:
    """Start the services, warm them up and measure each case once per round."""
    groups: dict[tuple[str, int], list[Case]] = {}
    for case in cases:
        groups.setdefault((case.body.name, case.clients), []).append(case)
    with ExitStack() as running:
        servers = {}
        for service in dict.fromkeys(case.service for case in cases if not case.service.fresh):
            progress(f"starting {service.name}")
            servers[service] = running.enter_context(service.started())
            warm(servers[service], service.bodies)

        def run(case: Case) -> Run:
            with ExitStack() as stack:
                server = servers.get(case.service)
                if server is None:
                    server = stack.enter_context(case.service.started())
                    warm(server, [case.body])
                result = put_under_load(server, case.body, case.clients, seconds)
            progress(f"{case.body.name}, {case.clients} clients, {case.service.name}: {result.rate:,.0f} requests/s")
            return result

        return alternate(list(groups.values()), rounds, run)


def rows(results: dict[Case, list[Run]]) -> tuple[list[str], list[list[str]]]:
    """Return the heads and the rows of the table."""
    by_name = {(case.body.name, case.clients, case.service.name): runs for case, runs in results.items()}
    measured = {case.service.name for case in results}
    baselines = [name for name in BASELINES if name in measured and not (name == "ours" and OTHER in measured)]

    def compared(case: Case, name: str, value: Callable[[Run], float]) -> str:
        bases = by_name.get((case.body.name, case.clients, name), [])
        if not bases or case.service.name == name:
            return ""
        return spread(ratios([value(run) for run in results[case]], [value(base) for base in bases]), 2)

    lines = []
    for case in sorted(results, key=lambda case: (case.body.name, case.clients)):
        runs = results[case]
        errors = {kind: sum(run.errors[kind] for run in runs) for kind in runs[0].errors}
        lines.append(
            [
                case.body.name,
                str(case.clients),
                case.service.name,
                spread([run.rate for run in runs]),
                *(compared(case, name, lambda run: run.rate) for name in baselines),
                median([run.cpu_us for run in runs]),
                *([compared(case, OTHER, lambda run: run.cpu_us)] if OTHER in measured else []),
                median([run.p50_ms for run in runs], 2),
                median([run.p99_ms for run in runs], 2),
                ", ".join(f"{count} {kind}" for kind, count in errors.items() if count) or "0",
            ]
        )
    cpu = ["CPU us/request", *([f"CPU, x {OTHER}"] if OTHER in measured else [])]
    ratio_heads = [f"x {name}" for name in baselines]
    return ["body", "clients", "service", "requests/s", *ratio_heads, *cpu, "p50 ms", "p99 ms", "errors"], lines


def main() -> None:
    """Print the tables."""
    arguments = parser(__doc__, rounds=5, seconds=1)
    arguments.add_argument("--against", type=Path, metavar="CHECKOUT", help="measure this other checkout too")
    arguments.add_argument("--services", help=f"default: {ALL}; with --against: ours,floor")
    arguments.add_argument("--bodies", default=",".join(BODIES), help="default: %(default)s")
    arguments.add_argument("--clients", default="1,16,64", help="default: %(default)s")
    options = arguments.parse_args()
    text = options.services or ("ours,floor" if options.against else ALL)
    kinds = chosen(
        arguments, "--services", ",".join(name.partition(":")[0] for name in text.split(",")), services.NAMES
    )
    bodies = [BODIES[name] for name in chosen(arguments, "--bodies", options.bodies, BODIES)]
    if options.against and not (options.against / "app").is_dir():
        arguments.error(f"--against: expected a checkout with a folder `app`, received {options.against}")
    versions = {"wrk": wrk.version()}
    measured = [services.service(name) for name in text.split(",")]
    if options.against:
        measured.insert(1, services.own(folder=options.against.resolve(), name=OTHER))
    cases = [
        Case(service, body, clients)
        for service in measured
        for body in service.bodies
        if body.name in {one.name for one in bodies}
        for clients in map(int, options.clients.split(","))
    ]
    starts = alternate([[services.own(), measured[1]]], options.rounds, measure_start) if options.against else {}
    results = measure(cases, options.rounds, options.seconds)

    versions |= {name: services.peer_version(name) for name in ("litserve", "bentoml", "triton") if name in kinds}
    packages = ["uvicorn", "fastapi", "onnxruntime", *(name for name in ("keras", "ray") if name in kinds)]
    print(header(packages, versions))
    print(f"\nMedian of {options.rounds} rounds of {options.seconds} s (least-greatest).")
    if starts:
        print(f"`{OTHER}` is {options.against.resolve()}.")
    print("\n" + table(*rows(results)))
    if starts:
        lines = [
            [
                service.name,
                spread([start.seconds for start in each], 2),
                spread([start.cpu_seconds for start in each], 2),
                spread([start.uss_mb for start in each], 1),
            ]
            for service, each in starts.items()
        ]
        print("\n" + table(["service", "s until ready", "CPU s", "USS MB after warm-up"], lines))


if __name__ == "__main__":
    main()
