"""A listener that is about to be closed refuses who comes, and keeps who has come."""

import socket
import sys

import pytest

from app.server.listener import refuse_connections, take_all_from

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can be told so")


def has(host: str) -> bool:
    """Not every machine has IPv6."""
    try:
        listening(host).close()
    except OSError:
        return False
    return True


def listening(host: str) -> socket.socket:
    return socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)


each_family = pytest.mark.parametrize("host", ["127.0.0.1", *filter(has, ["::1"])])


def connected(listener: socket.socket) -> socket.socket:
    return socket.create_connection(listener.getsockname()[:2], timeout=0.3)


@each_family
def test_who_comes_is_dropped_and_who_has_come_is_heard(host: str) -> None:
    with listening(host) as listener, connected(listener) as queued:
        refuse_connections(listener)

        with pytest.raises(TimeoutError):
            connected(listener)
        connection, _ = listener.accept()
        with connection:
            queued.sendall(b"request")
            assert connection.recv(7) == b"request"


@each_family
def test_who_came_meanwhile_is_heard_once_it_is_told_so(host: str) -> None:
    with listening(host) as listener, connected(listener) as client:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(0.1)
            refuse_connections(
                connection
            )  # as it has it of its listener when its handshake ends after that was told so
            client.sendall(b"request")
            with pytest.raises(TimeoutError):
                connection.recv(7)

            take_all_from(connection)

            connection.settimeout(10)  # TCP sends it again
            assert connection.recv(7) == b"request"
