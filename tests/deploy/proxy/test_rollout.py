"""Two replicas behind a proxy are replaced one after the other, without a lost request."""

from contextlib import ExitStack
from pathlib import Path

from benchmarks.harness.servers import free_port
from digits.model.artifact import FIRST_OWN_VERSION
from tests.app.conftest import Service, StartService
from tests.conftest import SHIPPED_VERSION, needs, publish_tiny
from tests.deploy.proxy.edge import clients_of, edge, grpc_clients_of
from tests.load import Load

PAUSE_SECONDS = 0.05
"""Between two requests of a client, so that the replicas that start have the cores."""


DRAIN_SECONDS = "3"
"""Longer than the 2 s for which nginx leaves a replica alone, and after which Envoy knows that one is unready."""


def test_replicas_are_replaced_one_after_the_other_without_a_lost_request(
    start_service: StartService, tmp_path: Path
) -> None:
    needs("openssl")
    needs("nginx")
    # Each replica pins a version of the model, which tells old from new.
    old, new = str(SHIPPED_VERSION), str(FIRST_OWN_VERSION)
    publish_tiny(tmp_path / "models")
    ports = {free_port(): free_port(), free_port(): free_port()}  # for HTTP, and each one's for gRPC

    def start(port: int, version: str) -> Service:
        pinned = {"MNIST_MODEL_DIR": str(tmp_path / "models"), "MNIST_MODEL_VERSION": version}
        own = {"MNIST_PORT": str(port), "MNIST_GRPC_PORT": str(ports[port])}
        return start_service(**own, **pinned, MNIST_DRAIN_SECONDS=DRAIN_SECONDS).wait_until_ready()

    replicas = {port: start(port, old) for port in ports}
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
            for port, replica in replicas.items():
                assert replica.stop() == 0
                start(port, new)
                for load in loads.values():
                    load.wait_for(20, new)

    # nginx asks for no health, so it may still send calls to a replica that stops.
    calls = loads["nginx", "gRPC"].outcomes
    assert calls["OK"] >= 0.99 * calls.total(), calls
    others = {of: load.outcomes.keys() for of, load in loads.items() if of != ("nginx", "gRPC")}
    assert others == {("nginx", "HTTP"): {"200"}, ("envoy", "HTTP"): {"200"}, ("envoy", "gRPC"): {"OK"}}
    for load in loads.values():
        assert load.versions.keys() - {None} == {old, new}  # a lost call has no version
