"""On Ray Serve the service answers as without Ray, and a lost node loses only its requests in work."""

import json
import re
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
import yaml

from app.openapi.example_pictures import EXAMPLES
from app.server.server import KEEP_ALIVE_SECONDS
from app.settings import Settings
from deploy.ray.local import SERVE_ENVIRONMENT
from tests.app.conftest import Service
from tests.conftest import REPOSITORY, Mnist, fresh_python, publish_tiny
from tests.deploy.cluster import PATIENCE_SECONDS, Cluster, Load, wait_until

CONFIG = yaml.safe_load((REPOSITORY / "deploy" / "ray" / "serve.yaml").read_text())

SEVEN = (EXAMPLES / "seven.bin").read_bytes()
RAW = {"content-type": "application/octet-stream"}
HUNDRED = SEVEN * 100
"""A body of more than 16 KB, which HAProxy does not repeat, and whose reply takes long enough to be interrupted."""


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


def raw_request(path: str, body: bytes, content_type: str = RAW["content-type"]) -> tuple[str, str, dict[str, Any]]:
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
    request = f"{head}Content-Length: {10 * len(HUNDRED)}\r\n\r\n".encode() + 10 * HUNDRED

    def disconnect() -> bool:
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(request)
            time.sleep(0.2)
        return 499 in logged_statuses(local)

    wait_until(disconnect, "the service notices that a client disconnected")

    metrics = local.client.get("/metrics").text
    counted = re.findall(r'^digits_request_seconds_count{route="/predict",status="(\d+)"', metrics, re.MULTILINE)
    assert "499" in counted
    assert "500" not in counted
    assert 500 not in logged_statuses(local)


def logged_statuses(service: Service) -> set[int]:
    """Return the statuses of `/predict` in the access log, which Ray copies to its own output."""
    lines = [json.loads(line) for line in re.findall(r"{.*}", service.log.read_text())]
    return {line["status"] for line in lines if line["route"] == "/predict"}


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


NOT_IN_THE_FILE = {"MNIST_HOST", "MNIST_PORT", "MNIST_WORKERS", "MNIST_DRAIN_SECONDS", "MNIST_API_KEYS"}
"""Settings that Serve ignores, or that must stay secret."""

READ = """
import json, sys
from ray.serve.schema import ServeDeploySchema
from deploy.ray.application import AUTOSCALING, app
configs = [ServeDeploySchema.model_validate(config) for config in json.loads(sys.argv[1])]
read = [config.model_dump(mode="json", exclude_unset=True) for config in configs]
print(json.dumps({"read": read, "autoscaling": AUTOSCALING, "name": app._bound_deployment.name}))
"""


def test_the_file_for_a_cluster_fits_rays_schema_and_the_code() -> None:
    misspelt = json.loads(json.dumps(CONFIG).replace("autoscaling_config", "autoscaling"))

    process = fresh_python(
        "-c", READ, json.dumps([CONFIG, misspelt]), environment={"RAY_USAGE_STATS_ENABLED": "0"}, timeout_seconds=120
    )

    assert process.returncode == 0, process.stderr
    code = json.loads(process.stdout)
    # Ray's schema drops fields that it does not know.
    assert code["read"][0] == CONFIG
    assert code["read"][1] != misspelt
    (application,) = CONFIG["applications"]
    (deployment,) = application["deployments"]
    assert deployment["name"] == code["name"]
    assert deployment["autoscaling_config"] == code["autoscaling"] | {"min_replicas": 2}
    assert application["import_path"] == "deploy.ray.application:app"
    assert CONFIG["http_options"]["keep_alive_timeout_s"] == KEEP_ALIVE_SECONDS
    assert CONFIG["http_options"]["port"] == Settings.model_fields["port"].default


def test_the_file_for_a_cluster_names_only_settings_that_apply_to_a_replica() -> None:
    settings = {f"MNIST_{field.upper()}" for field in Settings.model_fields}

    named = re.findall(r"MNIST_\w+", (REPOSITORY / "deploy" / "ray" / "serve.yaml").read_text())

    assert set(named) <= settings - NOT_IN_THE_FILE


def test_the_image_sets_the_same_variables_as_the_local_cluster() -> None:
    dockerfile = (REPOSITORY / "Dockerfile").read_text().replace("\\\n", " ")

    (line,) = re.findall(r"^ENV PYTHONPATH=.*$", dockerfile, re.MULTILINE)

    variables = {name: quoted or plain for name, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|(\S+))', line)}
    assert {name: value for name, value in variables.items() if name.startswith("RAY_SERVE_")} == SERVE_ENVIRONMENT


# The tests below share one cluster. Each begins with the replicas that the test before left, which saves starts.


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Return a folder with a path that is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[Cluster]:
    """Start a cluster of two nodes."""
    cluster = Cluster(folder)
    try:
        cluster.add_node()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="module")
def two_versions(folder: Path) -> dict[str, str]:
    """Publish two versions of another model, and return the settings that select the second."""
    for seed in (0, 1):
        publish_tiny(folder / "models", seed)
    return {"MNIST_MODEL_DIR": str(folder / "models"), "MNIST_MODEL_VERSION": "2"}


