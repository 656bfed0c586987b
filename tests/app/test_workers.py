"""Several workers: connections are shared evenly, and a worker's end costs only its own requests."""

import socket
import time

import pytest

from tests.app.conftest import START_SECONDS, Service, workers_of

pytestmark = pytest.mark.slow


class Connections:
    """Kept connections to the workers of a service, each with one answered request."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._by_port: dict[int, socket.socket] = {}
        """By the client's port."""

    def __enter__(self) -> "Connections":
        return self

    def __exit__(self, *_: object) -> None:
        self.close(set(self._by_port))

    def open(self, number: int) -> set[int]:
        """Open connections, and ask something on each. Return the client's ports."""
        opened = [self._service.connect() for _ in range(number)]
        for connection in opened:
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        for connection in opened:
            reply = b""
            while b"alive" not in reply:
                more = connection.recv(65536)
                assert more
                reply += more
            self._by_port[connection.getsockname()[1]] = connection
        return {connection.getsockname()[1] for connection in opened}

    def open_until(self, number: int, counts: list[int]) -> None:
        """Open connections, and again, until the workers hold as many as expected.

        The supervisor learns of a closed connection shortly after its client. On a busy machine, a worker may also
        report so late that it gets no connection for a moment.
        """
        deadline = time.monotonic() + START_SECONDS
        opened = self.open(number)
        while self.counts() != counts:
            assert time.monotonic() < deadline, self.counts()
            self.close(opened)
            opened = self.open(number)

    def close(self, ports: set[int]) -> None:
        """Close the connections of these ports, and wait until the service has closed them too."""
        for port in ports:
            with self._by_port.pop(port) as connection:
                connection.shutdown(socket.SHUT_WR)
                assert connection.recv(65536) == b""

    def by_worker(self) -> dict[int, set[int]]:
        """Return the client's ports of the connections that each worker holds, by the worker's process id."""
        return {
            worker.pid: {one.raddr.port for one in worker.net_connections("tcp") if one.raddr} & set(self._by_port)
            for worker in workers_of(self._service)
        }

    def counts(self) -> list[int]:
        """Return how many connections each worker holds, in ascending order."""
        return sorted(len(ports) for ports in self.by_worker().values())


def wait_until_both_workers_serve(service: Service) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with Connections(service) as connections:
            connections.open(16)
            counts = connections.counts()
        if len(counts) == 2 and all(counts):
            return
    raise AssertionError(f"one worker gets all connections; the log:\n{service.log.read_text()}")


def test_connections_are_shared_evenly_also_after_one_worker_has_lost_its_own(two_workers: Service) -> None:
    with Connections(two_workers) as connections:
        connections.open_until(16, [8, 8])
        connections.close(next(iter(connections.by_worker().values())))

        connections.open_until(8, [8, 8])


def test_a_worker_that_replaces_a_dead_one_gets_the_next_connections(two_workers: Service) -> None:
    with Connections(two_workers) as connections:
        connections.open_until(8, [4, 4])
        victim = workers_of(two_workers)[0]
        connections.close(connections.by_worker()[victim.pid])

        victim.kill()
        two_workers.wait_for_line(rf"worker ({victim.pid}) ended with exit code -9; starting another")
        wait_until_both_workers_serve(two_workers)

        connections.open_until(4, [4, 4])
