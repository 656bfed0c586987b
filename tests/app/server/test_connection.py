"""Odd requests on the wire are answered, and so is the next one."""

import asyncio
import gc
import re
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.server import ServerState

from app.asgi.route import CONNECTION
from app.server.connection import Connection
from tests.app.conftest import Service, cases
from tests.app.dialects import PNG, RAW

SEVEN: bytes = RAW["content"]
CHUNK = b"310\r\n" + SEVEN + b"\r\n"
FILE = b'Content-Disposition: form-data; name="file"; filename="a"\r\n'
LENGTH = b"Content-Length: 784"
WEBSOCKET = b"Upgrade: websocket", b"Connection: Upgrade"
CHUNKED = b"Transfer-Encoding: chunked"


def post(
    *headers: bytes,
    path: bytes = b"/predict",
    kind: bytes = b"application/octet-stream",
    body: bytes = SEVEN,
    version: bytes = b"1.1",
) -> bytes:
    """A usual request except for the arguments. Without `headers` it declares its length."""
    sent = headers or (b"Content-Length: %d" % len(body),)
    head = [b"POST %b HTTP/%b" % (path, version), b"Host: x", b"Content-Type: " + kind, *sent]
    return b"\r\n".join([*head, b"", body])


def query(text: bytes) -> bytes:
    return post(path=b"/predict?" + text)


def get(path: bytes, method: bytes = b"GET", version: bytes = b"HTTP/1.1") -> bytes:
    return b"%b %b %b\r\nHost: x\r\n\r\n" % (method, path, version)


def livez(*headers: bytes) -> bytes:
    return b"\r\n".join([b"GET /livez HTTP/1.1", *headers, b"", b""])


def chunks(content: bytes) -> bytes:
    return post(CHUNKED, body=content)


def parts(*contents: bytes, kind: bytes = b"multipart/form-data; boundary=b", boundary: bytes = b"b") -> bytes:
    body = b"".join(b"--" + boundary + b"\r\n" + content + b"\r\n" for content in contents)
    return post(kind=kind, body=body + b"--" + boundary + b"--\r\n")


def bounded(boundary: bytes, used: bytes = b"b") -> bytes:
    return parts(FILE + b"\r\n" + PNG, kind=b"multipart/form-data; boundary=" + boundary, boundary=used)


FORM_IN_FORM = FILE + b"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n" + FILE + b"\r\n" + PNG + b"\r\n--c--"

