"""HTTP on the wire."""

import socket
from collections.abc import Iterator

import pytest

from app.openapi.example_pictures import EXAMPLES
from tests.app.conftest import Service

SEVEN = (EXAMPLES / "seven.bin").read_bytes()
HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: 784\r\n"


@pytest.fixture
def connection(service: Service) -> Iterator[socket.socket]:
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        yield connection


def read_until_closed(connection: socket.socket) -> bytes:
    received = b""
    while part := connection.recv(65536):
        received += part
    return received


def test_a_reply_without_a_body_arrives(connection: socket.socket) -> None:
    connection.sendall(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    received = read_until_closed(connection)

    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert received.endswith(b"\r\n\r\n")


def test_a_file_in_many_parts_arrives_whole(connection: socket.socket) -> None:
    connection.sendall(b"GET /docs/assets/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    head, _, body = read_until_closed(connection).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-length: %d" % len(body) in head
    assert len(body) > 1_000_000


def test_expect_100_continue_is_answered(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Expect: 100-continue\r\nConnection: close\r\n\r\n")
    assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.sendall(SEVEN)

    received = read_until_closed(connection)

    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b'"digit":7' in received


def test_pipelined_requests_are_answered_in_order(connection: socket.socket) -> None:
    connection.sendall((HEAD + b"\r\n" + SEVEN) * 3 + HEAD + b"Connection: close\r\n\r\n" + SEVEN)

    received = read_until_closed(connection)

    assert received.count(b"HTTP/1.1 200 OK\r\n") == 4
    assert received.count(b'"digit":7') == 4


@pytest.mark.parametrize(
    ("head", "detail"),
    [
        pytest.param(b"GET /livez HTTP/1.1\r\n\r\n", b"one Host header (RFC 9112), received none", id="no host"),
        pytest.param(
            b"GET /livez HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
            b"one Host header (RFC 9112), received 2",
            id="two hosts",
        ),
    ],
)
def test_a_request_without_exactly_one_host_is_answered_400(
    connection: socket.socket, head: bytes, detail: bytes
) -> None:
    connection.sendall(head)

    received = read_until_closed(connection)

    assert received.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert detail in received


def test_http_1_0_needs_no_host(connection: socket.socket) -> None:
    connection.sendall(b"GET /livez HTTP/1.0\r\n\r\n")

    assert read_until_closed(connection).startswith(b"HTTP/1.1 200 OK\r\n")
