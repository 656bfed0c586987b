"""The files in `deploy/monitoring` are valid for Prometheus and match the metrics of a running service."""

import json
import re
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import yaml

from app.openapi.example_pictures import EXAMPLES
from app.telemetry.drift import MIN_PICTURES
from tests.app.conftest import Service, StartService
from tests.conftest import REPOSITORY, needs, publish_trusted

MONITORING = REPOSITORY / "deploy" / "monitoring"
RULES = [rule for group in yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((MONITORING / "digits.json").read_text())
SCALED_OBJECT = yaml.safe_load(
    (REPOSITORY / "deploy" / "kubernetes" / "autoscaling" / "requests" / "scaled-object.yaml").read_text()
)
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
COMPOSE = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())

KEY = "a-key-that-only-prometheus-has"
RAW: dict[str, Any] = {
    "content": (EXAMPLES / "seven.bin").read_bytes(),
    "headers": {"content-type": "application/octet-stream", "x-api-key": KEY},
}
MANY = RAW | {"content": RAW["content"] * MIN_PICTURES}
PATIENCE_SECONDS = 120
"""Time after which a test is taken to hang."""


def expressions() -> list[str]:
    """Return the expressions of KEDA, the dashboard and the alerts, as Prometheus receives them."""
    expressions = [trigger["metadata"]["query"] for trigger in SCALED_OBJECT["spec"]["triggers"]]
    expressions += [target["expr"] for panel in PANELS for target in panel["targets"]]
    expressions += [rule["expr"] for rule in RULES]
    for variable, value in {
        "$__rate_interval": "1m",
        "$job": "digits",
        "$environment": ".*",
        "$instance": ".*",
    }.items():
        expressions = [expression.replace(variable, value) for expression in expressions]
    return expressions


