"""One Ray cluster for all tests that need several nodes."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.ray.cluster import Cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Start a Ray cluster of three nodes with one processor each. A test that kills a node adds another."""
    # The path must be short enough for sockets.
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:
        cluster = Cluster(Path(folder))
        try:
            cluster.add_nodes(2)
            yield cluster
        finally:
            cluster.stop()
