"""The state that all connections of a server share."""

from uvicorn.server import ServerState

from app.settings import Settings


class State(ServerState):
    """What all connections of a server share."""

    draining = False
    """Whether each reply closes its connection."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is connected yet."""
        super().__init__()
        # A megabyte for the head and a form's many parts; of a body in chunks of one byte, each byte takes six.
        self.most_bytes = 8 * settings.max_body_bytes + 1024 * 1024
        """Over the wire for one request."""
        self._joined: tuple[list[tuple[bytes, bytes]], bytes] = ([], b"")

    def common_headers(self) -> bytes:
        """The headers that each reply has, as bytes; uvicorn makes a new list of them once a second, for the date."""
        if self._joined[0] is not self.default_headers:
            self._joined = self.default_headers, b"".join(b"%b: %b\r\n" % header for header in self.default_headers)
        return self._joined[1]
