"""Metrics of the service's processes, under the names that all Prometheus clients use.

prometheus_client's own collector knows one process only, and none in its multiprocess mode.
"""

import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")


class _Process(NamedTuple):
    cpu_seconds: float
    """Its own and those of its children that have ended."""
    resident_bytes: int
    start_time: float
    """Unix time."""
    open_files: int


def metrics(*, with_siblings: bool) -> Iterator[Metric]:
    """Yield the metrics of this process, or none on a system without /proc.

    Args:
        with_siblings: add the parent process and all its children, which are a supervisor and its workers.
    """
    processes = []
    for pid in _family() if with_siblings else [os.getpid()]:
        with suppress(OSError):  # it has just ended, or there is no /proc
            processes.append(_read(_PROC / str(pid)))
    if not processes:
        return
    yield CounterMetricFamily(
        "process_cpu_seconds", "Processor time of all processes.", sum(each.cpu_seconds for each in processes)
    )
    yield GaugeMetricFamily(
        "process_resident_memory_bytes",
        "Resident memory of all processes. Memory that they share counts once for each.",
        sum(each.resident_bytes for each in processes),
    )
    yield GaugeMetricFamily(
        "process_start_time_seconds",
        "Unix time at which the newest process started.",
        max(each.start_time for each in processes),
    )
    yield GaugeMetricFamily(
        "process_open_fds", "Open files of the process with the most.", max(each.open_files for each in processes)
    )
    yield GaugeMetricFamily(
        "process_max_fds", "Limit for the open files of a process.", resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    )


def _family() -> list[int]:
    """Return the process ids of the parent process and its children."""
    parent = os.getppid()
    with suppress(OSError):
        children = (_PROC / str(parent) / "task" / str(parent) / "children").read_text()
        return [parent, *map(int, children.split())]
    return [parent, os.getpid()]


def _read(folder: Path) -> _Process:
    """Read a process (proc_pid_stat(5)). The fields are counted after the name, which may contain spaces."""
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    return _Process(
        cpu_seconds=sum(map(int, fields[11:15])) / _TICKS,
        resident_bytes=int(fields[21]) * resource.getpagesize(),
        start_time=_boot_time() + int(fields[19]) / _TICKS,
        open_files=sum(1 for _ in (folder / "fd").iterdir()),
    )


@cache
def _boot_time() -> int:
    """Return when the system started, as Unix time."""
    line = next(line for line in (_PROC / "stat").read_text().splitlines() if line.startswith("btime"))
    return int(line.split()[1])
