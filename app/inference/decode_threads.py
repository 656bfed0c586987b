"""Threads for work that would block the event loop: decoding and normalizing pictures, parsing long bodies.

Small and large jobs have one thread each, so that a drawing never waits for a 50-megapixel photo. At most one large
picture is decoded at a time, which bounds the memory.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from app.errors import Overloaded

SMALL_SIZE = 1_000_000
"""Largest size of a small job, in pixels or bytes of text. It takes tens of milliseconds at most."""

MAX_WAITING_JOBS = 256
"""Maximum number of jobs that one thread holds, including the job that it works on."""

P = ParamSpec("P")
T = TypeVar("T")


class DecodeThread:
    """One thread that does one job at a time, in the order in which the jobs arrive."""

    def __init__(self, name: str) -> None:
        """Create the thread. It starts with the first job."""
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._waiting = 0

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function in the thread and return its result or raise its error.

        A job that is cancelled before its turn never starts.

        Raises:
            Overloaded: too many jobs wait already.
        """
        if self._waiting >= MAX_WAITING_JOBS:
            raise Overloaded(f"{MAX_WAITING_JOBS} pictures or bodies wait to be decoded; try again later")
        # The executor keeps a cancelled job in its queue, and with it the job's arguments. Clearing this list frees
        # the arguments, such as a body of 16 MB, as soon as the client disconnects.
        job = [partial(function, *args, **kwargs)]
        self._waiting += 1
        try:
            return await asyncio.wrap_future(self._executor.submit(_run_only, job))
        finally:
            job.clear()
            self._waiting -= 1


def _run_only(job: list[partial[T]]) -> T:
    return job.pop()()


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
