"""A listener that is about to close refuses new connections and keeps the ones it has."""

import socket
import sys
from collections.abc import Callable

import pytest

from app.server.listener import accept_packets, drop_connection_attempts, listen, reserve

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the socket option")


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


@pytest.mark.parametrize("open_socket", [listen, reserve])
def test_a_host_that_cannot_exist_is_one_line(open_socket: Callable[[str, int], socket.socket]) -> None:
    with pytest.raises(SystemExit, match=r"digits: cannot listen on a+\.example:0 \(MNIST_HOST, MNIST_\w+\): .*"):
        open_socket(f"{64 * 'a'}.example", 0)


def connected(listener: socket.socket) -> socket.socket:
    return socket.create_connection(listener.getsockname()[:2], timeout=0.3)


@each_family
def test_a_new_connection_is_dropped_and_a_queued_one_is_served(host: str) -> None:
    with listening(host) as listener, connected(listener) as queued:
        drop_connection_attempts(listener)

        with pytest.raises(TimeoutError):
            connected(listener)
        connection, _ = listener.accept()
        with connection:
            queued.sendall(b"request")
            assert connection.recv(7) == b"request"


@each_family
def test_a_connection_that_inherited_the_refusal_can_be_freed(host: str) -> None:
    with listening(host) as listener, connected(listener) as client:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(0.1)
            drop_connection_attempts(connection)  # stands for a handshake that ended after its listener began to refuse
            client.sendall(b"request")
            with pytest.raises(TimeoutError):
                connection.recv(7)

            accept_packets(connection)

            connection.settimeout(10)  # until TCP sends the request again
            assert connection.recv(7) == b"request"
