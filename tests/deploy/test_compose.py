"""The compose files limit memory without swap, and Prometheus finds their containers."""

import re
from pathlib import Path
from typing import Any

import yaml

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


def test_prometheus_finds_every_container_of_the_service_by_its_name() -> None:
    (scrape,) = yaml.safe_load((REPOSITORY / "deploy/monitoring/prometheus.yml").read_text())["scrape_configs"]
    (published,) = services(FILES[0])["api"]["ports"]
    names: dict[str, set[str]] = {}
    for file in FILES:
        for name, each in services(file).items():
            names.setdefault(name, {name}).update(each.get("networks", {}).get("default", {}).get("aliases", ()))

    (discovery,) = scrape["dns_sd_configs"]

    assert (discovery["type"], discovery["port"]) == ("A", int(published.rpartition(":")[2]))
    assert {name for name, known in names.items() if known & {*discovery["names"]}} == {"api", "api-2"}
