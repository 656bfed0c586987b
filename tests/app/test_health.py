"""Probes tell the truth: a missing or damaged model is a state with a reason, not a crash."""

import time
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest

from app.openapi.example_pictures import EXAMPLES
from app.telemetry.probes import PROBES
from digits import artifact
from tests.app.conftest import Service, StartService
from tests.conftest import publish_tiny

SEVEN = (EXAMPLES / "seven.bin").read_bytes()
PHOTO = (EXAMPLES / "photo.jpg").read_bytes()


def test_a_service_with_a_model_is_alive_started_ready_and_healthy(service: Service) -> None:
    replies = {path: service.client.get(path) for path in ("/livez", "/startupz", "/readyz", "/health")}

    assert {path: reply.status_code for path, reply in replies.items()} == dict.fromkeys(replies, 200)
    assert replies["/health"].json() == {
        "status": "ready",
        "reason": None,
        "model": {"name": "mnist-dense", "version": 1},
        "version": "0.1.0",
    }


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health", "/model", "/model/report/README.md", "/docs", "/"])
def test_head_is_answered_as_get_is_but_for_the_body(service: Service, path: str) -> None:
    whole, head = service.client.get(path), service.client.head(path)

    assert head.status_code == whole.status_code == 200
    assert head.headers["content-length"] == whole.headers["content-length"] != "0"
    assert head.headers["content-type"] == whole.headers["content-type"]
    assert head.content == b""


@pytest.mark.parametrize(("path", "allowed"), [("/livez", "GET, HEAD"), ("/", "GET, HEAD"), ("/predict", "POST")])
def test_a_wrong_method_is_told_all_right_ones(service: Service, path: str, allowed: str) -> None:
    assert service.client.delete(path).headers["allow"] == allowed


def test_without_a_model_the_service_lives_says_why_and_becomes_ready_when_one_lands(
    start_service: StartService, bare_checkout: Path, tmp_path: Path
) -> None:
    root = tmp_path / "volume"
    service = start_service(MNIST_MODEL_DIR=str(root), cwd=str(bare_checkout))
    service.wait_for_status("/livez", 200)
    before = {path: service.client.get(path) for path in ("/startupz", "/readyz", "/health", "/model")}
    refused = service.client.post("/predict", content=SEVEN, headers={"content-type": "application/octet-stream"})

    made = publish_tiny(root).manifest
    service.wait_until_ready()

    assert {reply.status_code for reply in before.values()} == {503}
    assert f"no usable version of mnist-dense in {root}" in before["/readyz"].json()["reason"]
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "2"
    assert refused.headers["content-type"] == "application/problem+json"
    assert service.client.get("/startupz").status_code == 200
    assert service.client.get("/model").json()["version"] == made.version


def test_without_a_model_a_body_is_refused_before_it_comes_and_the_connection_stays(
    start_service: StartService, bare_checkout: Path
) -> None:
    service = start_service(cwd=str(bare_checkout))
    service.wait_for_status("/livez", 200)
    connection = HTTPConnection(service.url.removeprefix("http://"), timeout=10)
    connection.connect()
    connection.auto_open = 0  # a second connection would be an error
    paths = ["/predict", "/invocations", "/v1/models/mnist-dense:predict", "/v2/models/mnist-dense/infer"]
    refused = {}

    for path in paths:
        connection.putrequest("POST", path)
        connection.putheader("Content-Length", "1000000")
        connection.endheaders()
        reply = connection.getresponse()
        refused[path] = reply.status, b"no usable version" in reply.read()
        connection.send(b"0" * 1_000_000)
    connection.request("GET", "/livez")

    assert connection.getresponse().status == 200
    assert refused == dict.fromkeys(paths, (503, True))
    connection.close()


def test_a_damaged_newest_version_is_passed_over_and_named_in_the_log(
    start_service: StartService, tmp_path: Path
) -> None:
    root = tmp_path / "models"
    good = publish_tiny(root, 0)
    bad = publish_tiny(root, 1)
    (bad.folder / artifact.MODEL).write_bytes(b"half a mod")

    service = start_service(MNIST_MODEL_DIR=str(root)).wait_until_ready()

    assert service.client.get("/health").json()["model"]["version"] == good.manifest.version
    refusals = [line for line in service.log.read_text().splitlines() if "not used" in line]
    assert len(refusals) == 1
    assert str(bad.folder / artifact.MODEL) in refusals[0]
    assert bad.manifest.files[artifact.MODEL] in refusals[0]


def test_an_empty_model_folder_falls_back_to_the_shipped_model(start_service: StartService, tmp_path: Path) -> None:
    service = start_service(MNIST_MODEL_DIR=str(tmp_path / "empty")).wait_until_ready()

    assert service.client.get("/model").json()["dataset"]["name"] == "mnist"


def test_probes_are_not_in_the_access_log(start_service: StartService) -> None:
    service = start_service().wait_until_ready()

    for path in (*PROBES, "/readyz?from=kubelet", "/model"):
        assert service.client.get(path).status_code == 200

    service.wait_for_line(r'("/model")')
    log = service.log.read_text()
    assert not any(path in log for path in PROBES)


def test_the_process_is_small_and_has_no_tensorflow(start_service: StartService) -> None:
    service = start_service().wait_until_ready()
    service.client.post("/predict", content=SEVEN, headers={"content-type": "application/octet-stream"})
    service.client.post("/predict", content=PHOTO, headers={"content-type": "image/jpeg"})

    process = psutil.Process(service.process.pid)

    assert process.memory_info().rss < 140e6
    mapped = Path(f"/proc/{process.pid}/maps")
    if mapped.exists():
        assert "onnxruntime" in mapped.read_text()
        assert "tensorflow" not in mapped.read_text()


def test_nothing_is_written_to_the_home_folder(start_service: StartService, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    service = start_service(HOME=str(home)).wait_until_ready()

    service.client.post("/predict", content=SEVEN, headers={"content-type": "application/octet-stream"})
    time.sleep(1)  # telemetry, were it on, would write its device id within this

    assert list(home.rglob("*")) == []
