"""A bad request is answered with a problem that says what was expected and what was received."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest

from app.openapi.example_pictures import EXAMPLES
from app.settings import Settings
from tests.app.conftest import cases
from tests.app.dialects import BLANK, PHOTO, PNG, PROBLEM, V1, V2, tensor, typed
from tests.conftest import encoded
from tests.picture_files import png

INK = [0] * 783 + [200]
ROWS = [INK[index : index + 28] for index in range(0, 784, 28)]
SEVEN = json.loads((EXAMPLES / "seven.json").read_bytes())["pixels"]
SECRET = "hunter2"
LIMIT, JSON_LIMIT = Settings().max_body_bytes, Settings().max_json_bytes


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


def raw(content: bytes | list[bytes]) -> dict[str, Any]:
    return typed("application/octet-stream", content)


def files(*contents: bytes, name: str = "file") -> dict[str, Any]:
    return {"files": [(name, ("a.png", content, "image/png")) for content in contents]}


def query(**params: Any) -> dict[str, Any]:
    return {**pixels(INK), "params": params}


FORM = "multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + PNG + b"\r\n"

BAD_JSON = {
    "empty body": (text(""), 400, "a body that is not valid JSON"),
    "NaN": (text('{"pixels": [NaN]}'), 400, "expected JSON"),
    "invalid UTF-8": (text(b'{"pixels\xff": []}'), 400, "UTF-8"),
    "twenty thousand open brackets": (text("[" * 20_000), 400, "depth limit"),
    "a string over the limit": (text('"' + "a" * (JSON_LIMIT - 1) + '"'), 413, f"at most {JSON_LIMIT} bytes of JSON"),
    "neither pixels nor instances": (as_json({}), 422, "received neither"),
    "both pixels and instances": (as_json({"pixels": INK, "instances": [INK]}), 422, "received both"),
    "a misspelt key": (as_json({"pixel": INK}), 422, "received 'pixel'"),
    "an unknown scale": (pixels(INK, scale="0-2"), 422, "received '0-2'"),
}

BAD_PIXELS = {
    "one pixel too few": (pixels(INK[:-1]), 422, "received 783 values"),
    "one pixel too many": (pixels([*INK, 0]), 422, "received 785 values"),
    "a row too long": (pixels([*ROWS[:-1], [*ROWS[0], 0]]), 422, "a row of 28 numbers, received 29"),
    "a boolean": (with_value(True), 422, "received a boolean"),
    "minus one": (with_value(-1), 422, "from 0 to 255, received a negative number"),
    "256": (with_value(256), 422, "from 0 to 255, received a larger one"),
    "floats without the option": (pixels([value / 255 for value in INK]), 422, '"scale": "0-1"'),
    "nothing above 1": (pixels([0] * 783 + [1]), 422, 'none above 1; for 0 to 1 say "scale": "0-1"'),
    "0 to 255 under 0-1": (pixels(INK, scale="0-1"), 422, 'leave out "scale": "0-1"'),
    "a constant fraction": (pixels([0.5] * 784), 422, "received a fraction"),
    "a constant 2 under 0-1": (pixels([2.0] * 784, scale="0-1"), 422, 'leave out "scale": "0-1"'),
    "blank": (pixels([0] * 784), 422, "no ink found"),
    "blank, and white in either scale": (pixels([1] * 784), 422, "no ink found"),
    "a constant fraction under 0-1": (pixels([0.5] * 784, scale="0-1"), 422, "no ink found"),
    "one flat picture as instances": (as_json({"instances": INK}), 422, "received a number"),
    "no instances": (as_json({"instances": []}), 422, "received an empty one"),
    "a blank one among instances": (as_json({"instances": [SEVEN, [0] * 784]}), 422, "no ink found"),
    "a secret, which is not echoed": (with_value(SECRET), 422, "received a string"),
    "one raw byte too many": (raw(bytes(785)), 422, "received 785"),
    "a body of unknown length": (raw([bytes(65536)] * (2 * LIMIT // 65536)), 413, f"at most {LIMIT} bytes"),
}

BAD_PICTURES = {
    "a PNG cut short": (picture(PNG[:60]), 422, ""),
    "a JPEG cut short": (picture(PHOTO[:-3000]), 422, "cannot be decoded"),
    "a pixel too wide, not normalized": (never(29, 28), 422, "28x28 pixels, received 29x28"),
    "three large ones": (files(*[png(7000, 7000)] * 3), 413, "100000000 pixels in all"),
    "a blank file among good ones": (files(PNG, BLANK), 422, "picture 2 of 2 ('a.png'): no ink found"),
    "a form without its end": (typed(FORM, PART), 400, "closing boundary"),
    "a form without parts": (typed(FORM, b"--b--\r\n"), 422, "named 'file', received none"),
    "a part of another name": (files(PNG, name="image"), 422, "received one named 'image'"),
    "a text field": ({"files": [("file", (None, "seven"))]}, 422, "received a text field"),
}

BAD_HEADERS = {
    "an unknown mode": (query(normalize="maybe"), 422, "query parameter 'normalize'"),
    "a misspelt parameter": (query(normalise="never"), 422, "'normalise': unknown; known are include, coverage, per_"),
    "an unknown inclusion": (query(include="everything"), 422, "query parameter 'include'"),
    "an unknown choice": (query(on_error="skip"), 422, "Input should be 'fail' or 'report', received 'skip'"),
    "a long query": (query(**{f"p{index}": "1" for index in range(500)}), 422, "at most 1000 bytes"),
    "no content type": ({"content": PNG}, 415, "received none"),
    "a content type of 5 000 letters": (typed("x" * 5000, PNG), 415, "received 'xxx"),
}


@cases(("request_parts", "status", "excerpt"), BAD_JSON | BAD_PIXELS | BAD_PICTURES | BAD_HEADERS)
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
    assert SECRET not in reply.text


@cases("value", {"300": 300, "minus 5": -5})
@cases(
    ("path", "document"),
    {
        "flat": ("/predict", lambda flat: {"pixels": flat}),
        "rows": ("/predict", lambda flat: {"pixels": np.reshape(flat, (28, 28)).tolist()}),
        "instances": ("/predict", lambda flat: {"instances": [SEVEN, flat]}),
        "0-1": ("/predict", lambda flat: {"pixels": flat, "scale": "0-1"}),
        "v1": (f"{V1}:predict", lambda flat: {"instances": [flat]}),
        "v2 FP32": (f"{V2}/infer", lambda flat: {"inputs": [tensor("FP32", [1, 784], data=flat)]}),
        "v2 UINT8": (f"{V2}/infer", lambda flat: {"inputs": [tensor("UINT8", [1, 784], data=flat)]}),
        "invocations": ("/invocations", lambda flat: {"inputs": [flat]}),
    },
)
def test_pixels_out_of_range_are_refused_as_such_even_if_all_are_the_same(
    client: httpx.Client, path: str, document: Callable[[list[int]], Any], value: int
) -> None:
    same, different = [client.post(path, json=document([value] * 783 + [last])).json() for last in (value, 0)]

    assert same == different
    assert "expected" in same.get("detail", same.get("error"))


@cases(
    ("document", "pointer"),
    {
        "flat": ({"pixels": [*INK[:3], None, *INK[4:]]}, "#/pixels/3"),
        "rows": ({"pixels": [*ROWS[:5], [0] * 27 + [-1], *ROWS[6:]]}, "#/pixels/5/27"),
        "a ragged row": ({"pixels": [*ROWS[:5], [0] * 27, *ROWS[6:]]}, "#/pixels/5"),
        "a batch": ({"instances": [INK, INK, [*INK[:9], 300, *INK[10:]]]}, "#/instances/2/9"),
        "the scale": ({"pixels": INK, "scale": "0-7"}, "#/scale"),
        "the list itself": ({"instances": []}, "#/instances"),
    },
)
def test_the_pointer_leads_to_the_value_at_fault(client: httpx.Client, document: dict[str, Any], pointer: str) -> None:
    reply = client.post("/predict", json=document)

    assert [error["pointer"] for error in reply.json()["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("PUT", "/predict", 405, "POST"),
        ("POST", "/model", 405, "GET, HEAD"),
        ("DELETE", "/", 405, "GET, HEAD"),
        ("GET", "/nothing", 404, None),
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
