"""The service does what its OpenAPI document says, by every check of Schemathesis."""

import json
import math
import re
from typing import Any

import httpx
import numpy as np
import pytest

from app.input.pictures import FORM, IMAGE_TYPES, JSON, RAW
from app.openapi import schemas
from digits.model.predictions import Prediction
from tests.app.conftest import NEW_KEY, Service, cases
from tests.conftest import REPOSITORY, encoded, fresh_python


@pytest.mark.slow
def test_every_generated_request_is_answered_as_the_document_says(locked: Service) -> None:
    config = ["--config-file", "tests/app/openapi/schemathesis.toml", "--no-color"]
    command = ["run", f"{locked.url}/openapi.json", "-H", f"Authorization: Bearer {NEW_KEY}"]

    ran = fresh_python("-m", "schemathesis.cli", *config, *command, timeout_seconds=240)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Coverage (in" in ran.stdout
    assert "Fuzzing (in" in ran.stdout
    tested = re.search(r"Tested: (\d+)", ran.stdout)
    assert tested is not None
    assert int(tested[1]) >= 9
    assert "Traceback" not in locked.log.read_text()


def test_the_committed_document_is_current(client: httpx.Client) -> None:
    committed = json.loads((REPOSITORY / "docs/reference/openapi.json").read_text())

    assert client.get("/openapi.json").json() == committed, "run `python -m docs.openapi`"


@pytest.fixture(scope="module")
def operations(client: httpx.Client) -> dict[str, Any]:
    """The operations of the document, by method and path."""
    paths = client.get("/openapi.json").json()["paths"]
    return {f"{method.upper()} {path}": each for path, item in paths.items() for method, each in item.items()}


def test_every_field_of_a_prediction_is_documented() -> None:
    documented = {*schemas.Prediction.model_fields, *schemas.NumberDigit.model_fields}

    assert documented == {*Prediction.__annotations__}


def is_part(shown: Any, came: Any) -> bool:
    """Return whether a reply has everything that an example shows. Numbers may differ a little."""
    if isinstance(shown, dict) and isinstance(came, dict):
        return all(key in came and is_part(value, came[key]) for key, value in shown.items())
    if isinstance(shown, list) and isinstance(came, list):
        return len(shown) <= len(came) and all(map(is_part, shown, came))
    if isinstance(shown, float) and isinstance(came, float):
        return math.isclose(shown, came, abs_tol=0.1)  # a small change of the normalization needs no new example
    return type(shown) is type(came) and bool(shown == came)


def test_every_example_of_a_json_reply_is_what_comes(client: httpx.Client, operations: dict[str, Any]) -> None:
    compared = []
    for name, operation in operations.items():
        method, path = name.replace("{model}", "mnist-dense").split()
        content = operation["responses"]["200"].get("content", {}).get(JSON, {})
        if "example" not in content:
            continue
        body = operation.get("requestBody", {}).get("content", {}).get(JSON, {}).get("example")
        reply = client.request(method, path, json=body)
        assert reply.status_code == 200, name
        assert is_part(content["example"], reply.json()), name
        compared.append(name)

    assert len(compared) >= 18


def test_every_example_of_a_prediction_is_what_comes(client: httpx.Client, operations: dict[str, Any]) -> None:
    predict = operations["POST /predict"]
    bodies, replies = predict["requestBody"]["content"], predict["responses"]["200"]["content"][JSON]["examples"]
    pictures = {name: client.get(f"/examples/{name}").content for name in ("seven.png", "photo.jpg")}

    one = client.post("/predict", files={"file": pictures["photo.jpg"]}).json()
    several = client.post("/predict", files=[("file", picture) for picture in pictures.values()]).json()

    readings = operations["POST /read"]["responses"]["200"]["content"][JSON]["examples"]
    number = client.post("/read", files={"file": client.get("/examples/number.jpg").content}).json()

    assert is_part(readings["one picture"]["value"], number)
    assert is_part(replies["one picture"]["value"], one)
    assert is_part(replies["several pictures"]["value"], several)
    assert list(bodies) == [FORM, *IMAGE_TYPES, JSON, RAW]  # files first
    for example in bodies[JSON]["examples"].values():
        assert client.post("/predict", json=example["value"]).status_code == 200


@cases(
    ("status", "name", "kind", "content", "query"),
    {
        "incomplete JSON": (400, "malformed-body", JSON, b'{"pixels": [[0', ""),
        "a large body": (413, "body-too-large", RAW, bytes(20_000_000), ""),
        "text": (415, "unsupported-type", "text/plain", b"seven", ""),
        "a blank picture": (422, "no-ink", "image/png", encoded(np.full((99, 99), 255, np.uint8)), ""),
        "not a picture": (422, "invalid-image", "image/png", bytes(1076), ""),
        "one row": (422, "invalid-pixels", JSON, b'{"pixels": [[0, 0]]}', ""),
        "an unknown inclusion": (422, "invalid-query", JSON, b"{}", "?include=all"),
    },
)
def test_every_example_of_an_error_is_what_the_service_replies(
    client: httpx.Client, operations: dict[str, Any], status: int, name: str, kind: str, content: bytes, query: str
) -> None:
    errors = operations["POST /predict"]["responses"][str(status)]["content"]["application/problem+json"]["examples"]

    reply = client.post(f"/predict{query}", content=content, headers={"content-type": kind})

    assert reply.json() == errors[name]["value"]
