"""The executor of this machine: a process for each core."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing.synchronize import Event
from pathlib import Path

from cli.batch.executor import Executor
from cli.batch.tasks import Task
from cli.batch.worker import Chunk, LoadedModel, RunFailed, Scored, score


@contextmanager
def processes(model: LoadedModel, task: Task) -> Iterator[Executor]:
    """Start the processes. They have all ended when the context ends, also after Ctrl-C.

    Raises RunFailed if a process was killed, and ArtifactError if the version has changed since the command loaded it.
    """
    # Spawned, not forked: ONNX Runtime's threads do not survive a fork.
    spawn = multiprocessing.get_context("spawn")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    stop = spawn.Event()
    with ProcessPoolExecutor(cores, spawn, initializer=_begin, initargs=(stop,)) as pool:
        try:
            yield Executor(lambda chunk: _submit_without_interrupts(pool, partial(_score, model, task, chunk)), cores)
        except BrokenProcessPool as exc:
            raise RunFailed("a process was killed, perhaps because memory ran out") from exc
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


def _submit_without_interrupts(pool: ProcessPoolExecutor, work: Callable[[], Scored]) -> Callable[[], Scored]:
    """Submit work. A process that this starts inherits the mask, so Ctrl-C reaches only this process.

    The mask is that of one thread. Another may take the signal, so the interrupt waits until the process has started.
    """
    interrupts: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        submitted = pool.submit(work)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGINT, handler)
    if interrupts:
        raise KeyboardInterrupt
    return submitted.result


_stop: Event
"""Set when the run ends early. A process of a pool can only receive it at its start."""


def _begin(stop: Event) -> None:
    global _stop  # noqa: PLW0603 - see above
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _stop = stop


def _score(model: LoadedModel, task: Task, chunk: Chunk) -> Scored:
    # Not at the start of the process, because a pool does not report why it cannot begin one.
    return score(model, task, Path(), chunk, _stop.is_set)


def _end_with_parent() -> None:
    """End this process when the parent is killed, because a pool's process would wait for more work for ever."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
