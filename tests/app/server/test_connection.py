"""Odd requests on the wire are answered, and so is the next one. What is in a body is no request."""

import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.app.conftest import UVICORN, Service, StartService, cases, received, statuses_of
from tests.app.dialects import PNG, RAW

SEVEN: bytes = RAW["content"]
CHUNK = b"310\r\n" + SEVEN + b"\r\n"
FILE = b'Content-Disposition: form-data; name="file"; filename="a"\r\n'
LENGTH = b"Content-Length: 784"
EXPECT = LENGTH, b"Expect: 100-continue"
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
    "a line break behind the path": (get(b"/livez%0A"), [404]),
    "above the root": (get(b"/../../etc/passwd"), [404]),
    "a path of 60 000 letters": (get(b"/" + b"a" * 60_000), [404]),
    "a path of raw bytes": (get(b"/\xff\xc3\xa9"), [400]),
    "the absolute form": (post(path=b"http://x/predict"), [200]),
    "a space before the colon": (livez(b"Host : x"), [400]),
    "5000 headers": (livez(b"Host: x", *[b"X-%d: y" % number for number in range(5000)]), [200]),
    "a content type without a type": (post(kind=b";"), [415]),
    "a length twice": (post(LENGTH, LENGTH), [400]),
    "a length and spaces": (post(LENGTH + b" " * 30), [200]),
    "a length and chunks": (post(LENGTH, CHUNKED), [400]),
    "a compressed transfer": (post(b"Transfer-Encoding: gzip, chunked", body=CHUNK + b"0\r\n\r\n"), [415]),
    "trailers": (chunks(CHUNK + b"0\r\nX-A: b\r\n\r\n"), [200]),
    "line feeds alone": (b"GET /livez HTTP/1.1\nHost: x\n\n\r\n\r\n", [400]),
    "a request behind a line that is no header": (
        get(b"/livez")[:-2] + b"\r\r\nUpgrade: h2c\n" + get(b"/livez"),
        [400],
    ),
    "line ends between requests": (post() + b"\r\n\r\n" + get(b"/livez"), [200, 200]),
    "too many line ends": (b"\r\n" * 50 + get(b"/livez"), [400]),
    # versions and other protocols
    "HTTP/1.0": (post(version=b"1.0"), [200]),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\4\0\0\0\0\0", [400]),
    "HTTP/2, and then HTTP/0.9": (b"PRI /livez\r\nConnection: keep-alive\r\n\r\n" + get(b"/livez"), [400]),
    "TLS": (b"\x16\x03\x01\0\xf5\1\0\0\xf1\x03\x03" + b"Z" * 240, [400]),
    "a websocket": (livez(b"Host: x", *WEBSOCKET), [200]),
    "an upgrade to HTTP/2": (post(b"Upgrade: h2c", b"Connection: Upgrade", LENGTH), [200]),
    "a body sent without waiting for 100": (post(*EXPECT), [100, 200]),
    "BREW": (get(b"/livez", method=b"BREW"), [400]),
    "HEAD": (get(b"/livez", method=b"HEAD") + get(b"/livez"), [200, 200]),
    "GET with a body": (livez(b"Host: x", b"Content-Length: 5") + b"seven" + get(b"/livez"), [200, 200]),
    "99 requests at once": ((post() + get(b"/livez") + post()) * 33, [200] * 99),
    "a request after one that is not found": (get(b"/nothing") + post(), [404, 200]),
    "a request and then nonsense": (post() + b"seven\r\n\r\n", [200, 400]),
    # forms
    "a form in a form": (parts(FORM_IN_FORM), [422]),
    "a part with a giant header": (parts(FILE + b"X: " + b"y" * 1_000_000 + b"\r\n\r\n" + PNG), [400]),
    "a part without a name": (parts(b'Content-Disposition: form-data; filename="a"\r\n\r\n' + PNG), [400]),
    "an empty boundary": (bounded(b""), [400]),
    "a quoted boundary": (bounded(b'"b"'), [200]),
}


