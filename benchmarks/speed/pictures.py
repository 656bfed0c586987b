"""How many pictures per second does the service answer, beside a floor that only decodes them?

    python -m benchmarks.speed.pictures
    python -m benchmarks.speed.pictures --against ../other-checkout --bodies drawing,jpeg

Two floors run on uvicorn and answer a constant: one only reads the body, the other also decodes the picture to grey.
wrk plays the clients. Every round measures each service once, on new connections. How these divide among two workers
differs each time, so the least of the ratios matters too. All services start anew every second round, because page
faults make some processes slower than others from their start on. The processor time of a request has a share of the
requests that wrk left at the end, which is noticeable with photos.
"""

from collections.abc import Sequence

from benchmarks.harness import wrk
from benchmarks.harness.bodies import BODIES, GOLDEN, JPEG, PHOTO, Body
from benchmarks.harness.command import chosen, parser, progress
from benchmarks.harness.own_service import memory_mb
from benchmarks.harness.report import header, table
from benchmarks.harness.rounds import alternate, spread
from benchmarks.harness.services import Service
from benchmarks.speed.requests import OTHER, Case, add_options, chosen_services, measure, rows

BASELINES = ("decode-floor", OTHER)
ONLY_MANY_CLIENTS = ("ours:2", "floor")
"""Services that are not measured with a single client."""
ROUNDS_PER_START = 2
MEMORY_ROUNDS = 3
SMALL = [BODIES[name] for name in ("json", "raw", "png", "drawing")] + [JPEG]
"""What a worker has answered before its memory is compared."""


def groups_of(measured: Sequence[Service], bodies: Sequence[Body]) -> list[list[Case]]:
    """Return the measurements in groups that are compared: a single client, and then many."""
    groups = []
    for body in bodies:
        few = [service for service in measured if service.name not in ONLY_MANY_CLIENTS]
        groups.append([Case(service, body, 1) for service in few])
        groups.append([Case(service, body, 4 if body is PHOTO else 16) for service in measured])
    return groups


def memory_before_and_after_photos(service: Service) -> tuple[float, float]:
    """Return the memory (USS, MB) of a new worker after small pictures, and then after ten photos."""
    progress(f"memory of {service.name}")
    with service.started(SMALL) as server:
        before = memory_mb(server)
        for pixels in GOLDEN.pixels:
            server.post(PHOTO.encode(pixels), PHOTO.headers)
        return before, memory_mb(server)


def main() -> None:
    """Print the tables."""
    arguments = parser(__doc__, rounds=10, seconds=1)
    add_options(arguments, "ours,decode-floor,ours:2,floor", "drawing,jpeg,photo")
    options = arguments.parse_args()
    versions = {"wrk": wrk.version()}
    bodies = [BODIES[name] for name in chosen(arguments, "--bodies", options.bodies, BODIES)]
    measured = chosen_services(arguments, options)
    groups = groups_of(measured, bodies)
    results = measure(groups, options.rounds, options.seconds, ROUNDS_PER_START)
    with_memory = [service for service in measured if service.name in ("ours", OTHER)] if PHOTO in bodies else []
    memory = alternate([with_memory], min(options.rounds, MEMORY_ROUNDS), memory_before_and_after_photos)

    print(header(["uvicorn", "pillow", "opencv-python-headless", "onnxruntime"], versions))
    print(f"\nMedian of {options.rounds} rounds of {options.seconds} s (least-greatest).")
    if options.against:
        print(f"`{OTHER}` is {options.against.resolve()}.")
    print("\n" + table(*rows(groups, results, BASELINES)))
    if memory:
        lines = [
            [service.name, spread([before for before, _ in each], 1), spread([after for _, after in each], 1)]
            for service, each in memory.items()
        ]
        print("\n" + table(["one worker", "USS MB after small pictures", "USS MB after ten photos"], lines))


if __name__ == "__main__":
    main()
