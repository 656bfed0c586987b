"""The service of this checkout, watched from outside: its connections and memory."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.harness import services
from benchmarks.harness.servers import START_SECONDS, Server


@contextmanager
def own_service(**settings: str) -> Iterator[Server]:
    """Run the service as `make serve` does. Enter the block once it is ready."""
    with services.own(settings=settings).started() as server:
        yield server


def wait_until(condition: Callable[[], bool], description: str) -> float:
    """Wait until a condition is true, and return the seconds that this took.

    Raises:
        SystemExit: it did not become true in two minutes.
    """
    began = time.perf_counter()
    while not condition():
        if time.perf_counter() - began > START_SECONDS:
            raise SystemExit(f"waited {START_SECONDS} s in vain until {description}")
        time.sleep(0.01)
    return time.perf_counter() - began


def connections(server: Server) -> int:
    """Count the open connections, including those that only the client has closed."""
    (process,) = server.processes()
    return sum(bool(one.raddr) for one in process.net_connections("tcp"))


def memory_mb(server: Server) -> float:
    """Return the memory (USS). The minimum of five samples excludes short peaks."""
    (process,) = server.processes()
    samples = []
    for _ in range(5):
        samples.append(process.memory_full_info().uss / 1e6)
        time.sleep(0.1)
    return min(samples)