ODD = {
    # paths
    "a NUL in the path": (post(path=b"/predict%00"), [404]),
    "a letter that is percent-encoded": (post(path=b"/%70redict"), [200]),
    "a line break behind the path": (get(b"/livez%0A"), [404]),
    "above the root": (get(b"/../../etc/passwd"), [404]),
    "a path of 60 000 letters": (get(b"/" + b"a" * 60_000), [404]),
    "a path of raw bytes": (get(b"/\xff\xc3\xa9"), [400]),
    "the absolute form": (post(path=b"http://x/predict"), [200]),
    # queries
    "a query of 1600 bytes": (query(b"a=1&" * 400), [422]),
    "a parameter twice": (query(b"normalize=auto&normalize=never"), [422]),
    "a query of raw bytes": (query(b"normalize=\xff"), [400]),
    "a semicolon between parameters": (query(b"normalize=auto;include=pixels"), [422]),
    # headers
    "an empty host": (livez(b"Host:"), [200]),
    "a space before the colon": (livez(b"Host : x"), [400]),
    "a header of raw bytes": (livez(b"Host: x", b"X: \xff\xfe"), [200]),
    "5000 headers": (livez(b"Host: x", *[b"X-%d: y" % number for number in range(5000)]), [200]),
    "a content type without a type": (post(kind=b";"), [415]),
    # lengths and chunks
    "a length beyond 64 bits": (post(b"Content-Length: 99999999999999999999"), [400]),
    "a length that starts with zeros": (post(b"Content-Length: " + b"0" * 5000 + b"784"), [200]),
    "a length twice": (post(LENGTH, LENGTH), [400]),
    "a length and chunks": (post(LENGTH, CHUNKED), [400]),
    "an unknown transfer coding": (post(b"Transfer-Encoding: xchunked"), [400]),
    "a compressed transfer": (post(b"Transfer-Encoding: gzip, chunked", body=CHUNK + b"0\r\n\r\n"), [415]),
    "chunked with a capital letter": (post(b"Transfer-Encoding: Chunked", body=CHUNK + b"0\r\n\r\n"), [200]),
    "trailers": (chunks(CHUNK + b"0\r\nX-A: b\r\n\r\n"), [200]),
    "chunks of a byte": (chunks(b"".join(b"1\r\n%c\r\n" % byte for byte in SEVEN) + b"0\r\n\r\n"), [200]),
    "a chunk beyond 64 bits": (chunks(b"f" * 17 + CHUNK[3:]), [400]),
    # versions and other protocols
    "HTTP/1.0": (post(version=b"1.0"), [200]),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\4\0\0\0\0\0", [400]),
    "TLS": (b"\x16\x03\x01\0\xf5\1\0\0\xf1\x03\x03" + b"Z" * 240, [400]),
    "empty lines before a request": (b"\r\n\r\n" + get(b"/livez"), [200]),
    "a websocket": (livez(b"Host: x", *WEBSOCKET), [200]),
    "2000 upgrades at once": (livez(b"Host: x", b"Upgrade: x", b"Connection: Upgrade") * 2000, [200]),
    "an upgrade to HTTP/2": (post(b"Upgrade: h2c", b"Connection: Upgrade", LENGTH), [200]),
    "a body sent without waiting for 100": (post(b"Expect: 100-continue", LENGTH), [100, 200]),
    "another expectation": (post(b"Expect: a-miracle", LENGTH), [200]),
    # methods
    "CONNECT": (get(b"/livez", method=b"CONNECT"), [405]),
    "BREW": (get(b"/livez", method=b"BREW"), [400]),
    "HEAD": (get(b"/livez", method=b"HEAD") + get(b"/livez"), [200, 200]),
    "GET with a body": (livez(b"Host: x", b"Content-Length: 5") + b"seven" + get(b"/livez"), [200, 200]),
    # several requests
    "three requests at once": (post() * 3, [200] * 3),
    "99 requests at once, some in chunks": ((chunks(CHUNK + b"0\r\n\r\n") + get(b"/livez") + post()) * 33, [200] * 99),
    "a request after one that is not found": (get(b"/nothing") + post(), [404, 200]),
    "a request and then nonsense": (post() + b"seven\r\n\r\n", [400]),
    # forms
    "a form in a form": (parts(FORM_IN_FORM), [422]),
    "a part with a giant header": (parts(FILE + b"X: " + b"y" * 1_000_000 + b"\r\n\r\n" + PNG), [400]),
    "a part with 10 000 headers": (parts(FILE + b"X: y\r\n" * 10_000 + b"\r\n" + PNG), [400]),
    "a part without a name": (parts(b'Content-Disposition: form-data; filename="a"\r\n\r\n' + PNG), [400]),
    "an empty boundary": (bounded(b""), [400]),
    "a quoted boundary": (bounded(b'"b"'), [200]),
    "a boundary of 200 letters": (bounded(b"b" * 200, b"b" * 200), [200]),
}


@pytest.mark.parametrize(("request_", "statuses"), cases(ODD))
def test_an_odd_request_is_answered_and_so_is_the_next(service: Service, request_: bytes, statuses: list[int]) -> None:
    with service.connect() as connection:
        connection.sendall(request_)
        received = b""
        while len(replies := re.findall(rb"HTTP/1\.1 (\d{3}) ", received)) < len(statuses):
            more = connection.recv(65536)
            assert more, received
            received += more

    assert [int(status) for status in replies] == statuses
    assert service.client.post("/predict", **RAW).json()["digit"] == 7


@pytest.fixture
def connection(service: Service) -> Iterator[socket.socket]:
    with service.connect() as connection:
        yield connection


def received_from(connection: socket.socket) -> bytes:
    """Return what the server sends until it closes the connection."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_client_that_waits_for_100_is_told_to_continue(connection: socket.socket) -> None:
    connection.sendall(post(LENGTH, b"Expect: 100-continue", b"Connection: close", body=b""))
    assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.sendall(SEVEN)

    received = received_from(connection)

    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b'"digit":7' in received


class Nowhere(asyncio.Transport):
    """A transport that keeps replies."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written = b""
        self.is_paused = self.has_ended = False

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.written += data

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def write_eof(self) -> None:
        pass

    def close(self) -> None:
        self.has_ended = True

    abort = close

    def is_closing(self) -> bool:
        return self.has_ended


@contextmanager
def connected(app: Callable[[Any, Any], Awaitable[None]]) -> Iterator[tuple[Connection, Nowhere]]:
    """A connection to an application that gets `receive` and `send`."""

    async def told(scope: Any, receive: Any, send: Any) -> None:
        """Tell the connection of its request, as `RequestMiddleware` does."""
        connection = scope["state"][CONNECTION]
        connection.begin_request(scope["headers"])
        await app(receive, send)
        connection.end_request()

    transport = Nowhere()
    config = uvicorn.Config(told, log_config=None, interface="asgi3")
    connection = Connection(config=config, server_state=ServerState(), app_state={})
    connection.connection_made(transport)
    yield connection, transport
    connection.connection_lost(None)


