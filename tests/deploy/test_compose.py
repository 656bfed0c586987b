"""The compose files limit memory without swap, and Prometheus finds their containers."""

import re
from pathlib import Path
from typing import Any

import yaml

from app.settings import Settings
from benchmarks.harness.proxy import CONFIGURATION
from tests.conftest import REPOSITORY

FILES = (REPOSITORY / "docker-compose.yml", *sorted((REPOSITORY / "deploy" / "proxy").glob("*.yml")))


def services(file: Path) -> dict[str, dict[str, Any]]:
    plain = re.sub("!(reset|override) ", "", file.read_text())
    listed: dict[str, dict[str, Any]] = yaml.safe_load(plain)["services"]
    return listed


def test_a_container_at_its_memory_limit_does_not_swap() -> None:
    limited = {name: each for file in FILES for name, each in services(file).items() if "mem_limit" in each}

    assert limited.keys() == {"api", "train", "prometheus", "grafana", "proxy"}
    assert {name: each.get("memswap_limit") for name, each in limited.items()} == {
        name: each["mem_limit"] for name, each in limited.items()
    }


def test_clients_reach_the_service_only_through_nginx() -> None:
    served = services(FILES[0])
    published = {name: each["ports"] for name, each in served.items() if "ports" in each and "profiles" not in each}
    port = Settings.model_fields["port"].default
    mounted, _, rest = served["proxy"]["volumes"][0].partition(":")

    assert published == {"proxy": [f"127.0.0.1:${{MNIST_PORT:-{port}}}:8080"]}
    assert (REPOSITORY / mounted, rest) == (CONFIGURATION, "/etc/nginx/nginx.conf:ro")
    assert "listen 8080;" in CONFIGURATION.read_text()
    assert f"server api:{port} " in CONFIGURATION.read_text()
    assert "MNIST_TRUSTED_PROXIES" in served["api"]["environment"]


def test_prometheus_finds_every_container_of_the_service_by_its_name() -> None:
    (scrape,) = yaml.safe_load((REPOSITORY / "deploy/monitoring/prometheus.yml").read_text())["scrape_configs"]
    names: dict[str, set[str]] = {}
    for file in FILES:
        for name, each in services(file).items():
            names.setdefault(name, {name}).update(each.get("networks", {}).get("default", {}).get("aliases", ()))

    (discovery,) = scrape["dns_sd_configs"]

    assert (discovery["type"], discovery["port"]) == ("A", Settings.model_fields["port"].default)
    assert {name for name, known in names.items() if known & {*discovery["names"]}} == {"api", "api-2"}
