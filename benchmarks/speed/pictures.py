"""How many pictures per second does the service answer, beside a floor that only decodes them?

    python -m benchmarks.speed.pictures
    python -m benchmarks.speed.pictures --against ../other-checkout --bodies drawing,jpeg

Two floors run on uvicorn and answer a constant: one only reads the body, the other also decodes the picture to grey.
wrk plays the clients. Every round measures each service once, on new connections. How these divide among two workers
differs each time, so the least of the ratios matters too. All services start anew every second round, because page
faults make some processes slower than others from their start on. The processor time of a request has a share of the
requests that wrk left at the end, which is noticeable with photos.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from benchmarks.harness import services, wrk
from benchmarks.harness.bodies import DRAWING, GOLDEN, JPEG, PHOTO
from benchmarks.harness.command import chosen, parser, progress
from benchmarks.harness.own_service import memory_mb
from benchmarks.harness.report import header, table
from benchmarks.harness.rounds import alternate, median, ratios, spread
from benchmarks.harness.servers import Server
from benchmarks.harness.services import Service
from benchmarks.harness.wrk import Run, put_under_load
from benchmarks.speed.requests import OTHER, Case

BODIES = {"drawing": DRAWING, "jpeg": JPEG, "photo": PHOTO}
FLOOR = "decode-floor"
ROUNDS_PER_START = 2
MEMORY_ROUNDS = 3
MANY_CLIENTS = 16
MANY_CLIENTS_WITH_PHOTOS = 4


def cases(bodies: Sequence[str], other: Service | None) -> list[list[Case]]:
    """Return the measurements in groups that are compared. Two workers and the bare floor get many clients only."""
    ours, two_workers, decode_floor, floor = map(services.service, ("ours", "ours:2", FLOOR, "floor"))
    few = [ours, *([other] if other else []), decode_floor]
    groups = []
    for body in (BODIES[name] for name in bodies):
        many_clients = MANY_CLIENTS_WITH_PHOTOS if body is PHOTO else MANY_CLIENTS
        groups.append([Case(service, body, 1) for service in few])
        groups.append([Case(service, body, many_clients) for service in [*few, two_workers, floor]])
    return groups


def measure(groups: Sequence[Sequence[Case]], rounds: int, seconds: int) -> dict[Case, list[Run]]:
    """Measure each case once a round, and start all services anew every `ROUNDS_PER_START` rounds."""
    measured = list(dict.fromkeys(case.service for group in groups for case in group))
    bodies = tuple({case.body: None for group in groups for case in group})
    servers: dict[Service, Server] = {}
    measurements_per_start = ROUNDS_PER_START * sum(map(len, groups))
    count = 0
    with ExitStack() as running:

        def run(case: Case) -> Run:
            nonlocal count
            if count % measurements_per_start == 0:
                running.close()
                for service in measured:
                    progress(f"starting {service.name}")
                    servers[service] = running.enter_context(replace(service, bodies=bodies).started())
            count += 1
            result = put_under_load(servers[case.service], case.body, case.clients, seconds)
            progress(f"{case.body.name}, {case.clients} clients, {case.service.name}: {result.rate:,.0f} requests/s")
            return result

        return alternate(groups, rounds, run)


def rows(groups: Sequence[Sequence[Case]], results: Mapping[Case, Sequence[Run]]) -> tuple[list[str], list[list[str]]]:
    """Return the head and the lines of the table. Each ratio is to a service of the same group, in the same round."""
    heads = ["body", "clients", "service", "requests/s"]
    bases = [name for name in (FLOOR, OTHER) if name in {case.service.name for case in results}]
    heads += [
        *(f"x {name}" for name in bases),
        "CPU us/request",
        *(f"CPU, x {name}" for name in bases),
        "p99 ms",
        "errors",
    ]
    lines = []
    for group in groups:
        runs_by_name = {case.service.name: results[case] for case in group}
        for name, runs in runs_by_name.items():
            rates, cpu_us = [run.rate for run in runs], [run.cpu_us for run in runs]
            others = [[] if name == base else runs_by_name[base] for base in bases]
            lines.append(
                [
                    group[0].body.name,
                    str(group[0].clients),
                    name,
                    spread(rates),
                    *(spread(ratios(rates, [run.rate for run in base]), 2) if base else "" for base in others),
                    median(cpu_us),
                    *(spread(ratios(cpu_us, [run.cpu_us for run in base]), 2) if base else "" for base in others),
                    median([run.p99_ms for run in runs], 1),
                    str(sum(sum(run.errors.values()) for run in runs)),
                ]
            )
    return heads, lines


def memory_before_and_after_photos(service: Service) -> tuple[float, float]:
    """Return the memory (USS, MB) of a new worker after small pictures, and then after ten photos."""
    progress(f"memory of {service.name}")
    with replace(service, bodies=(*service.bodies, JPEG)).started() as server:
        before = memory_mb(server)
        for pixels in GOLDEN.pixels:
            server.post(PHOTO.encode(pixels), PHOTO.headers)
        return before, memory_mb(server)


def main() -> None:
    """Print the tables."""
    arguments = parser(__doc__, rounds=10, seconds=1)
    arguments.add_argument("--against", type=Path, metavar="CHECKOUT", help="measure this other checkout too")
    arguments.add_argument("--bodies", default=",".join(BODIES), help="default: %(default)s")
    options = arguments.parse_args()
    bodies = chosen(arguments, "--bodies", options.bodies, BODIES)
    if options.against and not (options.against / "app").is_dir():
        arguments.error(f"--against: expected a checkout with a folder `app`, received {options.against}")
    versions = {"wrk": wrk.version()}
    other = services.own(folder=options.against.resolve(), name=OTHER) if options.against else None
    groups = cases(bodies, other)
    results = measure(groups, options.rounds, options.seconds)
    with_memory = [services.own(), *([other] if other else [])] if "photo" in bodies else []
    memory = alternate([with_memory], min(options.rounds, MEMORY_ROUNDS), memory_before_and_after_photos)

    print(header(["uvicorn", "pillow", "opencv-python-headless", "onnxruntime"], versions))
    print(f"\nMedian of {options.rounds} rounds of {options.seconds} s (least-greatest).")
    if other:
        print(f"`{OTHER}` is {options.against.resolve()}.")
    print("\n" + table(*rows(groups, results)))
    if memory:
        lines = [
            [service.name, spread([before for before, _ in each], 1), spread([after for _, after in each], 1)]
            for service, each in memory.items()
        ]
        print("\n" + table(["one worker", "USS MB after small pictures", "USS MB after ten photos"], lines))


if __name__ == "__main__":
    main()
