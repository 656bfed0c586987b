"""The compose files limit memory without swap."""

from pathlib import Path
from typing import Any

import yaml

from tests.conftest import REPOSITORY

FILES = (REPOSITORY / "docker-compose.yml", *sorted((REPOSITORY / "deploy" / "proxy").glob("*.yml")))


class ComposeLoader(yaml.SafeLoader):
    """Reads the tags `!reset` and `!override` as the lists behind them."""


ComposeLoader.add_multi_constructor("!", lambda loader, _, node: loader.construct_sequence(node))


def services(file: Path) -> dict[str, dict[str, Any]]:
    listed: dict[str, dict[str, Any]] = yaml.load(file.read_text(), ComposeLoader)["services"]
    return listed


def test_a_container_at_its_memory_limit_does_not_swap() -> None:
    limited = {name: each for file in FILES for name, each in services(file).items() if "mem_limit" in each}

    assert limited.keys() == {"api", "train", "prometheus", "grafana", "proxy"}
    assert {name: each.get("memswap_limit") for name, each in limited.items()} == {
        name: each["mem_limit"] for name, each in limited.items()
    }
