"""Two replicas behind a proxy are replaced one after the other, without a lost request."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.harness.servers import free_port
from digits.model.artifact import FIRST_OWN_VERSION
from tests.app.conftest import Service
from tests.conftest import SHIPPED_VERSION, WITHOUT_COVERAGE, needs, publish_tiny
from tests.deploy.proxy.edge import clients_of, edge, grpc_clients_of
from tests.load import Load

PAUSE_SECONDS = 0.05
"""Between two requests of a client, so that the replicas that start have the cores."""


class Replicas:
    """Two services on fixed ports for HTTP and gRPC. Each pins a version of the model, which tells old from new."""

    DRAIN_SECONDS = "3"
    """Longer than the 2 s for which nginx leaves a replica alone, and after which Envoy knows that one is unready."""

    def __init__(self, folder: Path, models: Path) -> None:
        self.folder, self.models = folder, models
        self.running: dict[int, Service] = {}
        self.grpc_ports = {free_port(): free_port(), free_port(): free_port()}
        """The port for gRPC of each port for HTTP."""
        self.starts = 0

    def start(self, port: int, version: str) -> Service:
        self.starts += 1
        settings = {
            "MNIST_PORT": str(port),
            "MNIST_GRPC_PORT": str(self.grpc_ports[port]),
            "MNIST_MODEL_DIR": str(self.models),
            "MNIST_MODEL_VERSION": version,
            "MNIST_DRAIN_SECONDS": self.DRAIN_SECONDS,
            **WITHOUT_COVERAGE,
        }
        self.running[port] = Service(self.folder / f"replica-{self.starts}.log", settings)
        return self.running[port].wait_until_ready()

    def replace(self, port: int, version: str) -> None:
        """Stop a replica as an orchestrator does, and start the other version in its place."""
        assert self.running[port].stop() == 0
        self.start(port, version)

    def stop(self) -> None:
        for service in self.running.values():
            service.stop()


@pytest.fixture
def replicas(tmp_path: Path) -> Iterator[Replicas]:
    needs("openssl")
    publish_tiny(tmp_path / "models")
    replicas = Replicas(tmp_path, tmp_path / "models")
    yield replicas
    replicas.stop()


def test_replicas_are_replaced_one_after_the_other_without_a_lost_request(replicas: Replicas, tmp_path: Path) -> None:
    needs("nginx")
    old, new = str(SHIPPED_VERSION), str(FIRST_OWN_VERSION)
    ports = replicas.grpc_ports
    for port in ports:
        replicas.start(port, old)
    loads = {}
    with ExitStack() as running:
        for name in ("nginx", "envoy"):
            (tmp_path / name).mkdir()
            proxy = running.enter_context(edge(name, tmp_path / name, [*ports], [*ports.values()], limited=False))
            loads[name, "HTTP"] = Load(clients_of(proxy, 3), pause_seconds=PAUSE_SECONDS)
            loads[name, "gRPC"] = Load(grpc_clients_of(proxy, 3), pause_seconds=PAUSE_SECONDS)
        with ExitStack() as sending:
            for load in loads.values():
                sending.enter_context(load.running())
            for load in loads.values():
                load.wait_for(20, old)
            for port in ports:
                replicas.replace(port, new)
                for load in loads.values():
                    load.wait_for(20, new)

    # nginx asks for no health, so it may still send calls to a replica that stops.
    calls = loads["nginx", "gRPC"].outcomes
    assert calls["OK"] >= 0.99 * calls.total(), calls
    others = {of: load.outcomes.keys() for of, load in loads.items() if of != ("nginx", "gRPC")}
    assert others == {("nginx", "HTTP"): {"200"}, ("envoy", "HTTP"): {"200"}, ("envoy", "gRPC"): {"OK"}}
    for load in loads.values():
        assert load.versions.keys() - {None} == {old, new}  # a lost call has no version
