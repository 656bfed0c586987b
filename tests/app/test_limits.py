"""What a client may keep open, and how much of it at once: a slow, greedy or deaf one costs the others nothing."""

import json
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import psutil
import pytest

from app.openapi.schemas import EXAMPLES
from app.server.protocol import MAX_HEAD_BYTES
from tests.app.conftest import Service, StartService

SEVEN = (EXAMPLES / "seven.bin").read_bytes()
HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
WHOLE = HEAD + b"Content-Length: 784\r\n\r\n" + SEVEN

IMPATIENT = """
import app.__main__, app.server.protocol, app.server.server
app.server.protocol.HEAD_SECONDS, app.server.protocol.STUCK_SECONDS, app.server.server.KEEP_ALIVE_SECONDS = 1, 1, 2
raise SystemExit(app.__main__.main())
"""


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that waits for a head 1 s, for a reader 1 s, for the next request 2 s."""
    log = tmp_path_factory.mktemp("impatient") / "service.log"
    service = Service(log, {"MNIST_MAX_BODY_BYTES": "1000000"}, [sys.executable, "-c", IMPATIENT]).wait_until_ready()
    yield service
    assert service.stop() == 0
    assert "Traceback" not in log.read_text()


def connected(service: Service) -> socket.socket:
    host, port = service.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def received(connection: socket.socket) -> bytes:
    """All until the server closes."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:  # it closed while more was being sent
        pass
    return b"".join(parts)


def cut_off(connection: socket.socket, parts: list[bytes], pause: float = 0) -> bool:
    """Whether the server closes the connection before all is sent."""
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


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"P", id="one byte"),
        pytest.param(b"POST /predict HTTP/1.1\r\nHost: x\r\n", id="half a head"),
        pytest.param(WHOLE + b"POST /pre", id="a request and a part of the next"),
    ],
)
def test_a_head_that_does_not_come_is_answered_408_and_closed(impatient: Service, sent: bytes) -> None:
    with connected(impatient) as connection:
        connection.sendall(sent)
        reply = received(connection)

    assert reply.count(b"HTTP/1.1 200 OK") == sent.count(SEVEN)
    assert problem(reply[reply.index(b"HTTP/1.1 408") :]) == {
        "type": "urn:digits:slow-head",
        "title": "Slow head",
        "status": 408,
        "detail": "expected the whole head within 1 seconds, received a part",
    }


def test_a_head_that_comes_byte_by_byte_is_answered_408_too(impatient: Service) -> None:
    with connected(impatient) as connection:
        began = time.monotonic()
        assert cut_off(connection, [b"GET /livez HTTP/1.1\r\nX-A: ", *[b"a"] * 1000], pause=0.05)

    assert time.monotonic() - began < 15


def test_a_connection_without_a_request_is_closed(impatient: Service) -> None:
    with connected(impatient) as connection:
        assert received(connection) == b""


def test_a_connection_in_use_is_not(impatient: Service) -> None:
    with connected(impatient) as connection:
        for _ in range(2):
            time.sleep(1.5)
            connection.sendall(WHOLE[:50])
            time.sleep(0.7)
            connection.sendall(WHOLE[50:])
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")


def test_a_connection_whose_request_was_refused_before_its_body_came_is_closed_too(impatient: Service) -> None:
    with connected(impatient) as connection:
        connection.sendall(b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 784\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 404"
        connection.sendall(SEVEN[:1])

        assert received(connection).endswith(b"}")


def test_a_body_may_take_longer_than_the_wait_for_a_request(impatient: Service) -> None:
    with connected(impatient) as connection:
        connection.sendall(WHOLE + WHOLE[:50])
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
        connection.sendall(WHOLE[50:-1])
        time.sleep(2.5)
        connection.sendall(WHOLE[-1:])

        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("name", [b"X-Long: ", b"Cookie: "])
@pytest.mark.parametrize("in_one_go", [True, False], ids=["in one go", "in pieces"])
def test_a_head_that_is_too_large_is_answered_431(impatient: Service, name: bytes, in_one_go: bool) -> None:
    head = b"GET /livez HTTP/1.1\r\nHost: x\r\n" + name + b"a" * MAX_HEAD_BYTES + b"\r\n\r\n"
    with connected(impatient) as connection:
        if in_one_go:
            connection.sendall(head)
        else:
            for start in range(0, len(head), 10_000):
                connection.sendall(head[start : start + 10_000])
                time.sleep(0.01)
        reply = received(connection)

    assert reply.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert problem(reply)["type"] == "urn:digits:head-too-large"


def test_a_head_of_many_headers_below_the_limit_is_none(impatient: Service) -> None:
    many = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 40) for number in range(1000))
    with connected(impatient) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + many + b"\r\n")

        assert received(connection).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(b"0\r\n" + b"X: a\r\n", id="what follows the last chunk"),
        pytest.param(b"1;" + b"a=b;" * 3, id="extensions of a chunk"),
    ],
)
def test_what_a_body_need_not_have_does_not_come_without_end(impatient: Service, flood: bytes) -> None:
    more = (flood[3:] if flood.startswith(b"0") else b"a=b;") * 40_000
    with connected(impatient) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + flood)
        assert cut_off(connection, [more] * 2000)

    assert impatient.client.get("/readyz").status_code == 200


def test_who_does_not_read_is_given_up(impatient: Service) -> None:
    # Each reply has 300 kB; none is read.
    batch = HEAD + b"Content-Length: %d\r\n\r\n" % (784 * 1000) + SEVEN * 1000
    with connected(impatient) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        assert cut_off(connection, [batch] * 200)

    assert impatient.client.get("/readyz").status_code == 200


def test_what_is_no_request_is_a_problem_and_what_came_before_it_is_answered(impatient: Service) -> None:
    with connected(impatient) as connection:
        connection.sendall(WHOLE + b"seven\r\n\r\n")
        both = received(connection)
    with connected(impatient) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00")  # as TLS begins
        alone = received(connection)

    assert both.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b'"digit":7' in both
    assert problem(alone) == {
        "type": "urn:digits:malformed-request",
        "title": "Malformed request",
        "status": 400,
        "detail": "expected a request as HTTP/1.1 has it, received none",
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

    assert len(idle) == 10  # connections are not what is counted
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "2"
    assert refused.json()["type"] == "urn:digits:overloaded"
    assert refused.json()["detail"] == "2 requests are in work already; try again later"
    assert (ready.status_code, again.status_code) == (200, 200)


def test_a_thousand_idle_connections_are_taken(service: Service) -> None:
    assert psutil.Process(service.process.pid).rlimit(psutil.RLIMIT_NOFILE)[0] > 1024  # what shells allow

    with ExitStack() as stack:
        for _ in range(900):
            stack.enter_context(connected(service))

        assert service.client.get("/readyz").status_code == 200
