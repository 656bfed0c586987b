"""`POST /predict`: every kind of body gives the right digit, and all of them the same answer."""

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
from tests.conftest import Mnist, encoded

SEVEN = json.loads((EXAMPLES / "seven.json").read_bytes())["pixels"]
FLAT = [value for row in SEVEN for value in row]
PNG = (EXAMPLES / "seven.png").read_bytes()
RAW = (EXAMPLES / "seven.bin").read_bytes()


def png_part(content: bytes = PNG) -> tuple[str, tuple[str, bytes, str]]:
    return "file", ("seven.png", content, "image/png")


@pytest.mark.parametrize(
    "request_parts",
    [
        pytest.param({"json": {"pixels": SEVEN}}, id="JSON, 28 rows of 28"),
        pytest.param({"json": {"pixels": FLAT}}, id="JSON, 784 flat"),
        pytest.param({"json": {"pixels": [float(value) for value in FLAT]}}, id="JSON, whole floats"),
        pytest.param({"json": {"pixels": [value / 255 for value in FLAT], "scale": "0-1"}}, id="JSON, floats in [0,1]"),
        pytest.param({"json": {"pixels": FLAT, "scale": "0-255"}}, id="JSON, the default scale said aloud"),
        pytest.param({"files": [png_part()]}, id="form upload"),
        pytest.param({"content": PNG, "headers": {"content-type": "image/png"}}, id="PNG"),
        pytest.param({"content": PNG, "headers": {"content-type": "IMAGE/PNG; q=1"}}, id="PNG, odd spelling"),
        pytest.param({"content": PNG, "headers": {"content-type": "image/jpeg"}}, id="PNG declared as JPEG"),
        pytest.param({"content": RAW, "headers": {"content-type": "application/octet-stream"}}, id="784 raw bytes"),
        pytest.param(
            {
                "content": json.dumps({"pixels": FLAT}).encode(),
                "headers": {"content-type": "Application/JSON; charset=utf-8"},
            },
            id="JSON, charset given",
        ),
        pytest.param(
            {
                "content": b'{"pixels": [1], "pixels": ' + json.dumps(FLAT).encode() + b"}",
                "headers": {"content-type": "application/json"},
            },
            id="JSON, of duplicate keys the last wins",
        ),
    ],
)
def test_one_seven_in_any_form_gets_the_same_answer(client: httpx.Client, request_parts: dict[str, object]) -> None:
    expected = client.post("/predict", content=RAW, headers={"content-type": "application/octet-stream"}).json()

    reply = client.post("/predict", **request_parts)  # type: ignore[arg-type]

    assert reply.status_code == 200
    answer = reply.json()
    assert answer["digit"] == 7
    assert answer["probability"] == max(answer["probabilities"]) == answer["probabilities"][7]
    assert answer["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-6)
    assert answer["preprocessing"] == []
    assert answer["model"] == {"name": "mnist-dense", "version": 1}
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

    reply = client.post("/predict", content=picture, headers={"content-type": content_type})

    assert content_type in IMAGE_TYPES
    assert reply.json()["digit"] == 7


def test_several_files_are_answered_in_the_order_sent(client: httpx.Client, digit_pictures: list[bytes]) -> None:
    order = [3, 1, 4, 1, 5, 9, 2, 6]
    alone = [client.post("/predict", files=[png_part(digit_pictures[digit])]).json() for digit in order]

    reply = client.post("/predict", files=[png_part(digit_pictures[digit]) for digit in order])

    assert reply.status_code == 200
    together = reply.json()["predictions"]
    assert [answer["digit"] for answer in together] == [answer["digit"] for answer in alone]
    for one, other in zip(alone, together, strict=True):
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-6)


@pytest.mark.parametrize("count", [2, 128, 129, 1024])
def test_several_raw_pictures_are_answered_in_the_order_sent(client: httpx.Client, mnist: Mnist, count: int) -> None:
    some = mnist.pixels[:count]
    alone = client.post("/predict", json={"instances": some.tolist()}).json()

    reply = client.post("/predict", content=some.tobytes(), headers={"content-type": "application/octet-stream"})

    assert len(reply.json()["predictions"]) == count
    assert reply.json() == alone


def test_a_picture_to_normalize_among_others_changes_none_of_them(client: httpx.Client, mnist: Mnist) -> None:
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


def test_a_blank_picture_is_answered_where_it_is_not_to_be_normalized(client: httpx.Client) -> None:
    reply = client.post("/predict", params={"normalize": "never"}, json={"pixels": [0] * 784})

    assert reply.status_code == 200
    assert sum(reply.json()["probabilities"]) == pytest.approx(1, abs=1e-6)


def test_as_many_pictures_as_the_limit_are_answered(client: httpx.Client) -> None:
    reply = client.post("/predict", json={"instances": [FLAT] * 1024})

    assert len(reply.json()["predictions"]) == 1024


def test_floats_are_the_networks_features_as_they_are(client: httpx.Client) -> None:
    from digits.artifact import SHIPPED
    from digits.classifier import load_newest

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
    """Dark ink on a light page of 300x400, off the centre."""
    paper = Image.new("L", (400, 300), 235)
    paper.paste(Image.fromarray(255 - picture).resize((180, 180)).point(lambda value: value * 235 // 255), (190, 20))
    return np.asarray(paper)


def test_dark_ink_on_a_light_page_is_brought_to_mnist_form(client: httpx.Client) -> None:
    picture = encoded(page(np.array(SEVEN, dtype=np.uint8)))

    reply = client.post(
        "/predict", params={"include": "pixels"}, content=picture, headers={"content-type": "image/png"}
    )

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
            lambda picture: {"content": picture.tobytes(), "headers": {"content-type": "application/octet-stream"}},
            id="raw bytes",
        ),
    ],
)
def test_pixels_are_brought_to_mnist_form_too(client: httpx.Client, as_body: Callable[[Grey], dict[str, Any]]) -> None:
    inverted = 255 - np.array(SEVEN, dtype=np.uint8)

    reply = client.post("/predict", **as_body(inverted))

    assert reply.json()["digit"] == 7
    assert "inverted" in reply.json()["preprocessing"]


def test_a_picture_in_mnist_form_is_seen_as_it_is_to_the_bit(client: httpx.Client, mnist: Mnist) -> None:
    sent = mnist.pixels[::100]

    reply = client.post("/predict", params={"include": "pixels"}, json={"instances": sent.tolist()})

    answers = reply.json()["predictions"]
    assert [answer["pixels"] for answer in answers] == sent.tolist()
    assert {tuple(answer["preprocessing"]) for answer in answers} == {()}


def test_always_normalizes_even_what_is_in_mnist_form(client: httpx.Client) -> None:
    reply = client.post("/predict", params={"normalize": "always"}, json={"pixels": SEVEN})

    assert reply.json()["digit"] == 7
    assert "centered" in reply.json()["preprocessing"]


def test_the_examples_are_there_to_download(client: httpx.Client) -> None:
    reply = client.get("/examples/seven.png")

    assert reply.content == PNG


def test_the_manifest_is_shown(client: httpx.Client) -> None:
    manifest = client.get("/model").json()

    assert manifest["name"] == "mnist-dense"
    assert manifest["version"] == 1
    assert manifest["metrics"]["test"]["accuracy"] >= 0.977
    assert manifest["dataset"]["name"] == "mnist"
    assert manifest["inputs"] == [{"name": "features", "dtype": "float32", "shape": [-1, 784]}]
    assert "files" not in manifest
