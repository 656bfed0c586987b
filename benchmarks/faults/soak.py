"""Does the service answer half an hour of mixed load correctly, and without growing?

    python -m benchmarks.faults.soak --minutes 30

Eight clients send valid and invalid requests of every kind, and photos of 12 megapixels. Some clients leave in the
middle of a body. The exit code is 1 if an answer was wrong, the service grew or ended, or a connection remained open.
"""

import sys
import threading
import time
from collections import Counter

from benchmarks.faults.mix import mixed, warm
from benchmarks.harness import services
from benchmarks.harness.command import parser, progress
from benchmarks.harness.report import header, table
from benchmarks.harness.servers import Server
from benchmarks.harness.traffic import Request, traffic

WARM_SHARE, WINDOW_SHARE = 1 / 4, 1 / 10
"""The first window begins after a quarter of the time, when the memory that the allocator keeps no longer grows. The
last one ends with the time. The least memory in a window counts, because decoding a photo takes 30 MB for a moment."""

GROWTH_MB = 5
"""Maximum growth from the first window to the last."""

SAMPLE_SECONDS = 0.5

Counts = Counter[tuple[str, str, str]]
"""Number of requests by kind, status and verdict."""
Memory = tuple[float, float]
"""The least memory (USS, MB) in the first and in the last window."""


def soak(server: Server, seconds: float) -> tuple[Counts, Memory, list[str]]:
    """Put a service under mixed load. Return the counts, the memory and a sentence for each missed goal."""
    counts: Counts = Counter()
    lock = threading.Lock()

    def record(request: Request, outcome: int | str) -> None:
        with lock:
            counts[request.kind, str(outcome), "" if outcome == request.expected else "unexpected"] += 1

    warm(server)
    first: list[float] = []
    last: list[float] = []
    began = time.monotonic()
    with traffic(server.port, mixed(), record):
        while (share := (time.monotonic() - began) / seconds) < 1:
            for window, start in ((first, WARM_SHARE), (last, 1 - WINDOW_SHARE)):
                if start <= share <= start + WINDOW_SHARE:
                    window.append(server.memory_mb())
            time.sleep(SAMPLE_SECONDS)
    memory = min(first), min(last)
    time.sleep(1)
    missed = [f"{' '.join(kind)}, {number} times" for kind, number in counts.items() if kind[-1]]
    if memory[1] - memory[0] >= GROWTH_MB:
        missed.append("the service grew")
    if left := server.connections():
        missed.append(f"{left} connections are still open")
    if "Traceback" in server.output():
        missed.append("there is a traceback in the log")
    return counts, memory, missed


def main() -> None:
    """Print the tables."""
    arguments = parser(__doc__)
    arguments.add_argument("--minutes", type=float, default=30, help="default: %(default)s")
    options = arguments.parse_args()
    with services.own().started() as server:
        counts, memory, missed = soak(server, 60 * options.minutes)
    print(header(("uvicorn", "fastapi", "onnxruntime", "pillow")))
    print(f"\n{counts.total():,} requests in {options.minutes:g} minutes.\n")
    print(table(["kind", "status", "", "requests"], [[*kind, f"{count:,}"] for kind, count in sorted(counts.items())]))
    print(f"\nLeast memory (USS) after warm-up and at the end. It may grow by {GROWTH_MB} MB.\n")
    warm_mb, end_mb = memory
    rows = [[f"{warm_mb:.1f}", f"{end_mb:.1f}", f"{end_mb - warm_mb:+.1f}"]]
    print(table(["MB after warm-up", "MB at the end", "growth, MB"], rows))
    for sentence in missed:
        progress(sentence)
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
