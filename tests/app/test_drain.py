"""A service that is told to stop is unready at once, still answers requests, and loses none."""

import http.client
import re
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from app.openapi.example_pictures import EXAMPLES
from tests.app.conftest import Service, StartService

SEVEN = (EXAMPLES / "seven.bin").read_bytes()
TYPE = {"Content-Type": "application/octet-stream"}
RAW: dict[str, Any] = {"content": SEVEN, "headers": TYPE}


def address(service: Service) -> tuple[str, int]:
    host, port = service.url.removeprefix("http://").split(":")
    return host, int(port)


def ended(service: Service) -> int:
    return service.process.wait(timeout=30)


def wait_until_all_are_ready(service: Service, workers: str) -> None:
    service.wait_until_ready()
    service.wait_for_line(r"(?s)" + r"startup complete.*" * (int(workers) - 1) + r"(startup complete)")


class Load:
    """Clients that send requests without a pause until their connection is refused."""

    def __init__(self, service: Service) -> None:
        self.address = address(service)
        self.outcomes: Counter[str] = Counter()
        self.answered = threading.Semaphore(0)

    def over_one_connection(self) -> None:
        connection = http.client.HTTPConnection(*self.address, timeout=20)
        while self.ask(connection):
            pass

    def each_over_its_own(self) -> None:
        while self.ask(connection := http.client.HTTPConnection(*self.address, timeout=20)):
            connection.close()

    def ask(self, connection: http.client.HTTPConnection) -> bool:
        """Send a request. Return whether to send another."""
        if connection.sock is None:
            try:
                connection.connect()
            except OSError:
                return False
        try:
            connection.request("POST", "/predict", SEVEN, TYPE)
            reply = connection.getresponse()
            reply.read()
        except (OSError, http.client.HTTPException) as exc:
            self.outcomes[f"lost: {exc!r}"] += 1
            return False
        self.outcomes[str(reply.status)] += 1
        self.answered.release()
        return True

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run four clients of each kind. The block ends when the connections of all clients were refused."""
        with ThreadPoolExecutor(8) as clients:
            asking = [clients.submit(kind) for kind in (self.over_one_connection, self.each_over_its_own) * 4]
            for _ in range(200):
                assert self.answered.acquire(timeout=20)
            yield
            for client in asking:
                client.result()


@pytest.mark.parametrize(
    ("workers", "seconds"),
    [
        pytest.param("1", "0", id="one worker, at once"),
        pytest.param("2", "0", id="two workers, at once"),
        pytest.param("2", "1", id="two workers, after a second"),
    ],
)
def test_no_request_is_lost(start_service: StartService, workers: str, seconds: str) -> None:
    service = start_service(MNIST_WORKERS=workers, MNIST_DRAIN_SECONDS=seconds)
    wait_until_all_are_ready(service, workers)
    load = Load(service)

    with load.running():
        service.process.send_signal(signal.SIGTERM)
        code = ended(service)

    assert set(load.outcomes) == {"200"}, load.outcomes
    assert code == 0
    assert "Traceback" not in service.log.read_text()


def test_a_draining_service_is_unready_and_answers_with_closing_connections(start_service: StartService) -> None:
    service = start_service(MNIST_WORKERS="2", MNIST_DRAIN_SECONDS="4")
    wait_until_all_are_ready(service, "2")
    assert "connection" not in service.client.get("/livez").headers
    supervisor = psutil.Process(service.process.pid)

    for process in [*supervisor.children(), supervisor]:  # as systemd does it, which must count as one signal
        process.send_signal(signal.SIGTERM)
    unready = service.wait_for_status("/readyz", 503)
    answer = service.client.post("/predict", **RAW)
    alive = service.client.get("/livez")
    while "digits_ready 0.0" not in service.client.get("/metrics").text:
        time.sleep(0.1)

    assert unready.json() == {"status": "unready", "reason": "draining: the service stops"}
    assert (answer.status_code, answer.json()["digit"]) == (200, 7)
    assert alive.status_code == 200
    assert {reply.headers["connection"] for reply in (unready, answer, alive)} == {"close"}
    assert ended(service) == 0


def test_a_request_that_has_begun_is_answered(start_service: StartService) -> None:
    service = start_service().wait_until_ready()
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: 784\r\n\r\n"
    with socket.create_connection(address(service), timeout=20) as connection:
        connection.sendall(head + SEVEN[:100])
        time.sleep(0.3)

        service.process.send_signal(signal.SIGTERM)
        time.sleep(1)
        connection.sendall(SEVEN[100:])
        received = b"".join(iter(lambda: connection.recv(65536), b""))

    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close\r\n" in received
    assert ended(service) == 0


@pytest.mark.parametrize("workers", [pytest.param("1", id="one worker"), pytest.param("2", id="two workers")])
def test_a_second_signal_ends_the_service_at_once(start_service: StartService, workers: str) -> None:
    service = start_service(MNIST_WORKERS=workers, MNIST_DRAIN_SECONDS="60")
    wait_until_all_are_ready(service, workers)
    processes = [psutil.Process(service.process.pid), *psutil.Process(service.process.pid).children()]

    service.process.send_signal(signal.SIGTERM)
    service.wait_for_status("/readyz", 503)
    service.process.send_signal(signal.SIGTERM)

    assert service.process.wait(timeout=10) == 128 + signal.SIGTERM
    _gone, alive = psutil.wait_procs(processes, timeout=10)
    assert alive == []


def test_workers_do_not_outlive_their_supervisor(start_service: StartService) -> None:
    service = start_service(MNIST_WORKERS="2")
    wait_until_all_are_ready(service, "2")
    workers = psutil.Process(service.process.pid).children()

    service.process.kill()

    _gone, alive = psutil.wait_procs(workers, timeout=20)
    assert alive == []


def test_a_worker_that_hangs_is_replaced_and_its_new_connections_are_answered(start_service: StartService) -> None:
    impatient = (
        "import app.__main__, app.server.supervisor as supervisor; supervisor.SILENT_SECONDS = 3; "
        "raise SystemExit(app.__main__.main())"
    )
    service = start_service([sys.executable, "-c", impatient], MNIST_WORKERS="2")
    wait_until_all_are_ready(service, "2")
    hanging = max(psutil.Process(service.process.pid).children(), key=lambda child: child.memory_info().rss)

    hanging.suspend()
    with ThreadPoolExecutor(8) as clients:
        replies = list(clients.map(lambda _: httpx.post(f"{service.url}/predict", **RAW, timeout=60), range(8)))

    assert [reply.status_code for reply in replies] == [200] * 8
    assert service.wait_for_line(r"worker (\d+) has not reported for 3 s") == str(hanging.pid)
    service.wait_for_line(rf"worker ({hanging.pid}) ended with exit code -9; starting another")
    assert not hanging.is_running()
    assert [httpx.post(f"{service.url}/predict", **RAW).status_code for _ in range(20)] == [200] * 20


def test_workers_that_cannot_start_end_the_service(start_service: StartService, bare_checkout: Path) -> None:
    (bare_checkout / "app" / "main.py").write_text("raise RuntimeError('broken')")

    service = start_service(cwd=bare_checkout, MNIST_WORKERS="2")

    assert ended(service) == 1
    assert re.search(r"worker \d+ ended with exit code 1 before it served", service.log.read_text())
