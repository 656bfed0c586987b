"""What all connections of a process share."""

import asyncio
from collections import deque
from collections.abc import Callable

from fastapi import Response
from uvicorn.server import ServerState

from app.server.handover import SupervisorLink
from digits.errors import DigitsError


class State(ServerState):
    """uvicorn's state, with what this service adds."""

    draining = False
    """Whether the service drains. Each reply then closes its connection."""

    refused: Callable[[DigitsError, Response], None]
    """Called with the error and the reply, to which it adds an id, when bytes are refused that are no HTTP request."""

    supervisor: SupervisorLink | None = None
    """Learns of each connection that ends. None without a supervisor."""

    def __init__(self) -> None:
        """Start without connections."""
        super().__init__()
        self.unparsed_bytes = 0
        """The bytes that all connections hold."""
        self._turns: deque[Callable[[], None]] = deque()
        self._common: tuple[list[tuple[bytes, bytes]], bytes] = ([], b"")

    def queue_turn(self, take: Callable[[], None]) -> None:
        """Call `take` when other connections had their turns: one in each turn of the event loop.

        So a new connection never waits for more than one request of those that were sent at once.
        """
        if not self._turns:
            asyncio.get_running_loop().call_soon(self._take_turn)
        self._turns.append(take)

    def _take_turn(self) -> None:
        take = self._turns.popleft()
        if self._turns:
            asyncio.get_running_loop().call_soon(self._take_turn)
        take()

    def common_headers(self) -> bytes:
        """Return the joined header lines of every reply. uvicorn makes a new list once a second, with the time."""
        if self._common[0] is not self.default_headers:
            self._common = self.default_headers, b"".join(b"%b: %b\r\n" % header for header in self.default_headers)
        return self._common[1]
