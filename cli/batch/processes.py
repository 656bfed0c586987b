"""The executor of this machine: a process for each core."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path

from cli.batch.executor import Chunk, Executor, ExecutorFailed
from cli.batch.tasks import Task
from cli.batch.worker import Scored, Worker


@contextmanager
def processes(model: Path, task: Task) -> Iterator[Executor]:
    """Start the processes. They have all ended when the context ends, also after Ctrl-C.

    Args:
        model: folder of the model version.
        task: what to do with each picture.

    Raises:
        ExecutorFailed: a process was killed, for example because memory ran out.
    """
    # Spawned, not forked: ONNX Runtime's threads do not survive a fork.
    spawn = multiprocessing.get_context("spawn")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    stop = spawn.Event()
    with ProcessPoolExecutor(cores, spawn, initializer=_begin, initargs=(model, task, stop)) as pool:
        try:
            yield Executor(lambda chunk: _submit_without_interrupts(pool, chunk), cores)
        except BrokenProcessPool as exc:
            raise ExecutorFailed("a process was killed, perhaps because memory ran out") from exc
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


def _submit_without_interrupts(pool: ProcessPoolExecutor, chunk: Chunk) -> Callable[[], Scored]:
    """Submit a chunk. A process that this starts inherits the mask, so Ctrl-C reaches only this process."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(_score, chunk).result
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_worker: Worker | None = None
"""This process' worker. A pool passes a function to its processes, but no object that stays there."""


def _begin(model: Path, task: Task, stop: Event) -> None:
    global _worker  # noqa: PLW0603 - see above
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = Worker(model, task, Path(), stop.is_set)


def _score(chunk: Chunk) -> Scored:
    assert _worker is not None
    return _worker.score(chunk)


def _end_with_parent() -> None:
    """End this process when the parent is killed, because a pool's process would wait for more work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
