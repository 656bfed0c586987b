"""Threads for work that would block the event loop: decoding and normalizing pictures, parsing long bodies.

Decoders and networks run in native code that releases the interpreter lock, so there is a thread per core. Short jobs
have little of it, and share one thread. Large jobs and readings have threads of their own, so that a drawing never
waits for a 50-megapixel photo or a sheet. Large jobs share the memory for decoding (`MemoryBudget.decoding`).
"""

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, TypeVar

from app.errors import Overloaded
from app.inference.memory_budget import MemoryBudget
from digits.finder.views import VIEW_BYTES
from digits.picture import BYTES_PER_PIXEL
from digits.pictures.decode_limits import MAX_DECODE_BYTES

SMALL_SIZE = 1_000_000
"""Largest size of a small job, in pixels or bytes of text. It takes tens of milliseconds at most."""

SHORT_SIZE = 200_000
"""Largest size of a short job, such as a drawing. Two threads would take a fifth more processor time for these."""

MAX_WAITING_JOBS = 256
"""Maximum number of jobs of one kind, small or large, including those in work."""

CORES = min(os.cpu_count() or 1, 8)
"""How many cores the small jobs use. With more threads than this, the interpreter lock becomes the limit."""

MAX_LARGE_SIZE = MAX_DECODE_BYTES // BYTES_PER_PIXEL
"""Largest size of the large jobs in work together, unless there is only one. Two photos of 12 megapixels are less."""

GROUP_SECONDS = 0.01
"""While more jobs wait, the threads collect results for this long, and then return them together.

Requests whose pictures are returned together share a forward pass and a turn of the event loop. With 16 clients this
saves a third of the event loop's time per drawing (`python -m benchmarks.speed.requests --bodies drawing`).
"""

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Job:
    """A call that waits for its turn, and later for its caller."""

    call: Callable[[], Any] | None
    """None once the job has started or is cancelled, which frees arguments such as a body of 16 MB."""
    future: "asyncio.Future[Any]"
    finish: Callable[[], None] = lambda: None
    """Gives the future what the call returned or raised."""

    def run(self) -> None:
        """Make the call in this thread, unless the job is cancelled."""
        call, self.call = self.call, None
        if call is not None:
            try:
                self.finish = partial(self.future.set_result, call())
            except BaseException as exc:  # noqa: BLE001 - whatever the error is, the caller of `DecodePool.run` gets it
                self.finish = partial(self.future.set_exception, exc)

    def complete(self) -> None:
        """Return the result or the error to the caller, who waits in the event loop."""
        future, finish = self.future, self.finish
        # The error's traceback refers to this job. Without a cycle, the job's arguments are freed with the error.
        del self.future, self.finish
        if not future.done():  # else it was cancelled
            finish()


class DecodePool:
    """Threads that begin jobs in the order in which they arrive."""

    def __init__(self, name: str, threads: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._jobs: deque[_Job] = deque()
        self._done: deque[_Job] = deque()
        self._return_time = 0.0
        self._waiting = 0

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function in a thread and return its result or raise its error.

        A job that is cancelled before its turn never starts. Raises Overloaded if too many jobs wait already.
        """
        if self._waiting >= MAX_WAITING_JOBS:
            raise Overloaded(f"{MAX_WAITING_JOBS} pictures or bodies wait to be decoded; try again later")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        job = _Job(partial(function, *args, **kwargs), future)
        self._jobs.append(job)
        self._executor.submit(self._work)
        self._waiting += 1
        try:
            return await future
        finally:
            job.call = None
            del future  # the future holds the error, and the error's traceback holds this frame
            self._waiting -= 1

    def _work(self) -> None:
        """Do the jobs that wait, and return the results of all threads when none is left, and at intervals before.

        The executor makes one call for each job. If an earlier call has done the job already, this call does nothing.
        """
        with suppress(IndexError):  # no job is left
            while True:
                job = self._jobs.popleft()
                job.run()
                self._done.append(job)
                if time.perf_counter() > self._return_time:
                    self._return()
        self._return()

    def _return(self) -> None:
        """Return the results of all threads so far."""
        self._return_time = time.perf_counter() + GROUP_SECONDS
        done: list[_Job] = []
        with suppress(IndexError):  # another thread may take some
            while True:
                done.append(self._done.popleft())
        if done:
            with suppress(RuntimeError):  # the event loop has ended, and with it every caller
                done[-1].future.get_loop().call_soon_threadsafe(_complete, done)


def _complete(jobs: Sequence[_Job]) -> None:
    for job in jobs:
        job.complete()


class DecodeThreads:
    """The decode threads of a process."""

    def __init__(self, memory_budget: MemoryBudget) -> None:
        self._memory_budget = memory_budget
        self._short, self._small = DecodePool("short", 1), DecodePool("small", CORES)
        self._reading = DecodePool("reading", CORES)
        self._large = DecodePool("large", max(CORES, 2))

    async def run(self, size: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a job in a thread for its size, as `DecodePool.run` does.

        The size is the number of pixels of the picture, or of bytes of the text, that the job works on.
        """
        if size <= SMALL_SIZE:
            pool = self._short if size <= SHORT_SIZE else self._small
            return await pool.run(function, *args, **kwargs)
        return await self._large.run(self._run_large, size, partial(function, *args, **kwargs))

    async def read(self, size: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a job that reads a number, with the memory of a view. It takes up to a second, other small jobs 10 ms."""
        needed = size + VIEW_BYTES // BYTES_PER_PIXEL
        return await self._reading.run(self._run_large, needed, partial(function, *args, **kwargs))

    def _run_large(self, size: int, call: Callable[[], T]) -> T:
        with self._memory_budget.decoding(size * BYTES_PER_PIXEL):
            return call()
