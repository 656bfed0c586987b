"""Probes report the true state: with a missing or damaged model the service runs, and says why it is not ready."""

import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from app.openapi.example_pictures import EXAMPLES
from app.telemetry.probes import PROBES
from digits.model import artifact
from tests.app.conftest import Service, StartService, owned_bytes
from tests.conftest import SHIPPED_VERSION, publish_tiny

SEVEN = (EXAMPLES / "seven.bin").read_bytes()
RAW = {"content-type": "application/octet-stream"}
PHOTO = (EXAMPLES / "photo.jpg").read_bytes()
HTTP_PROBES = [path for path in PROBES if "." not in path]  # the others are gRPC calls


def test_a_service_with_a_model_is_alive_started_ready_and_healthy(service: Service) -> None:
    replies = {path: service.client.get(path) for path in ("/livez", "/startupz", "/readyz", "/health")}

    assert {path: reply.status_code for path, reply in replies.items()} == dict.fromkeys(replies, 200)
    assert replies["/health"].json() == {
        "status": "ready",
        "reason": None,
        "model": {"name": "mnist-dense", "version": SHIPPED_VERSION},
        "version": "0.1.0",
    }


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health", "/model", "/model/report/README.md", "/docs", "/"])
def test_head_is_answered_like_get_without_the_body(service: Service, path: str) -> None:
    whole, head = service.client.get(path), service.client.head(path)

    assert head.status_code == whole.status_code == 200
    assert head.headers["content-length"] == whole.headers["content-length"] != "0"
    assert head.headers["content-type"] == whole.headers["content-type"]
    assert head.content == b""


@pytest.mark.parametrize(("path", "allowed"), [("/livez", "GET, HEAD"), ("/", "GET, HEAD"), ("/predict", "POST")])
def test_a_wrong_method_gets_a_list_of_allowed_ones(service: Service, path: str, allowed: str) -> None:
    assert service.client.delete(path).headers["allow"] == allowed


def test_without_a_model_the_service_is_unready_until_one_is_published(
    start_service: StartService, bare_checkout: Path, tmp_path: Path
) -> None:
    root = tmp_path / "volume"
    service = start_service(MNIST_MODEL_DIR=str(root), cwd=str(bare_checkout))
    service.wait_for_status("/livez", 200)
    before = {path: service.client.get(path) for path in ("/startupz", "/readyz", "/health", "/model")}
    refused = service.client.post("/predict", content=SEVEN, headers=RAW)
    refused_early = statuses_before_the_body(service)

    made = publish_tiny(root).manifest
    service.wait_until_ready()

    assert {reply.status_code for reply in before.values()} == {503}
    assert f"no usable version of mnist-dense in {root}" in before["/readyz"].json()["reason"]
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "2"
    assert refused.headers["content-type"] == "application/problem+json"
    assert set(refused_early.values()) == {(503, True)}
    assert service.client.get("/startupz").status_code == 200
    assert service.client.get("/model").json()["version"] == made.version


def statuses_before_the_body(service: Service) -> dict[str, tuple[int, bool]]:
    """Return each path's status before it gets its body, and whether it names the reason, all over one connection."""
    connection = HTTPConnection(service.url.removeprefix("http://"), timeout=10)
    connection.connect()
    connection.auto_open = 0  # a second connection would be an error
    statuses = {}
    for path in ("/predict", "/invocations", "/v1/models/mnist-dense:predict", "/v2/models/mnist-dense/infer"):
        connection.putrequest("POST", path)
        connection.putheader("Content-Length", "1000000")
        connection.endheaders()
        reply = connection.getresponse()
        statuses[path] = reply.status, b"no usable version" in reply.read()
        connection.send(b"0" * 1_000_000)
    connection.request("GET", "/livez")
    assert connection.getresponse().status == 200
    connection.close()
    return statuses


def test_a_damaged_newest_version_is_skipped_and_named_in_the_log(start_service: StartService, tmp_path: Path) -> None:
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


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that has answered one request of each kind, with an empty home folder."""
    folder = tmp_path_factory.mktemp("fresh")
    (folder / "home").mkdir()
    service = Service(folder / "service.log", {"HOME": str(folder / "home")}).wait_until_ready()
    for path in (*HTTP_PROBES, "/readyz?from=kubelet"):
        assert service.client.get(path).status_code == 200
    service.client.post("/predict", content=SEVEN, headers=RAW)
    service.client.post("/predict", content=PHOTO, headers={"content-type": "image/jpeg"})
    yield service
    assert service.stop() == 0


def test_probes_are_not_in_the_access_log(fresh: Service) -> None:
    fresh.wait_for_line(r'("/predict")')

    log = fresh.log.read_text()

    assert not any(path in log for path in HTTP_PROBES)


def test_the_process_owns_little_memory(fresh: Service) -> None:
    # It is about 75 MB. With TensorFlow it would be 400.
    assert owned_bytes(fresh) < 200e6


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists the files that a process has loaded")
def test_the_process_has_loaded_onnxruntime_and_not_tensorflow(fresh: Service) -> None:
    loaded = Path(f"/proc/{fresh.process.pid}/maps").read_text()

    assert "onnxruntime" in loaded
    assert "tensorflow" not in loaded


def test_nothing_is_written_to_the_home_folder(fresh: Service) -> None:
    time.sleep(1)  # ONNX Runtime's telemetry, if it were on, would write its device id within this time

    assert list((fresh.log.parent / "home").rglob("*")) == []
