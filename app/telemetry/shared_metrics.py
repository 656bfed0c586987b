"""Share the metrics of several workers through files (prometheus_client's multiprocess mode)."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable that prometheus_client reads when a process imports it."""

_PREFIX = "digits-metrics-"


def is_shared() -> bool:
    """Return whether this process shares its metrics with others."""
    return _FOLDER in os.environ


class AllWorkers(Collector):
    """The metrics of all workers together, including workers that have ended."""

    def collect(self) -> Iterable[Metric]:
        """Read and merge the files of all workers."""
        # Not MultiProcessCollector.collect, which fails on the empty file of a worker that is just starting.
        files = [str(file) for file in Path(os.environ[_FOLDER]).glob("*.db") if _has_content(file)]
        merged: Iterable[Metric] = MultiProcessCollector.merge(files)
        return merged


def _has_content(file: Path) -> bool:
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:  # the supervisor has just removed the file of a worker that ended
        return False


@contextmanager
def shared_folder() -> Iterator[None]:
    """Create a folder for the processes that are started inside the block, and remove it at the end.

    Raises:
        SystemExit: no folder can be created.
    """
    # Prefer memory: a root file system may be read-only, and a disk is slow.
    memory = Path("/dev/shm")  # noqa: S108 - the folder gets a random name
    parent = memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())
    _remove_abandoned_folders(parent)
    try:
        folder = tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent, ignore_cleanup_errors=True)
    except OSError as exc:
        raise SystemExit(f"digits: several workers need a folder for their metrics in /dev/shm or /tmp: {exc}") from exc
    with folder as name:
        os.environ[_FOLDER] = name
        yield


def _remove_abandoned_folders(parent: Path) -> None:
    """Remove the folders of services that were killed. A folder's name contains the process id of its service."""
    for folder in parent.glob(f"{_PREFIX}*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdecimal() and Path("/proc/self").exists() and not Path("/proc", pid).exists():
            shutil.rmtree(folder, ignore_errors=True)


def forget_worker(pid: int | None) -> None:
    """Remove the state gauges of a worker that has ended. Its counters stay in the sums."""
    mark_process_dead(pid, os.environ[_FOLDER])
