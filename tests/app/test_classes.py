"""A model of other classes than the digits answers with their names, in every protocol."""

import shutil
from base64 import b64encode
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from digits.features import SIDE, to_features
from digits.model.artifact import NAME
from digits.model.classifier import Classifier, load_newest
from digits.normalization.resize import resize
from tests.app.conftest import SHAPES, Reloading, Service
from tests.conftest import SHIPPED_VERSION, encoded, publish_classes


def photo() -> Image.Image:
    """A light picture of 80x60 with a dark circle, which `normalize` would invert and crop."""
    picture = Image.new("L", (80, 60), 230)
    ImageDraw.Draw(picture).ellipse((10, 5, 50, 45), outline=20, width=5)
    return picture


@pytest.fixture(scope="module")
def probabilities(shapes: Service) -> list[float]:
    """The probabilities of the photo."""
    classifier = newest(shapes)
    pixels = resize(np.asarray(photo())).pixels
    return classifier.probabilities(to_features(pixels[None]))[0].tolist()  # type: ignore[no-any-return]


def newest(service: Service) -> Classifier:
    return load_newest(service.log.parent)[0]


PNG: dict[str, Any] = {"content": encoded(photo()), "headers": {"content-type": "image/png"}}


def test_predict_resizes_the_picture_and_names_its_class(shapes: Service, probabilities: list[float]) -> None:
    reply = shapes.client.post("/predict", **PNG).json()

    best = int(np.argmax(probabilities))
    assert reply["probabilities"] == pytest.approx(probabilities, abs=1e-6)
    assert (reply["digit"], reply["class_name"]) == (best, SHAPES[best])
    assert reply["preprocessing"] == ["resized"]
    assert "is_digit" not in reply


def test_predict_names_the_class_of_each_picture_of_a_list(shapes: Service) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (200, SIDE, SIDE), dtype=np.uint8)

    predictions = shapes.client.post("/predict", json={"instances": pictures.tolist()}).json()["predictions"]

    expected = newest(shapes).probabilities(to_features(pictures)).argmax(axis=1)
    assert [each["class_name"] for each in predictions] == [SHAPES[index] for index in expected]
    assert all(each["preprocessing"] == [] for each in predictions)


def test_a_small_png_is_used_as_it_is(shapes: Service) -> None:
    pixels = np.zeros((SIDE, SIDE), dtype=np.uint8)
    pixels[2:5, 2:5] = 255

    reply = shapes.client.post("/predict", content=encoded(pixels), headers={"content-type": "image/png"}).json()

    assert reply["preprocessing"] == []
    expected = newest(shapes).probabilities(to_features(pixels[None]))[0]
    assert reply["probabilities"] == pytest.approx(expected.tolist(), abs=1e-6)


def test_never_requires_28x28_and_always_resizes(shapes: Service, probabilities: list[float]) -> None:
    never = shapes.client.post("/predict?normalize=never", **PNG)
    always = shapes.client.post("/predict?normalize=always", **PNG)

    assert (never.status_code, never.json()["detail"]) == (
        422,
        "expected 28x28 pixels, received 80x60 (width x height)",
    )
    assert always.json()["probabilities"] == pytest.approx(probabilities, abs=1e-6)


def test_a_blank_picture_is_classified_because_nothing_looks_for_ink(shapes: Service) -> None:
    blank = encoded(np.full((40, 40), 255, dtype=np.uint8))

    reply = shapes.client.post("/predict", content=blank, headers={"content-type": "image/png"})

    assert reply.status_code == 200


def test_prediction_sets_per_class_have_indices_of_classes(shapes: Service, probabilities: list[float]) -> None:
    reply = shapes.client.post("/predict?per_class=true", **PNG).json()

    thresholds = (0.1, 0.1, 0.05)
    plausible = [index for index, limit in enumerate(thresholds) if probabilities[index] >= limit]
    assert reply["prediction_set"] == plausible


