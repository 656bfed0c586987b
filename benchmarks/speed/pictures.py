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
from benchmarks.harness.bodies import BODIES, PHOTO, Body
from benchmarks.harness.command import chosen, parser
from benchmarks.harness.report import header, table
from benchmarks.harness.services import Service
from benchmarks.speed.requests import OTHER, Case, add_options, chosen_services, measure, rows

BASELINES = ("decode-floor", OTHER)
ONLY_MANY_CLIENTS = ("ours:2", "floor")
"""Services that are not measured with a single client."""
ROUNDS_PER_START = 2


def groups_of(measured: Sequence[Service], bodies: Sequence[Body]) -> list[list[Case]]:
    """Return the measurements in groups that are compared: a single client, and then many."""
    groups = []
    for body in bodies:
        few = [service for service in measured if service.name not in ONLY_MANY_CLIENTS]
        groups.append([Case(service, body, 1) for service in few])
        groups.append([Case(service, body, 4 if body is PHOTO else 16) for service in measured])
    return groups


def main() -> None:
    """Print the tables."""
    arguments = parser(__doc__, rounds=10, seconds=1)
    add_options(arguments, "ours,decode-floor,ours:2,floor", "drawing,jpeg,photo")
    options = arguments.parse_args()
    versions = {"wrk": wrk.version()}
    bodies = [BODIES[name] for name in chosen(arguments, "--bodies", options.bodies, BODIES)]
    groups = groups_of(chosen_services(arguments, options), bodies)
    results = measure(groups, options.rounds, options.seconds, ROUNDS_PER_START)
    print(header(["uvicorn", "pillow", "opencv-python-headless", "onnxruntime"], versions))
    print(f"\nMedian of {options.rounds} rounds of {options.seconds} s (least-greatest).")
    if options.against:
        print(f"`{OTHER}` is {options.against.resolve()}.")
    print("\n" + table(*rows(groups, results, BASELINES)))


if __name__ == "__main__":
    main()
