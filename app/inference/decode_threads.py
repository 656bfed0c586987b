"""Threads for what would hold up the event loop: decoding and normalizing pictures, parsing long JSON.

Two lanes of one thread each, so that no drawing waits for a 50-megapixel photo, and never more than one large picture
is decoded at a time: that is what bounds the memory.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from app.errors import Overloaded

SMALL_PIXELS = 1_000_000
"""Up to here a picture goes into the lane for small ones: tens of milliseconds at most."""

WAITING = 256
"""Most jobs that wait for a lane; more is refused."""

P = ParamSpec("P")
T = TypeVar("T")


class DecodeThread:
    """One thread, which takes one job at a time in the order they came."""

    def __init__(self, name: str) -> None:
        """The thread is started by the first job."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._waiting = 0

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result, or its error. A job whose wait is cancelled before its turn is not done.

        Raises:
            Overloaded: too many wait already.
        """
        if self._waiting >= WAITING:
            raise Overloaded(f"{WAITING} pictures wait to be decoded; try again later")
        # In a list, to be taken out by whoever comes first: the thread, or the end of the wait. The executor keeps a
        # cancelled job until its turn, but then nothing hangs on it.
        work = [partial(function, *args, **kwargs)]
        self._waiting += 1
        try:
            return await asyncio.wrap_future(self._thread.submit(_take, work))
        finally:
            work.clear()
            self._waiting -= 1


def _take(work: list[partial[T]]) -> T:
    return work.pop()()


class DecodeThreads:
    """The lanes of one process."""

    def __init__(self) -> None:
        """No thread yet."""
        self._small, self._large = DecodeThread("small"), DecodeThread("large")

    def of(self, pixels: int) -> DecodeThread:
        """The lane for a picture, or JSON text, of so many pixels."""
        return self._small if pixels <= SMALL_PIXELS else self._large
