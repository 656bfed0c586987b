"""`make scale` answers as the service without Ray, is reachable from this machine only, and stops when asked."""

import re
import sys
from collections.abc import Iterator

import httpx
import psutil
import pytest

from tests.app.conftest import Service
from tests.app.dialects import HTTP, V1, V2, Reply
from tests.conftest import fresh_python
from tests.deploy.ray.cluster import PATIENCE_SECONDS


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Start what `make scale` starts, on a free port."""
    log = tmp_path_factory.mktemp("ray") / "service.log"
    environment = {"RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1"}
    command = [sys.executable, "-m", "deploy.ray.local"]
    service = Service(log, environment, command, start_seconds=PATIENCE_SECONDS)
    yield service
    processes = [psutil.Process(service.process.pid), *psutil.Process(service.process.pid).children(recursive=True)]
    assert service.stop() == 0, log.read_text()
    _, left = psutil.wait_procs(processes, timeout=PATIENCE_SECONDS)
    assert [process for process in left if process.status() != psutil.STATUS_ZOMBIE] == []
    assert "Traceback" not in log.read_text(), log.read_text()


def expect_same(with_ray: httpx.Response | Reply, without_ray: httpx.Response | Reply, name: object) -> None:
    """Compare the headers of two replies. Ray may add some."""
    expected = {key: value for key, value in without_ray.headers.items() if key not in ("date", "server")}
    assert {key: value for key, value in with_ray.headers.items() if key in expected} == expected, name


def test_every_dialect_answers_as_without_ray(local: Service, service: Service) -> None:
    for dialect in HTTP:
        for body in (dialect.seven(), {"content": b"{"}):
            with_ray, without_ray = (dialect.ask(each, body, {"x-request-id": "mine"}) for each in (local, service))

            assert (with_ray.status, with_ray.body) == (without_ray.status, without_ray.body), dialect
            expect_same(with_ray, without_ray, dialect)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_every_page_is_as_without_ray(local: Service, service: Service, method: str) -> None:
    for path in ("/", "/page/main.js", "/model", "/model/card", "/readyz", "/openapi.json", V1, V2, "/nothing"):
        with_ray, without_ray = (
            each.client.request(method, path, headers={"x-request-id": "mine"}) for each in (local, service)
        )

        assert (with_ray.status_code, with_ray.content) == (without_ray.status_code, without_ray.content), path
        expect_same(with_ray, without_ray, path)


def test_a_local_clusters_internal_ports_listen_on_127_0_0_1_only(local: Service) -> None:
    root = psutil.Process(local.process.pid)

    addresses = {
        connection.laddr.ip.removeprefix("::ffff:")
        for process in [root, *root.children(recursive=True)]
        if re.search("gcs_server|raylet|dashboard|Agent", " ".join(process.cmdline()))
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }

    assert addresses == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"MNIST_PORT": "seven"}, "digits: MNIST_PORT: .*integer", id="a bad setting"),
        pytest.param({"MNIST_HOST": "192.0.2.77"}, "digits: cannot listen on 192.0.2.77", id="a foreign address"),
    ],
)
def test_a_bad_setting_is_one_line_before_ray_starts(settings: dict[str, str], message: str) -> None:
    process = fresh_python("-m", "deploy.ray.local", environment=settings)

    assert process.returncode == 1
    assert re.fullmatch(message + ".*\n", process.stderr), process.stderr
