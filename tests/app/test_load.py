"""Under load no request delays the others for long, and memory has a limit."""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from io import BytesIO
from typing import Any

import httpx
import pytest
from PIL import Image

from app.openapi.example_pictures import EXAMPLES
from app.settings import Settings
from benchmarks.faults.blocking import HEAVY, Heavy, probe
from benchmarks.faults.mix import MULTIPART
from benchmarks.harness.traffic import Request
from tests.app.conftest import Service, owned_bytes

SEVEN = (EXAMPLES / "seven.bin").read_bytes()
RAW: dict[str, Any] = {"content": SEVEN, "headers": {"content-type": "application/octet-stream"}}
LIMIT = Settings().max_body_bytes


def allowed_delay(request_seconds: float) -> float:
    """Return a guard of five times the promised 100 ms, or more on a machine where the request itself takes long.

    `python -m benchmarks.faults.blocking` measures the delay.
    """
    return max(0.5, request_seconds / 10)


@pytest.mark.parametrize("heavy", [pytest.param(heavy, id=heavy.kind) for heavy in HEAVY])
def test_no_request_delays_the_others(service: Service, heavy: Heavy) -> None:
    probed = probe(service.port, heavy.request())

    assert probed.status in (200, 400, 413, 422)
    assert probed.livez_seconds < allowed_delay(probed.seconds)


@pytest.fixture
def half_sent(service: Service) -> Iterator[Callable[[], socket.socket]]:
    """`half_sent()` opens a connection and sends the largest body without its end."""
    host, port = service.url.removeprefix("http://").split(":")
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n" % LIMIT
    with ExitStack() as stack:

        def send() -> socket.socket:
            connection = stack.enter_context(socket.create_connection((host, int(port)), timeout=20))
            connection.sendall(head)
            connection.sendall(b"\0" * (LIMIT - 1000))
            return connection

        yield send


def test_the_memory_for_bodies_has_a_limit(service: Service, half_sent: Callable[[], socket.socket]) -> None:
    before = owned_bytes(service)
    waiting = [half_sent() for _ in range(4)]
    time.sleep(0.5)

    refused = httpx.post(f"{service.url}/predict", content=b"\0" * LIMIT, headers={"content-type": "image/png"})
    usual = service.client.post("/predict", **RAW)

    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "2"
    assert refused.headers["connection"] == "close"
    assert refused.json()["type"] == "urn:digits:no-room"
    assert usual.status_code == 200  # short bodies do not count
    assert owned_bytes(service) < before + 6 * LIMIT
    for connection in waiting:
        connection.sendall(b"\0" * 1000)
        assert connection.recv(100).startswith(b"HTTP/1.1 422")
    assert service.client.post("/predict", content=b"\0" * LIMIT, headers={"content-type": "image/png"}).is_client_error


def test_a_form_frees_each_picture_before_the_next(service: Service) -> None:
    buffer = BytesIO()
    Image.new("RGB", (3500, 3500), "white").save(buffer, "PNG")  # 49 MB once decoded
    service.client.post("/predict", content=buffer.getvalue(), headers={"content-type": "image/png"})
    before = owned_bytes(service)
    largest = 0

    with ThreadPoolExecutor(4) as clients:
        files = [("file", ("a.png", buffer.getvalue(), "image/png"))] * 6
        asking = [clients.submit(httpx.post, f"{service.url}/predict", files=files, timeout=60) for _ in range(4)]
        while not all(task.done() for task in asking):
            largest = max(largest, owned_bytes(service))
            time.sleep(0.01)

    assert {task.result().status_code for task in asking} == {422}  # because they have no ink
    assert largest < before + 200e6  # 24 pictures at once would take 1.2 GB


def test_small_files_of_huge_frames_delay_nobody(service: Service) -> None:
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
    assert probed.livez_seconds < allowed_delay(probed.seconds)


def test_a_content_length_may_start_with_zeros(service: Service) -> None:
    host, port = service.url.removeprefix("http://").split(":")
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nConnection: close\r\n"
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head + b"Content-Length: " + b"0" * 5000 + b"784\r\n\r\n" + SEVEN)

        assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
