"""The process: listening, other servers, the healthcheck."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from socket import AF_APPLETALK, AF_INET

import grpc
import httpx
import pytest

from app.start import listen
from tests.app.conftest import UVICORN, Service, StartService, cases, grpc_channel
from tests.app.dialects import RAW
from tests.conftest import REPOSITORY, fresh_python, last_line

pytestmark = pytest.mark.slow


def test_a_port_in_use_is_one_clear_line(service: Service) -> None:
    ports = {"MNIST_PORT": str(service.port), "MNIST_GRPC_PORT": str(service.grpc_port)}

    for name, port in ports.items():
        ended = fresh_python("-m", "app", environment={"MNIST_PORT": "0", name: port})

        line = f"cannot listen on 127.0.0.1:{port} (MNIST_HOST, {name}): Address already in use"
        assert (ended.returncode, last_line(ended.stderr)) == (2, line)


def test_one_port_for_both_protocols_is_refused_in_one_line() -> None:
    ended = fresh_python("-m", "app", environment={"MNIST_PORT": "8901", "MNIST_GRPC_PORT": "8901"})

    line = "MNIST_PORT, MNIST_GRPC_PORT: expected two ports, received 8901 for both"
    assert (ended.returncode, last_line(ended.stderr)) == (2, line)


def test_during_the_start_nobody_else_can_listen_on_its_ports_and_clients_wait(start_service: StartService) -> None:
    service = start_service(MNIST_GRPC_PORT="0")

    for port in (service.port, service.grpc_port):
        with pytest.raises(SystemExit, match="Address already in use"):
            listen("127.0.0.1", port)
    assert service.client.get("/startupz").status_code == 200
    with grpc_channel(service) as channel:
        assert channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=20, wait_for_ready=True)


@cases(
    ("addresses", "expected"),
    {
        "two addresses": ([(AF_INET, "127.0.0.1"), (AF_INET, "127.0.0.2")], ["127.0.0.1", "127.0.0.2"]),
        "the same one twice": ([(AF_INET, "127.0.0.1"), (AF_INET, "127.0.0.1")], ["127.0.0.1"]),
        "one that this machine does not have": ([(AF_INET, "192.0.2.1"), (AF_INET, "127.0.0.1")], ["127.0.0.1"]),
        "a family that it does not have": ([(AF_INET, "127.0.0.1"), (AF_APPLETALK, "127.0.0.1")], ["127.0.0.1"]),
    },
)
def test_a_name_listens_on_one_port_of_each_of_its_addresses_that_this_machine_has(
    addresses: list[tuple[int, str]], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [(family, socket.SOCK_STREAM, 6, "", (address, 0)) for family, address in addresses]
    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

        listeners = listen("localhost", 0)

    names = [listener.getsockname() for listener in listeners]
    assert [address for address, _ in names] == expected
    assert len({port for _, port in names}) == 1
    for name, listener in zip(names, listeners, strict=True):
        socket.create_connection(name).close()
        listener.close()


def test_a_name_without_an_address_of_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found = (AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [found])

    with pytest.raises(SystemExit, match=r"cannot listen on example\.org:0 .*: Cannot assign requested address"):
        listen("example.org", 0)


def test_localhost_answers_both_protocols_on_each_of_its_addresses(start_service: StartService) -> None:
    service = start_service(MNIST_HOST="localhost", MNIST_GRPC_PORT="0").wait_until_ready()

    for listener in listen("localhost", 0):
        address = listener.getsockname()[0]
        listener.close()
        host = f"[{address}]" if ":" in address else address
        assert httpx.get(f"http://{host}:{service.port}/readyz").status_code == 200
        with grpc.insecure_channel(f"{host}:{service.grpc_port}") as channel:
            assert channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=20)
    environment = {"MNIST_HOST": "localhost", "MNIST_PORT": str(service.port)}
    assert fresh_python("-m", "app.healthcheck", environment=environment).returncode == 0


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
