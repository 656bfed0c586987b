"""Limits on connections: a head that is slow or large is cut off, and the others are answered."""

import re
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import psutil
import pytest

from app.server.framing import MAX_HEAD_BYTES
from tests.app.conftest import Service, cases, received
from tests.app.dialects import RAW

pytestmark = pytest.mark.slow

SEVEN: bytes = RAW["content"]
HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"

HEAD_SECONDS, KEEP_ALIVE_SECONDS, BODY_SECONDS = 0.5, 1, 3

IMPATIENT = f"""
import app.__main__
import app.start
from app.input import request
from app.server import connection
request.TIMEOUT_SECONDS = {BODY_SECONDS}
connection.HEAD_SECONDS, connection.REST_SECONDS = {HEAD_SECONDS}, {KEEP_ALIVE_SECONDS}
app.start.KEEP_ALIVE_SECONDS = {KEEP_ALIVE_SECONDS}
listen = app.start.listen
SO_SNDBUF = 7  # inherited by the connections
app.start.listen = lambda *given: [each for each in listen(*given) if not each.setsockopt(1, SO_SNDBUF, 4096)]
raise SystemExit(app.__main__.main())
"""


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    log = tmp_path_factory.mktemp("impatient") / "service.log"
    service = Service(log, {"MNIST_MAX_BODY_BYTES": "1000000"}, [sys.executable, "-c", IMPATIENT]).wait_until_ready()
    yield service
    assert service.stop() == 0
    assert "Traceback" not in log.read_text()


@pytest.fixture
def connection(impatient: Service) -> Iterator[socket.socket]:
    with impatient.connect() as connection:
        yield connection


def cut_off(connection: socket.socket, parts: Sequence[bytes], pause: float = 0) -> bool:
    """Return whether the server closes the connection before all parts are sent."""
    try:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)
    except (ConnectionResetError, BrokenPipeError):
        return True
    return False


BODY_OF_784 = HEAD + b"Content-Length: 784\r\n\r\n"


@cases(
    ("sent", "statuses"),
    {
        "a body that never begins": (BODY_OF_784, [b"408"]),
        "a body that never ends": (BODY_OF_784 + SEVEN[:-1], [b"408"]),
        "the beginning of TLS": (b"\x16\x03\x01\x02\x00\x01\x00", [b"400"]),
        "a request and a part of the next": (BODY_OF_784 + SEVEN + b"POST /pre", [b"200"]),
        "a request and line ends": (BODY_OF_784 + SEVEN + b"\r\n" * 2000, [b"200", b"400"]),
        "nothing": (b"", []),
        "one byte": (b"P", []),
        "half a head": (HEAD, []),
    },
)
def test_a_request_that_does_not_arrive_closes_the_connection(
    connection: socket.socket, sent: bytes, statuses: list[bytes]
) -> None:
    connection.sendall(sent)

    reply = received(connection)

    assert re.findall(rb"HTTP/1\.1 (\d+) ", reply) == statuses
    assert (b"\r\nconnection: close" in reply) == (statuses[-1:] in ([b"408"], [b"400"]))
    assert bool(reply) == bool(statuses)


@pytest.mark.parametrize(
    ("end", "part_bytes"), [(b"\r\n\r\n", 10**6), (b"", 10_000)], ids=["in one write", "without an end"]
)
def test_a_large_head_closes_the_connection(connection: socket.socket, end: bytes, part_bytes: int) -> None:
    head = b"GET /livez HTTP/1.1\r\nHost: x\r\nCookie: " + b"a" * (10 * MAX_HEAD_BYTES) + end
    cut_off(connection, [head[start : start + part_bytes] for start in range(0, len(head), part_bytes)], pause=0.01)

    assert b" 200 OK" not in received(connection)


@pytest.fixture
def small_window(impatient: Service) -> Iterator[socket.socket]:
    """Return a connection whose client reads nothing, so that the service can send only a few kB."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", impatient.port))
        yield connection


ENDLESS_HEAD = [b"GET / HTTP/1.1\r\n", *[b"a: b\r\n" * 1000] * 100]


def test_a_head_behind_an_unread_reply_is_limited_when_it_is_read(small_window: socket.socket) -> None:
    requests = [b"GET /docs/assets/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n", *ENDLESS_HEAD[:20]]
    small_window.sendall(b"".join(requests) + b"\r\n")

    assert re.findall(rb"HTTP/1\.1 (\d+) ", received(small_window)) == [b"200", b"400"]


def test_a_head_behind_a_long_body_is_limited(service: Service) -> None:
    with service.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 784000\r\n\r\n" + SEVEN * 1000)
        assert cut_off(connection, ENDLESS_HEAD, pause=0.01)


def test_a_client_that_reads_slowly_gets_all_of_its_last_reply(small_window: socket.socket) -> None:
    small_window.sendall(HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % (784 * 150) + SEVEN * 150)
    time.sleep(KEEP_ALIVE_SECONDS + 0.5)
    head, _, body = received(small_window).partition(b"\r\n\r\n")

    assert b"content-length: %d\r\n" % len(body) in head


def test_connections_whose_bodies_nobody_reads_do_not_pile_up(service: Service) -> None:
    head = b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    body = b"--x\r\nContent-Disposition: form-data; name=file\r\n\r\n%s\r\n" % SEVEN * 200
    process = psutil.Process(service.process.pid)

    def open_files_after_a_reply(_number: int) -> int:
        with service.connect() as connection:
            connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            assert connection.recv(12) == b"HTTP/1.1 404"
        return process.num_fds()

    before = process.num_fds()
    with ThreadPoolExecutor(4) as clients:
        assert max(clients.map(open_files_after_a_reply, range(400))) < before + 100


def test_a_client_that_is_still_sending_gets_its_refusal(impatient: Service, connection: socket.socket) -> None:
    body = b"a" * 10_000_000

    connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    assert received(connection).startswith(b"HTTP/1.1 413 ")


TOO_LONG = HEAD + b"Content-Length: 10000000\r\n\r\n"
WRONG_CHUNK = HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"


@cases(
    ("sent", "part"),
    {
        "a head that arrives byte by byte": (b"GET /livez HTTP/1.1\r\nX-A: ", b"a"),
        "a refused body that goes on slowly": (TOO_LONG, b"a"),
        "what follows a wrong chunk": (WRONG_CHUNK, b"a" * 1000),
        "line ends": (b"", b"\r\n" * 10_000),
    },
)
def test_a_client_that_goes_on_is_cut_off(connection: socket.socket, sent: bytes, part: bytes) -> None:
    assert cut_off(connection, [sent, *[part] * 200], pause=0.05)


def test_a_thousand_idle_connections_are_accepted(service: Service) -> None:
    assert psutil.Process(service.process.pid).rlimit(psutil.RLIMIT_NOFILE)[0] > 1024  # the usual limit in a shell

    with ExitStack() as stack:
        for _ in range(900):
            stack.enter_context(service.connect())

        assert service.client.get("/readyz").status_code == 200
