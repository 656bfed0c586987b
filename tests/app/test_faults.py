"""Clients that misbehave leave nothing behind, and a mix of all requests is answered correctly."""

import time

import httpx
import psutil

from app.openapi.example_pictures import EXAMPLES
from benchmarks.faults.mix import usual
from benchmarks.faults.soak import soak
from benchmarks.harness.own_service import own_service
from benchmarks.harness.traffic import Request, send
from tests.app.conftest import START_SECONDS, Service, owned_bytes


def test_clients_that_leave_in_the_middle_of_a_body_leave_nothing_behind(service: Service) -> None:
    photo = (EXAMPLES / "photo.jpg").read_bytes()  # loads the modules that only pictures need
    assert service.client.post("/predict", content=photo, headers={"content-type": "image/jpeg"}).status_code == 200
    leave_in_the_middle(service, 20)
    before = owned_bytes(service)

    leave_in_the_middle(service, 200)  # 100 MB, more than the memory for bodies

    assert owned_bytes(service) < before + 30e6
    long = service.client.post("/predict", content=b"\0" * 1_000_000, headers={"content-type": "image/jpeg"})
    assert long.status_code == 422  # 503 if memory for bodies were missing


def test_a_mix_of_all_requests_is_answered_correctly() -> None:
    with own_service() as server:
        result = soak(server, seconds=6)

    assert [count for count in result.counts if not count.as_expected] == []
    assert {count.kind for count in result.counts} >= {request.kind for request in usual()}


def leave_in_the_middle(service: Service, times: int) -> None:
    others = connections(service)  # the test's client, and idle connections of earlier tests
    half = Request("half", b"\0" * 500_000, "image/jpeg", content_length=1_000_000, leaves=True)
    for _ in range(times):
        send(service.port, half)
    httpx.get(f"{service.url}/livez")  # a new connection: when it is answered, the ones before it were accepted
    deadline = time.monotonic() + START_SECONDS
    while (remaining := connections(service)) > others and time.monotonic() < deadline:
        time.sleep(0.02)
    assert remaining <= others


def connections(service: Service) -> int:
    process = psutil.Process(service.process.pid)
    return sum(bool(connection.raddr) for connection in process.net_connections("tcp"))
