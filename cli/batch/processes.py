"""The executor of this machine: a process for each core."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache, partial
from multiprocessing.synchronize import Event
from pathlib import Path

from cli.batch.executor import Chunk, Executor, ExecutorFailed
from cli.batch.tasks import Task
from cli.batch.worker import LoadedModel, Scored, Worker


@contextmanager
def processes(model: LoadedModel, task: Task) -> Iterator[Executor]:
    """Start the processes. They have all ended when the context ends, also after Ctrl-C.

    Raises:
        ExecutorFailed: a process was killed, for example because memory ran out.
        ArtifactError: the version has changed since the command loaded it.
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
    """Submit a chunk. A process that this starts inherits the mask, so Ctrl-C reaches only this process.

    The mask is that of one thread. Another may take the signal, so the interrupt waits until the process has started.
    """
    interrupts: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        submitted = pool.submit(_score, chunk)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGINT, handler)
    if interrupts:
        raise KeyboardInterrupt
    return submitted.result


_make_worker: Callable[[], Worker] | None = None
"""Makes this process' worker once. A pool passes a function to its processes, but no object that stays there.

The first chunk calls it, because a pool does not report why it cannot begin a process.
"""


def _begin(model: LoadedModel, task: Task, stop: Event) -> None:
    global _make_worker  # noqa: PLW0603 - see above
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _make_worker = cache(partial(Worker, model, task, Path(), stop.is_set))


def _score(chunk: Chunk) -> Scored:
    assert _make_worker is not None
    return _make_worker().score(chunk)


def _end_with_parent() -> None:
    """End this process when the parent is killed, because a pool's process would wait for more work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
