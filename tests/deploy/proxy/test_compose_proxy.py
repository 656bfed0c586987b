"""The nginx of docker-compose.yml does for strangers what the service alone does not: limit, wait and clean up."""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import grpc
import httpx
import pytest

from app.settings import Settings
from benchmarks.harness.proxy import CONFIGURATION, nginx
from benchmarks.harness.servers import Server
from tests.app.conftest import Service, cases, received, statuses_of
from tests.app.dialects import RAW
from tests.conftest import needs
from tests.load import GrpcClient

pytestmark = pytest.mark.slow

SEVEN: bytes = RAW["content"]
LIMIT: int = Settings.model_fields["max_body_bytes"].default
HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
CHUNKS = HEAD + b"Transfer-Encoding: chunked\r\n\r\n310\r\n" + SEVEN + b"\r\n0\r\n"
GET = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: %b\r\n\r\n"


@pytest.fixture(scope="module")
def front(behind: Service) -> Iterator[Server]:
    needs("nginx")
    with nginx(behind.port, behind.grpc_port) as running:
        yield running


@pytest.fixture
def connection(front: Server) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", front.port), timeout=30, source_address=("127.0.1.1", 0)) as connection:
        yield connection


@cases(
    ("sent", "statuses"),
    {
        "chunks and then a request": (CHUNKS + b"\r\n" + GET % b"close", [200, 200]),
        "trailers": (CHUNKS + b"Connection: close\r\nX: y\r\n\r\n" + GET % b"close", [200, 200]),
        "100 requests at once": (GET % b"keep-alive" * 99 + GET % b"close", [200] * 100),
        "an upgrade": (HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 784\r\n\r\n" + SEVEN
                       + GET % b"close", [200, 200]),
        "a body of which much is missing": (HEAD + b"Connection: close\r\nContent-Length: 99999999\r\n\r\n", [413]),
    },
)  # fmt: skip
def test_a_request_whose_body_would_end_the_connection_to_the_service_is_followed_by_others(
    connection: socket.socket, sent: bytes, statuses: list[int]
) -> None:
    connection.sendall(sent)

    assert statuses_of(received(connection)) == statuses


def test_a_client_that_does_not_read_occupies_the_service_no_longer_than_another(
    front: Server, behind: Service
) -> None:
    pixels = SEVEN * 1000
    request = (
        HEAD.replace(b"/predict", b"/predict?include=pixels") + b"Content-Length: %d\r\n\r\n" % len(pixels) + pixels
    )
    with socket.socket() as unread:
        unread.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        unread.connect(("127.0.0.1", front.port))
        unread.sendall(request)

        behind.wait_for(lambda: '"route":"/predict"' in behind.log.read_text(), "the request in the log")
        behind.wait_for_requests_in_work(0)


@cases(("more_bytes", "expected"), {"the limit": (0, 422), "one byte more": (1, 413)})
def test_bodies_above_the_services_limit_do_not_reach_it(front: Server, more_bytes: int, expected: int) -> None:
    body = bytes(LIMIT + more_bytes)

    reply = httpx.post(f"http://127.0.0.1:{front.port}/predict", content=body, headers=RAW["headers"], timeout=60)

    assert reply.status_code == expected
    assert ("urn:digits" in reply.text) == (more_bytes == 0)


def test_the_log_has_the_address_that_nginx_has_seen(connection: socket.socket, behind: Service) -> None:
    forged = b"X-Forwarded-For: 203.0.113.7, 127.0.0.1\r\nX-Request-ID: forged\r\nConnection: close\r\n"
    connection.sendall(HEAD + forged + b"Content-Length: 784\r\n\r\n" + SEVEN)

    assert statuses_of(received(connection)) == [200]
    assert behind.wait_for_record("forged")["client"] == "127.0.1.1"


def test_grpc_comes_in_on_the_same_port(front: Server) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{front.port}") as channel:
        outcome, _ = GrpcClient(channel).ask()

    assert outcome == "OK"


def test_metrics_stay_inside(front: Server) -> None:
    assert httpx.get(f"http://127.0.0.1:{front.port}/metrics").status_code == 404


def test_one_address_has_a_limited_number_of_requests_in_progress(front: Server) -> None:
    (limit,) = map(int, re.findall(r"limit_conn connections (\d+);", CONFIGURATION.read_text()))
    half = HEAD + b"Content-Length: 784\r\n\r\n"
    with ExitStack() as stack:
        for _ in range(limit):
            address = ("127.0.0.1", front.port)
            one = stack.enter_context(socket.create_connection(address, source_address=("127.0.3.1", 0)))
            one.sendall(half)
        time.sleep(0.5)
        statuses = []
        for source in ("127.0.3.1", "127.0.3.2"):
            with socket.create_connection(("127.0.0.1", front.port), source_address=(source, 0)) as one:
                one.sendall(GET % b"close")
                statuses += statuses_of(received(one))

    assert statuses == [429, 200]
