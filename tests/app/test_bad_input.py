"""A bad request is answered with a problem that says what was expected and what was received."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from app.openapi.example_pictures import EXAMPLES
from app.settings import Settings
from tests.app.conftest import Service, cases
from tests.app.dialects import BLANK, PHOTO, PNG, PROBLEM
from tests.app.dialects import RAW as SEVEN_RAW
from tests.conftest import encoded
from tests.picture_files import png

INK = [0] * 783 + [200]
ROWS = [INK[index : index + 28] for index in range(0, 784, 28)]
SEVEN = json.loads((EXAMPLES / "seven.json").read_bytes())["pixels"]
LIMIT, JSON_LIMIT = Settings().max_body_bytes, Settings().max_json_bytes


def typed(kind: str, content: str | bytes) -> dict[str, Any]:
    return {"content": content, "headers": {"content-type": kind}}


def text(body: str | bytes) -> dict[str, Any]:
    return typed("application/json", body)


def as_json(document: Any) -> dict[str, Any]:
    return text(json.dumps(document))


def pixels(values: Any, **more: Any) -> dict[str, Any]:
    return as_json({"pixels": values, **more})


def with_value(value: Any) -> dict[str, Any]:
    return pixels([*INK[:3], value, *INK[4:]])


def picture(content: bytes) -> dict[str, Any]:
    return typed("image/png", content)


def never(width: int, height: int) -> dict[str, Any]:
    """Return a picture of this size that is not normalized."""
    return {**picture(encoded(np.zeros((height, width), np.uint8))), "params": {"normalize": "never"}}


def raw(content: bytes) -> dict[str, Any]:
    return typed("application/octet-stream", content)


def form(content: bytes) -> dict[str, Any]:
    return typed("multipart/form-data; boundary=b", content)


def files(*contents: bytes, name: str = "file") -> dict[str, Any]:
    return {"files": [(name, ("a.png", content, "image/png")) for content in contents]}


def query(**params: Any) -> dict[str, Any]:
    return {**pixels(INK), "params": params}


PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + PNG + b"\r\n"
MANY_KEYS = b"{" + b",".join(b'"k%d":1' % number for number in range(100_000)) + b"}"

BAD_JSON = {
    "empty body": (text(""), 400, "a body that is not valid JSON"),
    "text instead of JSON": (text("seven"), 400, "expected JSON"),
    "NaN": (text('{"pixels": [NaN]}'), 400, "expected JSON"),
    "a number beyond a double": (text('{"pixels": [1e400]}'), 400, "infinity when parsed"),
    "leading zero": (text('{"pixels": [01]}'), 400, "expected JSON"),
    "invalid UTF-8": (text(b'{"pixels\xff": []}'), 400, "UTF-8"),
    "a byte order mark": (text(b'\xef\xbb\xbf{"pixels": []}'), 400, "expected JSON"),
    "half a surrogate pair": (text('{"\\ud800": 1}'), 400, "expected JSON"),
    "two documents": (text("{} {}"), 400, "expected JSON"),
    "a hundred thousand digits": (text('{"pixels": [' + "9" * 100_000 + "]}"), 400, "expected JSON"),
    "twenty thousand open brackets": (text("[" * 20_000), 400, "depth limit"),
    "nested 1000 deep": (text('{"pixels": ' + "[" * 1000 + "]" * 1000 + "}"), 422, "received 1 rows"),
    "many open objects": (text('{"a":' * 100_000), 422, "received 100000 objects"),
    "many keys": (text(MANY_KEYS), 422, "and 100000 strings"),
    "many lists": (text("[]," * 40_000 + '"'), 413, "in 40000 lists"),
    "many numbers": (text("[1" + ",1" * 900_000 + "]"), 413, "received 900001 numbers"),
    "a string as long as the limit": (text('"' + "a" * (JSON_LIMIT - 2) + '"'), 422, "received a string"),
    "a string over the limit": (text('"' + "a" * (JSON_LIMIT - 1) + '"'), 413, f"at most {JSON_LIMIT} bytes of JSON"),
    "null at the top": (as_json(None), 422, "received null"),
    "neither pixels nor instances": (as_json({}), 422, "received neither"),
    "both pixels and instances": (as_json({"pixels": INK, "instances": [INK]}), 422, "received both"),
    "a misspelt key": (as_json({"pixel": INK}), 422, "received 'pixel'"),
    "a misspelt option": (pixels(INK, scael="0-1"), 422, "received 'scael'"),
    "an unknown scale": (pixels(INK, scale="0-2"), 422, "received '0-2'"),
    "a number as scale": (pixels(INK, scale=255), 422, "the scale '0-255' or '0-1', received a number"),
}

BAD_PIXELS = {
    "null": (pixels(None), 422, "received null"),
    "a string": (pixels("0" * 784), 422, "received a string"),
    "an object": (pixels({"0": 1}), 422, "received an object"),
    "none": (pixels([]), 422, "received 0 values"),
    "one pixel too few": (pixels(INK[:-1]), 422, "received 783 values"),
    "one pixel too many": (pixels([*INK, 0]), 422, "received 785 values"),
    "one row too few": (pixels(ROWS[:-1]), 422, "received 27 rows"),
    "one row too many": (pixels([*ROWS, ROWS[0]]), 422, "received 29 rows"),
    "a row too short": (pixels([*ROWS[:-1], ROWS[0][:-1]]), 422, "a row of 28 numbers, received 27"),
    "a row too long": (pixels([*ROWS[:-1], [*ROWS[0], 0]]), 422, "a row of 28 numbers, received 29"),
    "a number among rows": (pixels([*ROWS[:-1], 0]), 422, "a row of 28 numbers, received a number"),
    "a batch of one": (pixels([ROWS]), 422, "received 1 rows"),
    "a boolean": (with_value(True), 422, "received a boolean"),
    "a number as a string": (with_value("12"), 422, "received a string"),
    "a null among numbers": (with_value(None), 422, "received null"),
    "minus one": (with_value(-1), 422, "from 0 to 255, received a negative number"),
    "256": (with_value(256), 422, "from 0 to 255, received a larger one"),
    "a little above 255": (with_value(255.0001), 422, "received a larger one"),
    "an integer beyond 64 bits": (with_value(10**30), 422, "received a larger one"),
    "floats without the option": (pixels([value / 255 for value in INK]), 422, '"scale": "0-1"'),
    "nothing above 1": (pixels([0] * 783 + [1]), 422, 'none above 1; for 0 to 1 say "scale": "0-1"'),
    "0 to 255 under 0-1": (pixels(INK, scale="0-1"), 422, 'leave out "scale": "0-1"'),
    "a little above 1": (pixels([0] * 783 + [1.0001], scale="0-1"), 422, "from 0 to 1, received a larger one"),
    "a little below 0": (pixels([0] * 783 + [-0.1], scale="0-1"), 422, "received a negative number"),
    "blank": (pixels([0] * 784), 422, "no ink found"),
    "uniform, of the other scale": (pixels([0.5] * 784), 422, "no ink found"),
    "one flat picture as instances": (as_json({"instances": INK}), 422, "received a number"),
    "no instances": (as_json({"instances": []}), 422, "received an empty one"),
    "an object as instances": (as_json({"instances": {}}), 422, "received an object"),
    "a bad one among instances": (as_json({"instances": [INK, INK[:-1]]}), 422, "received 783 values"),
    "a blank one among instances": (as_json({"instances": [SEVEN, [0] * 784]}), 422, "no ink found"),
    "one instance over the limit": (as_json({"instances": [INK] * 1025}), 413, "at most 1024 pictures, received 1025"),
    "no raw bytes": (raw(b""), 422, "exactly 784 bytes, one per pixel, received 0"),
    "one raw byte too few": (raw(bytes(783)), 422, "received 783"),
    "one raw byte too many": (raw(bytes(785)), 422, "received 785"),
    "one raw picture over the limit": (raw(bytes(784 * 1025)), 413, "at most 1024 pictures, received 1025"),
    "blank raw bytes": (raw(bytes(2 * 784)), 422, "picture 1 of 2: no ink found"),
    "as many bytes as the limit": (raw(bytes(LIMIT)), 422, f"received {LIMIT}"),
}

BAD_PICTURES = {
    "a PNG cut short": (picture(PNG[:60]), 422, ""),
    "a PNG's signature alone": (picture(PNG[:8]), 422, ""),
    "a JPEG cut short": (picture(PHOTO[:-3000]), 422, "cannot be decoded"),
    "a pixel too wide, not normalized": (never(29, 28), 422, "28x28 pixels, received 29x28"),
    "a pixel too low, not normalized": (never(28, 27), 422, "28x28 pixels, received 28x27"),
    "10 gigapixels": (picture(png(100_000, 100_000, rows=b"")), 413, "received a picture of more than 100000000"),
    "three large ones": (files(*[png(7000, 7000)] * 3), 413, "100000000 pixels in all"),
    "an SVG": (picture(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), 415, "received SVG"),
    "a PDF": (picture(b"%PDF-1.7"), 415, "received PDF"),
    "a blank page": (picture(encoded(np.full((300, 400), 250, np.uint8))), 422, "no ink found"),
    "a blank file among good ones": (files(PNG, BLANK), 422, "picture 2 of 2 ('a.png'): no ink found"),
    "a form without boundary": (typed("multipart/form-data", b""), 400, "expected multipart/form-data"),
    "an empty form": (form(b""), 400, "closing boundary"),
    "a form without its end": (form(PART), 400, "closing boundary"),
    "a PNG declared as a form": (form(PNG), 400, ""),
    "a form without parts": (form(b"--b--\r\n"), 422, "named 'file', received none"),
    "a form with another boundary": (form(PART.replace(b"--b", b"--c") + b"--c--"), 400, "received a body"),
    "a part without headers": (form(b"--b\r\n\r\nx\r\n--b--\r\n"), 400, "expected multipart/form-data"),
    "a part of another name": (files(PNG, name="image"), 422, "received one named 'image'"),
    "a text field": ({"files": [("file", (None, "seven"))]}, 422, "received a text field"),
    "one file over the limit": (files(*[PNG] * 1025), 413, "at most 1024 pictures, received 1025 or more"),
}

BAD_HEADERS = {
    "an unknown mode": (query(normalize="maybe"), 422, "query parameter 'normalize'"),
    "a misspelt parameter": (
        query(normalise="never"),
        422,
        "query parameter 'normalise': unknown; known are include, coverage, per_class and normalize",
    ),
    "an unknown inclusion": (query(include="everything"), 422, "query parameter 'include'"),
    "a long query": (query(**{f"p{index}": "1" for index in range(500)}), 422, "at most 1000 bytes"),
    "no content type": ({"content": PNG}, 415, "received none"),
    "text/plain": (typed("text/plain", PNG), 415, "received 'text/plain'"),
    "curl's default": (typed("application/x-www-form-urlencoded", PNG), 415, "urlencoded"),
    "a content type of 5 000 letters": (typed("x" * 5000, PNG), 415, "received 'xxx"),
}


@pytest.mark.parametrize(
    ("request_parts", "status", "excerpt"),
    [*cases(BAD_JSON), *cases(BAD_PIXELS), *cases(BAD_PICTURES), *cases(BAD_HEADERS)],
)
def test_bad_input_is_answered_with_what_was_expected_and_received(
    client: httpx.Client, request_parts: dict[str, Any], status: int, excerpt: str
) -> None:
    reply = client.post("/predict", **request_parts)

    assert reply.status_code == status
    assert reply.headers["content-type"] == PROBLEM
    problem = reply.json()
    assert excerpt in problem["detail"]
    assert problem["status"] == status
    assert problem["type"].startswith("urn:digits:")
    assert problem["title"]
    assert len(problem["detail"]) < 500


@pytest.mark.parametrize(
    ("document", "pointer"),
    cases(
        {
            "flat": ({"pixels": [*INK[:3], None, *INK[4:]]}, "#/pixels/3"),
            "rows": ({"pixels": [*ROWS[:5], [0] * 27 + [-1], *ROWS[6:]]}, "#/pixels/5/27"),
            "a ragged row": ({"pixels": [*ROWS[:5], [0] * 27, *ROWS[6:]]}, "#/pixels/5"),
            "a batch": ({"instances": [INK, INK, [*INK[:9], 300, *INK[10:]]]}, "#/instances/2/9"),
            "the scale": ({"pixels": INK, "scale": "0-7"}, "#/scale"),
            "the list itself": ({"instances": []}, "#/instances"),
        }
    ),
)
def test_the_pointer_leads_to_the_value_at_fault(client: httpx.Client, document: dict[str, Any], pointer: str) -> None:
    reply = client.post("/predict", json=document)

    assert [error["pointer"] for error in reply.json()["errors"]] == [pointer]


@pytest.mark.parametrize("zero", ["-0", "-0.0", "0e9", "1e-400", "0." + "0" * 10_000])
def test_every_spelling_of_zero_is_zero(client: httpx.Client, zero: str) -> None:
    flat = [value for row in SEVEN for value in row]
    document = json.dumps({"pixels": ["zero", *flat[1:]]}).replace('"zero"', zero)

    replies = [client.post("/predict", **text(body)) for body in (document, json.dumps({"pixels": flat}))]

    assert replies[0].json()["probabilities"] == replies[1].json()["probabilities"]


def test_pixels_are_never_echoed(client: httpx.Client) -> None:
    reply = client.post("/predict", **with_value("a secret"))

    assert reply.status_code == 422
    assert "secret" not in reply.text


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("GET", "/predict", 405, "POST"),
        ("PUT", "/predict", 405, "POST"),
        ("POST", "/model", 405, "GET, HEAD"),
        ("DELETE", "/livez", 405, "GET, HEAD"),
        ("DELETE", "/", 405, "GET, HEAD"),
        ("GET", "/invocations", 405, "POST"),
        ("GET", "/nothing", 404, None),
        ("GET", "/predict/", 404, None),
        ("GET", "/examples/nothing.png", 404, None),
        ("GET", "/%ff%fe", 404, None),
    ],
)
def test_wrong_paths_and_methods_are_answered_with_problems(
    client: httpx.Client, method: str, path: str, status: int, allowed: str | None
) -> None:
    reply = client.request(method, path)

    assert (reply.status_code, reply.headers["content-type"]) == (status, PROBLEM)
    assert (reply.json()["type"], reply.json()["status"]) == ("about:blank", status)
    assert reply.headers.get("allow") == allowed
    assert allowed is None or reply.json()["detail"] == f"expected {allowed}, received {method}"


def test_a_body_of_unknown_length_is_refused_when_it_reaches_the_limit(client: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(2 * LIMIT // 65536):
            yield bytes(65536)

    reply = client.post("/predict", content=endless(), headers={"content-type": "application/octet-stream"})

    assert reply.status_code == 413


@pytest.mark.parametrize(
    ("encodings", "status"),
    [
        *((encodings, 200) for encodings in ([""], ["identity"], ["Identity", ""])),
        *((encodings, 415) for encodings in (["br"], ["GZIP"], ["gzip, identity"], ["identity", "gzip"])),
    ],
    ids=repr,
)
def test_only_the_content_encoding_identity_is_accepted(
    client: httpx.Client, encodings: list[str], status: int
) -> None:
    headers = [("content-type", "image/png"), *(("content-encoding", encoding) for encoding in encodings)]

    assert client.post("/predict", content=PNG, headers=headers).status_code == status


def test_clients_that_disconnect_in_the_middle_leave_no_error_in_the_log(service: Service) -> None:
    request = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\n\x89PNG"

    for _ in range(50):
        with service.connect() as connection:
            connection.sendall(request)

    assert service.client.post("/predict", **SEVEN_RAW).status_code == 200
    assert "Traceback" not in service.log.read_text()
