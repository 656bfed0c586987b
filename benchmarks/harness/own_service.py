"""The service of this checkout, watched from outside: its workers, connections and memory."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from benchmarks.harness import services
from benchmarks.harness.servers import START_SECONDS, Server


@contextmanager
def own_service(workers: int = 1, **settings: str) -> Iterator[Server]:
    """Run the service as `make serve` does. Enter the block once all workers have loaded a model."""
    with services.own(workers, settings=settings).started() as server:
        wait_for_models(server, workers)
        yield server


def wait_for_models(server: Server, times: int) -> None:
    """Wait until the workers have logged this many times that they serve a model.

    Raises:
        SystemExit: this did not happen within two minutes.
    """
    wait_until(lambda: server.output().count("serving mnist-dense version") >= times, f"{times} models are loaded")


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


def workers_of(server: Server) -> list[psutil.Process]:
    """Return the processes that answer requests: the children that have loaded a model, or else the only process."""
    process, *children = server.processes()
    return [child for child in children if _has_a_model(child)] or [process]


def connections(server: Server) -> int:
    """Count the open connections of the workers, including those that only the client has closed."""
    return sum(bool(one.raddr) for worker in workers_of(server) for one in worker.net_connections("tcp"))


def memory_mb(server: Server) -> float:
    """Return the memory (USS) of all workers together. The minimum of five samples excludes short peaks."""
    samples = []
    for _ in range(5):
        samples.append(sum(worker.memory_full_info().uss for worker in workers_of(server)) / 1e6)
        time.sleep(0.1)
    return min(samples)


def _has_a_model(process: psutil.Process) -> bool:
    try:
        return any("onnxruntime" in mapped.path for mapped in process.memory_maps())
    except psutil.Error:  # the process ended meanwhile
        return False
