"""The files in `deploy/monitoring` are valid for Prometheus and match the metrics of a running service."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from app.telemetry.drift import MIN_PICTURES
from tests.app.conftest import Service, running_service
from tests.app.dialects import RAW
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
MANY = RAW | {"content": RAW["content"] * MIN_PICTURES}


def expressions() -> list[str]:
    """Return the expressions of KEDA, the dashboard and the alerts, as Prometheus receives them."""
    expressions = [trigger["metadata"]["query"] for trigger in SCALED_OBJECT["spec"]["triggers"]]
    expressions += [target["expr"] for panel in PANELS for target in panel["targets"]]
    expressions += [rule["expr"] for rule in RULES]
    values = {"$__rate_interval": "1m", "$job": "digits", "$environment": ".*", "$instance": ".*"}
    for variable, value in values.items():
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
    files = sorted(MONITORING.glob("*_test.yml"))

    tested = promtool("test", "rules", *files)

    assert tested.returncode == 0, tested.stdout + tested.stderr
    cases = "".join(file.read_text() for file in files)
    assert [rule["alert"] for rule in RULES if rule["alert"] not in cases] == []


def test_every_query_of_keda_the_dashboard_and_the_alerts_is_promql(tmp_path: Path) -> None:
    rules = [{"record": f"query_{number}", "expr": query} for number, query in enumerate(sorted({*expressions()}))]
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))

    checked = promtool("check", "rules", tmp_path / "queries.yml")

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(rules)} rules found" in checked.stdout


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Start a service with a calibrated model and enough requests that every metric has a value."""
    folder = tmp_path_factory.mktemp("trusted")
    publish_trusted(folder / "models")
    (folder / "keys").write_text(f"prometheus:{KEY}")
    settings = {"MNIST_MODEL_DIR": str(folder / "models"), "MNIST_API_KEYS_FILE": str(folder / "keys")}
    with running_service(folder, **settings) as service:
        service.client.headers["x-api-key"] = KEY
        service.client.get("/metrics")  # This begins the window in which drift is measured.
        service.client.post("/predict", **MANY)
        service.client.post("/v2/models/mnist-dense/infer", content=b"not JSON")
        yield service


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


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    mounts = dict(volume.split(":")[:2] for volume in COMPOSE["services"]["grafana"]["volumes"])
    (source,) = yaml.safe_load((MONITORING / "grafana/datasources/prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((MONITORING / "grafana/dashboards/digits.yml").read_text())["providers"]

    assert source["url"] == "http://prometheus:9090"
    assert COMPOSE["services"]["prometheus"]["ports"][0].endswith(":9090")
    assert mounts["./deploy/monitoring/digits.json"] == f"{provider['options']['path']}/digits.json"
