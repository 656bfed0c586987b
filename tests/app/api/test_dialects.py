"""Every dialect gives the same predictions, and has the same limits, keys, errors and ids."""

import gzip
import hashlib
import json
import socket
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc
import httpx
import numpy as np
import pytest

from app.api.grpc import calls
from app.errors import RETRY_SECONDS, STATUS
from app.settings import Settings
from digits.errors import DigitsError
from digits.features import Floats, Grey
from digits.model.artifact import MODEL, NAME, SHIPPED
from tests.app.conftest import FIRST, LIMITED_BATCH, NEW_KEY, SECOND, THIRD, Service, cases
from tests.app.dialects import BLANK, DIALECTS, HTTP, PHOTO, PNG, SEVEN, Dialect, GrpcDialect, Refusal, Reply, each
from tests.conftest import SHIPPED_VERSION, encoded, make_graph, run_graph
from tests.picture_files import png

FILES = [dialect for dialect in DIALECTS if dialect.files]
VERSIONED = [dialect for dialect in DIALECTS if dialect.version_path]

LIMIT = Settings().max_body_bytes

CODES = {
    200: grpc.StatusCode.OK,
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    503: grpc.StatusCode.UNAVAILABLE,
}


def every_subclass(base: type[DigitsError]) -> set[type[DigitsError]]:
    return {subclass for direct in base.__subclasses__() for subclass in {direct} | every_subclass(direct)}


def test_every_error_has_a_status_and_a_code_and_none_is_a_500() -> None:
    assert set(STATUS) == every_subclass(DigitsError)
    assert {status for status in STATUS.values() if status >= 500} == {501, 503}
    # The others concern the head of an HTTP/1.1 request and its method.
    assert set(STATUS.values()) - {405, 431} <= calls.CODES.keys()


def expect_refusal(dialect: Dialect, reply: Reply, status: int, kind: str, detail: str) -> None:
    """Check an error against the status and the name that `/predict` gives it."""
    refusal = dialect.refusal(reply)

    of_dialect = CODES[status] if isinstance(dialect, GrpcDialect) else status
    if status == 422 and not dialect.has_problems and not isinstance(dialect, GrpcDialect):
        of_dialect = 400
    assert detail in refusal.detail
    assert refusal == Refusal(of_dialect, kind if dialect.has_problems else "", refusal.detail)


@each(DIALECTS)
def test_pictures_get_the_probabilities_of_the_network_in_the_order_sent(
    service: Service, dialect: Dialect, digits: Grey, expected: Floats
) -> None:
    bodies = [dialect.pixels(digits)] if dialect.pixels else []
    bodies += [dialect.files([encoded(digit) for digit in digits])] if dialect.files else []

    replies = [dialect.ask(service, body) for body in bodies]

    for reply in replies:
        np.testing.assert_allclose(dialect.probabilities(reply.body), expected, atol=1e-5)


@each(FILES)
def test_a_photo_is_normalized(service: Service, dialect: Dialect) -> None:
    assert dialect.files is not None
    photo = service.client.post("/predict", content=PHOTO, headers={"content-type": "image/jpeg"}).json()

    reply = dialect.ask(service, dialect.files([PHOTO]))

    assert photo["preprocessing"] != []
    np.testing.assert_allclose(dialect.probabilities(reply.body), [photo["probabilities"]], atol=1e-5)


@cases(
    ("file", "status", "kind", "detail"),
    {
        "not a picture": (b"seven", 422, "invalid-image", "or HEIF picture, received 5 bytes that are not one"),
        "a blank picture": (BLANK, 422, "no-ink", "the picture is blank"),
        "an AVIF photo": (b"\0\0\0\x18ftypavif\0\0\0\0", 415, "unsupported-image", ""),
        "a row over the pixel limit": (png(10_000, 5_001), 413, "image-too-large", ""),
    },
)
@each(FILES)
def test_a_bad_file_is_refused_by_name(
    service: Service, dialect: Dialect, file: bytes, status: int, kind: str, detail: str
) -> None:
    assert dialect.files is not None

    reply = dialect.ask(service, dialect.files([file]))

    expect_refusal(dialect, reply, status, kind, detail)


@each(FILES)
def test_the_error_names_the_picture_that_is_wrong(service: Service, dialect: Dialect) -> None:
    assert dialect.files is not None

    refusal = dialect.refusal(dialect.ask(service, dialect.files([PNG, PNG, BLANK])))

    assert "no ink found" in refusal.detail
    assert "3" in refusal.detail.partition("no ink found")[0]


