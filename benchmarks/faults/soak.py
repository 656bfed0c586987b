"""Does the service answer half an hour of mixed load correctly, and without growing?

    python -m benchmarks.faults.soak --minutes 30 --workers 2

Eight clients send valid and invalid requests of every kind, and photos of 12 megapixels. Some clients leave in the
middle of a body. The exit code is 1 if an answer was wrong, a worker grew or ended, or a connection remained open.
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
"""Share of the time after which the memory that the allocator keeps no longer grows."""

WINDOW_SHARE = 1 / 10
"""Length of each window, as a share of the time. The least memory in a window counts, because decoding a photo takes
30 MB for a moment."""

GROWTH_MB = 5
"""Maximum growth of a worker from the first window to the last."""

SAMPLE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class OutcomeKind:
    """Requests with the same kind, status and verdict are counted together."""

    kind: str
    status: int | str
    as_expected: bool


@dataclass(frozen=True, slots=True)
class WorkerMemory:
    """The least memory (USS) of a worker in the first and in the last window."""

    warm_mb: float
    end_mb: float


@dataclass(frozen=True)
class SoakResult:
    """The counted requests, the memory and the missed goals."""

    counts: Counter[OutcomeKind]
    memory: dict[int, WorkerMemory]
    """Process id to memory, without the workers that ended."""
    failures: list[str]
    """A sentence for each missed goal."""


def soak(server: Server, seconds: float) -> SoakResult:
    """Put a service under mixed load for this many seconds."""
    counts: Counter[OutcomeKind] = Counter()
    lock = threading.Lock()

    def record(outcome: Outcome) -> None:
        with lock:
            counts[OutcomeKind(outcome.request.kind, outcome.answer.status, outcome.as_expected)] += 1

    warm(server)
    workers = workers_of(server)
    windows: tuple[dict[int, list[float]], ...] = ({}, {})
    window_seconds = WINDOW_SHARE * seconds
    starts = (WARM_SHARE * seconds, seconds - window_seconds)
    began = time.monotonic()
    with Traffic(server.port, mixed(), record):
        while (elapsed := time.monotonic() - began) < seconds:
            for window, start in zip(windows, starts, strict=True):
                if start <= elapsed <= start + window_seconds:
                    for worker in filter(lambda one: one.is_running(), workers):
                        window.setdefault(worker.pid, []).append(worker.memory_full_info().uss / 1e6)
            time.sleep(SAMPLE_SECONDS)
    first, last = windows
    memory = {pid: WorkerMemory(min(first[pid]), min(samples)) for pid, samples in last.items()}
    time.sleep(1)
    open_connections = connections(server)
    failures = [f"{one.kind}: {one.status}, {number} times" for one, number in counts.items() if not one.as_expected]
    failures += [f"worker {one.pid} has ended" for one in workers if one.pid not in memory]
    for pid, one in memory.items():
        if one.end_mb - one.warm_mb >= GROWTH_MB:
            failures.append(f"worker {pid} grew by {one.end_mb - one.warm_mb:.1f} MB")
    if open_connections:
        failures.append(f"{open_connections} connections are still open")
    if "Traceback" in server.output():
        failures.append("there is a traceback in the log")
    return SoakResult(counts, memory, failures)


def main() -> None:
    """Print the tables."""
    arguments = parser(__doc__)
    arguments.add_argument("--minutes", type=float, default=30, help="default: %(default)s")
    arguments.add_argument("--workers", type=int, default=1, help="default: %(default)s")
    options = arguments.parse_args()
    with own_service(options.workers) as server:
        result = soak(server, 60 * options.minutes)
    print(header(("uvicorn", "fastapi", "onnxruntime", "pillow")))
    print(f"\n{result.counts.total():,} requests in {options.minutes:g} minutes.\n")
    rows = [
        [one.kind, str(one.status), f"{number:,}", "" if one.as_expected else "unexpected"]
        for one, number in sorted(result.counts.items(), key=str)
    ]
    print(table(["kind", "status", "requests", ""], rows))
    print(f"\nLeast memory (USS) after warm-up and at the end. A worker may grow by {GROWTH_MB} MB.\n")
    rows = [
        [str(pid), f"{one.warm_mb:.1f}", f"{one.end_mb:.1f}", f"{one.end_mb - one.warm_mb:+.1f}"]
        for pid, one in result.memory.items()
    ]
    print(table(["worker", "MB after warm-up", "MB at the end", "growth, MB"], rows))
    for failure in result.failures:
        progress(failure)
    sys.exit(bool(result.failures))


if __name__ == "__main__":
    main()
