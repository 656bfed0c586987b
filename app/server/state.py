"""The state that all connections of a server share."""

from uvicorn.server import ServerState

from app.server.handover import SupervisorLink


class State(ServerState):
    """uvicorn's state, with a flag for draining and the joined header lines of all replies."""

    draining = False
    """Whether the service drains. Each reply then closes its connection."""

    supervisor: SupervisorLink | None = None
    """Learns of each connection that ends. None without a supervisor."""

    def __init__(self) -> None:
        """Start without connections."""
        super().__init__()
        self._common: tuple[list[tuple[bytes, bytes]], bytes] = ([], b"")

    def common_headers(self) -> bytes:
        """Return the joined header lines of every reply. uvicorn makes a new list once a second, with the time."""
        if self._common[0] is not self.default_headers:
            self._common = self.default_headers, b"".join(b"%b: %b\r\n" % header for header in self.default_headers)
        return self._common[1]