@each(DIALECTS)
def test_a_batch_over_the_limit_is_refused(limited: Service, dialect: Dialect) -> None:
    answered = dialect.ask(limited, dialect.seven(times=LIMITED_BATCH))
    refused = dialect.ask(limited, dialect.seven(times=LIMITED_BATCH + 1))

    assert len(dialect.probabilities(answered.body)) == LIMITED_BATCH
    detail = f"expected at most {LIMITED_BATCH} pictures, received {LIMITED_BATCH + 1}"
    expect_refusal(dialect, refused, 413, "batch-too-large", detail)


@contextmanager
def request_in_progress(service: Service) -> Iterator[None]:
    """Send a part of a request, and the rest at the end of the block."""
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: 784\r\n\r\n"
    with service.connect() as connection:
        connection.sendall(head + SEVEN.tobytes()[:-1])
        service.wait_for_requests_in_work(1)
        yield
        connection.sendall(SEVEN.tobytes()[-1:])
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")


@each(DIALECTS)
def test_more_requests_at_once_than_allowed_are_refused(limited: Service, dialect: Dialect) -> None:
    with socket.create_connection(("127.0.0.1", limited.port)), request_in_progress(limited):  # idle ones do not count
        refused = dialect.ask(limited, dialect.seven())
        page = limited.client.get("/")
        probe = limited.client.get("/readyz")
    again = dialect.ask(limited, dialect.seven())

    detail = "1 requests are already in progress; try again later"
    expect_refusal(dialect, refused, 503, "overloaded", detail)
    if not isinstance(dialect, GrpcDialect):
        assert refused.headers["retry-after"] == str(RETRY_SECONDS)
    assert (page.status_code, probe.status_code) == (503, 200)
    assert again.status in (200, grpc.StatusCode.OK)


@each(DIALECTS)
@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": f"Bearer {NEW_KEY[:-1]}"}, {"x-api-key": f"{NEW_KEY}9"}],
    ids=["no key", "another bearer token", "another X-API-Key"],
)
def test_a_request_needs_a_known_key(locked: Service, dialect: Dialect, headers: dict[str, str]) -> None:
    reply = dialect.ask(locked, dialect.seven(), headers)

    detail = "expected a known API key, as `Authorization: Bearer KEY` or as `X-API-Key: KEY`"
    expect_refusal(dialect, reply, 401, "unauthorized", detail)
    for known in ({"authorization": f"Bearer {NEW_KEY}"}, {"x-api-key": NEW_KEY}):
        assert np.argmax(dialect.probabilities(dialect.ask(locked, dialect.seven(), known).body)) == 7


@each(DIALECTS)
def test_without_a_model_a_request_is_refused(modelless: Service, dialect: Dialect) -> None:
    reply = dialect.ask(modelless, dialect.seven())

    assert "no usable version of mnist-dense" in dialect.refusal(reply).detail
    expect_refusal(dialect, reply, 503, "no-usable-model", "")
    if not isinstance(dialect, GrpcDialect):
        assert reply.headers["retry-after"] == str(RETRY_SECONDS)


def head(dialect: Dialect, content_length: int) -> bytes:
    headers = httpx.Request("POST", "http://x", **(dialect.seven())).headers
    kind = f"Content-Type: {headers.get('content-type', 'text/plain')}\r\n"
    return f"POST {dialect.path} HTTP/1.1\r\nHost: x\r\n{kind}Content-Length: {content_length}\r\n\r\n".encode()


@each(HTTP)
def test_a_body_is_refused_before_it_is_sent(service: Service, modelless: Service, dialect: Dialect) -> None:
    too_large = service.send_bytes(head(dialect, LIMIT + 1))
    without_model = modelless.send_bytes(head(dialect, LIMIT))

    assert too_large.startswith(b"HTTP/1.1 413 ")
    assert without_model.startswith(b"HTTP/1.1 503 ")


COMPRESSED = {
    "gzip": (gzip.compress, "gzip"),
    "deflate": (zlib.compress, "deflate"),
    "in capital letters": (gzip.compress, "GZIP"),
    "identity": (bytes, "identity"),
}


