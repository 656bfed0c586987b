"""Limit how many messages arrive at the same time.

grpcio shows a message only when all of it has arrived, so the memory budget cannot count it before. Until a call reads
its message, the message waits with its client, apart from the first 64 KiB.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from app.errors import SlowBody
from app.input.request import TIMEOUT_SECONDS

MAX_ARRIVING = 8  # messages for inference that arrive at the same time
MAX_PROBES = 16  # messages of probes and of reflection that arrive at the same time
PROBE_SECONDS = 10  # within which the message of a probe must arrive


class InTurn:
    """Messages that wait for each other, `MAX_ARRIVING` at the same time."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(MAX_ARRIVING)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Return a block in which a message may arrive. Raises SlowBody."""
        async with _time_limit(TIMEOUT_SECONDS), self._places:
            yield


class NewestFirst:
    """Messages that never wait: one more than `MAX_PROBES` takes the place of the oldest.

    A probe's message arrives together with its call. So clients that send none cannot delay those that do.
    """

    def __init__(self) -> None:
        self._limits: deque[asyncio.Timeout] = deque()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Return a block in which a message may arrive. Raises SlowBody."""
        async with _time_limit(PROBE_SECONDS) as limit:
            self._limits.append(limit)
            if len(self._limits) > MAX_PROBES:
                self._limits.popleft().reschedule(0)
            try:
                yield
            finally:
                with suppress(ValueError):  # a newer one has taken its place
                    self._limits.remove(limit)


Arrivals = InTurn | NewestFirst


@asynccontextmanager
async def _time_limit(seconds: int) -> AsyncIterator[asyncio.Timeout]:
    """Raise SlowBody in the block when the time is over."""
    try:
        async with asyncio.timeout(seconds) as limit:
            yield limit
    except TimeoutError as exc:
        raise SlowBody(
            f"expected the whole message within {seconds} seconds, or sooner if many arrive at once; try again"
        ) from exc