def promtool(*arguments: str | Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    needs("promtool")
    return subprocess.run(
        ["promtool", *map(str, arguments)], input=text, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_configuration_and_the_rules_are_valid() -> None:
    checked = promtool("check", "config", "--lint=all", "--lint-fatal", MONITORING / "prometheus.yml")

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(RULES)} rules found" in checked.stdout


def test_each_alert_fires_exactly_when_it_should() -> None:
    tested = promtool("test", "rules", MONITORING / "alerts_test.yml")

    assert tested.returncode == 0, tested.stdout + tested.stderr
    cases = (MONITORING / "alerts_test.yml").read_text()
    assert [rule["alert"] for rule in RULES if rule["alert"] not in cases] == []


def with_key(folder: Path) -> dict[str, str]:
    """Return the settings of a service with the models in `folder` that requires `KEY`."""
    (folder / "keys").write_text(f"prometheus:{KEY}")
    return {"MNIST_MODEL_DIR": str(folder / "models"), "MNIST_API_KEYS_FILE": str(folder / "keys")}


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Start a service with a calibrated model and enough requests that every metric has a value."""
    folder = tmp_path_factory.mktemp("trusted")
    publish_trusted(folder / "models")
    service = Service(folder / "service.log", with_key(folder)).wait_until_ready()
    service.client.headers["x-api-key"] = KEY
    service.client.get("/metrics")  # This begins the window in which drift is measured.
    service.client.post("/predict", **MANY)
    service.client.post("/v2/models/mnist-dense/infer", content=b"not JSON")
    yield service
    service.stop()


def test_metric_names_follow_prometheus_conventions(trusted: Service) -> None:
    text = trusted.client.get("/metrics").text

    linted = promtool("check", "metrics", text=text)

    assert "digits_drift_psi{" in text
    assert (linted.returncode, linted.stdout, linted.stderr) == (0, "", "")


def test_dashboard_and_alerts_use_exactly_the_metrics_of_the_service(trusted: Service) -> None:
    metrics = trusted.client.get("/metrics").text

    used = {name for expression in expressions() for name in re.findall(r"\b(?:digits|process)_\w+", expression)}

    assert used <= set(re.findall(r"^(\w+)", metrics, re.MULTILINE))
    families = set(re.findall(r"^# TYPE (\w+)", metrics, re.MULTILINE)) - {"process_virtual_memory_bytes"}  # of no use
    assert [name for name in families if not any(some.startswith(name) for some in used)] == []


class Prometheus:
    """A `prometheus` process that scrapes one service, once a second."""

    def __init__(self, folder: Path, target: str) -> None:
        needs("prometheus")
        folder.mkdir()
        config = yaml.safe_load((MONITORING / "prometheus.yml").read_text().replace("15s", "1s"))
        (scrape,) = config["scrape_configs"]
        (targets,) = scrape["static_configs"]
        assert targets["targets"] == ["api:8000"]
        targets["targets"] = [target]
        scrape["authorization"] = {"credentials": KEY}  # as docs/how-to/monitoring.md says
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        shutil.copy(MONITORING / "alerts.yml", folder)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.log = folder / "log"
        files = (f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data")
        with self.log.open("wb") as stream:
            self.process = subprocess.Popen(
                ["prometheus", *files, f"--web.listen-address=127.0.0.1:{port}"], stdout=stream, stderr=stream
            )
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10)

    def wait_until_ready(self) -> "Prometheus":
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(httpx.TransportError):
                if self.client.get("/-/ready").status_code == 200:
                    return self
            time.sleep(0.02)
        raise AssertionError(self.log.read_text())

    def get(self, path: str, **parameters: str) -> Any:
        """Return the data of a reply from the HTTP API."""
        reply = self.client.get(f"/api/v1/{path}", params=parameters)
        assert reply.status_code == 200, (parameters, reply.text)
        return reply.json()["data"]

    def values(self, query: str, *labels: str) -> dict[tuple[str, ...], float]:
        """Return the current values of a query by these labels."""
        return {
            tuple(series["metric"][label] for label in labels): float(series["value"][1])
            for series in self.get("query", query=query)["result"]
        }

    def rules(self) -> list[Any]:
        return [rule for group in self.get("rules")["groups"] for rule in group["rules"]]

    def expect(self, expected: dict[Any, Any], query: str, *labels: str) -> None:
        """Check a query's values. On a busy machine a scrape may be late or fail, so give it time."""
        assert when(lambda values: values == expected, lambda: self.values(query, *labels)) == expected, query

    def stop(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(timeout=PATIENCE_SECONDS)


T = TypeVar("T")


def when(condition: Callable[[T], bool], measure: Callable[[], T]) -> T:
    """Return the first measurement that meets the condition, or the last one after a timeout."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition(measured := measure()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return measured


@pytest.fixture
def small_service(start_service: StartService, tmp_path: Path) -> Service:
    """Start a service with a calibrated model, which accepts one request at a time."""
    publish_trusted(tmp_path / "models")
    settings = with_key(tmp_path) | {"MNIST_MAX_REQUESTS": "1"}
    service = start_service(**settings).wait_until_ready()
    service.client.headers["x-api-key"] = KEY
    return service


@pytest.fixture
def prometheus(small_service: Service, tmp_path: Path) -> Iterator[Prometheus]:
    prometheus = Prometheus(tmp_path / "prometheus", small_service.url.removeprefix("http://"))
    try:
        yield prometheus.wait_until_ready()
    finally:
        prometheus.stop()


def test_prometheus_reads_the_metrics_and_every_query_has_a_result(
    small_service: Service, prometheus: Prometheus
) -> None:
    sent: Counter[tuple[str, ...]] = Counter()

    def send(post: Callable[..., httpx.Response] = httpx.post, **request: Any) -> int:
        status = post(f"{small_service.url}/predict", **request).status_code  # `httpx.post` makes a new connection.
        sent[(str(status),)] += 1
        return status

    served = {(str(small_service.client.get("/model").json()["version"]),): 1}
    prometheus.expect(served, "digits_model_info", "version")
    for request in [RAW] * 10 + [MANY] * 10:  # MANY has enough pictures for the drift.
        send(**request)
    small_service.client.post("/v2/models/mnist-dense/infer", content=b"no JSON")
    with small_service.connect() as half:
        head = f"POST /predict HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Type: image/png\r\nContent-Length: 9"
        half.sendall(f"{head}\r\n\r\n1".encode())
        # The service that waits for the body accepts no other request.
        while send(**RAW) != 503:
            assert sent.total() < 200
    sent[("499",)] += 1

    prometheus.expect(dict(sent), 'sum by (status) (digits_request_seconds_count{route="/predict"})', "status")
    pictures = sent[("200",)] + 10 * (MIN_PICTURES - 1)
    prometheus.expect({(): pictures}, "sum by (digit) (digits_predictions_total) > 0")  # all of one digit
    # Every query of KEDA, the dashboard and the alerts has a result.
    selectors = [selector for rule in RULES for selector in re.findall(r"\w+\{[^}]*\}", rule["expr"])]
    for query in [*expressions()[: -len(RULES)], *selectors]:
        assert when(bool, partial(prometheus.values, query)), query
    evaluated = when(lambda rules: all(rule["health"] != "unknown" for rule in rules), prometheus.rules)
    assert {rule["name"]: rule["health"] for rule in evaluated} == {rule["alert"]: "ok" for rule in RULES}
    assert [rule["name"] for rule in evaluated if rule["state"] == "firing"] == []


@pytest.mark.parametrize("name", ["prometheus", "grafana"])
def test_the_containers_are_locked_down(name: str) -> None:
    container = COMPOSE["services"][name]

    assert container["profiles"] == ["monitoring"]
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", container["image"])
    locked = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}
    assert container.items() >= locked.items()
    assert [port for port in container["ports"] if not port.startswith("127.0.0.1:")] == []
    assert not any("PASSWORD" in variable for variable in container.get("environment", {}))
    mounts = [volume.split(":") for volume in container["volumes"]]
    assert [source for source, *_ in mounts if source.startswith(".") and not (REPOSITORY / source).exists()] == []
    assert [target for source, target, *mode in mounts if source.startswith(".") and mode != ["ro"]] == []
    assert [source for source, *_ in mounts if not source.startswith(".")] == [name]
    assert name in COMPOSE["volumes"]


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    mounts = dict(volume.split(":")[:2] for volume in COMPOSE["services"]["grafana"]["volumes"])
    (source,) = yaml.safe_load((MONITORING / "grafana/datasources/prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((MONITORING / "grafana/dashboards/digits.yml").read_text())["providers"]

    assert source["url"] == "http://prometheus:9090"
    assert COMPOSE["services"]["prometheus"]["ports"][0].endswith(":9090")
    assert mounts["./deploy/monitoring/digits.json"] == f"{provider['options']['path']}/digits.json"
