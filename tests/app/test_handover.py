"""Connections pass from the supervisor to a worker through a socket, and none is lost on the way."""

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator

import pytest

from app.server import handover
from app.server.handover import ALIVE, CLOSED, SupervisorLink, WorkerLink


class Echo(asyncio.Protocol):
    """A worker's protocol that sends back what it receives, and reports the end of its connection."""

    def __init__(self, supervisor: SupervisorLink) -> None:
        self._supervisor = supervisor

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - part of the interface
        self._supervisor.report(CLOSED)


class Ends:
    """Both ends of the socket, and a listener whose connections are handed over."""

    def __init__(self, listener: socket.socket) -> None:
        self.sockets = socket.socketpair()
        self.worker, self.supervisor = WorkerLink(self.sockets[0]), SupervisorLink(self.sockets[1])
        self._listener = listener
        self._echoes: list[Echo] = []

    def serve(self, finish: Callable[[], None] = lambda: None) -> None:
        """Start the worker."""
        self.supervisor.start(self._create_echo, finish)

    def _create_echo(self) -> Echo:
        self._echoes.append(Echo(self.supervisor))
        return self._echoes[-1]

    def stop(self) -> None:
        """Stop the worker."""
        self.supervisor.stop()
        for echo in self._echoes:
            echo.transport.close()

    def hand(self, *, client_leaves: bool = False) -> socket.socket:
        """Hand a new connection to the worker, and return the client's end."""
        client = socket.create_connection(self._listener.getsockname(), timeout=10)
        connection, _ = self._listener.accept()
        if client_leaves:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closes with a reset
            client.close()
        self.worker.hand(connection)
        return client


@pytest.fixture
def ends() -> Iterator[Ends]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ends = Ends(listener)
        yield ends
        for end in ends.sockets:
            end.close()


async def echo(client: socket.socket) -> bytes:
    """Send a request and return its reply."""
    await asyncio.to_thread(client.sendall, b"request")
    return await asyncio.to_thread(client.recv, 7)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def test_a_worker_serves_a_connection_and_reports_its_end(ends: Ends) -> None:
    async def run() -> None:
        ends.serve()
        with ends.hand() as client:
            assert await echo(client) == b"request"
            assert ends.worker.read_reports()
            assert ends.worker.connections == 1
        await until(lambda: ends.worker.read_reports() and ends.worker.connections == 0)
        ends.stop()

    asyncio.run(run())

    assert ends.worker.take_back() == []


def test_connections_that_a_worker_did_not_take_come_back(ends: Ends) -> None:
    async def run() -> None:
        ends.serve()
        with ends.hand() as taken:
            assert await echo(taken) == b"request"
            client = ends.hand()
            ends.stop()
            await until(lambda: not ends.worker.read_reports())
        (connection,) = ends.worker.take_back()
        with client, connection:
            client.sendall(b"request")
            assert connection.recv(7) == b"request"

    asyncio.run(run())


def test_a_worker_that_takes_nothing_for_a_while_gets_no_more(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        with ends.hand(), ends.hand():
            at_first = ends.worker.takes_connections
            monkeypatch.setattr(handover, "UNTAKEN_SECONDS", 0)
            later = ends.worker.takes_connections
            assert (at_first, later) == (True, False)

            ends.serve()

            await until(lambda: ends.worker.read_reports() and ends.worker.takes_connections)
        ends.stop()

    asyncio.run(run())


def test_a_worker_serves_what_is_on_its_way_before_it_finishes(ends: Ends) -> None:
    async def run() -> None:
        finished = asyncio.Event()
        clients = [ends.hand() for _ in range(20)]
        ends.worker.finish()
        ends.serve(finished.set)
        await asyncio.wait_for(finished.wait(), 10)
        for client in clients:
            with client:
                assert await echo(client) == b"request"
        ends.stop()

    asyncio.run(run())
    while ends.worker.read_reports():
        pass

    assert ends.worker.take_back() == []


def test_a_worker_finishes_when_its_supervisor_was_killed(ends: Ends) -> None:
    async def run() -> None:
        finished = asyncio.Event()
        ends.supervisor.report(ALIVE)
        ends.sockets[0].close()
        ends.serve(finished.set)
        await asyncio.wait_for(finished.wait(), 10)
        ends.stop()

    asyncio.run(run())


def test_a_client_that_has_left_is_no_connection_of_the_worker(ends: Ends) -> None:
    async def run() -> None:
        ends.serve()
        ends.hand(client_leaves=True)
        await until(lambda: ends.worker.read_reports() and ends.worker.connections == 0)
        ends.stop()

    asyncio.run(run())

    assert ends.worker.take_back() == []


def test_reports_wait_while_the_supervisor_is_paused(ends: Ends) -> None:
    ends.worker.connections = 100_000

    for _ in range(100_000):
        ends.supervisor.report(CLOSED)
    while ends.worker.connections:
        ends.worker.read_reports()
        ends.supervisor.report(ALIVE)

    assert ends.worker.read_reports()