def test_read_is_refused_with_the_names_of_the_classes(shapes: Service) -> None:
    reply = shapes.client.post("/read", **PNG)

    assert reply.status_code == 501
    assert reply.json()["type"] == "urn:digits:other-classes"
    assert "expected a model of the digits 0 to 9 to read numbers" in reply.json()["detail"]
    assert "circle, square" in reply.json()["detail"]


def test_the_manifest_has_classes_and_preprocessing(shapes: Service) -> None:
    manifest = shapes.client.get("/model").json()

    assert manifest["classes"] == list(SHAPES)
    assert manifest["preprocessing"] == "resize"


def test_open_inference_has_one_column_per_class(shapes: Service, probabilities: list[float]) -> None:
    picture = b64encode(PNG["content"]).decode()
    request = {"inputs": [{"name": "features", "shape": [1], "datatype": "BYTES", "data": [picture]}]}

    outputs = shapes.client.post(f"/v2/models/{NAME}/infer", json=request).json()["outputs"]
    described = shapes.client.get(f"/v2/models/{NAME}").json()["outputs"][0]
    config = shapes.client.get(f"/v2/models/{NAME}/config").json()["output"][0]

    assert outputs[0]["shape"] == [1, 3]
    assert outputs[0]["data"] == pytest.approx(probabilities, abs=1e-6)
    assert (described["shape"], config["dims"]) == ([-1, 3], [3])


@pytest.mark.parametrize("asked", [2, 3, 100])
def test_open_inference_labels_the_most_probable_classes(
    shapes: Service, probabilities: list[float], asked: int
) -> None:
    picture = b64encode(PNG["content"]).decode()
    request: dict[str, Any] = {
        "inputs": [{"name": "features", "shape": [1], "datatype": "BYTES", "data": [picture]}],
        "outputs": [{"name": "probabilities", "parameters": {"classification": asked}}],
    }

    (output,) = shapes.client.post(f"/v2/models/{NAME}/infer", json=request).json()["outputs"]

    best = np.argsort(probabilities)[::-1][:asked]
    assert output["shape"] == [1, min(asked, 3)]
    assert [text.split(":", 1)[1] for text in output["data"]] == [f"{index}:{SHAPES[index]}" for index in best]


def test_tensorflow_serving_has_probabilities_labels_and_a_signature(
    shapes: Service, probabilities: list[float]
) -> None:
    encoded_picture = {"b64": b64encode(PNG["content"]).decode()}

    predicted = shapes.client.post(f"/v1/models/{NAME}:predict", json={"instances": [encoded_picture]}).json()
    classified = shapes.client.post(
        f"/v1/models/{NAME}:classify", json={"examples": [{"features": encoded_picture}]}
    ).json()
    metadata = shapes.client.get(f"/v1/models/{NAME}/metadata").json()["metadata"]["signature_def"]["signature_def"]

    assert predicted["predictions"] == [pytest.approx(probabilities, abs=1e-6)]
    assert [label for label, _ in classified["results"][0]] == list(SHAPES)
    shape = metadata["serving_default"]["outputs"]["probabilities"]["tensor_shape"]
    assert [dimension["size"] for dimension in shape["dim"]] == ["-1", "3"]


def test_a_version_of_other_classes_replaces_one_of_digits_while_requests_arrive(reloading: Reloading) -> None:
    client = reloading.service.client
    hundred = [f"number {index}" for index in range(100)]
    before = client.post("/predict", **PNG).json()

    published = publish_classes(reloading.root, hundred, seed=3)
    reloading.wait_for_version(published.manifest.version)
    after = client.post("/predict", **PNG).json()
    shutil.rmtree(published.folder)
    reloading.wait_for_version(SHIPPED_VERSION + 1)
    back = client.post("/predict", **PNG).json()

    assert (len(before["probabilities"]), len(after["probabilities"])) == (10, 100)
    assert after["class_name"] == hundred[after["digit"]]
    assert before["preprocessing"] != ["resized"]
    assert after["preprocessing"] == ["resized"]
    assert "class_name" not in before
    assert back == before
    assert f'digits_predictions_total{{digit="{after["digit"]}"}}' in client.get("/metrics").text
