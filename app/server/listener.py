"""Open a listening socket, and close it without losing a request.

The kernel completes connections before the service accepts them, and a client may already have sent its request. When
a listener closes, the kernel resets these connections: of eight clients that send without a pause, four lose a request
(`tests/app/test_drain.py`). So the listener first drops new connection attempts, the service accepts what is waiting,
and only then the listener closes. A client whose attempt was dropped tries again after a second, and is refused.

Linux has no call that stops new connections without closing the listener. But it can drop packets that passed too many
routers. With a limit above the usual initial value of 64, it drops all packets of new connections. This needs no
privilege.
On other systems the listener closes immediately.
"""

import contextlib
import socket
import sys
from typing import Protocol

_MINIMUM_TTL: dict[int, tuple[tuple[int, int], ...]] = {
    socket.AF_INET: ((socket.IPPROTO_IP, 21),),
    socket.AF_INET6: ((socket.IPPROTO_IP, 21), (socket.IPPROTO_IPV6, 73)),  # it may accept IPv4 too
}
"""Level and number of the options IP_MINTTL (linux/in.h) and IPV6_MINHOPCOUNT (linux/in6.h), by address family."""

_ALL_PACKETS, _NO_PACKETS = 0, 255
"""The least time to live (TTL) of accepted packets. Systems send with 64 or 128, and 255 is the greatest value."""


QUEUE_SECONDS = 0.1
"""How long the service still accepts connections before the listener closes. Some may be completing right now."""


class Socket(Protocol):
    """A socket, or the object that an event loop offers in its place."""

    @property
    def family(self) -> int:
        """The address family."""

    def setsockopt(self, level: int, option: int, value: int, /) -> object:
        """Set an option."""


def listen(host: str, port: int) -> socket.socket:
    """Return a bound socket.

    Call this before the model is loaded, so that a port in use is reported immediately, in one line.

    Raises:
        SystemExit: the address is not available.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except (OSError, UnicodeError) as exc:  # the name of a host that no DNS can have is a UnicodeError
        raise _unavailable(host, port, "MNIST_PORT", exc) from None
    return listener


def reserve(host: str, port: int) -> socket.socket:
    """Return a socket that keeps a port for the gRPC servers of all workers, which listen on it themselves.

    They share the port by SO_REUSEPORT. Another service with this option could share it too, so first bind without it.

    Raises:
        SystemExit: the address is not available.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # old connections do not matter
            probe.bind(address)
            address = probe.getsockname()
        reservation = socket.socket(family, kind, protocol)
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reservation.bind(address)
    except (OSError, UnicodeError) as exc:
        raise _unavailable(host, port, "MNIST_GRPC_PORT", exc) from None
    return reservation


def _unavailable(host: str, port: int, variable: str, exc: Exception) -> SystemExit:
    reason = getattr(exc, "strerror", None) or exc
    return SystemExit(f"digits: cannot listen on {host}:{port} (MNIST_HOST, {variable}): {reason}")


def drop_connection_attempts(listener: Socket) -> None:
    """Drop new connection attempts. Connections that wait in the queue can still be accepted."""
    _set_minimum_ttl(listener, _NO_PACKETS)


def accept_packets(connection: Socket) -> None:
    """Undo `drop_connection_attempts` on a connection, which inherits it from its listener."""
    _set_minimum_ttl(connection, _ALL_PACKETS)


def _set_minimum_ttl(target: Socket, value: int) -> None:
    for level, option in _MINIMUM_TTL.get(target.family, ()) if sys.platform == "linux" else ():
        with contextlib.suppress(OSError):  # the connection may be closed already
            target.setsockopt(level, option, value)
