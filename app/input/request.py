"""A request in work: the memory that it holds, and its client, who must send the body in time and may leave."""

import asyncio
from types import TracebackType
from typing import Self, cast

from starlette.requests import Request

from app.errors import Abandoned, SlowBody
from app.inference.data_plane import DataPlane
from app.inference.memory_budget import Reservation
from app.settings import Settings

TIMEOUT_SECONDS = 60
"""Time within which the whole body must arrive. Enough for a 7.5 MB photo at 1 Mbit/s."""

_FIRST_LOOK_SECONDS, _LOOK_SECONDS = 0.05, 0.5
"""Time until the clock and the client are looked at. Most requests are answered sooner."""


class RequestInWork:
    """What reading a request's pictures needs. Use it as a context manager around reading and inference.

    A timer for each request costs less than a time limit around its body and a task that watches its client.
    """

    __slots__ = (
        *("receive", "headers", "settings", "decode_threads", "received_bytes", "is_read"),
        *("_memory", "_memory_budget", "_registry", "_task", "_loop", "_began", "_timer", "_watching", "_end"),
    )

    def __init__(
        self, request: Request, data_plane: DataPlane, settings: Settings, *, needs_model: bool = True
    ) -> None:
        """Prepare to answer `request` within the limits of `settings`. Without `needs_model`, no model is needed."""
        self.receive = request.receive
        self.headers = request.scope["headers"]
        self.settings = settings
        self.decode_threads = data_plane.decode_threads
        self._memory_budget = data_plane.memory_budget
        self._memory: Reservation | None = None
        self.received_bytes = 0
        self.is_read = False
        """Whether the whole body was received. The client is watched from then on."""
        self._registry = data_plane.registry if needs_model else None
        self._watching: asyncio.Task[None] | None = None
        self._end: Exception | None = None

    def __enter__(self) -> Self:
        """Begin, before the body is read.

        Raises:
            NoUsableModel: no version is served.
        """
        if self._registry is not None:
            self._registry.require_usable()
        self._task = cast("asyncio.Task[object]", asyncio.current_task())
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._timer = self._loop.call_later(_FIRST_LOOK_SECONDS, self._look)
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: TracebackType | None) -> None:
        """Release the memory.

        Raises:
            SlowBody: the body did not arrive within `TIMEOUT_SECONDS`.
            Abandoned: the client has left.
        """
        self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()
        if self._memory is not None:
            self._memory.release()
        # Otherwise, something else has cancelled the task.
        if self._end is not None and isinstance(error, asyncio.CancelledError) and not self._task.uncancel():
            raise self._end from None

    @property
    def memory(self) -> Reservation:
        """Where a long body reserves its memory."""
        if self._memory is None:
            self._memory = Reservation(self._memory_budget)
        return self._memory

    def _look(self) -> None:
        if self.is_read:
            self._watching = self._loop.create_task(self._watch())
        elif self._loop.time() >= self._began + TIMEOUT_SECONDS:
            received = f"received {self.received_bytes} bytes"
            self._cancel(SlowBody(f"expected the whole body within {TIMEOUT_SECONDS} seconds, {received}"))
        else:
            self._timer = self._loop.call_later(_LOOK_SECONDS, self._look)

    async def _watch(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
        self._cancel(Abandoned())

    def _cancel(self, end: Exception) -> None:
        self._end = end
        self._task.cancel()
