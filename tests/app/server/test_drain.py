"""A service that is told to stop is unready at once, still answers requests, and loses none."""

import re
import signal
import time
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from tests.app.conftest import UVICORN, Service, StartService, grpc_channel
from tests.app.dialects import RAW, triton_grpc
from tests.load import REFUSED, GrpcClient, HttpClient, Load

pytestmark = pytest.mark.slow

HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: 784\r\n\r\n"


def clients_of(service: Service) -> Iterator[HttpClient | GrpcClient]:
    """Return three clients that keep their connection, three that open one for each request, and three of gRPC."""
    for _ in range(3):
        for keeps in (True, False):
            yield HttpClient(HTTPConnection("127.0.0.1", service.port, timeout=20), keeps=keeps)
        yield GrpcClient(grpc_channel(service, ("grpc.use_local_subchannel_pool", 1)))  # on a separate connection


def test_no_request_is_lost_by_clients_that_heed_readiness(start_service: StartService) -> None:
    service = start_service(MNIST_DRAIN_SECONDS="2", MNIST_GRPC_PORT="0").wait_until_ready()
    load = Load(clients_of(service), pause_seconds=0.01)

    with service.connect() as slow:
        with load.running():
            load.wait_for(200)
            slow.sendall(HEAD + RAW["content"][:100])
            load.wait_for(50)
            service.process.send_signal(signal.SIGTERM)
            service.wait_for_status("/readyz", 503)
            time.sleep(1)
        slow.sendall(RAW["content"][100:])
        begun = b"".join(iter(lambda: slow.recv(65536), b""))
    code = service.process.wait(timeout=30)

    assert load.outcomes.keys() == {"200", "OK"}, load.outcomes
    assert begun.startswith(b"HTTP/1.1 200 OK\r\n")
    log = service.log.read_text()
    # The reply to every call has reached its client.
    assert load.outcomes["OK"] == len(re.findall(r'"path":"\S+/ModelInfer",.*"status":200', log))
    assert code == 0
    assert "Traceback" not in log


def test_a_client_that_ignores_readiness_loses_at_most_one_request(start_service: StartService) -> None:
    service = start_service(MNIST_GRPC_PORT="0").wait_until_ready()
    load = Load(clients_of(service), pause_seconds=0.01, until_refused=True)

    with load.running():
        load.wait_for(200)
        service.process.send_signal(signal.SIGINT)
        code = service.process.wait(timeout=30)

    # A call that arrives at the very end may be cancelled before the service sees it.
    lost = load.outcomes.total() - sum(
        load.outcomes[each] for each in ("200", "OK", REFUSED, "UNAVAILABLE", "CANCELLED")
    )
    assert lost <= 6, load.outcomes
    assert code == 0
    assert "Traceback" not in service.log.read_text()


@pytest.mark.parametrize("command", [None, UVICORN], ids=["python -m app", "uvicorn"])
def test_a_draining_service_is_unready_and_answers_until_another_signal(
    start_service: StartService, command: list[str] | None
) -> None:
    settings = {"MNIST_DRAIN_SECONDS": "60", "MNIST_GRPC_PORT": "0"}
    service = start_service(command, **settings).wait_until_ready()
    assert "connection" not in service.client.get("/livez").headers

    service.process.send_signal(signal.SIGTERM)
    unready = service.wait_for_status("/readyz", 503)
    answer = service.client.post("/predict", **RAW)
    alive = service.client.get("/livez")
    if command is None:
        with triton_grpc().InferenceServerClient(service.grpc_target) as client:
            assert (client.is_server_ready(), client.is_server_live()) == (False, True)
    service.wait_for(lambda: "digits_ready 0.0" in service.client.get("/metrics").text, "digits_ready 0.0")
    service.process.send_signal(signal.SIGTERM)
    code = service.process.wait(timeout=10)

    assert unready.json() == {"status": "unready", "reason": "draining: the service stops"}
    assert (answer.status_code, answer.json()["digit"]) == (200, 7)
    assert alive.status_code == 200
    assert {reply.headers["connection"] for reply in (unready, answer, alive)} == {"close"}
    assert code == 128 + signal.SIGTERM
