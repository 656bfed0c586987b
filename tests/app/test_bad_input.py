"""A bad request is answered with a problem that says what was expected and what was received."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from app.input.pictures import MEDIA_TYPES
from app.openapi.example_pictures import EXAMPLES
from app.settings import Settings
from tests.app.conftest import Service
from tests.conftest import encoded
from tests.picture_files import png

PNG = (EXAMPLES / "seven.png").read_bytes()
RAW, SEVEN_RAW = b"application/octet-stream", (EXAMPLES / "seven.bin").read_bytes()
NOISE = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
INK = [0] * 783 + [200]
ROWS = [INK[index : index + 28] for index in range(0, 784, 28)]
SEVEN = json.loads((EXAMPLES / "seven.json").read_bytes())["pixels"]
FLOATS = [value / 255 for value in INK]
LIMIT, JSON_LIMIT = Settings().max_body_bytes, Settings().max_json_bytes


def text(body: str | bytes) -> dict[str, Any]:
    return {"content": body, "headers": {"content-type": "application/json"}}


def as_json(document: Any) -> dict[str, Any]:
    return text(json.dumps(document))


def pixels(values: Any, **more: Any) -> dict[str, Any]:
    return as_json({"pixels": values, **more})


def replaced(index: int, value: Any) -> list[Any]:
    return [*INK[:index], value, *INK[index + 1 :]]


def picture(content: bytes, kind: str = "image/png") -> dict[str, Any]:
    return {"content": content, "headers": {"content-type": kind}}


def never(request: dict[str, Any]) -> dict[str, Any]:
    return {**request, "params": {"normalize": "never"}}


def raw(content: bytes) -> dict[str, Any]:
    return picture(content, "application/octet-stream")


def form(content: bytes, kind: str = "multipart/form-data; boundary=b") -> dict[str, Any]:
    return picture(content, kind)


def files(*contents: bytes, name: str = "file") -> dict[str, Any]:
    return {"files": [(name, ("a.png", content, "image/png")) for content in contents]}


PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + PNG + b"\r\n"

BAD = [
    # invalid JSON
    pytest.param(text(""), 400, "a body that is not valid JSON", id="empty body"),
    pytest.param(text("seven"), 400, "expected JSON", id="text instead of JSON"),
    pytest.param(text('{"pixels": [1, 2'), 400, "expected JSON", id="JSON cut short"),
    pytest.param(text('{"pixels": [NaN]}'), 400, "expected JSON", id="NaN"),
    pytest.param(text('{"pixels": [Infinity]}'), 400, "expected JSON", id="Infinity"),
    pytest.param(text('{"pixels": [-Infinity]}'), 400, "expected JSON", id="minus Infinity"),
    pytest.param(text('{"pixels": [1e400]}'), 400, "infinity when parsed", id="a number beyond a double"),
    pytest.param(text('{"pixels": [01]}'), 400, "expected JSON", id="leading zero"),
    pytest.param(text('{"pixels": [1,]}'), 400, "expected JSON", id="trailing comma"),
    pytest.param(text("{'pixels': []}"), 400, "expected JSON", id="single quotes"),
    pytest.param(text(b'{"pixels\xff": []}'), 400, "UTF-8", id="invalid UTF-8"),
    pytest.param(text('{"pixels": []}'.encode("utf-16")), 400, "expected JSON", id="UTF-16"),
    pytest.param(text("[" * 20_000), 400, "depth limit", id="twenty thousand open brackets"),
    pytest.param(text('{"pixels": ' + "[" * 500 + "]" * 500 + "}"), 422, "received 1 rows", id="nested 500 deep"),
    pytest.param(text(b'\xef\xbb\xbf{"pixels": []}'), 400, "expected JSON", id="a byte order mark"),
    pytest.param(text('{"pixels": []}'.encode("utf-32")), 400, "expected JSON", id="UTF-32"),
    pytest.param(text('{"\\ud800": 1}'), 400, "expected JSON", id="half a surrogate pair"),
    pytest.param(text(b'{"\xc0\x80": 1}'), 400, "expected JSON", id="overlong UTF-8"),
    pytest.param(text("{} {}"), 400, "expected JSON", id="two documents"),
    pytest.param(text('{/* */ "pixels": []}'), 400, "expected JSON", id="a comment"),
    pytest.param(text('{"pixels": [1e' + "9" * 1000 + "]}"), 400, "expected JSON", id="an exponent of a thousand digits"),
    pytest.param(text('{"pixels": [' + "9" * 100_000 + "]}"), 400, "expected JSON", id="a hundred thousand digits"),
    # JSON of another shape
    pytest.param(text('{"a":' * 100_000), 422, "received 100000 objects", id="a hundred thousand open objects"),
    pytest.param(text(b"{" + b",".join(b'"k%d":1' % number for number in range(100_000)) + b"}"), 422, "and 100000 strings", id="a hundred thousand keys"),
    pytest.param(text('"' + "a" * (JSON_LIMIT - 2) + '"'), 422, "received a string", id="a string as long as the limit"),
    pytest.param(text('"' + "a" * (JSON_LIMIT - 1) + '"'), 413, f"at most {JSON_LIMIT} bytes of JSON", id="a string over the limit"),
    pytest.param(text('{"pixels": ' + "[" * 1000 + "]" * 1000 + "}"), 422, "received 1 rows", id="nested 1000 deep"),
    pytest.param(text('{"pixels": [' + "1," * 4_000_000 + "1]}"), 413, "received 4000001 values", id="four million numbers"),
    pytest.param(as_json([INK]), 422, "expected an object", id="a list at the top"),
    pytest.param(as_json(7), 422, "received a number", id="a number at the top"),
    pytest.param(as_json(None), 422, "received null", id="null at the top"),
    pytest.param(as_json({}), 422, "received neither", id="neither pixels nor instances"),
    pytest.param(as_json({"pixels": INK, "instances": [INK]}), 422, "received both", id="both pixels and instances"),
    pytest.param(as_json({"pixel": INK}), 422, "received 'pixel'", id="a misspelt key"),
    pytest.param(pixels(INK, scael="0-1"), 422, "received 'scael'", id="a misspelt option"),
    pytest.param(pixels(INK, scale="0-2"), 422, "received '0-2'", id="an unknown scale"),
    pytest.param(pixels(INK, scale=255), 422, "expected the scale '0-255' or '0-1', received a number", id="a scale that is a number"),
    pytest.param(pixels(INK, scale=["0-1"]), 422, "received a list", id="a scale that is a list"),
    # pixels of another shape
    pytest.param(pixels(None), 422, "received null", id="pixels null"),
    pytest.param(pixels("0" * 784), 422, "received a string", id="pixels a string"),
    pytest.param(pixels({"0": 1}), 422, "received an object", id="pixels an object"),
    pytest.param(pixels([]), 422, "received 0 values", id="no pixels"),
    pytest.param(pixels(INK[:-1]), 422, "received 783 values", id="one pixel too few"),
    pytest.param(pixels([*INK, 0]), 422, "received 785 values", id="one pixel too many"),
    pytest.param(pixels(ROWS[:-1]), 422, "received 27 rows", id="one row too few"),
    pytest.param(pixels([*ROWS, ROWS[0]]), 422, "received 29 rows", id="one row too many"),
    pytest.param(pixels([*ROWS[:-1], ROWS[0][:-1]]), 422, "a row of 28 numbers, received 27", id="a ragged row"),
    pytest.param(pixels([*ROWS[:-1], [*ROWS[0], 0]]), 422, "a row of 28 numbers, received 29", id="a row too long"),
    pytest.param(pixels([*ROWS[:-1], 0]), 422, "a row of 28 numbers, received a number", id="a number among rows"),
    pytest.param(pixels([*ROWS[:-1], None]), 422, "a row of 28 numbers, received null", id="null among rows"),
    pytest.param(pixels([ROWS]), 422, "received 1 rows", id="a batch of one as pixels"),
    pytest.param(pixels([[[value] for value in row] for row in ROWS]), 422, "received a list", id="a channel axis"),
    # invalid values
    pytest.param(pixels(replaced(3, True)), 422, "received a boolean", id="a boolean"),
    pytest.param(pixels([True] * 784), 422, "received a boolean", id="all booleans"),
    pytest.param(pixels(replaced(3, "12")), 422, "received a string", id="a number as a string"),
    pytest.param(pixels(replaced(3, None)), 422, "received null", id="a null"),
    pytest.param(pixels(replaced(3, {})), 422, "received an object", id="an object"),
    pytest.param(pixels(replaced(3, -1)), 422, "from 0 to 255, received a negative number", id="minus one"),
    pytest.param(pixels(replaced(3, 256)), 422, "from 0 to 255, received a larger one", id="256"),
    pytest.param(pixels(replaced(3, 255.0001)), 422, "received a larger one", id="a little above 255"),
    pytest.param(pixels(replaced(3, 10**30)), 422, "received a larger one", id="an integer beyond 64 bits"),
    pytest.param(pixels(replaced(3, 1e308)), 422, "received a larger one", id="the largest double"),
    # the other scale
    pytest.param(pixels(FLOATS), 422, '"scale": "0-1"', id="floats without the option"),
    pytest.param(pixels(replaced(3, 0.5)), 422, "received a fraction", id="one fraction"),
    pytest.param(pixels([0] * 783 + [1]), 422, 'none above 1; for 0 to 1 say "scale": "0-1"', id="nothing above 1"),
    pytest.param(pixels(INK, scale="0-1"), 422, 'leave out "scale": "0-1"', id="bytes under 0-1"),
    pytest.param(pixels([0] * 783 + [1.0001], scale="0-1"), 422, "from 0 to 1, received a larger one", id="a little above 1"),
    pytest.param(pixels([0] * 783 + [-0.1], scale="0-1"), 422, "received a negative number", id="a little below 0"),
    # batches
    pytest.param(as_json({"instances": INK}), 422, "received a number", id="instances that are one flat picture"),
    pytest.param(as_json({"instances": []}), 422, "received an empty one", id="no instances"),
    pytest.param(as_json({"instances": {}}), 422, "received an object", id="instances an object"),
    pytest.param(as_json({"instances": [INK, INK[:-1]]}), 422, "received 783 values", id="a bad picture among good ones"),
    pytest.param(as_json({"instances": [INK] * 1025}), 413, "at most 1024 pictures, received 1025", id="one picture over the limit"),
    # raw bytes
    pytest.param(raw(b""), 422, "exactly 784 bytes, one per pixel, received 0", id="no raw bytes"),
    pytest.param(raw(b"\0" * 783), 422, "received 783", id="one raw byte too few"),
    pytest.param(raw(b"\0" * 785), 422, "received 785", id="one raw byte too many"),
    pytest.param(raw(PNG), 422, f"received {len(PNG)}", id="a PNG as raw bytes"),
    pytest.param(raw(b"\0" * 784 * 1025), 413, "at most 1024 pictures, received 1025", id="one raw picture too many"),
    pytest.param(raw(bytes(2 * 784)), 422, "picture 0 of 2: no ink found", id="two blank raw pictures"),
    pytest.param(files(*[png(7000, 7000)] * 3), 413, "100000000 pixels in all", id="three large pictures"),
    pytest.param(text("[" * 20_000 + "{}" * 20_000), 422, "received 20000 objects", id="a body of many objects"),
    pytest.param(text("[],"* 40_000 + '"'), 413, "in 40000 lists", id="a body of many lists"),
    pytest.param(text("[1" + ",1" * 900_000 + "]"), 413, "received 900001 values", id="a body of many numbers"),
    # pictures
    pytest.param(picture(b""), 422, "received 0 bytes that are not one", id="no picture"),
    pytest.param(picture(b"seven"), 422, "received 5 bytes that are not one", id="text instead of an image"),
    pytest.param(picture(PNG[:60]), 422, "", id="a PNG cut short"),
    pytest.param(picture(PNG[:8]), 422, "", id="a PNG's signature alone"),
    pytest.param(picture(encoded(NOISE, format="JPEG")[:-300], "image/jpeg"), 422, "cannot be decoded", id="a JPEG cut short"),
    pytest.param(never(picture(encoded(np.zeros((28, 29), np.uint8)))), 422, "28x28 pixels, received 29x28", id="a pixel too wide, not normalized"),
    pytest.param(never(picture(encoded(np.zeros((27, 28), np.uint8)))), 422, "28x28 pixels, received 28x27", id="a pixel too low, not normalized"),
    pytest.param(never(picture(encoded(np.zeros((1, 1), np.uint8)))), 422, "received 1x1", id="one pixel, not normalized"),
    pytest.param(never(picture(encoded(np.zeros((600, 800), np.uint8)))), 422, "received 800x600", id="a large picture, not normalized"),
    pytest.param(picture(png(100_000, 100_000, rows=b"")), 413, "received a picture of more than 100000000", id="a tiny file declaring 10 gigapixels"),
    pytest.param(picture(png(10_000, 5_001)), 413, "at most 50000000 pixels", id="a row over the pixel limit"),
    pytest.param(picture(b"\0\0\0\x18ftypheic\0\0\0\0"), 415, "received HEIC", id="a HEIC photo"),
    pytest.param(picture(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), 415, "received SVG", id="an SVG"),
    pytest.param(picture(b"%PDF-1.7"), 415, "received PDF", id="a PDF"),
    # pictures without a digit
    pytest.param(pixels([0] * 784), 422, "no ink found", id="a blank picture"),
    pytest.param(pixels([255] * 784), 422, "no ink found", id="a white picture"),
    pytest.param(pixels([0.5] * 784), 422, "no ink found", id="a uniform picture of the other scale"),
    pytest.param(pixels([200] * 784, scale="0-1"), 422, "no ink found", id="a uniform picture of the scale 0-255"),
    pytest.param(as_json({"instances": [SEVEN, [0] * 784]}), 422, "no ink found", id="a blank picture among good ones"),
    pytest.param(raw(b"\0" * 784), 422, "no ink found", id="blank raw bytes"),
    pytest.param(picture(encoded(np.full((300, 400), 250, np.uint8))), 422, "no ink found", id="a blank page"),
    pytest.param(files(PNG, encoded(np.zeros((28, 28), np.uint8))), 422, "picture 1 of 2: no ink found", id="a blank file among good ones"),
    # options
    pytest.param({**pixels(INK), "params": {"normalize": "maybe"}}, 422, "query parameter 'normalize'", id="an unknown mode"),
    pytest.param({**pixels(INK), "params": {"normalise": "never"}}, 422, "query parameter 'normalise'", id="a misspelt parameter"),
    pytest.param({**pixels(INK), "params": {"include": "everything"}}, 422, "query parameter 'include'", id="an unknown inclusion"),
    pytest.param({**pixels(INK), "params": {"coverage": "most"}}, 422, "query parameter 'coverage'", id="a coverage that is not a number"),
    # content types
    pytest.param({"content": PNG}, 415, "received none", id="no content type"),
    pytest.param(picture(PNG, "text/plain"), 415, "received 'text/plain'", id="text/plain"),
    pytest.param(picture(PNG, "image/heic"), 415, "received 'image/heic'", id="image/heic"),
    pytest.param(picture(PNG, "application/x-www-form-urlencoded"), 415, "urlencoded", id="curl's default"),
    pytest.param(picture(PNG, "x" * 5000), 415, "received 'xxx", id="a content type of 5 000 letters"),
    pytest.param({"content": b"\x1f\x8b", "headers": {"content-type": "application/json", "content-encoding": "gzip"}}, 415, "received 'gzip'", id="a compressed body"),
    # forms
    pytest.param(form(b"", "multipart/form-data"), 400, "expected multipart/form-data", id="a form without boundary"),
    pytest.param(form(b""), 400, "closing boundary", id="an empty form"),
    pytest.param(form(PART), 400, "closing boundary", id="a form without its end"),
    pytest.param(form(PNG), 400, "", id="a PNG declared as a form"),
    pytest.param(form(b"--b--\r\n"), 422, "named 'file', received none", id="a form without parts"),
    pytest.param(form(b"--b\r\n\r\nx\r\n--b--\r\n"), 400, "expected multipart/form-data", id="a part without headers"),
    pytest.param(files(PNG, name="image"), 422, "received one named 'image'", id="a part of another name"),
    pytest.param({"files": [("file", (None, "seven"))]}, 422, "received a text field", id="a text field"),
    pytest.param(files(b""), 422, "0 bytes that are not one", id="an empty file"),
    pytest.param(files(PNG, b"seven"), 422, "picture 1 of 2", id="a bad file among good ones"),
    pytest.param(files(*[PNG] * 1025), 413, "at most 1024 pictures, received 1025", id="one file over the limit"),
    pytest.param(files(*[PNG] * 1500), 413, "at most 1024 pictures, received 1025 or more", id="many files over the limit"),
    pytest.param(text(b'{"pixels":' + b"[" * 600 + b"0" + b"]" * 600 + b" " * 40_000 + b"}"), 422, "28 rows", id="deep and long"),
    pytest.param({**raw(PNG), "params": {f"p{index}": "1" for index in range(500)}}, 422, "at most 1000 bytes", id="a long query"),
    pytest.param(form(PART * 2 + b"--b--", "multipart/form-data; boundary=c"), 400, "received a body", id="another boundary"),
    # sizes
    pytest.param(raw(b"\0" * (LIMIT + 1)), 413, f"at most {LIMIT} bytes", id="one byte over the limit"),
    pytest.param(raw(b"\0" * LIMIT), 422, f"received {LIMIT}", id="as many bytes as the limit"),
]  # fmt: skip


@pytest.mark.parametrize(("request_parts", "status", "excerpt"), BAD)
def test_bad_input_is_answered_with_what_was_expected_and_received(
    client: httpx.Client, request_parts: dict[str, Any], status: int, excerpt: str
) -> None:
    reply = client.post("/predict", **request_parts)

    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/problem+json"
    problem = reply.json()
    assert excerpt in problem["detail"]
    assert problem["status"] == status
    assert problem["type"].startswith("urn:digits:")
    assert problem["title"]
    assert len(problem["detail"]) < 500


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        pytest.param({"pixels": replaced(3, None)}, "#/pixels/3", id="flat"),
        pytest.param({"pixels": [*ROWS[:5], [0] * 27 + [-1], *ROWS[6:]]}, "#/pixels/5/27", id="rows"),
        pytest.param({"pixels": [*ROWS[:5], [0] * 27, *ROWS[6:]]}, "#/pixels/5", id="a ragged row"),
        pytest.param({"instances": [INK, INK, replaced(9, 300)]}, "#/instances/2/9", id="a batch"),
        pytest.param({"pixels": INK, "scale": "0-7"}, "#/scale", id="the scale"),
        pytest.param({"instances": []}, "#/instances", id="the list itself"),
    ],
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
    reply = client.post("/predict", json={"pixels": replaced(3, "a secret")})

    assert reply.status_code == 422
    assert "secret" not in reply.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        pytest.param("GET", "/predict", 405, id="GET /predict"),
        pytest.param("PUT", "/predict", 405, id="PUT /predict"),
        pytest.param("POST", "/model", 405, id="POST /model"),
        pytest.param("GET", "/nothing", 404, id="no such path"),
        pytest.param("GET", "/predict/", 404, id="a trailing slash"),
        pytest.param("GET", "/examples/../main.py", 404, id="out of the examples"),
        pytest.param("GET", "/examples/%2e%2e/%2e%2e/main.py", 404, id="out of the examples, encoded"),
        pytest.param("GET", "/examples/nothing.png", 404, id="no such example"),
        pytest.param("GET", "/%ff%fe", 404, id="a path that is not UTF-8"),
        pytest.param("GET", "/" + "x" * 4000, 404, id="a long path"),
    ],
)
def test_wrong_paths_and_methods_are_answered_with_problems(
    client: httpx.Client, method: str, path: str, status: int
) -> None:
    reply = client.request(method, path)

    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert (reply.json()["type"], reply.json()["status"]) == ("about:blank", status)


def test_a_wrong_method_is_answered_with_the_allowed_one(client: httpx.Client) -> None:
    reply = client.get("/predict")

    assert reply.headers["allow"] == "POST"
    assert reply.json()["detail"] == "expected POST, received GET"


def test_a_body_of_unknown_length_is_refused_when_it_reaches_the_limit(client: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(2 * LIMIT // 65536):
            yield b"\0" * 65536

    reply = client.post("/predict", content=endless(), headers={"content-type": "application/octet-stream"})

    assert reply.status_code == 413


@pytest.mark.parametrize(
    ("head", "status"),
    [
        pytest.param(b"Content-Length: 99999999999999999999", b"400", id="a length beyond 64 bits"),
        pytest.param(b"Content-Length: 17000000", b"413", id="a length over the limit and no body"),
        pytest.param(b"Content-Length: -1", b"400", id="a negative length"),
        pytest.param(b"Content-Length: seven", b"400", id="a length that is not a number"),
        pytest.param(b"Content-Length: 5\r\nContent-Length: 6", b"400", id="two lengths"),
        pytest.param(b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"400", id="a length and chunks"),
    ],
)
def test_an_invalid_content_length_is_refused(service: Service, head: bytes, status: bytes) -> None:
    request = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + head + b"\r\n\r\n"

    reply = service.send_bytes(request)

    assert reply.split(b" ")[1] == status


def post(
    *headers: bytes, path: bytes = b"/predict", kind: bytes = RAW, body: bytes = SEVEN_RAW, version: bytes = b"1.1"
) -> bytes:
    """A usual request except for the arguments. Without `headers` it declares its length."""
    sent = headers or (b"Content-Length: %d" % len(body),)
    head = [b"POST %b HTTP/%b" % (path, version), b"Host: x", b"Content-Type: " + kind, *sent]
    return b"\r\n".join([*head, b"", body])


def get(path: bytes, *headers: bytes, method: bytes = b"GET", version: bytes = b"HTTP/1.1") -> bytes:
    return b"\r\n".join([b"%b %b %b" % (method, path, version), *(headers or (b"Host: x",)), b"", b""])


def chunked(body: bytes, *headers: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", *headers, body=body)


def parts(*contents: bytes, kind: bytes = b"multipart/form-data; boundary=b", boundary: bytes = b"b") -> bytes:
    body = b"".join(b"--" + boundary + b"\r\n" + content + b"\r\n" for content in contents)
    return post(kind=kind, body=body + b"--" + boundary + b"--\r\n")


CHUNK = b"310\r\n" + SEVEN_RAW + b"\r\n"
FILE = b'Content-Disposition: form-data; name="file"; filename="a"\r\n'

ODD = [
    # paths
    pytest.param(post(path=b"//predict"), [404], id="two slashes"),
    pytest.param(post(path=b"/predict%00"), [404], id="a NUL in the path"),
    pytest.param(post(path=b"/predict;x=1"), [404], id="a path parameter"),
    pytest.param(post(path=b"/%70redict"), [200], id="a letter that is percent-encoded"),
    pytest.param(get(b"/%2570redict"), [404], id="encoded twice"),
    pytest.param(get(b"/../../etc/passwd"), [404], id="above the root"),
    pytest.param(get(b"/examples/..%2f..%2fmain.py"), [404], id="out of a folder, its slashes encoded"),
    pytest.param(get(b"/model/report/..%2fmanifest.json"), [404], id="out of the report"),
    pytest.param(get(b"/%zz%"), [404], id="an invalid percent-encoding"),
    pytest.param(get(b"/" + b"a" * 60_000), [404], id="a path of 60 000 letters"),
    pytest.param(get(b"/\xff\xc3\xa9"), [400], id="a path of raw bytes"),
    pytest.param(get(b"/li\x01vez"), [400], id="a control character in the path"),
    pytest.param(get(b"\\livez"), [400], id="a backslash"),
    pytest.param(get(b"livez"), [400], id="a path without a slash"),
    pytest.param(get(b""), [400], id="an empty path"),
    pytest.param(post(path=b"http://x/predict"), [200], id="the absolute form"),
    pytest.param(get(b"http://elsewhere.example/livez"), [200], id="the absolute form with another host"),
    pytest.param(get(b"*", method=b"OPTIONS"), [404], id="an asterisk"),
    # queries
    pytest.param(post(path=b"/predict?" + b"a=1&" * 400), [422], id="a query of 1600 bytes"),
    pytest.param(post(path=b"/predict?normalize=auto&normalize=never"), [200], id="a parameter twice"),
    pytest.param(post(path=b"/predict?normalize=%zz"), [422], id="a value with an invalid percent-encoding"),
    pytest.param(post(path=b"/predict?normalize=%ff"), [422], id="a value that is not UTF-8"),
    pytest.param(post(path=b"/predict?normalize=\xff"), [400], id="a query of raw bytes"),
    pytest.param(post(path=b"/predict?normalize=auto;include=pixels"), [422], id="a semicolon between parameters"),
    pytest.param(post(path=b"/predict?normalize[]=auto"), [422], id="brackets"),
    pytest.param(post(path=b"/predict?&&"), [200], id="a query of ampersands"),
    # headers
    pytest.param(get(b"/livez", b"Host:"), [200], id="an empty host"),
    pytest.param(get(b"/livez", b"Accept: */*"), [400], id="no host"),
    pytest.param(get(b"/livez", b"Host: x", b"Host: x"), [400], id="two hosts"),
    pytest.param(get(b"/livez", b"Host: x", b"X A: b"), [400], id="a space in a header's name"),
    pytest.param(get(b"/livez", b"Host : x"), [400], id="a space before the colon"),
    pytest.param(get(b"/livez", b"Host: x", b"seven"), [400], id="a header without a colon"),
    pytest.param(get(b"/livez", b"Host: x", b": seven"), [400], id="a header without a name"),
    pytest.param(get(b"/livez", b"Host: x", b" folded"), [400], id="a folded header"),
    pytest.param(get(b"/livez", b"Host: x", b"X: a\0b"), [400], id="a NUL in a header"),
    pytest.param(get(b"/livez", b"Host: x", b"X: \xff\xfe"), [200], id="a header of raw bytes"),
    pytest.param(get(b"/livez", b"Host: x", *[b"X-%d: y" % number for number in range(5000)]), [200], id="5000 headers"),
    pytest.param(post(kind=b"image/png\xff"), [415], id="a type of raw bytes"),
    pytest.param(post(kind=b"image/png, image/jpeg", body=PNG), [415], id="two types in one"),
    pytest.param(post(kind=b"*/*", body=PNG), [415], id="any type"),
    pytest.param(post(kind=b";"), [415], id="a content type without a type"),
    pytest.param(post(kind=b"a" * 5000), [415], id="a long type"),
    pytest.param(post(kind=b"  IMAGE/PNG ; q=1;; =", body=PNG), [200], id="odd parameters"),
    # lengths and chunks
    pytest.param(post(b"Content-Length: 784", b"Content-Length: 784"), [400], id="a length twice"),
    pytest.param(post(b"Content-Length: 784, 784"), [400], id="a list of lengths"),
    pytest.param(post(b"Content-Length: +784"), [400], id="a length with a sign"),
    pytest.param(post(b"Content-Length: 784", b"Transfer-Encoding: chunked"), [400], id="a length, and a body that is not in chunks"),
    pytest.param(post(b"Transfer-Encoding: xchunked"), [400], id="an unknown transfer coding"),
    pytest.param(post(b"Transfer-Encoding: gzip, chunked", body=CHUNK + b"0\r\n\r\n"), [415], id="a compressed transfer"),
    pytest.param(post(b"Transfer-Encoding: Chunked", body=CHUNK + b"0\r\n\r\n"), [200], id="chunked with a capital letter"),
    pytest.param(chunked(b'310;a=b;c="d"' + CHUNK[3:] + b"0;e\r\n\r\n"), [200], id="extensions of chunks"),
    pytest.param(chunked(CHUNK + b"0\r\nContent-Type: image/png\r\nX-A: b\r\n\r\n"), [200], id="trailers"),
    pytest.param(chunked(b"000" + CHUNK + b"0000\r\n\r\n"), [200], id="zeros before a chunk's size"),
    pytest.param(chunked(b"".join(b"1\r\n%c\r\n" % byte for byte in SEVEN_RAW) + b"0\r\n\r\n"), [200], id="chunks of a byte"),
    pytest.param(chunked(b"f" * 17 + CHUNK[3:]), [400], id="a chunk beyond 64 bits"),
    pytest.param(chunked(b"-1" + CHUNK[3:]), [400], id="a negative chunk"),
    pytest.param(chunked(b"seven" + CHUNK[3:]), [400], id="a chunk whose size is not a number"),
    # versions and other protocols
    pytest.param(post(version=b"1.0"), [200], id="HTTP/1.0"),
    pytest.param(get(b"/livez", version=b"HTTP/9.9"), [400], id="HTTP/9.9"),
    pytest.param(get(b"/livez", version=b"http/1.1"), [400], id="http/1.1"),
    pytest.param(b"GET /livez\r\n\r\n", [200], id="HTTP/0.9"),
    pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\4\0\0\0\0\0", [400], id="HTTP/2"),
    pytest.param(b"\x16\x03\x01\0\xf5\1\0\0\xf1\x03\x03" + b"Z" * 240, [400], id="TLS"),
    pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", [400], id="SSH"),
    pytest.param(bytes(range(256)), [400], id="all bytes"),
    pytest.param(b"\r\n\r\n" + get(b"/livez"), [200], id="empty lines before a request"),
    pytest.param(get(b"/livez", b"Host: x", b"Upgrade: websocket", b"Connection: Upgrade") + get(b"/livez"), [200, 200], id="a websocket, and another request"),
    pytest.param(post(b"Upgrade: h2c", b"Connection: Upgrade", b"Content-Length: 784"), [200], id="an upgrade to HTTP/2, with a body"),
    pytest.param(post(b"Upgrade: h2c", b"Connection: Upgrade", b"Transfer-Encoding: chunked", body=CHUNK + b"0\r\n\r\n"), [200], id="an upgrade to HTTP/2, with chunks"),
    pytest.param(post(b"Expect: 100-continue", b"Content-Length: 784"), [100, 200], id="a body sent without waiting for 100"),
    pytest.param(post(b"Expect: a-miracle", b"Content-Length: 784"), [200], id="another expectation"),
    # methods
    pytest.param(get(b"/livez", method=b"TRACE"), [405], id="TRACE"),
    pytest.param(get(b"/livez", method=b"CONNECT"), [405], id="CONNECT"),
    pytest.param(get(b"/livez", method=b"BREW"), [400], id="BREW"),
    pytest.param(get(b"/livez", method=b"get"), [400], id="get"),
    pytest.param(get(b"/livez", method=b"HEAD") + get(b"/livez"), [200, 200], id="HEAD"),
    pytest.param(get(b"/livez", b"Host: x", b"Content-Length: 5") + b"seven" + get(b"/livez"), [200, 200], id="GET with a body"),
    # several requests
    pytest.param(post() * 3, [200] * 3, id="three requests at once"),
    pytest.param(get(b"/nothing") + post(), [404, 200], id="a request after one that is not found"),
    pytest.param(post() + b"seven\r\n\r\n", [200], id="a request and then nonsense"),
    # forms
    pytest.param(parts(*[b'Content-Disposition: form-data; name="a%d"\r\n\r\nx' % number for number in range(1000)]), [422], id="a thousand fields"),
    pytest.param(parts(FILE + b"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n" + FILE + b"\r\n" + PNG + b"\r\n--c--"), [422], id="a form in a form"),
    pytest.param(parts(FILE + b"X: " + b"y" * 1_000_000 + b"\r\n\r\n" + PNG), [400], id="a part with a giant header"),
    pytest.param(parts(FILE + b"X: y\r\n" * 10_000 + b"\r\n" + PNG), [400], id="a part with 10 000 headers"),
    pytest.param(parts(b'Content-Disposition: form-data; filename="a"\r\n\r\n' + PNG), [400], id="a part without a name"),
    pytest.param(parts(FILE + b"\r\n" + PNG, kind=b"multipart/form-data; boundary="), [400], id="an empty boundary"),
    pytest.param(parts(FILE + b"\r\n" + PNG, kind=b'multipart/form-data; boundary="b"'), [200], id="a quoted boundary"),
    pytest.param(parts(FILE + b"\r\n" + PNG, kind=b"multipart/form-data; boundary=" + b"b" * 200, boundary=b"b" * 200), [200], id="a boundary of 200 letters"),
    pytest.param(parts(FILE + b"\r\n" + PNG, kind=b"multipart/form-data; boundary=b; charset=utf-7"), [200], id="a form in UTF-7"),
]  # fmt: skip


@pytest.mark.parametrize(("request_", "statuses"), ODD)
def test_an_odd_request_is_answered_and_so_is_the_next_one(
    service: Service, request_: bytes, statuses: list[int]
) -> None:
    with service.connect() as connection:
        connection.sendall(request_)
        received = b""
        while len(replies := re.findall(rb"HTTP/1\.1 (\d{3}) ", received)) < len(statuses):
            more = connection.recv(65536)
            assert more, received
            received += more

    assert [int(status) for status in replies] == statuses
    assert service.client.post("/predict", **raw(SEVEN_RAW)).json()["digit"] == 7
    assert "Traceback" not in service.log.read_text()


@pytest.mark.parametrize("kind", MEDIA_TYPES)
def test_a_compressed_body_is_refused_for_every_content_type(client: httpx.Client, kind: str) -> None:
    reply = client.post("/predict", content=PNG, headers={"content-type": kind, "content-encoding": "gzip"})

    assert reply.status_code == 415
    assert "'gzip'" in reply.json()["detail"]


@pytest.mark.parametrize(
    ("encodings", "status"),
    [
        *((encodings, 200) for encodings in ([""], ["identity"], ["Identity", ""])),
        *(([encoding], 415) for encoding in ("x-gzip", "br", "deflate", "zstd", "GZIP")),
        *(([several], 415) for several in ("gzip, identity", "identity, gzip")),
        *((encodings, 415) for encodings in (["gzip", "identity"], ["gzip", ""], ["identity", "gzip"])),
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

    assert service.client.get("/readyz").status_code == 200
    assert "Traceback" not in service.log.read_text()
