"""The state that all connections of a server share."""

from uvicorn.server import ServerState


class State(ServerState):
    """uvicorn's state, and whether the service drains."""

    draining = False
    """Whether each reply closes its connection."""

    def __init__(self) -> None:
        """Start without connections."""
        super().__init__()
        self._common: tuple[list[tuple[bytes, bytes]], bytes] = ([], b"")

    def common_headers(self) -> bytes:
        """Return the header lines of every reply, joined. uvicorn makes a new list once a second, for the date."""
        if self._common[0] is not self.default_headers:
            self._common = self.default_headers, b"".join(b"%b: %b\r\n" % header for header in self.default_headers)
        return self._common[1]
