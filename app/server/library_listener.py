"""Stop listening on a port that a library has opened, and keep its connections.

grpcio can only stop its whole server. It then ends calls that are just arriving with `CANCELLED`, which clients do not
try again. So this module finds the sockets of the port among the open files of the process.
"""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from app.server.listener import accept_packets, drop_connection_attempts

_OPEN_FILES = Path("/dev/fd")
"""The folder with the numbers of the open files of this process, on Linux and macOS."""


class LibraryListener:
    """The listening sockets and the connections of one port in this process."""

    def __init__(self, port: int) -> None:
        """Do nothing yet."""
        self._port = port

    def drop_connection_attempts(self) -> None:
        """Drop new connection attempts. The library still accepts those in the kernel's queue."""
        for listener in self._sockets(_listens):
            drop_connection_attempts(listener)

    def close(self) -> None:
        """Refuse new connections. Call this shortly after `drop_connection_attempts`."""
        with socket.socket() as unconnected:
            for listener in self._sockets(_listens):
                # The library keeps the number of the file. Unlike shutdown(), this causes no error in its own threads.
                os.dup2(unconnected.fileno(), listener.fileno(), inheritable=False)
        for connection in self._sockets(_is_connected):
            accept_packets(connection)

    def has_connections(self) -> bool:
        """Return whether a client is connected."""
        return any(True for _ in self._sockets(_is_connected))

    def _sockets(self, condition: Callable[[socket.socket], bool]) -> Iterator[socket.socket]:
        for file in list(_OPEN_FILES.iterdir()):
            try:
                found = socket.socket(fileno=int(file.name))
            except OSError:  # not a socket, or closed since
                continue
            try:
                is_internet = found.family in (socket.AF_INET, socket.AF_INET6)
                if is_internet and found.getsockname()[1] == self._port and condition(found):
                    yield found
            except OSError:  # closed since
                continue
            finally:
                found.detach()  # so that this object does not close the library's file


def _listens(found: socket.socket) -> bool:
    return bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _is_connected(found: socket.socket) -> bool:
    try:
        found.getpeername()
    except OSError:
        return False
    return True
