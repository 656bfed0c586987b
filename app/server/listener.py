"""The end of a listening socket, without a request that is lost.

A listener that is closed resets the connections in its queue, whose requests may have been sent already: without what
is here, four of eight clients that ask without a pause lose one (`tests/app/test_drain.py`). So it first is told to
drop what asks for a new connection, in a way for which Linux wants no privilege: by how many hops a packet may have
made. Who is dropped asks again after a second, and is refused.
"""

import contextlib
import socket
import sys
from typing import Protocol

_OPTIONS: dict[int, tuple[tuple[int, int], ...]] = {
    socket.AF_INET: ((socket.IPPROTO_IP, 21),),
    socket.AF_INET6: ((socket.IPPROTO_IP, 21), (socket.IPPROTO_IPV6, 73)),  # it may take both kinds
}
"""IP_MINTTL of linux/in.h and IPV6_MINHOPCOUNT of linux/in6.h, and their levels."""

_ANY, _NEIGHBOURS = 0, 255
"""What a packet's counter must have left. Senders begin with 255 at most, which each router lowers; usually with 64."""


class Socket(Protocol):
    """A socket, or what an event loop shows of it."""

    @property
    def family(self) -> int:
        """Of its address."""

    def setsockopt(self, level: int, option: int, value: int, /) -> object:
        """As of a socket."""


def refuse_connections(listener: Socket) -> None:
    """Have the kernel drop what asks for a new connection; those that it has made, or is making, are still to be taken.

    Does nothing on another system than Linux.
    """
    _set(listener, _NEIGHBOURS)


def take_all_from(connection: Socket) -> None:
    """Undo what a connection has of its listener, if it was being made when that began to refuse."""
    _set(connection, _ANY)


def _set(one: Socket, left: int) -> None:
    for level, option in _OPTIONS.get(one.family, ()) if sys.platform == "linux" else ():
        with contextlib.suppress(OSError):  # the connection may be gone already
            one.setsockopt(level, option, left)
