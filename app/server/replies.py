"""Write the head of a reply and its body with one system call. uvicorn writes one after the other."""

import asyncio
from typing import Any


class Replies(asyncio.Protocol):
    """Writes to a connection. What is written first waits for more, until the next turn of the event loop at most."""

    def connection_made(self, transport: Any) -> None:
        self._transport: asyncio.Transport = transport
        self.is_closing, self.get_extra_info = transport.is_closing, transport.get_extra_info
        self._first = b""

    def write(self, data: bytes) -> None:
        if self._first:
            self._write(data)
        else:
            self._first = data
            asyncio.get_running_loop().call_soon(self._write)

    def close(self) -> None:
        self._write()
        self._transport.close()

    def _write(self, data: bytes = b"") -> None:
        first, self._first = self._first, b""
        if (first or data) and not self._transport.is_closing():
            self._transport.writelines([first, data])
