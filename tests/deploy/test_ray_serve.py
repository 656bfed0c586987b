"""On Ray Serve it is the same service, on several nodes; a node that is lost takes only what it had in hand."""

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
from deploy.ray.local import SERVE
from tests.app.conftest import Service
from tests.conftest import REPOSITORY, Mnist, fresh_python, publish_tiny
from tests.deploy.cluster import Cluster, Load, until

CONFIG = yaml.safe_load((REPOSITORY / "deploy" / "ray" / "serve.yaml").read_text())

SEVEN = (EXAMPLES / "seven.bin").read_bytes()
RAW = {"content-type": "application/octet-stream"}
MANY = SEVEN * 100
"""So long a request that some are always in hand."""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """With a short path, for the sockets in it."""
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[Cluster]:
    cluster = Cluster(folder)
    try:
        cluster.add_node()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """What `make scale` starts, on a free port."""
    log = tmp_path_factory.mktemp("ray") / "service.log"
    drain = {"RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1"}
    service = Service(log, drain, [sys.executable, "-m", "deploy.ray.local"], start_seconds=120)
    yield service
    processes = [psutil.Process(service.process.pid), *psutil.Process(service.process.pid).children(recursive=True)]
    assert service.stop() == 0, log.read_text()
    _, left = psutil.wait_procs(processes, timeout=30)
    assert [process for process in left if process.status() != psutil.STATUS_ZOMBIE] == []
    assert "Traceback" not in log.read_text(), log.read_text()


def test_every_way_in_is_as_without_ray(local: Service, service: Service) -> None:
    pixels = list(SEVEN)
    drawing = (EXAMPLES / "photo.jpg").read_bytes()
    features = [value / 255 for value in pixels]
    tensor = {"name": "features", "datatype": "FP32", "shape": [1, 784], "data": features}
    ways: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/predict", {"json": {"pixels": pixels}}),
        ("POST", "/predict?include=pixels,saliency&coverage=0.9", {"content": SEVEN, "headers": RAW}),
        ("POST", "/predict", {"content": SEVEN * 3, "headers": RAW}),
        ("POST", "/predict", {"content": drawing, "headers": {"content-type": "image/jpeg"}}),
        ("POST", "/predict", {"files": [("file", ("1.jpg", drawing, "image/jpeg"))] * 2}),
        ("POST", "/predict", {"content": bytes(784), "headers": RAW}),
        ("POST", "/predict", {"content": b"{", "headers": {"content-type": "application/json"}}),
        ("GET", "/predict", {}),
        ("GET", "/nothing", {}),
        ("HEAD", "/", {}),
        ("GET", "/", {}),
        ("GET", "/page/main.js", {}),
        ("GET", "/model", {}),
        ("GET", "/model/card", {}),
        ("GET", "/model/versions", {}),
        ("GET", "/readyz", {}),
        ("GET", "/openapi.json", {}),
        ("GET", "/v2/models/mnist-dense", {}),
        ("POST", "/v2/models/mnist-dense/infer", {"json": {"inputs": [tensor]}}),
        ("POST", "/v2/models/mnist-dense/infer", {"json": {"inputs": []}}),
        ("POST", "/v1/models/mnist-dense:predict", {"json": {"instances": [features]}}),
        ("GET", "/v1/models/mnist-dense", {}),
        ("POST", "/invocations", {"json": {"instances": [features]}}),
    ]

    for method, path, request in ways:
        request["headers"] = {**request.get("headers", {}), "X-Request-ID": "mine"}

        there, here = (each.client.request(method, path, **request) for each in (local, service))

        assert (there.status_code, there.content) == (here.status_code, here.content), (method, path)
        ours = {name: value for name, value in here.headers.items() if name not in ("date", "server")}
        theirs = {name: value for name, value in there.headers.items() if name in ours}
        assert theirs == ours, (method, path)


def test_who_goes_away_is_no_error_of_ours(local: Service) -> None:
    host, port = local.url.removeprefix("http://").split(":")
    # A second's work.
    head = f"POST /predict?normalize=always HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/octet-stream\r\n"
    request = f"{head}Content-Length: {10 * len(MANY)}\r\n\r\n".encode() + 10 * MANY

    def leaves() -> bool:
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(request)
            time.sleep(0.2)
        return 499 in logged_statuses(local)

    until(leaves, "one was noticed to leave")
    told = local.client.get("/metrics").text
    counted = re.findall(r'^digits_request_seconds_count{route="/predict",status="(\d+)"', told, re.MULTILINE)
    assert "499" in counted
    assert "500" not in counted
    assert 500 not in logged_statuses(local)


