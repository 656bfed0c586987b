"""Limits on connections: a client that is slow, greedy or does not read costs the other clients nothing."""

import json
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import psutil
import pytest

from app.openapi.example_pictures import EXAMPLES
from app.server.protocol import MAX_HEAD_BYTES
from tests.app.conftest import Service, StartService, owned_bytes

SEVEN = (EXAMPLES / "seven.bin").read_bytes()
HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
WHOLE = HEAD + b"Content-Length: 784\r\n\r\n" + SEVEN

IMPATIENT = """
import app.__main__
from app.input import body
from app.server import protocol, server
body.TIMEOUT_SECONDS = 3
protocol.HEAD_SECONDS, protocol.UNREAD_REPLY_SECONDS, server.KEEP_ALIVE_SECONDS = 1, 1, 2
raise SystemExit(app.__main__.main())
"""


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with short limits: 1 s for a head, 3 s for a body, 1 s for an unread reply, 2 s between requests."""
    log = tmp_path_factory.mktemp("impatient") / "service.log"
    service = Service(log, {"MNIST_MAX_BODY_BYTES": "1000000"}, [sys.executable, "-c", IMPATIENT]).wait_until_ready()
    yield service
    assert service.stop() == 0
    assert "Traceback" not in log.read_text()


def connected(service: Service) -> socket.socket:
    host, port = service.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def received(connection: socket.socket) -> bytes:
    """Return what the server sends until it closes the connection."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:  # the server closed while the client was still sending
        pass
    return b"".join(parts)


def cut_off(connection: socket.socket, parts: list[bytes], pause: float = 0) -> bool:
    """Return whether the server closes the connection before all parts are sent."""
    try:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)
    except (ConnectionResetError, BrokenPipeError):
        return True
    return False


def problem(reply: bytes) -> dict[str, object]:
    head, _, body = reply.partition(b"\r\n\r\n")
    assert b"\r\ncontent-type: application/problem+json\r\n" in head, reply
    assert b"\r\nconnection: close" in head, reply
    found: dict[str, object] = json.loads(body)
    return found


def test_a_body_that_never_begins_is_answered_408(impatient: Service) -> None:
    with connected(impatient) as connection:
        connection.sendall(HEAD + b"Content-Length: 784\r\n\r\n")

        reply = received(connection)

    assert problem(reply)["detail"] == "expected the whole body within 3 seconds, received 0 bytes"


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"P", id="one byte"),
        pytest.param(b"POST /predict HTTP/1.1\r\nHost: x\r\n", id="half a head"),
        pytest.param(WHOLE + b"POST /pre", id="a request and a part of the next"),
    ],
)
def test_a_head_that_does_not_arrive_is_answered_408(impatient: Service, sent: bytes) -> None:
    with connected(impatient) as connection:
        connection.sendall(sent)
        reply = received(connection)

    assert reply.count(b"HTTP/1.1 200 OK") == sent.count(SEVEN)
    assert problem(reply[reply.index(b"HTTP/1.1 408") :]) == {
        "type": "urn:digits:slow-head",
        "title": "Slow head",
        "status": 408,
        "detail": "expected the whole head within 1 seconds, received only a part",
    }


def test_a_head_that_arrives_byte_by_byte_is_cut_off(impatient: Service) -> None:
    with connected(impatient) as connection:
        assert cut_off(connection, [b"GET /livez HTTP/1.1\r\nX-A: ", *[b"a"] * 1000], pause=0.05)


def test_a_connection_without_a_request_is_closed(impatient: Service) -> None:
    with connected(impatient) as connection:
        assert received(connection) == b""


def test_each_request_renews_the_keep_alive_time(impatient: Service) -> None:
    with connected(impatient) as connection:
        for _ in range(3):
            time.sleep(1)
            connection.sendall(WHOLE)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")


