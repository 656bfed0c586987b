"""Heavy requests, many requests at once and clients that leave cost the other clients nothing."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import psutil
import pytest

from app.settings import Settings
from benchmarks.faults.blocking import HEAVY, probe
from benchmarks.harness.traffic import Request, send
from tests.app.conftest import Service
from tests.app.dialects import RAW

pytestmark = pytest.mark.slow

LIMIT = Settings().max_body_bytes


@pytest.mark.parametrize("kind", ["1024 pictures to normalize", "V1, 1024 pictures in base64"])
def test_others_are_answered_while_a_heavy_request_is_in_work(service: Service, kind: str) -> None:
    (heavy,) = (one for one in HEAVY if one.kind == kind)

    probed = probe(service.port, heavy.request())

    assert probed.status == 200
    # On the event loop, its work would hold up a probe until it ends. `benchmarks.faults.blocking` prints the delay.
    assert probed.livez_seconds < probed.seconds / 2


@pytest.fixture
def half_sent(service: Service) -> Iterator[Callable[[], socket.socket]]:
    """`half_sent()` opens a connection and sends the largest body without its end."""
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n" % LIMIT
    with ExitStack() as stack:

        def send_half() -> socket.socket:
            connection = stack.enter_context(service.connect())
            connection.sendall(head)
            connection.sendall(b"\0" * (LIMIT - 1000))
            return connection

        yield send_half


def test_the_memory_for_bodies_has_a_limit(service: Service, half_sent: Callable[[], socket.socket]) -> None:
    waiting = [half_sent() for _ in range(4)]
    time.sleep(0.5)

    refused = httpx.post(f"{service.url}/predict", content=b"\0" * LIMIT, headers={"content-type": "image/png"})
    usual_one = service.client.post("/predict", **RAW)

    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "2"
    assert refused.json()["type"] == "urn:digits:no-room"
    assert usual_one.status_code == 200  # short bodies do not count
    for connection in waiting:
        connection.sendall(b"\0" * 1000)
        assert connection.recv(100).startswith(b"HTTP/1.1 422")
    assert service.client.post("/predict", content=b"\0" * LIMIT, headers={"content-type": "image/png"}).is_client_error


def test_clients_that_leave_within_a_body_leave_no_connection_and_no_memory(service: Service) -> None:
    others = connections(service)  # the test's client, and idle connections of earlier tests
    half = Request("half", b"\0" * 500_000, "image/jpeg", content_length=1_000_000, leaves=True)

    for _ in range(200):  # 200 MB, more than the memory for bodies
        send(service.port, half)

    httpx.get(f"{service.url}/livez", timeout=30)  # when this connection is answered, those before it were accepted
    service.wait_for(lambda: connections(service) <= others, f"at most {others} connections")
    long = service.client.post("/predict", content=b"\0" * LIMIT, headers={"content-type": "image/jpeg"})
    assert long.status_code == 422  # 503 if memory for bodies were missing


def connections(service: Service) -> int:
    process = psutil.Process(service.process.pid)
    return sum(bool(connection.raddr) for connection in process.net_connections("tcp"))
