"""Score pictures in all cores' processes, with the results in order and a bounded number of pictures ahead of them."""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from pathlib import Path

from cli.batch import worker
from cli.batch.tasks import Task
from cli.batch.worker import Scored

_CHUNK_PICTURES = 32
"""Number of pictures that a process gets at a time, and that one forward pass classifies."""

_CHUNKS_AHEAD = 4
"""Chunks per process that are in progress or wait for an earlier one, so that no process waits for the slowest."""


def score_all(pictures: Iterable[str], model: Path, task: Task) -> Generator[Scored, None, None]:
    """Yield the rows of all pictures, in their order.

    Args:
        pictures: paths. They are read as they are needed.
        model: folder of the model version.
        task: what to do with each picture.

    Raises:
        BrokenProcessPool: a process was killed, for example because memory ran out.
        KeyboardInterrupt: after Ctrl-C. All processes have ended then.
    """
    # Spawned, not forked: ONNX Runtime's threads do not survive a fork.
    spawn = multiprocessing.get_context("spawn")
    processes = _cores()
    stop = spawn.Event()
    with ProcessPoolExecutor(processes, spawn, initializer=worker.begin, initargs=(model, task, stop)) as pool:
        try:
            yield from in_order(
                lambda chunk: _submit_without_interrupts(pool, chunk),
                chunks(pictures, _CHUNK_PICTURES),
                _CHUNKS_AHEAD * processes,
            )
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


def chunks(pictures: Iterable[str], size: int) -> Iterator[list[str]]:
    """Yield the pictures in lists of at most `size`."""
    iterator = iter(pictures)
    while chunk := list(islice(iterator, size)):
        yield chunk


def in_order(
    submit: Callable[[list[str]], Future[Scored]], chunks: Iterable[list[str]], ahead: int
) -> Iterator[Scored]:
    """Yield the result of each chunk in order, while at most `ahead` chunks are submitted and not yet yielded."""
    submitted: deque[Future[Scored]] = deque()
    for chunk in chunks:
        submitted.append(submit(chunk))
        if len(submitted) == ahead:
            yield submitted.popleft().result()
    while submitted:
        yield submitted.popleft().result()


def _submit_without_interrupts(pool: ProcessPoolExecutor, chunk: list[str]) -> Future[Scored]:
    """Submit a chunk. A process that this starts inherits the mask, so Ctrl-C reaches only this process."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(worker.score, chunk)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
