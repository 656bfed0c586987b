"""A model of other classes than the digits answers with their names, in every protocol."""

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from digits.features import SIDE, Grey, to_features
from digits.model.artifact import NAME
from digits.model.classifier import load_newest
from digits.normalization.resize import resize
from tests.app.conftest import SHAPES, Service
from tests.app.dialects import base64, tensor, typed
from tests.conftest import encoded


def photo() -> Grey:
    """Return a light picture of 80x60 with a dark circle, which `normalize` would invert and crop."""
    picture = Image.new("L", (80, 60), 230)
    ImageDraw.Draw(picture).ellipse((10, 5, 50, 45), outline=20, width=5)
    return np.asarray(picture)


def square() -> Grey:
    pixels = np.zeros((SIDE, SIDE), dtype=np.uint8)
    pixels[2:5, 2:5] = 255
    return pixels


def computed(service: Service, pixels: Grey) -> Any:
    """Return the probabilities of pictures (N, 28, 28), computed without the service."""
    return load_newest(service.log.parent)[0].probabilities(to_features(pixels))


@pytest.fixture(scope="module")
def probabilities(shapes: Service) -> list[float]:
    expected: list[float] = computed(shapes, resize(photo()).pixels[None])[0].tolist()
    return expected


PNG: dict[str, Any] = typed("image/png", encoded(photo()))
BASE64 = base64(PNG["content"])
INPUTS = [tensor("BYTES", [1], data=[BASE64])]


@pytest.mark.parametrize(
    ("picture", "preprocessing"),
    [
        pytest.param(photo(), ["resized"], id="a photo"),
        pytest.param(square(), [], id="28x28 and off-centre"),
        pytest.param(np.full((40, 40), 255, np.uint8), ["resized"], id="blank, because nothing looks for ink"),
    ],
)
def test_predict_resizes_the_picture_and_names_its_class(
    shapes: Service, picture: Grey, preprocessing: list[str]
) -> None:
    reply = shapes.client.post("/predict", **PNG | {"content": encoded(picture)}).json()

    expected = computed(shapes, resize(picture).pixels[None])[0]
    assert reply["probabilities"] == pytest.approx(expected.tolist(), abs=1e-6)
    assert (reply["digit"], reply["class_name"]) == (expected.argmax(), SHAPES[expected.argmax()])
    assert reply["preprocessing"] == preprocessing
    assert "is_digit" not in reply


def test_read_is_refused_with_the_names_of_the_classes(shapes: Service) -> None:
    reply = shapes.client.post("/read", **PNG)

    assert reply.status_code == 501
    assert reply.json()["type"] == "urn:digits:other-classes"
    assert "expected a model of the digits 0 to 9 to read numbers" in reply.json()["detail"]
    assert "circle, square" in reply.json()["detail"]


def test_open_inference_has_one_column_per_class(shapes: Service, probabilities: list[float]) -> None:
    output = shapes.client.post(f"/v2/models/{NAME}/infer", json={"inputs": INPUTS}).json()["outputs"][0]
    described = shapes.client.get(f"/v2/models/{NAME}").json()["outputs"][0]
    config = shapes.client.get(f"/v2/models/{NAME}/config").json()["output"][0]

    assert (output["shape"], described["shape"], config["dims"]) == ([1, 3], [-1, 3], [3])
    assert output["data"] == pytest.approx(probabilities, abs=1e-6)


@pytest.mark.parametrize("asked", [2, 3, 100])
def test_open_inference_labels_the_best_classes(shapes: Service, probabilities: list[float], asked: int) -> None:
    request = {"inputs": INPUTS, "outputs": [{"name": "probabilities", "parameters": {"classification": asked}}]}

    (output,) = shapes.client.post(f"/v2/models/{NAME}/infer", json=request).json()["outputs"]

    best = np.argsort(probabilities)[::-1][:asked]
    assert output["shape"] == [1, min(asked, 3)]
    assert [text.split(":", 1)[1] for text in output["data"]] == [f"{index}:{SHAPES[index]}" for index in best]


def test_tensorflow_serving_has_scores_labels_and_a_signature(shapes: Service, probabilities: list[float]) -> None:
    url = f"/v1/models/{NAME}"

    predicted = shapes.client.post(f"{url}:predict", json={"instances": [{"b64": BASE64}]}).json()
    classified = shapes.client.post(f"{url}:classify", json={"examples": [{"features": {"b64": BASE64}}]}).json()
    metadata = shapes.client.get(f"{url}/metadata").json()["metadata"]["signature_def"]["signature_def"]

    assert predicted["predictions"] == [pytest.approx(probabilities, abs=1e-6)]
    assert [label for label, _ in classified["results"][0]] == list(SHAPES)
    shape = metadata["serving_default"]["outputs"]["probabilities"]["tensor_shape"]
    assert [dimension["size"] for dimension in shape["dim"]] == ["-1", "3"]
