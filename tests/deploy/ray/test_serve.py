"""On a cluster, replicas answer as one process does, and a lost node loses only its requests in work."""

import json
import re

import httpx
import numpy as np
import pytest
import yaml

from app.settings import Settings
from app.start import KEEP_ALIVE_SECONDS
from deploy.ray.local import SERVE_ENVIRONMENT
from digits.model.artifact import FIRST_OWN_VERSION
from tests.app.conftest import Service
from tests.conftest import REPOSITORY, SHIPPED_VERSION, Mnist, fresh_python, publish_tiny
from tests.deploy.ray.cluster import Cluster, wait_until
from tests.load import REFUSED, SEVEN

CONFIG = yaml.safe_load((REPOSITORY / "deploy" / "ray" / "serve.yaml").read_text())

RAW = {"content-type": "application/octet-stream"}
MANY = SEVEN * 30
"""A body of more than 16 KB, which HAProxy does not repeat, and whose reply takes long enough to be interrupted."""


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


def test_the_image_sets_the_same_variables_as_the_local_cluster() -> None:
    dockerfile = (REPOSITORY / "Dockerfile").read_text().replace("\\\n", " ")

    (line,) = re.findall(r"^ENV PYTHONPATH=.*$", dockerfile, re.MULTILINE)

    variables = {name: quoted or plain for name, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|(\S+))', line)}
    assert {name: value for name, value in variables.items() if name.startswith("RAY_SERVE_")} == SERVE_ENVIRONMENT


OLD, NEW = str(SHIPPED_VERSION), str(FIRST_OWN_VERSION)

# The tests below share one cluster. Each begins with the replicas that the test before left, which saves starts.


@pytest.fixture(scope="module")
def second_version(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Publish two versions of another model, and return the settings that select the second."""
    root = tmp_path_factory.mktemp("models")
    for seed in (0, 1):
        publish_tiny(root, seed)
    return {"MNIST_MODEL_DIR": str(root), "MNIST_MODEL_VERSION": NEW}


def test_replicas_on_two_nodes_answer_and_count_as_one_process_does(
    cluster: Cluster, service: Service, mnist: Mnist
) -> None:
    cluster.deploy({}, by_command=True, min_replicas=2, max_replicas=2)
    replicas = cluster.wait_until_healthy(2)
    pixels = mnist.pixels[::125]
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


def test_a_rolling_update_to_another_version_loses_no_request(cluster: Cluster, second_version: dict[str, str]) -> None:
    cluster.deploy({}, min_replicas=2, max_replicas=2)
    old = cluster.wait_until_healthy(2)
    load = cluster.load(4)

    with load.running():
        load.wait_for(50)
        cluster.deploy(second_version, min_replicas=2, max_replicas=2)
        wait_until(lambda: not old.keys() & cluster.replicas().keys(), "the old replicas are gone")
        cluster.wait_until_healthy(2)
        old_answers = load.versions[OLD]
        load.wait_for(50, NEW)

    assert load.versions[OLD] == old_answers, "the old version does not answer any more"
    assert load.outcomes.keys() == {"200"}


def test_a_lost_node_loses_only_its_requests_in_work(cluster: Cluster, second_version: dict[str, str]) -> None:
    cluster.deploy(second_version, min_replicas=2, max_replicas=2)
    before = cluster.wait_until_healthy(2)
    small, large = cluster.load(4), cluster.load(4, MANY)

    with small.running(), large.running():
        small.wait_for(50)
        large.wait_for(50)
        cluster.lose_a_node_with_a_replica()
        wait_until(lambda: len(cluster.alive()) == 2, "the head notices the loss")
        after = cluster.wait_until_healthy(2)
        small.wait_for(50)

    assert len(set(before.values())) == len(set(after.values())) == 2
    # HAProxy repeats small requests that arrive in one piece. Of the large ones, each client may lose the one in
    # work, and another that HAProxy sends over an open connection before it notices the loss.
    assert small.outcomes.keys() <= {"200", REFUSED}
    assert max(client.failures for client in large.clients) <= 2


def test_replicas_stop_without_load_and_start_with_it(cluster: Cluster, second_version: dict[str, str]) -> None:
    cluster.deploy(second_version, min_replicas=2, max_replicas=2)
    before = cluster.wait_until_healthy(2)
    # Each replica holds more than eight requests. They upload slowly, so that the new replica has the cores to start.
    load = cluster.load(24, upload_seconds=1)

    cluster.deploy(
        second_version, min_replicas=1, max_replicas=2, upscale_delay_s=1, downscale_delay_s=3, look_back_period_s=3
    )
    idle = cluster.wait_until_healthy(1)
    with load.running():
        busy = cluster.wait_until_healthy(2)

    assert idle.keys() < before.keys()
    assert len(set(busy.values())) == 2
    assert load.outcomes.keys() == {"200"}


def test_a_version_that_cannot_start_leaves_the_old_one_and_a_reason(
    cluster: Cluster, second_version: dict[str, str]
) -> None:
    cluster.deploy(second_version, min_replicas=1, max_replicas=1)
    old = cluster.wait_until_healthy(1)

    cluster.deploy(second_version | {"MNIST_MODEL_VERSION": "99"}, min_replicas=1, max_replicas=1)
    wait_until(lambda: "MNIST_MODEL_VERSION is 99" in str(cluster.application()), "Serve reports the reason")

    assert cluster.replicas() == old
    assert httpx.post(f"{cluster.url}/predict", content=SEVEN, headers=RAW).headers["X-Model-Version"] == NEW