def logged_statuses(service: Service) -> set[int]:
    """Of the requests to `/predict` in its access log, which Ray copies to its own output."""
    lines = [json.loads(line) for line in re.findall(r"{.*}", service.log.read_text())]
    return {line["status"] for line in lines if line["route"] == "/predict"}


def test_what_ray_says_to_itself_stays_on_this_machine(local: Service) -> None:
    ours = psutil.Process(local.process.pid)

    listening = {
        connection.laddr.ip.removeprefix("::ffff:")
        for process in [ours, *ours.children(recursive=True)]
        if re.search("gcs_server|raylet|dashboard|Agent", " ".join(process.cmdline()))
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }

    assert listening == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        pytest.param({"MNIST_PORT": "seven"}, "digits: MNIST_PORT: .*integer", id="a bad setting"),
        pytest.param({"MNIST_HOST": "192.0.2.77"}, "digits: cannot listen on 192.0.2.77", id="no address of ours"),
    ],
)
def test_what_cannot_start_says_so_in_a_line_before_ray_starts(settings: dict[str, str], says: str) -> None:
    ran = fresh_python("-m", "deploy.ray.local", environment=settings)

    assert ran.returncode == 1
    assert re.fullmatch(says + ".*\n", ran.stderr), ran.stderr


ELSEWHERE = {"MNIST_HOST", "MNIST_PORT", "MNIST_WORKERS", "MNIST_DRAIN_SECONDS", "MNIST_API_KEYS"}
"""Settings that mean nothing in a Serve config, or are not to be told to who may read it."""

READ = """
import json, sys
from ray.serve.schema import ServeDeploySchema
from deploy.ray.application import AUTOSCALING, app
read = ServeDeploySchema.model_validate_json(sys.argv[1]).model_dump(mode="json", exclude_unset=True)
print(json.dumps([read, AUTOSCALING, app._bound_deployment.name]))
"""


def read_by_ray(config: dict[str, Any]) -> Any:
    """A Serve config as Ray's schema has it, what the code says of scaling, and what it calls the deployment."""
    ran = fresh_python("-c", READ, json.dumps(config), environment={"RAY_USAGE_STATS_ENABLED": "0"})
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_the_file_for_a_cluster_is_as_ray_wants_it_and_as_the_code_is() -> None:
    read, autoscaling, name = read_by_ray(CONFIG)

    assert read == CONFIG, "Ray's schema drops what it does not know"
    (application,) = CONFIG["applications"]
    (deployment,) = application["deployments"]
    assert deployment["name"] == name
    assert deployment["autoscaling_config"] == autoscaling | {"min_replicas": 2}
    assert application["import_path"] == "deploy.ray.application:app"
    assert CONFIG["http_options"]["keep_alive_timeout_s"] == KEEP_ALIVE_SECONDS
    assert CONFIG["http_options"]["port"] == Settings.model_fields["port"].default
    settings = {f"MNIST_{field.upper()}" for field in Settings.model_fields}
    written = re.findall(r"MNIST_\w+", (REPOSITORY / "deploy" / "ray" / "serve.yaml").read_text())
    assert set(written) <= settings - ELSEWHERE


def test_a_misspelt_word_in_it_would_be_noticed() -> None:
    misspelt = json.loads(json.dumps(CONFIG).replace("autoscaling_config", "autoscaling"))

    read, *_ = read_by_ray(misspelt)

    assert read != misspelt


def test_the_image_tells_serve_what_the_local_cluster_does() -> None:
    dockerfile = (REPOSITORY / "Dockerfile").read_text().replace("\\\n", " ")

    (line,) = re.findall(r"^ENV PYTHONPATH=.*$", dockerfile, re.MULTILINE)

    told = {name: quoted or plain for name, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|(\S+))', line)}
    assert {name: value for name, value in told.items() if name.startswith("RAY_SERVE_")} == SERVE


def test_replicas_on_two_nodes_answer_as_one_process_does(cluster: Cluster, service: Service, mnist: Mnist) -> None:
    # Two fit onto a node.
    cluster.deploy({}, by_command=True, min_replicas=3, max_replicas=3)
    replicas = cluster.wait_until_whole(3)
    pixels = mnist.pixels[::25]
    assert len(pixels) == 200

    here = [service.client.post("/predict", content=digit.tobytes(), headers=RAW).json() for digit in pixels]
    # Each over a connection of its own: HAProxy gives it to whichever replica has the fewest.
    there = [httpx.post(f"{cluster.url}/predict", content=digit.tobytes(), headers=RAW) for digit in pixels]

    assert len(set(replicas.values())) == 2
    assert {answer.status_code for answer in there} == {200}
    np.testing.assert_allclose(
        [answer.json()["probabilities"] for answer in there],
        [answer["probabilities"] for answer in here],
        rtol=0, atol=1e-6,
    )  # fmt: skip
    until(lambda: cluster.counted("digits_predictions_total") == len(pixels), "all are counted")
    names = r"^(digits_\w+)"
    one = set(re.findall(names, httpx.get(f"{cluster.url}/metrics").text, re.MULTILINE))
    assert one == set(re.findall(names, cluster.metrics().replace("\nray_digits", "\ndigits"), re.MULTILINE))