@cases(("request_", "statuses"), ODD)
def test_an_odd_request_is_answered_and_so_is_the_next(service: Service, request_: bytes, statuses: list[int]) -> None:
    with service.connect() as connection:
        connection.sendall(request_)
        replies = b""
        while len(statuses_of(replies)) < len(statuses):
            more = connection.recv(65536)
            assert more, replies
            replies += more

    assert statuses_of(replies) == statuses
    assert service.client.post("/predict", **RAW).json()["digit"] == 7


def test_a_client_that_waits_for_100_is_told_to_continue(service: Service) -> None:
    with service.connect() as connection:
        connection.sendall(post(LENGTH, b"Expect: 100-continue", b"Connection: close", body=b""))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(SEVEN)
        reply = b"".join(iter(lambda: connection.recv(65536), b""))

    assert reply.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b'"digit":7' in reply


def test_trailers_do_not_become_headers(service: Service) -> None:
    trailers = b"X-Request-ID: trailer\r\nX-Forwarded-For: 203.0.113.7\r\n"

    reply = service.send_bytes(chunks(CHUNK + b"0\r\n" + trailers + b"\r\n"))

    assert reply.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"x-request-id: trailer" not in reply


IN_BODY = (b"GET /livez HTTP/1.1\r\nHost: x\r\nX: %b\r\n\r\n" % (b"a" * 784))[:780] + b"\r\n\r\n"
"""784 pixels, which are a request as well."""

LAST = livez(b"Host: x", b"Connection: close")
H2C = b"Upgrade: h2c", b"Connection: Upgrade"
TRAILER = CHUNK + b"0\r\nUpgrade: h2c\r\n\r\n"


@cases(
    ("request_", "rest", "statuses"),
    {
        "all of a body": (post(path=b"/nothing"), b"", [404, 200]),
        "nothing of a body": (post(LENGTH, path=b"/nothing", body=b""), SEVEN, [404, 200]),
        "a part of a long body": (post(b"Content-Length: 392784", path=b"/nothing"), SEVEN * 500, [404, 200]),
        "a part of a body in chunks": (post(CHUNKED, path=b"/nothing", body=CHUNK), b"", [404]),
        "all of a body in chunks": (chunks(CHUNK + b"0\r\n\r\n"), b"", [200]),
        "nothing of a body that may not come": (post(*EXPECT, path=b"/nothing", body=b""), b"", [404]),
        "all of a body that might not have come": (post(*EXPECT), b"", [100, 200]),
    },
)
def test_nothing_is_answered_behind_a_body_whose_end_is_in_doubt(
    service: Service, request_: bytes, rest: bytes, statuses: list[int]
) -> None:
    with service.connect() as connection:
        connection.sendall(request_)
        replies = connection.recv(65536)
        with suppress(OSError):  # the connection is closed already
            connection.sendall(rest + LAST)
        replies += received(connection)

    assert statuses_of(replies) == statuses
    assert replies.count(b"\r\nconnection: close\r\n") == 1


def disguised(*headers: bytes, body: bytes = IN_BODY) -> bytes:
    """A request whose body looks like a request, or like nothing in MNIST."""
    return post(*headers, path=b"/predict?normalize=never", body=body)


