"""A service that is told to stop is unready at once, still answers requests, and loses none."""

import re
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import httpx
import psutil
import pytest

from tests.app.conftest import Service, StartService, grpc_channel
from tests.app.dialects import RAW, triton_grpc
from tests.load import REFUSED, GrpcClient, HttpClient, Load

pytestmark = pytest.mark.slow

HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: 784\r\n\r\n"


def ended(service: Service) -> int:
    return service.process.wait(timeout=30)


def wait_until_all_are_ready(service: Service, workers: int) -> None:
    service.wait_until_ready()
    service.wait_for_line(r"(?s)" + r"startup complete.*" * (workers - 1) + r"(startup complete)")


def clients_of(service: Service) -> Iterator[HttpClient | GrpcClient]:
    """Return three clients that keep their connection, three that open one for each request, and three of gRPC."""
    for _ in range(3):
        for keeps in (True, False):
            yield HttpClient(HTTPConnection("127.0.0.1", service.port, timeout=20), keeps=keeps)
        yield GrpcClient(grpc_channel(service, ("grpc.use_local_subchannel_pool", 1)))  # on a separate connection


@pytest.mark.parametrize(
    ("workers", "seconds", "signal_"),
    [
        pytest.param(1, "0", signal.SIGINT, id="one worker, at once, after Ctrl-C"),
        pytest.param(2, "1", signal.SIGTERM, id="two workers, after a second"),
    ],
)
def test_no_request_is_lost(start_service: StartService, workers: int, seconds: str, signal_: signal.Signals) -> None:
    service = start_service(MNIST_WORKERS=str(workers), MNIST_DRAIN_SECONDS=seconds, MNIST_GRPC_PORT="0")
    wait_until_all_are_ready(service, workers)
    children = psutil.Process(service.process.pid).children() if workers > 1 else []
    folders = {Path(child.environ().get("PROMETHEUS_MULTIPROC_DIR", "none")) for child in children}
    load = Load(clients_of(service), pause_seconds=0.01, until_refused=True)

    with load.running(), service.connect() as slow:
        load.wait_for(200)
        slow.sendall(HEAD + RAW["content"][:100])
        load.wait_for(50)
        service.process.send_signal(signal_)
        time.sleep(0.4)
        slow.sendall(RAW["content"][100:])
        begun = b"".join(iter(lambda: slow.recv(65536), b""))
        code = ended(service)

    # A call that arrives at the very end may be cancelled before the service sees it.
    assert load.outcomes.keys() <= {"200", "OK", REFUSED, "UNAVAILABLE", "CANCELLED"}, load.outcomes
    assert load.outcomes[REFUSED] == 6
    assert begun.startswith(b"HTTP/1.1 200 OK\r\n")
    if seconds == "0":  # otherwise, the connection may be used until the service stops
        assert b"connection: close\r\n" in begun
    log = service.log.read_text()
    # The reply to every call has reached its client.
    assert load.outcomes["OK"] == len(re.findall(r'"path":"\S+/ModelInfer",.*"status":200', log))
    assert code == 0
    assert "Traceback" not in log
    assert not any(folder.exists() for folder in folders)


@pytest.mark.parametrize("workers", [pytest.param(1, id="one worker"), pytest.param(2, id="two workers")])
def test_a_draining_service_is_unready_and_answers_until_another_signal(
    start_service: StartService, workers: int
) -> None:
    service = start_service(MNIST_WORKERS=str(workers), MNIST_DRAIN_SECONDS="60", MNIST_GRPC_PORT="0")
    wait_until_all_are_ready(service, workers)
    assert "connection" not in service.client.get("/livez").headers
    supervisor = psutil.Process(service.process.pid)
    processes = [*supervisor.children(), supervisor]

    for process in processes:  # as systemd does it, which must count as one signal
        process.send_signal(signal.SIGTERM)
    unready = service.wait_for_status("/readyz", 503)
    answer = service.client.post("/predict", **RAW)
    alive = service.client.get("/livez")
    with triton_grpc().InferenceServerClient(service.grpc_target) as client:
        is_ready, is_live = client.is_server_ready(), client.is_server_live()
    while "digits_ready 0.0" not in service.client.get("/metrics").text:
        time.sleep(0.02)
    service.process.send_signal(signal.SIGTERM)
    code = service.process.wait(timeout=10)

    assert unready.json() == {"status": "unready", "reason": "draining: the service stops"}
    assert (answer.status_code, answer.json()["digit"]) == (200, 7)
    assert alive.status_code == 200
    assert {reply.headers["connection"] for reply in (unready, answer, alive)} == {"close"}
    assert (is_ready, is_live) == (False, True)
    assert code == 128 + signal.SIGTERM
    _gone, left = psutil.wait_procs(processes, timeout=10)
    assert left == []


def test_workers_do_not_outlive_their_supervisor(start_service: StartService) -> None:
    service = start_service(MNIST_WORKERS="2")
    wait_until_all_are_ready(service, 2)
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
    wait_until_all_are_ready(service, 2)
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
