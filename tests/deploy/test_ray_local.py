"""`make scale` answers as the service without Ray, is reachable from this machine only, and stops when asked."""

import json
import re
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from app.openapi.example_pictures import EXAMPLES
from tests.app.conftest import Service
from tests.conftest import fresh_python
from tests.deploy.cluster import PATIENCE_SECONDS, wait_until

SEVEN = (EXAMPLES / "seven.bin").read_bytes()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Start what `make scale` starts, on a free port."""
    log = tmp_path_factory.mktemp("ray") / "service.log"
    environment = {"RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1"}
    command = [sys.executable, "-m", "deploy.ray.local"]
    service = Service(log, environment, command, start_seconds=PATIENCE_SECONDS)
    yield service
    processes = [psutil.Process(service.process.pid), *psutil.Process(service.process.pid).children(recursive=True)]
    assert service.stop() == 0, log.read_text()
    _, left = psutil.wait_procs(processes, timeout=PATIENCE_SECONDS)
    assert [process for process in left if process.status() != psutil.STATUS_ZOMBIE] == []
    assert "Traceback" not in log.read_text(), log.read_text()


def json_request(method: str, path: str, body: Any = None) -> tuple[str, str, dict[str, Any]]:
    return method, path, {} if body is None else {"json": body}


def raw_request(
    path: str, body: bytes, content_type: str = "application/octet-stream"
) -> tuple[str, str, dict[str, Any]]:
    return "POST", path, {"content": body, "headers": {"content-type": content_type}}


PHOTO = (EXAMPLES / "photo.jpg").read_bytes()
FEATURES = [value / 255 for value in SEVEN]
TENSOR = {"name": "features", "datatype": "FP32", "shape": [1, 784], "data": FEATURES}

REQUESTS = [
    json_request("POST", "/predict", {"pixels": list(SEVEN)}),
    raw_request("/predict?include=pixels,saliency&coverage=0.9", SEVEN),
    raw_request("/predict", SEVEN * 3),
    raw_request("/predict", PHOTO, "image/jpeg"),
    ("POST", "/predict", {"files": [("file", ("1.jpg", PHOTO, "image/jpeg"))] * 2}),
    raw_request("/predict", bytes(784)),
    raw_request("/predict", b"{", "application/json"),
    json_request("GET", "/predict"),
    json_request("GET", "/nothing"),
    json_request("HEAD", "/"),
    json_request("GET", "/"),
    json_request("GET", "/page/main.js"),
    json_request("GET", "/model"),
    json_request("GET", "/model/card"),
    json_request("GET", "/model/versions"),
    json_request("GET", "/readyz"),
    json_request("GET", "/openapi.json"),
    json_request("GET", "/v2/models/mnist-dense"),
    json_request("POST", "/v2/models/mnist-dense/infer", {"inputs": [TENSOR]}),
    json_request("POST", "/v2/models/mnist-dense/infer", {"inputs": []}),
    json_request("POST", "/v1/models/mnist-dense:predict", {"instances": [FEATURES]}),
    json_request("GET", "/v1/models/mnist-dense"),
    json_request("POST", "/invocations", {"instances": [FEATURES]}),
]


def test_every_endpoint_answers_as_without_ray(local: Service, service: Service) -> None:
    for method, path, request in REQUESTS:
        request["headers"] = {**request.get("headers", {}), "X-Request-ID": "mine"}

        with_ray, without_ray = (each.client.request(method, path, **request) for each in (local, service))

        assert (with_ray.status_code, with_ray.content) == (without_ray.status_code, without_ray.content), path
        expected = {name: value for name, value in without_ray.headers.items() if name not in ("date", "server")}
        assert {name: value for name, value in with_ray.headers.items() if name in expected} == expected, path


def test_a_client_that_disconnects_is_counted_as_499_and_never_as_500(local: Service) -> None:
    host, port = local.url.removeprefix("http://").split(":")
    # A batch of 1000 pictures to normalize, which takes about a second.
    head = f"POST /predict?normalize=always HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/octet-stream\r\n"
    request = f"{head}Content-Length: {1000 * len(SEVEN)}\r\n\r\n".encode() + 1000 * SEVEN

    def disconnect() -> bool:
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(request)
            time.sleep(0.2)
        return 499 in logged_statuses(local)

    wait_until(disconnect, "the service notices that a client disconnected")

    metrics = local.client.get("/metrics").text
    counted = re.findall(r'^digits_request_seconds_count{.*route="/predict",status="(\d+)"', metrics, re.MULTILINE)
    assert "499" in counted
    assert "500" not in counted
    assert 500 not in logged_statuses(local)


def logged_statuses(service: Service) -> set[int]:
    """Return the statuses of `/predict` in the access log, which Ray copies to its own output."""
    lines = [json.loads(line) for line in re.findall(r"{.*}", service.log.read_text())]
    return {line["status"] for line in lines if line.get("route") == "/predict"}


def test_a_local_clusters_internal_ports_listen_on_127_0_0_1_only(local: Service) -> None:
    root = psutil.Process(local.process.pid)

    addresses = {
        connection.laddr.ip.removeprefix("::ffff:")
        for process in [root, *root.children(recursive=True)]
        if re.search("gcs_server|raylet|dashboard|Agent", " ".join(process.cmdline()))
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }

    assert addresses == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"MNIST_PORT": "seven"}, "digits: MNIST_PORT: .*integer", id="a bad setting"),
        pytest.param({"MNIST_HOST": "192.0.2.77"}, "digits: cannot listen on 192.0.2.77", id="a foreign address"),
    ],
)
def test_a_bad_setting_is_one_line_before_ray_starts(settings: dict[str, str], message: str) -> None:
    process = fresh_python("-m", "deploy.ray.local", environment=settings)

    assert process.returncode == 1
    assert re.fullmatch(message + ".*\n", process.stderr), process.stderr
