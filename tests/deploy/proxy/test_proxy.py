"""nginx and Envoy with the configurations of `deploy/proxy` limit clients, and tell the service who they are."""

import http.client
import json
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from app.settings import Settings
from tests.app.conftest import Service
from tests.conftest import needs
from tests.deploy.proxy.edge import HOST, RAW, Edge, clients_of, edge, grpc_clients_of
from tests.load import SEVEN, Load

LATE_SECONDS = 12
"""More than the 10 s for which a client may be silent, and less than the 30 s after which a proxy gives up."""


@pytest.fixture(scope="module", params=["nginx", "envoy"])
def proxy(request: pytest.FixtureRequest, behind: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """Each proxy in front of that service. Each test has its own client addresses, and so its own rate."""
    needs("openssl")
    if request.param == "nginx":
        needs("nginx")
    with edge(request.param, tmp_path_factory.mktemp(request.param), [behind.port], [behind.grpc_port]) as running:
        yield running


def test_a_short_load_over_kept_connections_has_no_error(proxy: Edge) -> None:
    clients = clients_of(proxy, 8)
    load = Load(clients)

    load.run(requests=40)

    assert load.outcomes == {"200": 320}
    assert [client.connections for client in clients] == [1] * 8


def test_requests_above_the_burst_are_refused_to_their_sender_only(proxy: Edge) -> None:
    with closing(proxy.connect("127.0.2.1")) as connection:
        for sent in range(1000):  # noqa: B007
            connection.request("POST", "/predict", SEVEN, RAW | {"Host": HOST})
            reply = connection.getresponse()
            body = reply.read()
            if reply.status != 200:
                break
        other, _ = proxy.ask("POST", "/predict", SEVEN, RAW, source="127.0.2.2")

    assert 100 <= sent < 999
    assert (reply.status, reply.headers["Retry-After"]) == (429, "1")
    assert other.status == 200
    if reply.headers["Server"] == "nginx":  # Envoy's reply has no format.
        assert reply.headers["Content-Type"] == "application/problem+json"
        assert json.loads(body)["title"] == "Too Many Requests"


@pytest.mark.parametrize(
    ("more_bytes", "expected"), [pytest.param(0, 422, id="the limit"), pytest.param(1, 413, id="one byte more")]
)
def test_bodies_above_the_services_limit_do_not_reach_it(proxy: Edge, more_bytes: int, expected: int) -> None:
    body = b"\0" * (Settings.model_fields["max_body_bytes"].default + more_bytes)

    reply, content = proxy.ask("POST", "/predict", body, RAW, source="127.0.4.1")

    assert reply.status == expected
    assert (b"urn:digits" in content) == (more_bytes == 0)


def test_the_service_sees_the_clients_address_and_believes_no_other(proxy: Edge, behind: Service) -> None:
    request_id = f"forged-{proxy.https_port}"
    forged = {"X-Forwarded-For": "203.0.113.7, 127.0.0.1", "X-Request-ID": request_id}

    proxy.ask("POST", "/predict", SEVEN, RAW | forged, source="127.0.5.1")

    line = behind.wait_for_record(request_id)
    assert line["client"] == "127.0.5.1"


def test_grpc_passes_through_tls_with_the_same_limit(proxy: Edge, behind: Service) -> None:
    request_id = f"grpc-{proxy.https_port}"
    forged = [("x-request-id", request_id), ("x-forwarded-for", "203.0.113.7")]
    load = Load(grpc_clients_of(proxy, 1, forged))

    load.run(requests=300)

    assert 100 <= load.answered < 300
    refused = "UNAVAILABLE" if (proxy.folder / "nginx.conf").exists() else "RESOURCE_EXHAUSTED"
    assert load.outcomes == {"OK": load.answered, refused: 300 - load.answered}
    client = behind.wait_for_record(request_id)["client"]
    assert client != "203.0.113.7"  # For a client on its own machine, Envoy reports another local address.


def test_metrics_stay_inside(proxy: Edge) -> None:
    assert proxy.ask("GET", "/metrics", source="127.0.6.1")[0].status == 404
    assert proxy.ask("GET", "/readyz", source="127.0.6.1")[0].status == 200


def test_plain_http_is_redirected_to_tls(proxy: Edge) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", proxy.http_port, timeout=60)) as connection:
        connection.request("POST", "/predict?include=pixels", SEVEN, RAW | {"Host": HOST})
        reply = connection.getresponse()

    secure, _ = proxy.ask("GET", "/livez", source="127.0.7.1")
    assert (reply.status, reply.headers["Location"]) == (308, f"https://{HOST}/predict?include=pixels")
    assert secure.headers["Strict-Transport-Security"]


def test_a_reply_may_take_longer_than_a_client_may_be_silent(behind: Service, tmp_path: Path) -> None:
    needs("openssl")
    needs("nginx")
    with ExitStack() as stack:
        loads = []
        for name in ("nginx", "envoy"):
            (tmp_path / name).mkdir()
            at = tmp_path / name, [behind.port], [behind.grpc_port]
            running = stack.enter_context(edge(name, *at, limited=False))
            loads.append(Load([*clients_of(running, 1), *grpc_clients_of(running, 1)]))
        resume = threading.Timer(LATE_SECONDS, behind.process.send_signal, [signal.SIGCONT])

        behind.process.send_signal(signal.SIGSTOP)
        resume.start()
        try:
            with ThreadPoolExecutor() as both:
                list(both.map(lambda load: load.run(requests=1), loads))
        finally:
            resume.join()

    assert [load.outcomes for load in loads] == [{"200": 1, "OK": 1}] * 2
