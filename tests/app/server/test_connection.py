"""Odd requests on the wire are answered, and so is the next one."""

import re

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
    # versions and other protocols
    "HTTP/1.0": (post(version=b"1.0"), [200]),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\4\0\0\0\0\0", [400]),
    "TLS": (b"\x16\x03\x01\0\xf5\1\0\0\xf1\x03\x03" + b"Z" * 240, [400]),
    "a websocket": (livez(b"Host: x", *WEBSOCKET), [200]),
    "an upgrade to HTTP/2": (post(b"Upgrade: h2c", b"Connection: Upgrade", LENGTH), [200]),
    "a body sent without waiting for 100": (post(b"Expect: 100-continue", LENGTH), [100, 200]),
    "BREW": (get(b"/livez", method=b"BREW"), [400]),
    "HEAD": (get(b"/livez", method=b"HEAD") + get(b"/livez"), [200, 200]),
    "GET with a body": (livez(b"Host: x", b"Content-Length: 5") + b"seven" + get(b"/livez"), [200, 200]),
    "99 requests at once, some in chunks": ((chunks(CHUNK + b"0\r\n\r\n") + get(b"/livez") + post()) * 33, [200] * 99),
    "a request after one that is not found": (get(b"/nothing") + post(), [404, 200]),
    "a request and then nonsense": (post() + b"seven\r\n\r\n", [400]),
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
        received = b""
        while len(replies := re.findall(rb"HTTP/1\.1 (\d{3}) ", received)) < len(statuses):
            more = connection.recv(65536)
            assert more, received
            received += more

    assert [int(status) for status in replies] == statuses
    assert service.client.post("/predict", **RAW).json()["digit"] == 7


def test_a_client_that_waits_for_100_is_told_to_continue(service: Service) -> None:
    with service.connect() as connection:
        connection.sendall(post(LENGTH, b"Expect: 100-continue", b"Connection: close", body=b""))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(SEVEN)
        received = b"".join(iter(lambda: connection.recv(65536), b""))

    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b'"digit":7' in received


@cases(
    ("request_", "rest", "closes"),
    {
        "all of a short body": (post(path=b"/nothing"), b"", False),
        "nothing of a short body": (post(LENGTH, path=b"/nothing", body=b""), SEVEN, False),
        "a part of a long body": (post(b"Content-Length: 1000000", path=b"/nothing"), SEVEN * 500, True),
        "a part of a chunked body": (post(CHUNKED, path=b"/nothing", body=CHUNK), CHUNK * 500, True),
        "nothing of a body that may not come": (post(LENGTH, b"Expect: 100-continue", path=b"/nothing"), b"", True),
    },
)
def test_a_reply_closes_the_connection_if_much_of_the_body_may_come(
    service: Service, request_: bytes, rest: bytes, closes: bool
) -> None:
    with service.connect() as connection:
        connection.sendall(request_)
        reply = connection.recv(65536)
        connection.sendall(rest + get(b"/livez"))
        second = connection.recv(65536)

    assert reply.startswith(b"HTTP/1.1 404 ")
    assert (b"\r\nconnection: close\r\n" in reply, second[:12]) == (closes, b"" if closes else b"HTTP/1.1 200")
