"""Any bytes are answered with a prediction or with a 4xx that has a type, never with a 500."""

import json
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.input.pictures import FORM, IMAGE_TYPES, JSON, RAW
from tests.conftest import encoded

EXAMPLES = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

PICTURE = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
FORMATS = [encoded(PICTURE, format=name) for name in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=20,
)


@st.composite
def near_pixels(draw: st.DrawFn) -> Any:
    """784 numbers, flat or in rows, with a few of them replaced by arbitrary JSON values."""
    flat: list[Any] = PICTURE.ravel().tolist()
    for _ in range(draw(st.integers(0, 3))):
        flat[draw(st.integers(0, 783))] = draw(json_values)
    if draw(st.booleans()):
        return flat[: draw(st.sampled_from([784, 784, 783, 0]))]
    rows: list[Any] = [flat[start : start + 28] for start in range(0, 784, 28)]
    if draw(st.booleans()):
        rows[draw(st.integers(0, 27))] = draw(json_values)
    return rows


@st.composite
def damaged_picture(draw: st.DrawFn) -> bytes:
    picture = bytearray(draw(st.sampled_from(FORMATS)))
    for _ in range(draw(st.integers(1, 4))):
        # Damage the header more often, because the header decides most.
        position = draw(st.integers(0, min(80, len(picture) - 1)) | st.integers(0, len(picture) - 1))
        picture[position : position + draw(st.integers(0, 2))] = draw(st.binary(max_size=3))
        if not picture:
            break
    return bytes(picture[: draw(st.sampled_from([len(picture), len(picture) // 2]))])


def expect_prediction_or_problem(reply: httpx.Response) -> None:
    """Check that the reply is a distribution over ten digits or a problem with a 4xx status."""
    if reply.status_code == 200:
        answers = reply.json().get("predictions", [reply.json()])
        for answer in answers:
            assert len(answer["probabilities"]) == 10
            assert min(answer["probabilities"]) >= 0
            assert sum(answer["probabilities"]) == pytest.approx(1, abs=1e-5)
    else:
        assert reply.status_code in (400, 413, 415, 422), reply.text
        assert reply.headers["content-type"] == "application/problem+json"
        assert reply.json()["detail"]


@EXAMPLES
@given(body=st.binary(max_size=2000), kind=st.sampled_from([JSON, FORM + "; boundary=b", RAW, *IMAGE_TYPES]))
@example(body=b'{"pixels": ' + b"9" * 5000 + b"}", kind=JSON)
@example(body=b'{"\\ud800": 1}', kind=JSON)
def test_any_bytes_with_any_content_type(client: httpx.Client, body: bytes, kind: str) -> None:
    expect_prediction_or_problem(client.post("/predict", content=body, headers={"content-type": kind}))


@EXAMPLES
@given(body=damaged_picture(), kind=st.sampled_from(IMAGE_TYPES))
def test_any_damaged_picture(client: httpx.Client, body: bytes, kind: str) -> None:
    expect_prediction_or_problem(client.post("/predict", content=body, headers={"content-type": kind}))


near_documents = st.fixed_dictionaries(
    {},
    optional={
        "pixels": near_pixels() | json_values,
        "instances": st.lists(near_pixels(), max_size=3) | json_values,
        "scale": st.sampled_from(["0-1", "0-255"]) | json_values,
    },
)


@EXAMPLES
@given(document=json_values | near_documents)
def test_any_json(client: httpx.Client, document: Any) -> None:
    expect_prediction_or_problem(client.post("/predict", content=json.dumps(document), headers={"content-type": JSON}))


@EXAMPLES
@given(
    parts=st.lists(st.binary(max_size=50) | damaged_picture() | st.sampled_from(FORMATS), max_size=4),
    name=st.sampled_from(["file", "file", "other"]),
    cut=st.integers(0, 60),
    boundary=st.sampled_from(["b", '"b"', "b; charset=utf-16", "b; charset=punycode", "'", "b" * 200, ""]),
)
def test_any_form(client: httpx.Client, parts: list[bytes], name: str, cut: int, boundary: str) -> None:
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="x"\r\n\r\n'.encode()
    body = b"".join(head + part + b"\r\n" for part in parts) + b"--b--\r\n"

    expect_prediction_or_problem(
        client.post(
            "/predict",
            content=body[: len(body) - cut] if cut > 40 else body,
            headers={"content-type": f"{FORM}; boundary={boundary}"},
        )
    )


@EXAMPLES
@given(content=st.binary(min_size=782, max_size=782))
def test_bytes_and_numbers_of_the_same_picture_get_the_same_answer(client: httpx.Client, content: bytes) -> None:
    picture = b"\x00\xff" + content  # clearly of the scale 0-255

    as_bytes = client.post("/predict", content=picture, headers={"content-type": RAW}).json()
    as_json = client.post("/predict", json={"pixels": list(picture)}).json()

    as_json.pop("errors", None)  # a pointer cannot lead into raw bytes
    assert as_bytes == as_json