def test_replicas_come_with_the_load_and_go_with_it(cluster: Cluster) -> None:
    cluster.deploy({}, min_replicas=1, max_replicas=3, upscale_delay_s=1, downscale_delay_s=3, look_back_period_s=3)
    cluster.wait_until_whole(1)
    # So slow a request that each replica has many in work, however many replicas there are.
    load = Load(cluster.port, MANY, clients=32, path="/predict?normalize=always")

    with load.running():
        most = cluster.wait_until_whole(3)
    fewest = cluster.wait_until_whole(1)

    assert len(set(most.values())) == 2
    assert fewest.keys() < most.keys()
    assert (load.unanswered, sum(load.failed, Counter())) == (0, Counter())


def test_a_node_that_is_lost_takes_no_more_than_it_had_in_hand(cluster: Cluster) -> None:
    cluster.deploy({}, min_replicas=3, max_replicas=3)
    before = cluster.wait_until_whole(3)
    small, large = Load(cluster.port, SEVEN, clients=4), Load(cluster.port, MANY, clients=4)

    with small.running(), large.running():
        until(lambda: small.asked() > 200 and large.asked() > 50, "there is load")
        cluster.nodes.pop().kill()
        began = time.monotonic()
        until(lambda: len(cluster.alive()) == 1, "the head has noticed")
        # The other node has room for two. Where there is a third, there is another node, as an autoscaler would add it.
        cluster.wait_until_running(2)
        noticed = time.monotonic() - began
        cluster.add_node()
        after = cluster.wait_until_whole(3)
        whole = time.monotonic() - began
        answered = small.asked()
        until(lambda: small.asked() > answered + 200, "there is load on all")

    print(f"two replicas after {noticed:.1f} s, three after {whole:.1f} s; small: {small}; large: {large}")
    assert len(set(before.values())) == len(set(after.values())) == 2
    assert (small.unanswered, large.unanswered) == (0, 0)
    # A body that HAProxy can keep is sent again by itself; of the others each client had one in hand.
    assert sum(small.failed, Counter()) == Counter()
    assert max(failed.total() for failed in large.failed) <= 1
    assert len(small.answers) == len(large.answers) == 1, "all were answered alike"


@pytest.fixture(scope="module")
def two_versions(folder: Path) -> dict[str, str]:
    """The settings with which the second of two other versions is served."""
    for seed in (0, 1):
        publish_tiny(folder / "models", seed)
    return {"MNIST_MODEL_DIR": str(folder / "models"), "MNIST_MODEL_VERSION": "2"}


def test_a_rolling_update_goes_to_another_version_and_loses_nothing(
    cluster: Cluster, two_versions: dict[str, str]
) -> None:
    cluster.deploy({}, min_replicas=2, max_replicas=2)
    old = cluster.wait_until_whole(2)
    load = Load(cluster.port, SEVEN, clients=4)

    with load.running():
        until(lambda: load.asked() > 200, "there is load")
        cluster.deploy(two_versions, min_replicas=2, max_replicas=2)
        until(lambda: not old.keys() & cluster.replicas().keys(), "the old replicas are gone")
        cluster.wait_until_whole(2)
        before = load.answered["1"]
        now = load.answered["2"]
        until(lambda: load.answered["2"] > now + 200, "the new version answers")

    assert load.answered.keys() == {"1", "2"}
    assert load.answered["1"] == before, "the old version answers no more"
    assert (load.unanswered, sum(load.failed, Counter())) == (0, Counter())


def test_replicas_that_do_not_get_ready_replace_none_and_serve_says_why(
    cluster: Cluster, two_versions: dict[str, str]
) -> None:
    cluster.deploy(two_versions, min_replicas=2, max_replicas=2)
    good = cluster.wait_until_whole(2)

    cluster.deploy(two_versions | {"MNIST_MODEL_VERSION": "9"}, min_replicas=2, max_replicas=2)
    until(lambda: "MNIST_MODEL_VERSION is 9" in str(cluster.application()), "Serve says why")

    assert good == cluster.replicas()
    assert httpx.post(f"{cluster.url}/predict", content=SEVEN, headers=RAW).headers["X-Model-Version"] == "2"