async def reply(send: Any, body: bytes = b"") -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": body})


async def echo(receive: Any, send: Any) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    await reply(send, body)


END = b"\r\n\r\n"
CONTENTS = st.lists(st.sampled_from([END, END * 9, b"GET / HTTP/1.1", b"0\r\n", b"seven", SEVEN * 3]), max_size=6).map(
    b"".join
)


def in_chunks(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content) if content else b"0\r\n\r\n"


@given(st.data())
def test_requests_are_answered_alike_however_they_arrive(data: st.DataObject) -> None:
    contents = data.draw(st.lists(CONTENTS, min_size=1, max_size=12))
    ways: list[Callable[[bytes], bytes]] = [
        lambda body: post(body=body),
        lambda body: post(CHUNKED, body=in_chunks(body)),
    ]
    sent = b"".join(data.draw(st.sampled_from(ways))(content) for content in contents)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=12)))

    async def exchange() -> bytes:
        with connected(echo) as (connection, transport):
            for start, end in pairwise([0, *cuts, len(sent)]):
                if start < end:
                    connection.data_received(sent[start:end])
                while transport.is_paused:
                    await asyncio.sleep(0)
            while len(transport.written.split(b"HTTP/1.1 200 OK")) <= len(contents):
                await asyncio.sleep(0)
            return transport.written

    written = asyncio.run(asyncio.wait_for(exchange(), 20))

    assert written == b"".join(
        b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(each), each) for each in contents
    )


def test_of_requests_that_are_sent_at_once_few_are_parsed_before_the_first_is_answered() -> None:
    begun = 0

    async def wait(receive: Any, send: Any) -> None:
        nonlocal begun
        begun += 1
        await asyncio.sleep(0.05)
        await reply(send)

    async def send_at_once() -> tuple[bool, int]:
        with connected(wait) as (connection, transport):
            connection.data_received(get(b"/") * 5000)
            await asyncio.sleep(0.01)
            objects = sum(type(each).__name__ == "RequestResponseCycle" for each in gc.get_objects())
            return transport.is_paused, objects

    is_paused, parsed = asyncio.run(send_at_once())

    assert (is_paused, begun) == (True, 1)
    assert parsed < 10


def test_a_connection_with_too_many_trailers_ends() -> None:
    async def receive_trailers() -> bool:
        with connected(echo) as (connection, transport):
            connection.data_received(chunks(CHUNK + b"0\r\n"))
            for _ in range(30):
                await asyncio.sleep(0)
                connection.data_received(b"X-A: b\r\n" * 1000)
            return transport.has_ended

    assert asyncio.run(receive_trailers())


def test_line_ends_alone_do_not_keep_other_connections_waiting_and_end_theirs() -> None:
    async def receive_line_ends() -> int:
        with connected(echo) as (connection, transport):
            connection.data_received(END * 60_000)
            turns = 0
            while not transport.has_ended:
                turns += 1
                await asyncio.sleep(0)
            return turns

    assert asyncio.run(asyncio.wait_for(receive_line_ends(), 20)) > 200


def test_an_upgrade_keeps_its_body() -> None:
    async def exchange() -> bytes:
        with connected(echo) as (connection, transport):
            connection.data_received(post(b"Upgrade: h2c", b"Connection: Upgrade", LENGTH))
            while not transport.written:
                await asyncio.sleep(0)
            return transport.written

    assert asyncio.run(asyncio.wait_for(exchange(), 20)).endswith(SEVEN)


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n", chunks(CHUNK + b"0\r\n")], ids=["a head", "a body"])
def test_a_lost_connection_keeps_no_headers_until_a_garbage_collection(sent: bytes) -> None:
    async def wait(receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async def lose() -> int:
        with connected(wait) as (connection, _):
            connection.data_received(sent)
            await asyncio.sleep(0)
            connection.data_received(b"X-Only-Here: b\r\n" * 100)
        await asyncio.sleep(0.01)
        kept = [
            each for each in gc.get_objects() if type(each) is tuple and [type(part) for part in each] == [bytes] * 2
        ]
        return kept.count((b"x-only-here", b"b"))

    gc.collect()
    gc.disable()
    try:
        assert asyncio.run(lose()) == 0
    finally:
        gc.enable()
