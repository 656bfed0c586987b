"""Threads for work that would block the event loop: decoding and normalizing pictures, parsing long bodies.

Small and large jobs have one thread each, so that a drawing never waits for a 50-megapixel photo. At most one large
picture is decoded at a time, which bounds the memory.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, TypeVar

from app.errors import Overloaded

SMALL_SIZE = 1_000_000
"""Largest size of a small job, in pixels or bytes of text. It takes tens of milliseconds at most."""

MAX_WAITING_JOBS = 256
"""Maximum number of jobs that one thread holds, including the job that it works on."""

GROUP_SECONDS = 0.01
"""While more jobs wait, a thread collects results for this long, and then returns them together.

Requests whose pictures are returned together share a forward pass and a turn of the event loop. With 16 clients this
saves a third of the event loop's time per drawing (`python -m benchmarks.speed.requests --bodies drawing`).
"""

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Job:
    """A call that waits for its turn, and later its result."""

    call: Callable[[], Any] | None
    """None once the job has started or is cancelled, which frees arguments such as a body of 16 MB."""
    future: "asyncio.Future[Any]"
    result: Any = None
    error: BaseException | None = None

    def run(self) -> None:
        """Make the call in this thread, unless the job is cancelled."""
        call, self.call = self.call, None
        if call is None:
            return
        try:
            self.result = call()
        except BaseException as exc:  # noqa: BLE001 - whatever the error is, the caller of `DecodeThread.run` gets it
            self.error = exc

    def complete(self) -> None:
        """Return the result or the error to the caller, who waits in the event loop."""
        future, error = self.future, self.error
        # The error's traceback refers to this job. Without a cycle, the job's arguments are freed with the error.
        del self.future, self.error
        if future.done():  # cancelled
            return
        if error is None:
            future.set_result(self.result)
        else:
            future.set_exception(error)


class DecodeThread:
    """One thread that does one job at a time, in the order in which the jobs arrive."""

    def __init__(self, name: str) -> None:
        """Create the thread. It starts with the first job."""
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._jobs: deque[_Job] = deque()
        self._waiting = 0

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function in the thread and return its result or raise its error.

        A job that is cancelled before its turn never starts.

        Raises:
            Overloaded: too many jobs wait already.
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
        """Do the next job, and those behind it for up to `GROUP_SECONDS`.

        The executor makes one call for each job. If an earlier call has done the job already, this call does nothing.
        """
        done: list[_Job] = []
        deadline = time.perf_counter() + GROUP_SECONDS
        while self._jobs and (not done or time.perf_counter() < deadline):
            job = self._jobs.popleft()
            job.run()
            done.append(job)
        if done:
            with suppress(RuntimeError):  # the event loop has ended, and with it every caller
                done[-1].future.get_loop().call_soon_threadsafe(_complete, done)


def _complete(jobs: Sequence[_Job]) -> None:
    for job in jobs:
        job.complete()


class DecodeThreads:
    """The two decode threads of a process."""

    def __init__(self) -> None:
        """Create both threads. Each starts with its first job."""
        self._small, self._large = DecodeThread("small"), DecodeThread("large")

    async def run(self, size: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a job in the thread for its size, as `DecodeThread.run` does.

        Args:
            size: pixels of the picture, or bytes of the text, that the job works on.
            function: the job.
            args: its arguments.
            kwargs: its keyword arguments.
        """
        thread = self._small if size <= SMALL_SIZE else self._large
        return await thread.run(function, *args, **kwargs)
