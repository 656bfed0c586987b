"""What the supervisor knows about a worker, from the socket between them."""

import socket
from collections.abc import Iterator

import pytest

from app.server import handover
from app.server.handover import ALIVE, CLOSED, SupervisorLink, WorkerLink


@pytest.fixture
def ends() -> Iterator[tuple[WorkerLink, SupervisorLink]]:
    """Both ends of a socket."""
    supervisors, workers = socket.socketpair()
    with supervisors, workers:
        yield WorkerLink(supervisors), SupervisorLink(workers)


def test_a_worker_that_takes_nothing_for_a_while_gets_no_more_and_its_connections_come_back(
    ends: tuple[WorkerLink, SupervisorLink], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, _ = ends
    with socket.socket() as connection:
        worker.hand(connection)
        at_first = worker.takes_connections
        monkeypatch.setattr(handover, "UNTAKEN_SECONDS", 0)

        assert (at_first, worker.takes_connections, worker.connections) == (True, False, 1)
        assert worker.take_back() == [connection]


def test_reports_wait_while_the_supervisor_is_paused(ends: tuple[WorkerLink, SupervisorLink]) -> None:
    worker, supervisor = ends
    worker.connections = 100_000

    for _ in range(100_000):
        supervisor.report(CLOSED)
    while worker.connections:
        worker.read_reports()
        supervisor.report(ALIVE)

    assert worker.read_reports()