def test_a_connection_whose_request_was_refused_before_its_body_is_closed_too(impatient: Service) -> None:
    with connected(impatient) as connection:
        connection.sendall(b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 784\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 404"
        connection.sendall(SEVEN[:1])

        assert received(connection).endswith(b"}")


def test_a_body_may_take_longer_than_the_keep_alive_time(impatient: Service) -> None:
    with connected(impatient) as connection:
        connection.sendall(WHOLE + WHOLE[:50])
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
        connection.sendall(WHOLE[50:-1])
        time.sleep(2.5)
        connection.sendall(WHOLE[-1:])

        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    ("value_bytes", "end", "part_bytes"),
    [
        pytest.param(MAX_HEAD_BYTES, b"\r\n\r\n", 10**6, id="in one write"),
        pytest.param(MAX_HEAD_BYTES, b"\r\n\r\n", 10_000, id="in many writes"),
        pytest.param(10 * MAX_HEAD_BYTES, b"", 100_000, id="without an end"),
    ],
)
def test_a_head_that_is_too_large_is_answered_431(
    impatient: Service, value_bytes: int, end: bytes, part_bytes: int
) -> None:
    head = b"GET /livez HTTP/1.1\r\nHost: x\r\nCookie: " + b"a" * value_bytes + end
    parts = [head[start : start + part_bytes] for start in range(0, len(head), part_bytes)]
    with connected(impatient) as connection:
        cut_off(connection, parts, pause=0.01)
        reply = received(connection)

    assert reply.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert problem(reply)["type"] == "urn:digits:head-too-large"


def test_a_thousand_headers_below_the_limit_are_accepted(impatient: Service) -> None:
    many = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 40) for number in range(1000))
    with connected(impatient) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + many + b"\r\n")

        assert received(connection).startswith(b"HTTP/1.1 200 OK\r\n")


def test_trailers_take_no_memory(impatient: Service) -> None:
    chunk = b"Transfer-Encoding: chunked\r\n\r\n310\r\n" + SEVEN + b"\r\n0\r\n"
    with connected(impatient) as connection:
        connection.sendall(HEAD + chunk)
        before = owned_bytes(impatient)
        for _ in range(30):
            connection.sendall(b"X-Trailer: some value\r\n" * 10_000)  # all of them would take 45 MB as a list
        connection.sendall(b"\r\n")

        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
        assert owned_bytes(impatient) - before < 20e6


def test_a_client_that_does_not_read_is_disconnected(impatient: Service) -> None:
    # Each reply has 300 kB.
    batch = HEAD + b"Content-Length: %d\r\n\r\n" % (784 * 1000) + SEVEN * 1000
    with connected(impatient) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        assert cut_off(connection, [batch] * 200)

    assert impatient.client.get("/readyz").status_code == 200


def test_a_malformed_request_is_a_problem_and_the_request_before_it_is_answered(impatient: Service) -> None:
    with connected(impatient) as connection:
        connection.sendall(WHOLE + b"seven\r\n\r\n")
        both = received(connection)
    with connected(impatient) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00")  # the beginning of TLS
        alone = received(connection)

    assert both.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b'"digit":7' in both
    assert problem(alone) == {
        "type": "urn:digits:malformed-request",
        "title": "Malformed request",
        "status": 400,
        "detail": "expected an HTTP/1.1 request, received something else",
    }
    impatient.wait_for_line('("status":400,)')


def test_more_requests_at_once_than_allowed_are_answered_503(start_service: StartService) -> None:
    service = start_service(MNIST_MAX_REQUESTS="2").wait_until_ready()
    raw = {"content": SEVEN, "headers": {"content-type": "application/octet-stream"}}
    with ExitStack() as stack:
        idle = [stack.enter_context(connected(service)) for _ in range(10)]
        half_sent = [stack.enter_context(connected(service)) for _ in range(2)]
        for connection in half_sent:
            connection.sendall(WHOLE[:-1])
        time.sleep(0.3)

        refused = httpx.post(f"{service.url}/predict", **raw)  # type: ignore[arg-type]
        ready = httpx.get(f"{service.url}/readyz")
        for connection in half_sent:
            connection.sendall(WHOLE[-1:])
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
        again = httpx.post(f"{service.url}/predict", **raw)  # type: ignore[arg-type]

    assert len(idle) == 10  # idle connections do not count
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "2"
    assert refused.json()["type"] == "urn:digits:overloaded"
    assert refused.json()["detail"] == "2 requests are already in progress; try again later"
    assert (ready.status_code, again.status_code) == (200, 200)


def test_a_thousand_idle_connections_are_accepted(service: Service) -> None:
    assert psutil.Process(service.process.pid).rlimit(psutil.RLIMIT_NOFILE)[0] > 1024  # the usual limit in a shell

    with ExitStack() as stack:
        for _ in range(900):
            stack.enter_context(connected(service))

        assert service.client.get("/readyz").status_code == 200
