"""`POST /predict` answers every kind of body with the same prediction."""

import json
import os
from base64 import b64encode
from typing import Any

import httpx
import numpy as np
import pytest

from app.input.pictures import IMAGE_TYPES
from app.input.pictures import RAW as RAW_TYPE
from digits.features import Grey
from digits.pictures.decode import FORMATS
from tests.app.conftest import cases
from tests.app.dialects import PNG, RAW, SEVEN, raw, typed
from tests.conftest import SHIPPED_VERSION, Mnist, encoded

ROWS = SEVEN.tolist()
FLAT = SEVEN.ravel().tolist()
FLOATS = [value / 255 for value in FLAT]
AS_IT_IS = {"content-type": "image/png", "content-encoding": "Identity"}
FORM_IN_BASE64 = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n'
    b"Content-Transfer-Encoding: base64\r\n\r\n" + b64encode(PNG) + b"\r\n--b--\r\n"
)
TEXT = json.dumps({"pixels": FLAT}).encode()


def as_json(**document: Any) -> dict[str, Any]:
    return {"json": document}


@cases(
    "body",
    {
        "JSON, 28 rows of 28": as_json(pixels=ROWS),
        "JSON, 784 flat": as_json(pixels=FLAT),
        "JSON, whole floats": as_json(pixels=[float(value) for value in FLAT]),
        "JSON, floats from 0 to 1": as_json(pixels=FLOATS, scale="0-1"),
        "JSON, charset given": typed("Application/JSON; charset=utf-8", TEXT),
        "a form": {"files": {"file": PNG}},
        "a form in base64": typed("multipart/form-data; boundary=b", FORM_IN_BASE64),
        "PNG": typed("image/png", PNG),
        "PNG declared as JPEG": typed("image/jpeg", PNG),
        "image/jpg": typed("Image/JPG", PNG),
        "a form with image/jpg": {"files": {"file": ("a.jpg", PNG, "image/jpg")}},
        "PNG, with Content-Encoding": {"content": PNG, "headers": AS_IT_IS},
    },
)
def test_a_seven_gets_the_same_answer_in_every_kind_of_body(client: httpx.Client, body: dict[str, Any]) -> None:
    expected = client.post("/predict", **RAW).json()

    reply = client.post("/predict", **body)

    assert reply.status_code == 200
    answer = reply.json()
    assert list(answer) == list(expected)
    assert answer["digit"] == 7
    assert answer["probability"] == max(answer["probabilities"]) == answer["probabilities"][7]
    assert answer["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-6)
    assert answer["preprocessing"] == []
    assert answer["model"] == {"name": "mnist-dense", "version": SHIPPED_VERSION}
    assert (answer["prediction_set"], answer["coverage"], answer["is_digit"]) == ([7], 0.99, True)


@pytest.mark.parametrize("kind", IMAGE_TYPES)
def test_every_picture_format_is_read(client: httpx.Client, kind: str) -> None:
    picture = encoded(SEVEN, format=kind.removeprefix("image/"), quality=95)

    assert client.post("/predict", **typed(kind, picture)).json()["digit"] == 7


@pytest.mark.parametrize("name", FORMATS)
def test_an_encoded_picture_as_raw_bytes_is_refused_with_its_media_type(client: httpx.Client, name: str) -> None:
    picture = encoded(SEVEN, format=name, quality=95)
    whole, padded = picture + b"\0" * (len(picture) % 784 == 0), picture + b"\0" * (-len(picture) % 784)

    refused, as_long_as_pixels = [
        client.post("/predict", params={"normalize": "never"}, **typed(RAW_TYPE, body)) for body in (whole, padded)
    ]

    expected = f"received {len(whole)} that begin as a {name} does; send a {name} as image/{name.lower()}"
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:digits:invalid-pixels")
    assert expected in refused.json()["detail"]
    may_be_pixels = name in ("JPEG", "TIFF", "BMP")  # their signatures have two to four bytes
    assert as_long_as_pixels.status_code == (200 if may_be_pixels else 422)


def predictions(client: httpx.Client, body: dict[str, Any], **query: str) -> Any:
    return client.post("/predict", params=query, **body).raise_for_status().json()["predictions"]


def test_real_digits_are_recognized(client: httpx.Client, mnist: Mnist) -> None:
    chosen = np.random.default_rng(0).choice(len(mnist.labels), 1000, replace=False)

    answers = predictions(client, raw(mnist.pixels[chosen]))

    digits = np.array([answer["digit"] for answer in answers])
    assert (digits == mnist.labels[chosen]).mean() >= 0.97
    assert all(sum(answer["probabilities"]) == pytest.approx(1, abs=1e-5) for answer in answers)


MNIST_DATA = os.environ.get("MNIST_DATA", "")
"""Read at import, because the tests of training unset the variable."""


@pytest.mark.skipif(not MNIST_DATA.endswith(".npz"), reason="needs MNIST_DATA, an npz file with all of MNIST")
def test_all_test_images_have_the_accuracy_that_the_model_card_states(client: httpx.Client) -> None:
    with np.load(MNIST_DATA) as arrays:
        images, digits = arrays["x_test"], arrays["y_test"]
    stated = client.get("/model").json()["metrics"]["test"]["accuracy"]

    batches = [predictions(client, raw(images[start : start + 1000])) for start in range(0, len(images), 1000)]

    correct = [answer["digit"] for batch in batches for answer in batch] == digits
    assert correct.sum() == round(stated * len(digits))


INVERTED = 255 - SEVEN


@cases(
    "body",
    {
        "JSON": as_json(pixels=INVERTED.tolist()),
        "JSON, floats": as_json(pixels=(INVERTED / 255).tolist(), scale="0-1"),
        "raw bytes": raw(INVERTED),
    },
)
def test_pixels_are_brought_to_mnist_form(client: httpx.Client, body: dict[str, Any]) -> None:
    answer = client.post("/predict", **body).json()

    assert answer["digit"] == 7
    assert "inverted" in answer["preprocessing"]


def test_a_picture_in_mnist_form_is_not_changed_at_all(client: httpx.Client, digits: Grey) -> None:
    answers = predictions(client, raw(digits), include="pixels")

    assert [answer["pixels"] for answer in answers] == digits.tolist()
    assert {tuple(answer["preprocessing"]) for answer in answers} == {()}


def test_a_doubtful_picture_gets_another_look_in_every_kind_of_body(client: httpx.Client, digits: Grey) -> None:
    shade = np.linspace(1.0, 0.4, 28)[:, None] * np.where(np.arange(28) < 12, 0.6, 1.0)
    for digit in digits[::4]:
        picture = ((230 - 0.6 * np.roll(digit, 2, axis=1)) * shade).astype(np.uint8)

        bodies = typed("image/gif", encoded(picture, format="GIF")), typed("image/png", encoded(picture)), raw(picture)
        answers = [client.post("/predict", **body).json() for body in bodies]

        assert answers[0]["digit"] in range(10)
        assert answers[1:] == answers[:1] * 2
