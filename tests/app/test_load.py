"""Under load: nothing holds up the event loop, and what is in memory is bounded."""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from io import BytesIO
from typing import Any

import httpx
import psutil
import pytest
from PIL import Image

from app.openapi.example_pictures import EXAMPLES
from app.settings import Settings
from benchmarks.faults.blocking import HEAVY, Heavy, probe
from benchmarks.faults.mix import MULTIPART
from benchmarks.harness.traffic import Request
from tests.app.conftest import Service, StartService

SEVEN = (EXAMPLES / "seven.bin").read_bytes()
RAW: dict[str, Any] = {"content": SEVEN, "headers": {"content-type": "application/octet-stream"}}
LIMIT = Settings().max_body_bytes

BLOCKED_SECONDS = 0.5
"""A guard, ten times what may be: no allowed request keeps the others waiting for more than 50 ms."""


@pytest.mark.parametrize("heavy", [pytest.param(heavy, id=heavy.kind) for heavy in HEAVY])
def test_no_request_holds_up_the_others(service: Service, heavy: Heavy) -> None:
    probed = probe(service.port, heavy.request())

    assert probed.status in (200, 400, 413, 422)
    assert probed.livez_seconds < BLOCKED_SECONDS


@pytest.fixture
def half_sent(service: Service) -> Iterator[Callable[[], socket.socket]]:
    """`half_sent()` opens a connection and sends all but the end of the largest body."""
    host, port = service.url.removeprefix("http://").split(":")
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n" % LIMIT
    with ExitStack() as stack:

        def send() -> socket.socket:
            connection = stack.enter_context(socket.create_connection((host, int(port)), timeout=20))
            connection.sendall(head)
            connection.sendall(b"\0" * (LIMIT - 1000))
            return connection

        yield send


def test_bodies_in_memory_are_bounded(service: Service, half_sent: Callable[[], socket.socket]) -> None:
    before = psutil.Process(service.process.pid).memory_info().rss
    waiting = [half_sent() for _ in range(4)]
    time.sleep(0.5)

    refused = httpx.post(f"{service.url}/predict", content=b"\0" * LIMIT, headers={"content-type": "image/png"})
    usual = service.client.post("/predict", **RAW)

    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "2"
    assert refused.headers["connection"] == "close"
    assert refused.json()["type"] == "urn:digits:no-room"
    assert usual.status_code == 200  # short ones are not counted
    assert psutil.Process(service.process.pid).memory_info().rss < before + 6 * LIMIT
    for connection in waiting:
        connection.sendall(b"\0" * 1000)
        assert connection.recv(100).startswith(b"HTTP/1.1 422")
    assert service.client.post("/predict", content=b"\0" * LIMIT, headers={"content-type": "image/png"}).is_client_error


def test_a_form_gives_back_each_picture_before_the_next(start_service: StartService) -> None:
    service = start_service().wait_until_ready()
    buffer = BytesIO()
    Image.new("RGB", (3500, 3500), "white").save(buffer, "PNG")  # 49 MB once decoded
    service.client.post("/predict", content=buffer.getvalue(), headers={"content-type": "image/png"})
    before = psutil.Process(service.process.pid).memory_info().rss
    largest = 0

    with ThreadPoolExecutor(4) as clients:
        files = [("file", ("a.png", buffer.getvalue(), "image/png"))] * 6
        asking = [clients.submit(httpx.post, f"{service.url}/predict", files=files, timeout=60) for _ in range(4)]
        while not all(task.done() for task in asking):
            largest = max(largest, psutil.Process(service.process.pid).memory_info().rss)
            time.sleep(0.01)

    assert {task.result().status_code for task in asking} == {422}  # without any ink
    assert largest < before + 150e6


def test_tiny_files_of_huge_frames_hold_nobody_up(service: Service) -> None:
    gif = (
        b"GIF89a"
        + b"\x88\x13\x88\x13"
        + b"\x80\0\0"
        + b"\0\0\0\xff\xff\xff"
        + b"!\xf9\x04\x08\0\0\0\0"
        + (b",\0\0\0\0\x88\x13\x88\x13\0\x02\0;")
    )  # 5000x5000, "restored to background"
    body = b"".join(
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + gif + b"\r\n" for _ in range(50)
    )

    probed = probe(service.port, Request("GIF", body + b"--b--\r\n", MULTIPART))

    assert probed.status == 413
    assert probed.livez_seconds < BLOCKED_SECONDS


def test_a_length_of_many_zeros_is_a_length(service: Service) -> None:
    host, port = service.url.removeprefix("http://").split(":")
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nConnection: close\r\n"
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head + b"Content-Length: " + b"0" * 5000 + b"784\r\n\r\n" + SEVEN)

        assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
