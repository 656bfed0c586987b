"""The process: listening, signals, the healthcheck."""

import signal
import socket
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.openapi.example_pictures import EXAMPLES
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


@pytest.mark.parametrize("workers", [pytest.param("1", id="one worker"), pytest.param("2", id="two workers")])
def test_ctrl_c_ends_the_service_without_a_traceback(start_service: StartService, workers: str) -> None:
    service = start_service(MNIST_WORKERS=workers).wait_until_ready()

    service.process.send_signal(signal.SIGINT)
    code = service.process.wait(timeout=20)

    assert code == 0
    assert "Traceback" not in service.log.read_text()


def test_the_fast_loop_and_parser_are_in_use(service: Service) -> None:
    mapped = {Path(mapped.path).parent.name for mapped in psutil.Process(service.process.pid).memory_maps()}

    assert {"uvloop", "parser"} & mapped == {"uvloop", "parser"}


def test_uvicorn_can_serve_the_application(start_service: StartService) -> None:
    command = [sys.executable, "-m", "uvicorn", "--factory", "app.main:create_app", "--port", "0"]

    service: Service = start_service(command).wait_until_ready()

    assert service.client.post("/predict", **RAW).status_code == 200


def test_with_uvicorn_a_bad_setting_is_one_line_too() -> None:
    ended = fresh_python(
        "-m", "uvicorn", "--factory", "app.main:create_app", "--port", "0", environment={"MNIST_MAX_BATCH": "x"}
    )

    assert ended.returncode == 1
    assert "MNIST_MAX_BATCH" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_the_healthcheck_succeeds_while_the_service_is_ready(service: Service) -> None:
    port = service.url.rsplit(":", 1)[1]

    ended = fresh_python("-m", "app.healthcheck", environment={"MNIST_PORT": port})

    assert (ended.returncode, ended.stdout) == (0, '{"status":"ready"}\n')


def test_the_healthcheck_fails_without_a_service() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])

    ended = fresh_python("-m", "app.healthcheck", environment={"MNIST_PORT": port})

    assert ended.returncode == 1
    assert f"no reply on port {port}" in ended.stdout
