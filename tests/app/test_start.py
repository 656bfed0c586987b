"""The process: listening, other servers, the healthcheck."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.app.conftest import UVICORN, Service, StartService
from tests.app.dialects import RAW
from tests.conftest import REPOSITORY, fresh_python, last_line

pytestmark = pytest.mark.slow


def test_a_port_in_use_is_one_clear_line(service: Service) -> None:
    ports = {"MNIST_PORT": str(service.port), "MNIST_GRPC_PORT": service.grpc_target.rpartition(":")[2]}

    for name, port in ports.items():
        ended = fresh_python("-m", "app", environment={"MNIST_PORT": "0", name: port})

        line = f"cannot listen on 127.0.0.1:{port} (MNIST_HOST, {name}): Address already in use"
        assert (ended.returncode, last_line(ended.stderr)) == (2, line)


def test_a_service_whose_log_nobody_reads_answers_counts_the_dropped_lines_and_stops(
    tmp_path: Path, start_service: StartService
) -> None:
    os.mkfifo(log := tmp_path / "log")
    unread = os.open(log, os.O_RDWR)  # until the end, so that the service can open it
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["sh", "-c", f"echo http://127.0.0.1:{port}; exec {sys.executable} -m app 2>{log}"]
    service = start_service(command, MNIST_PORT=str(port)).wait_until_ready()

    statuses = {service.client.get("/" + 3000 * "a").status_code for _ in range(500)}

    assert statuses == {404}
    (dropped,) = re.findall(r"\ndigits_log_lines_dropped_total (.*)", service.client.get("/metrics").text)
    assert 50 < float(dropped) < 450  # a megabyte is kept
    service.process.terminate()
    assert service.process.wait(30) == 0
    os.close(unread)


def test_uvicorn_can_serve_the_application_below_a_prefix_and_without_grpc(start_service: StartService) -> None:
    command = [*UVICORN, "--root-path", "/digits"]

    service = start_service(command, MNIST_ROOT_PATH="/digits", MNIST_GRPC_PORT="0").wait_until_ready()

    for prefix in ("", "/digits"):
        assert service.client.get(f"{prefix}/docs/assets/favicon.png").status_code == 200
        assert service.client.post(f"{prefix}/predict", **RAW).status_code == 200
    service.wait_for_line("(gRPC is off: only `digits serve` and `python -m app` open MNIST_GRPC_PORT)")


def test_ctrl_c_during_the_start_ends_the_process_well() -> None:
    environment = os.environ | {"MNIST_PORT": "0", "MNIST_LOG_FORMAT": "text"}
    command = [sys.executable, "-m", "app"]
    with subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as service:
        assert service.stderr is not None
        assert "http://127.0.0.1:" in service.stderr.readline()
        time.sleep(0.3)
        os.killpg(service.pid, signal.SIGINT)
        rest = service.stderr.read()

    assert service.returncode == 0, rest
    assert "Traceback" not in rest


def test_the_healthcheck_succeeds_while_the_service_is_ready(service: Service) -> None:
    ended = fresh_python("-m", "app.healthcheck", environment={"mnist_port": str(service.port)})

    assert (ended.returncode, ended.stdout) == (0, '{"status":"ready"}\n')


def test_the_healthcheck_fails_without_a_service() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])

    ended = fresh_python("-m", "app.healthcheck", environment={"MNIST_PORT": port})

    assert ended.returncode == 1
    assert f"no reply on port {port}" in ended.stdout
