"""Does the service answer half an hour of mixed load as it should, without growing?

    python -m benchmarks.faults.soak --minutes 30 --workers 2

Eight clients send good and bad requests of every kind and photos of 12 megapixels, and some leave in the middle of a
body. The exit code is 1 when an answer was wrong, a worker grew or ended, or a connection was left open.
"""

import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass

from benchmarks.faults.mix import mixed, warm
from benchmarks.harness.command import parser, progress
from benchmarks.harness.own_service import connections, own_service, workers_of
from benchmarks.harness.report import header, table
from benchmarks.harness.servers import Server
from benchmarks.harness.traffic import Outcome, Traffic

WARM_SHARE = 1 / 4
"""Share of the time after which the allocator keeps what it will keep."""

WINDOW_SHARE = 1 / 10
"""Share of the time in which the least memory counts. A photo takes 30 MB more while it is decoded."""

GROWTH_MB = 5
"""Maximum growth of a worker from the first window to the last."""

SAMPLE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Count:
    """Identifies the requests that are counted together."""

    kind: str
    status: int | str
    right: bool


@dataclass(frozen=True, slots=True)
class Growth:
    """A worker's memory (USS)."""

    warm_mb: float
    end_mb: float


@dataclass(frozen=True)
class Soaked:
    """The result."""

    counts: Counter[Count]
    memory: dict[int, Growth]
    """By process, without those that ended."""
    failures: list[str]
    """Which goals were missed."""


def soak(server: Server, seconds: float) -> Soaked:
    """Put a service under mixed load."""
    counts: Counter[Count] = Counter()
    lock = threading.Lock()

    def note(outcome: Outcome) -> None:
        with lock:
            counts[Count(outcome.request.kind, outcome.answer.status, outcome.right)] += 1

    warm(server)
    workers = workers_of(server)
    windows: tuple[dict[int, list[float]], ...] = ({}, {})
    window_seconds = WINDOW_SHARE * seconds
    starts = (WARM_SHARE * seconds, seconds - window_seconds)
    began = time.monotonic()
    with Traffic(server.port, mixed(), note):
        while (elapsed := time.monotonic() - began) < seconds:
            for window, start in zip(windows, starts, strict=True):
                if start <= elapsed <= start + window_seconds:
                    for worker in filter(lambda one: one.is_running(), workers):
                        window.setdefault(worker.pid, []).append(worker.memory_full_info().uss / 1e6)
            time.sleep(SAMPLE_SECONDS)
    first, last = windows
    memory = {pid: Growth(min(first[pid]), min(samples)) for pid, samples in last.items()}
    time.sleep(1)
    held = connections(server)
    failures = [f"{one.kind}: {one.status}, {number} times" for one, number in counts.items() if not one.right]
    failures += [f"worker {one.pid} has ended" for one in workers if one.pid not in memory]
    for pid, growth in memory.items():
        if growth.end_mb - growth.warm_mb >= GROWTH_MB:
            failures.append(f"worker {pid} grew by {growth.end_mb - growth.warm_mb:.1f} MB")
    failures += [f"{held} connections are still open"] * bool(held)
    failures += ["there is a traceback in the log"] * ("Traceback" in server.output())
    return Soaked(counts, memory, failures)


def main() -> None:
    """Print the tables."""
    arguments = parser(__doc__)
    arguments.add_argument("--minutes", type=float, default=30, help="default: %(default)s")
    arguments.add_argument("--workers", type=int, default=1, help="default: %(default)s")
    options = arguments.parse_args()
    with own_service(options.workers) as server:
        soaked = soak(server, 60 * options.minutes)
    print(header(("uvicorn", "fastapi", "onnxruntime", "pillow")))
    print(f"\n{soaked.counts.total():,} requests in {options.minutes:g} minutes.\n")
    rows = [
        [one.kind, str(one.status), f"{number:,}", "" if one.right else "unexpected"]
        for one, number in sorted(soaked.counts.items(), key=str)
    ]
    print(table(["kind", "status", "requests", ""], rows))
    print(f"\nLeast memory (USS) after warm-up and at the end. A worker may grow by {GROWTH_MB} MB.\n")
    rows = [
        [str(pid), f"{one.warm_mb:.1f}", f"{one.end_mb:.1f}", f"{one.end_mb - one.warm_mb:+.1f}"]
        for pid, one in soaked.memory.items()
    ]
    print(table(["worker", "MB warm", "MB at the end", "growth"], rows))
    for failure in soaked.failures:
        progress(failure)
    sys.exit(bool(soaked.failures))


if __name__ == "__main__":
    main()
