"""`POST /predict` answers every kind of body with the same prediction."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from app.input.pictures import IMAGE_TYPES
from app.openapi.example_pictures import EXAMPLES
from digits.features import Grey
from digits.model.artifact import SHIPPED
from digits.model.classifier import load_newest
from tests.conftest import SHIPPED_VERSION, Mnist, encoded

SEVEN = json.loads((EXAMPLES / "seven.json").read_bytes())["pixels"]
FLAT = [value for row in SEVEN for value in row]
PNG = (EXAMPLES / "seven.png").read_bytes()
RAW = (EXAMPLES / "seven.bin").read_bytes()


def typed(content: bytes, content_type: str) -> dict[str, Any]:
    return {"content": content, "headers": {"content-type": content_type}}


def raw(content: bytes) -> dict[str, Any]:
    return typed(content, "application/octet-stream")


def png_part(content: bytes = PNG) -> tuple[str, tuple[str, bytes, str]]:
    return "file", ("seven.png", content, "image/png")


@pytest.mark.parametrize(
    "request_parts",
    [
        pytest.param({"json": {"pixels": SEVEN}}, id="JSON, 28 rows of 28"),
        pytest.param({"json": {"pixels": FLAT}}, id="JSON, 784 flat"),
        pytest.param({"json": {"pixels": [float(value) for value in FLAT]}}, id="JSON, whole floats"),
        pytest.param({"json": {"pixels": [value / 255 for value in FLAT], "scale": "0-1"}}, id="JSON, floats in [0,1]"),
        pytest.param({"json": {"pixels": FLAT, "scale": "0-255"}}, id="JSON, the default scale given"),
        pytest.param({"files": [png_part()]}, id="form upload"),
        pytest.param(typed(PNG, "image/png"), id="PNG"),
        pytest.param(typed(PNG, "IMAGE/PNG; q=1"), id="PNG, unusual spelling of the type"),
        pytest.param(typed(PNG, "image/jpeg"), id="PNG declared as JPEG"),
        pytest.param(raw(RAW), id="784 raw bytes"),
        pytest.param(
            typed(json.dumps({"pixels": FLAT}).encode(), "Application/JSON; charset=utf-8"),
            id="JSON, charset given",
        ),
        pytest.param(
            typed(b'{"pixels": [1], "pixels": ' + json.dumps(FLAT).encode() + b"}", "application/json"),
            id="JSON, two equal keys, of which the last counts",
        ),
    ],
)
def test_a_seven_gets_the_same_answer_in_every_kind_of_body(
    client: httpx.Client, request_parts: dict[str, Any]
) -> None:
    expected = client.post("/predict", **raw(RAW)).json()

    reply = client.post("/predict", **request_parts)

    assert reply.status_code == 200
    answer = reply.json()
    assert answer["digit"] == 7
    assert answer["probability"] == max(answer["probabilities"]) == answer["probabilities"][7]
    assert answer["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-6)
    assert answer["preprocessing"] == []
    assert answer["model"] == {"name": "mnist-dense", "version": SHIPPED_VERSION}
    assert (answer["prediction_set"], answer["coverage"], answer["is_digit"]) == ([7], 0.99, True)
    assert list(answer) == list(expected)


@pytest.mark.parametrize(
    ("content_type", "options"),
    [
        pytest.param("image/png", {"format": "PNG"}, id="PNG"),
        pytest.param("image/jpeg", {"format": "JPEG", "quality": 95}, id="JPEG"),
        pytest.param("image/webp", {"format": "WEBP", "lossless": True}, id="WEBP"),
        pytest.param("image/bmp", {"format": "BMP"}, id="BMP"),
        pytest.param("image/gif", {"format": "GIF"}, id="GIF"),
        pytest.param("image/tiff", {"format": "TIFF"}, id="TIFF"),
    ],
)
def test_every_picture_format_is_read(client: httpx.Client, content_type: str, options: dict[str, object]) -> None:
    picture = encoded(np.array(SEVEN, dtype=np.uint8), **options)

    reply = client.post("/predict", **typed(picture, content_type))

    assert content_type in IMAGE_TYPES
    assert reply.json()["digit"] == 7


def test_files_are_answered_in_the_order_sent(client: httpx.Client, digit_pictures: list[bytes]) -> None:
    order = [3, 1, 4, 1, 5, 9, 2, 6]
    alone = [client.post("/predict", files=[png_part(digit_pictures[digit])]).json() for digit in order]

    reply = client.post("/predict", files=[png_part(digit_pictures[digit]) for digit in order])

    assert reply.status_code == 200
    together = reply.json()["predictions"]
    assert [answer["digit"] for answer in together] == [answer["digit"] for answer in alone]
    for one, other in zip(alone, together, strict=True):
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-6)


@pytest.mark.parametrize("count", [2, 128, 129, 1024])
def test_raw_pictures_are_answered_in_the_order_sent(client: httpx.Client, mnist: Mnist, count: int) -> None:
    some = mnist.pixels[:count]
    alone = client.post("/predict", json={"instances": some.tolist()}).json()

    reply = client.post("/predict", **raw(some.tobytes()))

    assert len(reply.json()["predictions"]) == count
    assert reply.json() == alone


def test_normalizing_one_picture_leaves_the_others_unchanged(client: httpx.Client, mnist: Mnist) -> None:
    some = mnist.pixels[:5].copy()
    expected = client.post("/predict", json={"instances": some.tolist()}).json()["predictions"]
    some[2] = 255 - some[2]

    answers = client.post("/predict", json={"instances": some.tolist()}).json()["predictions"]

    assert [answer["preprocessing"] for answer in answers] == [[], [], ["inverted"], [], []]
    for answer, other in zip(answers, expected, strict=True):
        assert answer["probabilities"] == pytest.approx(other["probabilities"], abs=1e-6)


def test_instances_are_always_answered_by_a_list(client: httpx.Client) -> None:
    reply = client.post("/predict", json={"instances": [SEVEN]})

    assert [answer["digit"] for answer in reply.json()["predictions"]] == [7]


def test_instances_may_mix_rows_and_flat_pictures(client: httpx.Client) -> None:
    reply = client.post("/predict", json={"instances": [SEVEN, FLAT]})

    first, second = reply.json()["predictions"]
    assert first == second


def test_a_blank_picture_is_answered_if_it_is_not_normalized(client: httpx.Client) -> None:
    reply = client.post("/predict", params={"normalize": "never"}, json={"pixels": [0] * 784})

    assert reply.status_code == 200
    assert sum(reply.json()["probabilities"]) == pytest.approx(1, abs=1e-6)


def test_floats_from_0_to_1_are_the_features_of_the_network(client: httpx.Client) -> None:
    features = np.random.default_rng(0).random((1, 784), dtype=np.float32)
    expected = load_newest(SHIPPED)[0].probabilities(features)[0]

    reply = client.post(
        "/predict", params={"normalize": "never"}, json={"pixels": features[0].tolist(), "scale": "0-1"}
    )

    assert reply.json()["probabilities"] == pytest.approx(expected.tolist(), abs=1e-6)


def test_real_digits_are_recognized(client: httpx.Client, mnist: Mnist) -> None:
    chosen = np.random.default_rng(0).choice(len(mnist.labels), 1000, replace=False)

    reply = client.post("/predict", json={"instances": mnist.pixels[chosen].tolist()})

    digits = np.array([answer["digit"] for answer in reply.json()["predictions"]])
    assert (digits == mnist.labels[chosen]).mean() >= 0.97
    assert all(sum(answer["probabilities"]) == pytest.approx(1, abs=1e-5) for answer in reply.json()["predictions"])


def page(picture: Grey) -> Grey:
    """Return a digit in dark ink on a light page of 300x400 pixels, away from the centre."""
    paper = Image.new("L", (400, 300), 235)
    paper.paste(Image.fromarray(255 - picture).resize((180, 180)).point(lambda value: value * 235 // 255), (190, 20))
    return np.asarray(paper)


def test_dark_ink_on_a_light_page_is_brought_to_mnist_form(client: httpx.Client) -> None:
    picture = encoded(page(np.array(SEVEN, dtype=np.uint8)))

    reply = client.post("/predict", params={"include": "pixels"}, **typed(picture, "image/png"))

    answer = reply.json()
    assert answer["digit"] == 7
    assert answer["preprocessing"][0] == "inverted"
    pixels = np.array(answer["pixels"])
    assert pixels.shape == (28, 28)
    rows, columns = pixels.nonzero()
    assert max(np.ptp(rows), np.ptp(columns)) + 1 in (19, 20, 21)
    assert np.average(np.arange(28), weights=pixels.sum(axis=1)) == pytest.approx(14, abs=1)
    assert np.average(np.arange(28), weights=pixels.sum(axis=0)) == pytest.approx(14, abs=1)


@pytest.mark.parametrize(
    "as_body",
    [
        pytest.param(lambda picture: {"json": {"pixels": picture.tolist()}}, id="JSON"),
        pytest.param(
            lambda picture: {"json": {"pixels": (picture / 255).tolist(), "scale": "0-1"}},
            id="JSON, floats",
        ),
        pytest.param(
            lambda picture: raw(picture.tobytes()),
            id="raw bytes",
        ),
    ],
)
def test_pixels_are_brought_to_mnist_form(client: httpx.Client, as_body: Callable[[Grey], dict[str, Any]]) -> None:
    inverted = 255 - np.array(SEVEN, dtype=np.uint8)

    reply = client.post("/predict", **as_body(inverted))

    assert reply.json()["digit"] == 7
    assert "inverted" in reply.json()["preprocessing"]


def test_a_picture_in_mnist_form_is_not_changed_at_all(client: httpx.Client, mnist: Mnist) -> None:
    sent = mnist.pixels[::100]

    reply = client.post("/predict", params={"include": "pixels"}, json={"instances": sent.tolist()})

    answers = reply.json()["predictions"]
    assert [answer["pixels"] for answer in answers] == sent.tolist()
    assert {tuple(answer["preprocessing"]) for answer in answers} == {()}


def test_normalize_always_also_applies_to_pictures_in_mnist_form(client: httpx.Client) -> None:
    reply = client.post("/predict", params={"normalize": "always"}, json={"pixels": SEVEN})

    assert reply.json()["digit"] == 7
    assert "centered" in reply.json()["preprocessing"]


def test_the_examples_can_be_downloaded(client: httpx.Client) -> None:
    reply = client.get("/examples/seven.png")

    assert reply.content == PNG


def test_the_manifest_is_shown(client: httpx.Client) -> None:
    manifest = client.get("/model").json()

    assert manifest["name"] == "mnist-dense"
    assert manifest["version"] == SHIPPED_VERSION
    assert manifest["metrics"]["test"]["accuracy"] >= 0.977
    assert manifest["dataset"]["name"] == "mnist"
    assert manifest["inputs"] == [{"name": "features", "dtype": "float32", "shape": [-1, 784]}]
    assert "files" not in manifest