@each([dialect for dialect in HTTP if dialect.inflates])
@pytest.mark.parametrize("count", [pytest.param(1, id="short"), pytest.param(100, id="long")])
@cases(("compress", "encoding"), COMPRESSED)
def test_a_compressed_body_is_inflated(
    service: Service, dialect: Dialect, compress: Callable[[bytes], bytes], encoding: str, count: int
) -> None:
    body = dialect.seven(times=count)
    content = body.get("content") or json.dumps(body["json"]).encode()
    headers = body.get("headers", {}) | {"content-encoding": encoding}

    reply = dialect.ask(service, {"content": compress(content), "headers": headers})

    assert np.argmax(dialect.probabilities(reply.body), axis=1).tolist() == [7] * count


@each([dialect for dialect in HTTP if dialect.inflates])
@cases(
    ("content", "encoding", "status", "kind", "detail"),
    {
        "more than the limit": (gzip.compress(bytes(LIMIT + 1)), "gzip", 413, "body-too-large", "once inflated"),
        "cut short": (gzip.compress(b"{}")[:-1], "gzip", 400, "malformed-body", "it is cut short, or other bytes"),
        "followed by something": (gzip.compress(b"{}") + b"x", "gzip", 400, "malformed-body", "bytes follow it"),
        "another compression": (zlib.compress(b"{}"), "gzip", 400, "malformed-body", "received one that is not"),
        "an unknown one": (b"{}", "br", 415, "unsupported-type", "gzip or deflate, or none, received 'br'"),
        "two": (b"{}", "gzip, gzip", 415, "unsupported-type", "received 'gzip, gzip'"),
    },
)
def test_a_bad_compressed_body_is_refused(
    service: Service, dialect: Dialect, content: bytes, encoding: str, status: int, kind: str, detail: str
) -> None:
    reply = dialect.ask(service, {"content": content, "headers": {"content-encoding": encoding}})

    expect_refusal(dialect, reply, status, kind, detail)


@each([dialect for dialect in HTTP if not dialect.inflates])
def test_other_dialects_take_no_compressed_body(service: Service, dialect: Dialect) -> None:
    reply = dialect.ask(service, dialect.seven(), {"content-encoding": "gzip"})

    expect_refusal(dialect, reply, 415, "unsupported-type", "expected a body without Content-Encoding, received 'gzip'")


@each(DIALECTS)
def test_a_reply_and_its_log_line_have_the_clients_id_version_and_graph(service: Service, dialect: Dialect) -> None:
    mine = f"order-4711/{dialect.name.replace(' ', '-')}"

    reply = dialect.ask(service, dialect.seven(), {"x-request-id": mine})

    graph = hashlib.sha256((SHIPPED / NAME / str(SHIPPED_VERSION) / MODEL).read_bytes()).hexdigest()[:12]
    headers = {"x-request-id": mine, "x-model-version": str(SHIPPED_VERSION), "x-model-graph": graph}
    assert {name: reply.headers[name] for name in headers} == headers
    fields = {"client": "127.0.0.1", "path": dialect.path, "method": "POST", "status": 200}
    fields |= {"batch": 1, "version": SHIPPED_VERSION, "graph": graph}
    assert service.wait_for_record(mine).items() >= fields.items()
    assert service.log.read_text().count(f'"{mine}"') == 1


@each(VERSIONED)
def test_each_loaded_version_answers_with_its_own_network(several: Service, dialect: Dialect) -> None:
    for version in (None, FIRST, SECOND, THIRD):
        seed = (version or THIRD) - FIRST
        expected = run_graph(make_graph(seed), (SEVEN.reshape(1, 784) / 255).astype(np.float32))

        reply = dialect.ask(several, dialect.seven(), version=version)

        np.testing.assert_allclose(dialect.probabilities(reply.body), expected, atol=1e-6)
        assert reply.headers["x-model-version"] == str(version or THIRD)


@each(VERSIONED)
@pytest.mark.parametrize("version", [pytest.param(SHIPPED_VERSION, id="not loaded"), pytest.param(77, id="unknown")])
def test_a_version_that_is_not_loaded_is_not_found(several: Service, dialect: Dialect, version: int) -> None:
    reply = dialect.ask(several, dialect.seven(), version=version)

    detail = f"version {version} of mnist-dense is not loaded; loaded versions: {FIRST}, {SECOND}, {THIRD}"
    expect_refusal(dialect, reply, 404, "", detail)
