"""With `?on_error=report`, a bad picture is reported in its place, and the others are answered."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest

from app.openapi.example_pictures import EXAMPLES
from tests.app.api.test_read import bars
from tests.app.conftest import LIMITED_BATCH, Service, cases
from tests.app.dialects import BLANK, PHOTO, PNG, PROBLEM, SEVEN, Body, form, raw, typed
from tests.conftest import SHIPPED_VERSION
from tests.picture_files import png

REPORT = {"on_error": "report"}
ROWS: list[list[int]] = SEVEN.tolist()
FLAT: list[int] = SEVEN.ravel().tolist()
NUMBER = (EXAMPLES / "number.jpg").read_bytes()


def instances(scale: str = "0-255") -> Callable[[Any], Body]:
    """Return what makes a request of three pictures in JSON: a seven, this picture, and an inverted seven."""
    top = 1 if scale == "0-1" else 255
    seven, inverted = [(each / 255 if top == 1 else each).tolist() for each in (SEVEN, 255 - SEVEN)]
    return lambda picture: {"json": {"instances": [seven, picture, inverted], "scale": scale}}


def files(picture: bytes) -> Body:
    return form([PNG, picture, PHOTO])


def three_raw(picture: bytes) -> Body:
    return raw(np.concatenate([SEVEN[None], np.frombuffer(picture, np.uint8).reshape(1, 28, 28), 255 - SEVEN[None]]))


AVIF = b"\0\0\0\x18ftypavif\0\0\0\0"
FILES = {
    "not a picture": (files, b"seven", 422),
    "cut short": (files, PHOTO[:-3000], 422),
    "an unsupported format": (files, AVIF, 415),
    "too large": (files, png(10_000, 5_001), 413),
    "a blank file": (files, BLANK, 422),
    "an empty file": (files, b"", 422),
}
PIXELS = {
    "blank pixels": (instances(), [0] * 784, 422),
    "a ragged row": (instances(), [*ROWS[:-1], [0] * 27], 422),
    "a value too few": (instances(), FLAT[:-1], 422),
    "no list": (instances(), {"pixels": FLAT}, 422),
    "a boolean": (instances(), [*FLAT[:-1], True], 422),
    "300": (instances(), [*FLAT[:-1], 300], 422),
    "nothing above 1": (instances(), [0] * 783 + [1], 422),
    "0 to 255 among floats": (instances("0-1"), FLAT, 422),
    "blank bytes": (three_raw, bytes(784), 422),
}


@cases(
    ("path", "body", "picture", "status"),
    {
        **{f"predict, {name}": ("/predict", *row) for name, row in (FILES | PIXELS).items()},
        **{f"read, {name}": ("/read", *row) for name, row in FILES.items()},
        "read, too many digits": ("/read", files, bars(24, 24), 413),
    },
)
def test_a_bad_picture_is_reported_as_the_error_that_would_refuse_the_request(
    client: httpx.Client, path: str, body: Callable[[Any], Body], picture: Any, status: int
) -> None:
    refusal = client.post(path, **body(picture))
    others = client.post(path, **body(picture), params=REPORT)

    first, reported, last = others.json()["predictions"]
    assert others.status_code == 200
    assert others.headers["content-type"] == "application/json"
    assert refusal.headers["content-type"] == PROBLEM
    assert reported == {"error": refusal.json()}
    assert reported["error"]["status"] == refusal.status_code == status
    assert "error" not in first | last


@pytest.mark.parametrize("query", [{}, {"normalize": "never"}, {"normalize": "always"}, {"coverage": "0.9"}], ids=str)
def test_the_others_get_the_answers_that_they_get_without_it(client: httpx.Client, query: dict[str, str]) -> None:
    good = [ROWS, (255 - SEVEN).tolist(), np.roll(SEVEN, 4, axis=0).tolist()]
    bad = [[0] * 783 + [1], "seven"]
    mixed = [bad[0], good[0], good[1], bad[1], good[2]]

    expected = client.post("/predict", json={"instances": good}, params=query).json()["predictions"]
    predictions = client.post("/predict", json={"instances": mixed}, params=query | REPORT).json()["predictions"]

    assert ["error" in prediction for prediction in predictions] == [True, False, False, True, False]
    for answer, alone in zip(
        [prediction for prediction in predictions if "digit" in prediction], expected, strict=True
    ):
        assert answer.pop("probabilities") == pytest.approx(alone.pop("probabilities"), abs=1e-5)
        assert {**answer, "probability": 0, "novelty": 0} == {**alone, "probability": 0, "novelty": 0}


@cases(
    ("path", "body"),
    {
        "instances": ("/predict", {"json": {"instances": [[0] * 784] * 3}}),
        "one instance": ("/predict", {"json": {"instances": [[0] * 784]}}),
        "raw bytes": ("/predict", raw(np.zeros((2, 28, 28), np.uint8))),
        "files": ("/predict", form([BLANK, b"seven"])),
        "files to read": ("/read", form([BLANK, b"seven"])),
    },
)
@pytest.mark.parametrize("query", [{}, {"include": "pixels,ink"}], ids=str)
def test_all_pictures_may_be_bad(client: httpx.Client, path: str, body: Body, query: dict[str, str]) -> None:
    reply = client.post(path, **body, params=REPORT | query)

    assert reply.status_code == 200
    assert reply.headers["x-model-version"] == str(SHIPPED_VERSION)
    assert {*map(tuple, reply.json()["predictions"])} == {("error",)}


@cases(
    ("path", "body", "status"),
    {
        "pixels": ("/predict", {"json": {"pixels": [0] * 784}}, 422),
        "raw bytes": ("/predict", raw(np.zeros((1, 28, 28), np.uint8)), 422),
        "a file": ("/predict", form([BLANK]), 422),
        "an image": ("/predict", typed("image/png", png(10_000, 5_001)), 413),
        "a file to read": ("/read", form([BLANK]), 422),
        "an image to read": ("/read", typed("image/png", b"seven"), 422),
    },
)
def test_a_lone_picture_keeps_its_status(client: httpx.Client, path: str, body: Body, status: int) -> None:
    refusal, reply = [client.post(path, **body, params=query) for query in ({}, REPORT)]

    assert reply.status_code == status
    assert reply.headers["content-type"] == PROBLEM
    assert reply.json() == refusal.json()


@cases(
    ("body", "query", "kind"),
    {
        "no JSON": (typed("application/json", b"["), {}, "malformed-body"),
        "an unknown scale": ({"json": {"instances": [FLAT, FLAT], "scale": "x"}}, {}, "invalid-body"),
        "an unknown coverage": ({"json": {"instances": [FLAT, [0] * 784]}}, {"coverage": "0.5"}, "invalid-query"),
        "too many pictures": ({"json": {"instances": [FLAT] * (LIMITED_BATCH + 1)}}, {}, "batch-too-large"),
        "too many files": (form([PNG] * (LIMITED_BATCH + 1)), {}, "batch-too-large"),
        "too many pixels together": (form([png(7000, 7000)] * 3), {}, "image-too-large"),
        "a text field": ({"files": [("file", ("a", PNG)), ("file", (None, "seven"))]}, {}, "invalid-body"),
        "bytes of no number of pictures": (typed("application/octet-stream", bytes(785)), {}, "invalid-pixels"),
    },
)
def test_what_is_wrong_with_the_whole_request_refuses_it(
    limited: Service, body: Body, query: dict[str, str], kind: str
) -> None:
    reply = limited.client.post("/predict", **body, params=REPORT | query)

    assert reply.headers["content-type"] == PROBLEM
    assert json.loads(reply.content)["type"] == f"urn:digits:{kind}"


def test_too_many_digits_together_refuse_the_request(limited: Service) -> None:
    reply = limited.client.post("/read", **form([NUMBER, b"seven", NUMBER]), params=REPORT)

    assert reply.status_code == 413
    assert "at most 5 digits together, found 8 on the first 3" in reply.json()["detail"]