def test_replicas_on_two_nodes_answer_and_count_as_one_process_does(
    cluster: Cluster, service: Service, mnist: Mnist
) -> None:
    cluster.deploy({}, by_command=True, min_replicas=3, max_replicas=3)
    replicas = cluster.wait_until_healthy(3)
    pixels = mnist.pixels[::25]
    before = cluster.counted("digits_predictions_total")

    expected = [service.client.post("/predict", content=digit.tobytes(), headers=RAW).json() for digit in pixels]
    # HAProxy gives each new connection to the replica with the fewest.
    answers = [httpx.post(f"{cluster.url}/predict", content=digit.tobytes(), headers=RAW) for digit in pixels]

    assert len(set(replicas.values())) == 2
    assert {answer.status_code for answer in answers} == {200}
    np.testing.assert_allclose(
        [answer.json()["probabilities"] for answer in answers],
        [answer["probabilities"] for answer in expected],
        rtol=0, atol=1e-6,
    )  # fmt: skip
    wait_until(lambda: cluster.counted("digits_predictions_total") == before + len(pixels), "Ray counts all of them")
    pattern = r"^(digits_\w+)"
    names = set(re.findall(pattern, httpx.get(f"{cluster.url}/metrics").text, re.MULTILINE))
    assert names == set(re.findall(pattern, cluster.metrics().replace("\nray_digits", "\ndigits"), re.MULTILINE))


def test_a_lost_node_loses_only_its_requests_in_work(cluster: Cluster) -> None:
    cluster.deploy({}, min_replicas=3, max_replicas=3)
    before = cluster.wait_until_healthy(3)
    small, large = Load(cluster.port, SEVEN, clients=4), Load(cluster.port, HUNDRED, clients=4)

    with small.running(), large.running():
        wait_until(lambda: small.answered() > 200 and large.answered() > 50, "there is load")
        cluster.nodes.pop().kill()
        wait_until(lambda: len(cluster.alive()) == 1, "the head notices the loss")
        # The other node has cores for two. The third starts on a new node, as an autoscaler would add it.
        cluster.wait_until_running(2)
        cluster.add_node()
        after = cluster.wait_until_healthy(3)
        answered = small.answered()
        wait_until(lambda: small.answered() > answered + 200, "there is load on the new replica")

    assert len(set(before.values())) == len(set(after.values())) == 2
    assert (small.unanswered, large.unanswered) == (0, 0)
    # HAProxy repeats small requests itself. Each client has at most one large request in work.
    assert small.all_failures() == Counter()
    assert max(failures.total() for failures in large.failures) <= 1
    assert len(small.digits) == len(large.digits) == 1, "all answers are the same"


def test_replicas_stop_without_load_and_start_with_it(cluster: Cluster) -> None:
    cluster.deploy({}, min_replicas=3, max_replicas=3)
    before = cluster.wait_until_healthy(3)
    # A slow request, so that each replica holds more than eight, however many replicas there are.
    load = Load(cluster.port, HUNDRED, clients=32, path="/predict?normalize=always")

    cluster.deploy({}, min_replicas=1, max_replicas=3, upscale_delay_s=1, downscale_delay_s=3, look_back_period_s=3)
    idle = cluster.wait_until_healthy(1)
    with load.running():
        busy = cluster.wait_until_healthy(3)

    assert idle.keys() < before.keys()
    assert len(set(busy.values())) == 2
    assert (load.unanswered, load.all_failures()) == (0, Counter())


def test_a_rolling_update_to_another_version_loses_no_request(cluster: Cluster, two_versions: dict[str, str]) -> None:
    cluster.deploy({}, min_replicas=2, max_replicas=2)
    old = cluster.wait_until_healthy(2)
    load = Load(cluster.port, SEVEN, clients=4)

    with load.running():
        wait_until(lambda: load.answered() > 200, "there is load")
        cluster.deploy(two_versions, min_replicas=2, max_replicas=2)
        wait_until(lambda: not old.keys() & cluster.replicas().keys(), "the old replicas are gone")
        cluster.wait_until_healthy(2)
        old_answers, new_answers = load.versions["1"], load.versions["2"]
        wait_until(lambda: load.versions["2"] > new_answers + 200, "the new version answers")

    assert load.versions.keys() == {"1", "2"}
    assert load.versions["1"] == old_answers, "the old version does not answer any more"
    assert (load.unanswered, load.all_failures()) == (0, Counter())


def test_a_version_that_cannot_start_leaves_the_old_replicas_and_a_reason(
    cluster: Cluster, two_versions: dict[str, str]
) -> None:
    cluster.deploy(two_versions, min_replicas=2, max_replicas=2)
    old = cluster.wait_until_healthy(2)

    cluster.deploy(two_versions | {"MNIST_MODEL_VERSION": "9"}, min_replicas=2, max_replicas=2)
    wait_until(lambda: "MNIST_MODEL_VERSION is 9" in str(cluster.application()), "Serve reports the reason")

    assert cluster.replicas() == old
    assert httpx.post(f"{cluster.url}/predict", content=SEVEN, headers=RAW).headers["X-Model-Version"] == "2"
