"""The requests in work: the memory that each holds, and its client, who must send the body in time and may leave."""

import asyncio
from typing import Self, cast

from starlette.requests import Request

from app.errors import Abandoned, SlowBody
from app.inference.data_plane import DataPlane
from app.inference.memory_budget import Reservation
from app.settings import Settings

TIMEOUT_SECONDS = 60
"""Time within which the whole body must arrive. Enough for a 7.5 MB photo at 1 Mbit/s."""


class RequestInWork(Reservation):
    """A request, its memory and what reading its pictures needs: a context manager around reading and inference."""

    def __init__(self, all_requests: "RequestsInWork", request: Request) -> None:
        super().__init__(all_requests.data_plane.memory_budget)
        self.receive = request.receive
        self.headers: dict[bytes, bytes] = dict(request.scope["headers"])  # the last one of a name counts
        self.settings = all_requests.settings
        self.decode_threads = all_requests.data_plane.decode_threads
        self.received_bytes = 0
        self.is_read = False
        """Whether the whole body was received. The client is watched from then on."""
        self._all = all_requests
        self._began = 0.0
        self._watching: asyncio.Task[None] | None = None
        self._end: Exception | None = None

    def __enter__(self) -> Self:
        self._task = cast("asyncio.Task[object]", asyncio.current_task())
        self._all.requests.add(self)
        return self

    def __exit__(self, *exception: object) -> None:
        """Release the memory. Raises SlowBody after `TIMEOUT_SECONDS`, and Abandoned if the client has left."""
        self._all.requests.discard(self)
        if self._watching is not None:
            self._watching.cancel()
        self.release()
        # Otherwise, something else has cancelled the task.
        if self._end is not None and isinstance(exception[1], asyncio.CancelledError) and not self._task.uncancel():
            raise self._end from None

    def look(self, now: float) -> None:
        """End the work if the body is too slow. Watch the client once its body is read."""
        self._began = self._began or now
        if self._watching is None and self.is_read:
            self._watching = asyncio.ensure_future(self._watch())
        elif now >= self._began + TIMEOUT_SECONDS and not self.is_read:
            received = f"received {self.received_bytes} bytes"
            self._cancel(SlowBody(f"expected the whole body within {TIMEOUT_SECONDS} seconds, {received}"))

    async def _watch(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
        self._cancel(Abandoned())

    def _cancel(self, end: Exception) -> None:
        if self._end is None:
            self._end = end
            self._task.cancel()


class RequestsInWork:
    """All requests in work. One look at all of them costs less than a timer for each."""

    def __init__(self, data_plane: DataPlane, settings: Settings) -> None:
        self.data_plane = data_plane
        self.settings = settings
        self.requests: set[RequestInWork] = set()

    def begin(self, request: Request) -> RequestInWork:
        """Return the work that a request with pictures causes. Raises NoUsableModel before its body is read."""
        self.data_plane.registry.require_usable()
        return RequestInWork(self, request)

    def look(self) -> None:
        now = asyncio.get_running_loop().time()
        for request in list(self.requests):
            request.look(now)
