"""Probes report the true state: without a model the service runs, and says why it is not ready."""

import pytest

from app.main import VERSION
from app.telemetry.access_log import PROBES
from tests.app.conftest import Service
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
