"""uvicorn's HTTP protocol, with a reply's head and body in one write instead of two.

Each write is a system call of 5 us, the dearest of what uvicorn does for a request
(`python -m benchmarks.load --only ours,floor`).
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Protocol(HttpToolsProtocol):
    """For `uvicorn.Config(http=...)`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Put `_Joining` between uvicorn and the connection."""
        super().connection_made(_Joining(transport))  # type: ignore[arg-type]

    def on_response_complete(self) -> None:
        """A reply without a body ends with its head."""
        joining: Any = self.transport
        joining.flush()
        super().on_response_complete()


class _Joining:
    """A transport that keeps the head of a reply back until what follows it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self._write = transport.write

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 1"):
            self._head = data
            return
        self._write(data)

    def flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._write(head)

    def close(self) -> None:
        if not self._transport.is_closing():
            self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
