"""The process: listening, workers, signals."""

import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.openapi.schemas import EXAMPLES
from tests.app.conftest import Service, StartService
from tests.conftest import fresh_python

RAW: dict[str, Any] = {
    "content": (EXAMPLES / "seven.bin").read_bytes(),
    "headers": {"content-type": "application/octet-stream"},
}


def test_a_port_in_use_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        ended = fresh_python("-m", "app", environment={"MNIST_PORT": str(port)})

    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        f"digits: cannot listen on 127.0.0.1:{port} (MNIST_HOST, MNIST_PORT): Address already in use"
    ]


def test_two_workers_answer_together(start_service: StartService) -> None:
    service = start_service(MNIST_WORKERS="2").wait_until_ready()

    with ThreadPoolExecutor(8) as clients:
        replies = list(clients.map(lambda _: service.client.post("/predict", **RAW), range(100)))

    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.text for reply in replies}) == 1
    service.wait_for_line(r"(?s)serving mnist-dense.*(serving mnist-dense)")
    registry = [
        child
        for child in psutil.Process(service.process.pid).children()
        if any("onnxruntime" in mapped.path for mapped in child.memory_maps())
    ]
    assert len(registry) == 2


@pytest.mark.parametrize("workers", [pytest.param("1", id="one worker"), pytest.param("2", id="two workers")])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_without_a_traceback(
    start_service: StartService, workers: str, number: signal.Signals
) -> None:
    service = start_service(MNIST_WORKERS=workers).wait_until_ready()

    service.process.send_signal(number)
    code = service.process.wait(timeout=20)

    assert code == 0
    assert "Traceback" not in service.log.read_text()


def test_an_idle_connection_is_kept_and_used_again(service: Service) -> None:
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        for pause in (0, 6):  # uvicorn's own default closes it after 5 s; usual proxies keep theirs for 60
            time.sleep(pause)
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            reply = b""
            while not reply.endswith(b"}"):
                reply += connection.recv(1000)
            assert reply.startswith(b"HTTP/1.1 200 OK\r\n")


def test_the_fast_loop_and_parser_are_in_use(service: Service) -> None:
    mapped = {Path(mapped.path).parent.name for mapped in psutil.Process(service.process.pid).memory_maps()}

    assert {"uvloop", "parser"} & mapped == {"uvloop", "parser"}


def test_uvicorn_starts_it_too(start_service: StartService) -> None:
    command = [sys.executable, "-m", "uvicorn", "--factory", "app.main:create_app", "--port", "0"]

    service: Service = start_service(command).wait_until_ready()

    assert service.client.post("/predict", **RAW).status_code == 200


def test_a_bad_setting_is_one_line_for_uvicorn_too() -> None:
    ended = fresh_python(
        "-m", "uvicorn", "--factory", "app.main:create_app", "--port", "0", environment={"MNIST_MAX_BATCH": "x"}
    )

    assert ended.returncode == 1
    assert "MNIST_MAX_BATCH" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_the_healthcheck_says_whether_the_service_is_ready(start_service: StartService) -> None:
    service = start_service().wait_until_ready()
    port = service.url.rsplit(":", 1)[1]

    while_up = fresh_python("-m", "app.healthcheck", environment={"MNIST_PORT": port})
    service.stop()
    once_down = fresh_python("-m", "app.healthcheck", environment={"MNIST_PORT": port})

    assert (while_up.returncode, while_up.stdout) == (0, '{"status":"ready"}\n')
    assert once_down.returncode == 1
    assert f"no answer on port {port}" in once_down.stdout
