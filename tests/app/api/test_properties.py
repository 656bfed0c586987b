"""Any bytes are answered with a prediction or with a 4xx that has a type, never with a 500."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.input.pictures import FORM, IMAGE_TYPES, JSON, RAW
from tests.app.dialects import PROBLEM, SEVEN
from tests.app.openapi.media_types import pictures

PICTURES = {kind: pictures(kind) for kind in IMAGE_TYPES}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=20,
)


@st.composite
def near_pixels(draw: st.DrawFn) -> Any:
    """784 numbers, flat or in rows, with a few of them replaced by arbitrary JSON values."""
    flat: list[Any] = SEVEN.ravel().tolist()
    for _ in range(draw(st.integers(0, 3))):
        flat[draw(st.integers(0, 783))] = draw(json_values)
    if draw(st.booleans()):
        return flat[: draw(st.sampled_from([784, 784, 783, 0]))]
    rows: list[Any] = [flat[start : start + 28] for start in range(0, 784, 28)]
    if draw(st.booleans()):
        rows[draw(st.integers(0, 27))] = draw(json_values)
    return rows


near_documents = st.fixed_dictionaries(
    {},
    optional={
        "pixels": near_pixels() | json_values,
        "instances": st.lists(near_pixels(), max_size=3) | json_values,
        "scale": st.sampled_from(["0-1", "0-255"]) | json_values,
    },
)


@st.composite
def forms(draw: st.DrawFn) -> tuple[str, bytes]:
    boundary = draw(st.sampled_from(["b", '"b"', "b; charset=utf-16", "b; charset=punycode", "'", "b" * 200, ""]))
    head = b'--b\r\nContent-Disposition: form-data; name="%b"; filename="x"\r\n\r\n'
    parts = draw(st.lists(st.binary(max_size=50) | st.one_of(*PICTURES.values()), max_size=4))
    name = draw(st.sampled_from([b"file", b"file", b"other"]))
    body = b"".join(head % name + part + b"\r\n" for part in parts) + b"--b--\r\n"
    cut = draw(st.sampled_from([0, 0, 1, 20]))
    return f"{FORM}; boundary={boundary}", body[: len(body) - cut]


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sent=st.tuples(st.sampled_from([JSON, FORM + "; boundary=b", RAW, *IMAGE_TYPES]), st.binary(max_size=2000))
    | st.one_of(*(st.tuples(st.just(kind), picture) for kind, picture in PICTURES.items()))
    | st.tuples(st.just(JSON), (json_values | near_documents).map(lambda document: json.dumps(document).encode()))
    | forms()
)
@example((JSON, b'{"pixels": ' + b"9" * 5000 + b"}"))
@example((JSON, b'{"\\ud800": 1}'))
def test_any_body_gets_ten_probabilities_or_a_problem(client: httpx.Client, sent: tuple[str, bytes]) -> None:
    kind, body = sent

    reply = client.post("/predict", content=body, headers={"content-type": kind})

    if reply.status_code == 200:
        for answer in reply.json().get("predictions", [reply.json()]):
            assert len(answer["probabilities"]) == 10
            assert min(answer["probabilities"]) >= 0
            assert sum(answer["probabilities"]) == pytest.approx(1, abs=1e-5)
    else:
        assert reply.status_code in (400, 413, 415, 422), reply.text
        assert reply.headers["content-type"] == PROBLEM
        assert reply.json()["detail"]