@cases(
    ("before", "headers", "statuses"),
    {
        "an upgrade to HTTP/2": (b"", H2C, [200, 200]),
        "an upgrade to a websocket": (b"", WEBSOCKET, [200, 200]),
        "in upper case, without a space": (b"", [b"UPGRADE:H2C", b"CONNECTION:UPGRADE"], [200, 200]),
        "headers twice": (b"", [*H2C, *WEBSOCKET], [200, 200]),
        "the connection and a proxy's": (b"", [b"Upgrade: h2c", b"Proxy-Connection: upgrade"], [200, 200]),
        "a folded header": (b"", [b"Upgrade:", b" h2c", b"Connection: Upgrade"], [400]),
        "folded behind another header": (b"", [b"X:", b" Upgrade: h2c", b"Connection: Upgrade"], [400]),
        "a header behind a line feed": (b"", [b"X: y\nUpgrade: h2c", b"Connection: Upgrade"], [400]),
        "behind line ends": (b"\r\n\r\n\n", H2C, [200, 200]),
        "behind a request": (get(b"/nothing"), H2C, [404, 200, 200]),
        "behind a body": (post(), H2C, [200, 200, 200]),
        "behind a body of a request": (disguised(), H2C, [200, 200, 200]),
        "behind another": (disguised(*H2C, LENGTH), WEBSOCKET, [200, 200, 200]),
        "behind chunks": (chunks(CHUNK + b"0\r\n\r\n"), H2C, [200]),
        "behind a trailer": (post(CHUNKED, H2C[1], body=TRAILER), H2C, [200]),
    },
)
def test_a_request_with_upgrade_keeps_its_body_wherever_its_head_is_split(
    service: Service, before: bytes, headers: Sequence[bytes], statuses: list[int]
) -> None:
    request_ = before + disguised(*headers, LENGTH)
    replies = []

    with ExitStack() as stack:
        splits = range(max(1, len(before)), len(request_) - len(IN_BODY) + 1)
        connections = [(stack.enter_context(service.connect()), split) for split in splits]
        for connection, split in connections:
            connection.sendall(request_[:split])
        service.client.get("/livez")  # the service has read the first parts when it answers this
        for connection, split in connections:
            with suppress(OSError):  # it was refused already
                connection.sendall(request_[split:] + LAST)
        for connection, _ in connections:
            replies.append(statuses_of(received(connection)))

    assert [replied for replied in replies if replied != statuses] == []


@pytest.mark.parametrize("target", [b"x:1", b"/livez", b"*"])
def test_what_follows_connect_is_no_request(service: Service, target: bytes) -> None:
    head = b"CONNECT %b HTTP/1.1\r\nHost: x\r\nContent-Length: 784\r\n\r\n" % target
    for pause in (0, 0.05):
        with service.connect() as connection:
            connection.sendall(head)
            time.sleep(pause)
            with suppress(OSError):  # it was refused already
                connection.sendall(IN_BODY + LAST)

            assert statuses_of(received(connection)) == [400]


def test_uvicorns_own_command_closes_the_connection_after_an_upgrade(start_service: StartService) -> None:
    head, _, body = disguised(*H2C, LENGTH).partition(b"\r\n\r\n")
    service = start_service(UVICORN).wait_until_ready()
    for pause in (0, 0.05):
        with service.connect() as connection:
            connection.sendall(head + b"\r\n\r\n")
            time.sleep(pause)
            with suppress(OSError):
                connection.sendall(body + LAST)

            replies = received(connection)

        assert len(statuses_of(replies)) == 1
        assert b"\r\nconnection: close\r\n" in replies


TINY_CHUNKS = b"".join(b"1\r\n%c\r\n" % each for each in IN_BODY) + b"000\r\nX: y\r\n\r\n"
REQUESTS = {
    "pixels": (disguised(), 200),
    "an upgrade": (disguised(*H2C, LENGTH), 200),
    "no body": (get(b"/livez"), 200),
    "not found, with a body": (post(path=b"/nothing", body=IN_BODY), 404),
    "too few pixels": (post(body=IN_BODY[:-1]), 422),
    "line ends": (b"\r\n\r\n" + get(b"/livez"), 200),
}
LAST_REQUESTS = {
    "one that closes": LAST,
    "chunks": disguised(*H2C, CHUNKED, body=b"310;a=b\r\n" + IN_BODY + b"\r\n0\r\n\r\n"),
    "tiny chunks": disguised(CHUNKED, body=TINY_CHUNKS),
    "a chunk with line ends": disguised(CHUNKED, body=b"310\r\n" + b"\r\n" * 392 + b"\r\n0\r\n\r\n"),
}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.sampled_from([*REQUESTS]), max_size=6), last=st.sampled_from([*LAST_REQUESTS]), data=st.data())
def test_requests_are_answered_one_by_one_wherever_they_are_split(
    service: Service, names: list[str], last: str, data: st.DataObject
) -> None:
    sent = b"".join(REQUESTS[name][0] for name in names) + LAST_REQUESTS[last]
    ends = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=8)))

    with service.connect() as connection:
        for start, end in zip([0, *ends], [*ends, len(sent)], strict=True):
            connection.sendall(sent[start:end])
            time.sleep(0.002)

        assert statuses_of(received(connection)) == [*(REQUESTS[name][1] for name in names), 200]
