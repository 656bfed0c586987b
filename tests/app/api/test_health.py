"""Probes report the true state: without a model the service runs, and says why it is not ready."""

from http.client import HTTPConnection

import pytest

from app.main import VERSION
from app.telemetry.probes import PROBES
from tests.app.conftest import Service
from tests.app.dialects import HTTP
from tests.conftest import SHIPPED_VERSION

HTTP_PROBES = [path for path in PROBES if "." not in path]  # the others are gRPC calls


def test_a_service_with_a_model_is_alive_started_ready_and_healthy(service: Service) -> None:
    statuses = {path: service.client.get(path).status_code for path in (*HTTP_PROBES, "/readyz?from=kubelet")}

    assert statuses == dict.fromkeys(statuses, 200)
    assert service.client.get("/health").json() == {
        "status": "ready",
        "reason": None,
        "model": {"name": "mnist-dense", "version": SHIPPED_VERSION},
        "warnings": [],
        "version": VERSION,
    }


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health", "/model", "/model/report/README.md", "/docs", "/"])
def test_head_is_answered_like_get_without_the_body(service: Service, path: str) -> None:
    whole, head = service.client.get(path), service.client.head(path)

    assert head.status_code == whole.status_code == 200
    assert head.headers["content-length"] == whole.headers["content-length"] != "0"
    assert head.headers["content-type"] == whole.headers["content-type"]
    assert head.content == b""


def test_without_a_model_the_service_is_only_alive_and_says_why(modelless: Service) -> None:
    replies = {path: modelless.client.get(path) for path in (*HTTP_PROBES, "/model")}

    alive = {"/livez", "/v2/health/live"}
    assert {path: reply.status_code for path, reply in replies.items()} == {
        path: 200 if path in alive else 503 for path in replies
    }
    reason = replies["/readyz"].json()["reason"]
    assert "no usable version of mnist-dense in MNIST_MODEL_DIR; MNIST_MODEL_DIR/mnist-dense/" in reason
    assert modelless.environment["MNIST_MODEL_DIR"] not in reason


def test_a_connection_can_be_used_again_after_a_body_that_was_refused(modelless: Service) -> None:
    connection = HTTPConnection("127.0.0.1", modelless.port, timeout=10)
    connection.connect()
    connection.auto_open = 0  # a second connection would be an error

    statuses = []
    for dialect in HTTP:
        connection.putrequest("POST", dialect.path)
        connection.putheader("Content-Length", "1000000")
        connection.endheaders()
        reply = connection.getresponse()
        assert b"no usable version" in reply.read()
        statuses.append(reply.status)
        connection.send(b"0" * 1_000_000)
    connection.request("GET", "/livez")

    assert statuses == [503] * len(HTTP)
    assert connection.getresponse().status == 200
    connection.close()
