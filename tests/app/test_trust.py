"""`POST /predict` says how far an answer can be trusted, if the version that answers has a calibration."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from digits.features import Floats, Grey, to_features
from digits.model.classifier import Classifier, Scores
from digits.model.predictions import predictions, to_json
from tests.app.conftest import Reloading, Service
from tests.conftest import SHIPPED_VERSION, Mnist, edit_manifest, encoded, make_calibration, publish_trusted

THRESHOLDS = {0.9: 0.2, 0.95: 0.15, 0.99: 0.1, 0.999: 0.01}
"""The thresholds of the service `trusted`. Per class at 0.99, the threshold of a 9 is half as high.

For pictures that were normalized, all thresholds are a fifth of these.
"""

SERVED = SHIPPED_VERSION + 1
"""The version of the services `trusted` and `reloading`."""

WITHOUT_CALIBRATION = ["digit", "probability", "probabilities", "preprocessing", "model"]


@pytest.fixture(scope="module")
def client(trusted: Service) -> httpx.Client:
    return trusted.client


def ask(client: httpx.Client, pictures: Grey, **params: Any) -> httpx.Response:
    """Send pictures (N, 28, 28) that are not normalized."""
    query = {"normalize": "never", **params}
    return client.post(
        "/predict", params=query, content=pictures.tobytes(), headers={"content-type": "application/octet-stream"}
    )


def answers(client: httpx.Client, pictures: Grey, **params: Any) -> list[dict[str, Any]]:
    reply = ask(client, pictures, **params)
    assert reply.status_code == 200, reply.text
    predictions: list[dict[str, Any]] = reply.json().get("predictions", [reply.json()])
    return predictions


def detail(reply: httpx.Response) -> str:
    assert reply.status_code == 422
    assert reply.json()["type"] == "urn:digits:invalid-query"
    text: str = reply.json()["detail"]
    return text


def inked(pixels: int) -> Grey:
    """Return a picture with this number of white pixels. Its novelty is twice their share."""
    return np.array([255] * pixels + [0] * (784 - pixels), dtype=np.uint8).reshape(1, 28, 28)


def at_least(probabilities: list[float], threshold: float) -> list[int]:
    return [digit for digit, probability in enumerate(probabilities) if probability >= threshold]


def test_the_fields_about_trust_follow_the_probabilities(client: httpx.Client, mnist: Mnist) -> None:
    (answer,) = answers(client, mnist.pixels[:1])

    assert list(answer) == [
        *WITHOUT_CALIBRATION[:3],
        "prediction_set",
        "coverage",
        "calibration",
        "is_digit",
        "novelty",
        *WITHOUT_CALIBRATION[3:],
    ]


@pytest.mark.parametrize("count", [1, 2, 300])
def test_a_prediction_set_has_every_digit_above_the_threshold(client: httpx.Client, mnist: Mnist, count: int) -> None:
    predictions = answers(client, mnist.pixels[::10][:count])

    assert [answer["prediction_set"] for answer in predictions] == [
        at_least(answer["probabilities"], THRESHOLDS[0.99]) for answer in predictions
    ]
    assert {answer["coverage"] for answer in predictions} == {0.99}
    assert count < 300 or len({tuple(answer["prediction_set"]) for answer in predictions}) > 10


@pytest.mark.parametrize("coverage", THRESHOLDS)
def test_each_stored_coverage_can_be_requested(client: httpx.Client, mnist: Mnist, coverage: float) -> None:
    predictions = answers(client, mnist.pixels[::100], coverage=coverage)

    assert [answer["prediction_set"] for answer in predictions] == [
        at_least(answer["probabilities"], THRESHOLDS[coverage]) for answer in predictions
    ]
    assert {answer["coverage"] for answer in predictions} == {coverage}


def test_a_set_may_be_empty(client: httpx.Client, mnist: Mnist) -> None:
    predictions = answers(client, mnist.pixels[::10], coverage=0.9)

    assert [] in [answer["prediction_set"] for answer in predictions]


def test_per_class_each_digit_has_its_own_threshold(client: httpx.Client, mnist: Mnist) -> None:
    for_all = answers(client, mnist.pixels[::10])

    predictions = answers(client, mnist.pixels[::10], per_class=True)

    expected = [
        answer["prediction_set"] + [9] * (0.05 <= answer["probabilities"][9] < THRESHOLDS[0.99]) for answer in for_all
    ]
    assert [answer["prediction_set"] for answer in predictions] == expected
    assert expected != [answer["prediction_set"] for answer in for_all]
    assert {answer["coverage"] for answer in predictions} == {0.99}


def off_centre(pixels: Grey) -> Grey:
    """Move a digit out of MNIST form."""
    return np.roll(pixels, 3, axis=-1)


@pytest.mark.parametrize("params", [{}, {"coverage": 0.9}, {"per_class": True}], ids=["default", "at 0.9", "per class"])
@pytest.mark.parametrize(
    ("change", "normalize", "calibration"),
    [
        pytest.param(np.copy, "auto", "mnist", id="in MNIST form"),
        pytest.param(np.invert, "auto", "mnist", id="MNIST form inverted"),
        pytest.param(off_centre, "auto", "normalized", id="not in MNIST form"),
        pytest.param(np.copy, "always", "normalized", id="in MNIST form but normalized"),
        pytest.param(off_centre, "never", "mnist", id="not in MNIST form but unchanged"),
    ],
)
def test_the_thresholds_depend_on_whether_a_picture_was_normalized(
    client: httpx.Client,
    mnist: Mnist,
    change: Callable[[Grey], Grey],
    normalize: str,
    calibration: str,
    params: dict[str, Any],
) -> None:
    predictions = answers(client, change(mnist.pixels[::100]), normalize=normalize, **params)

    factor = 1 if calibration == "mnist" else 0.2
    for answer in predictions:
        threshold = np.full(10, THRESHOLDS[answer["coverage"]])
        threshold[9] *= 0.5 if "per_class" in params else 1
        limits = (factor * threshold).astype(np.float32)
        probabilities = np.array(answer["probabilities"], dtype=np.float32)
        assert answer["prediction_set"] == np.flatnonzero(probabilities >= limits).tolist()
        assert answer["calibration"] == calibration


def test_each_picture_of_a_request_has_its_own_calibration(client: httpx.Client, mnist: Mnist) -> None:
    pictures = mnist.pixels[:300].copy()
    pictures[1::2] = off_centre(pictures[1::2])

    predictions = answers(client, pictures, normalize="auto")

    assert [answer["calibration"] for answer in predictions] == ["mnist", "normalized"] * 150
    assert [answer["prediction_set"] for answer in predictions] == [
        at_least(answer["probabilities"], THRESHOLDS[0.99] * (0.2 if answer["calibration"] == "normalized" else 1))
        for answer in predictions
    ]


@pytest.mark.parametrize(
    ("pictures", "is_digit"),
    [
        pytest.param(inked(1), True, id="little ink"),
        pytest.param(inked(392), True, id="a novelty of 1"),
        pytest.param(inked(393), False, id="a novelty just above 1"),
        pytest.param(inked(784), False, id="only ink"),
    ],
)
def test_a_picture_of_high_novelty_is_not_a_digit(client: httpx.Client, pictures: Grey, *, is_digit: bool) -> None:
    (answer,) = answers(client, pictures)

    assert answer["is_digit"] is is_digit
    assert answer["novelty"] == pytest.approx(2 * to_features(pictures).mean(), rel=1e-5)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return Classifier.load(publish_trusted(tmp_path_factory.mktemp("classifier")).folder)


@given(st.floats(0.875, 1.125, width=32))
@example(1.0)
@example(float(np.nextafter(np.float32(1), np.float32(2))))
@example(float(np.nextafter(np.float32(1), np.float32(0))))
def test_a_novelty_above_1_in_the_reply_always_means_that_is_digit_is_false(
    classifier: Classifier, novelty: float
) -> None:
    scores = Scores(np.full((1, 10), 0.1, dtype=np.float32), np.array([novelty], dtype=np.float32))

    (answer,) = json.loads(to_json(predictions(classifier, scores)))

    assert answer["is_digit"] is not (answer["novelty"] > 1)


def test_novelty_has_no_more_decimals_than_float32_needs(client: httpx.Client, mnist: Mnist) -> None:
    predictions = answers(client, mnist.pixels[::100])

    assert [str(answer["novelty"]) for answer in predictions] == [
        str(np.float32(answer["novelty"])) for answer in predictions
    ]


@pytest.mark.parametrize("count", [1, 2, 300])
def test_saliency_is_the_output_of_the_network(client: httpx.Client, mnist: Mnist, tmp_path: Path, count: int) -> None:
    pictures = mnist.pixels[:count]
    expected: Floats = Classifier.load(publish_trusted(tmp_path).folder).saliency(to_features(pictures))

    predictions = answers(client, pictures, include="saliency")

    saliency = np.array([answer["saliency"] for answer in predictions], dtype=np.float32)
    np.testing.assert_array_equal(saliency, expected.reshape(-1, 28, 28))
    assert all("pixels" not in answer for answer in predictions)


@pytest.mark.parametrize("include", ["pixels,saliency", "saliency,pixels"])
def test_pixels_and_saliency_are_both_of_the_normalized_picture(
    client: httpx.Client, mnist: Mnist, include: str
) -> None:
    page = encoded(255 - mnist.pixels[0].repeat(5, axis=0).repeat(5, axis=1))

    reply = client.post(
        "/predict", params={"include": include}, content=page, headers={"content-type": "image/png"}
    ).json()

    assert reply["preprocessing"] == ["inverted", "cropped", "centered"]
    assert list(reply)[-2:] == ["pixels", "saliency"]
    np.testing.assert_allclose(reply["saliency"], -np.array(reply["pixels"]) / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        pytest.param(
            {"coverage": 0.97},
            f"query parameter 'coverage': expected a coverage at which version {SERVED} has prediction sets "
            "(0.9, 0.95, 0.99, 0.999), received 0.97",
            id="a coverage that is not stored",
        ),
        pytest.param(
            {"coverage": 0.999, "per_class": True},
            f"query parameter 'per_class': expected a coverage at which version {SERVED} has prediction sets per class "
            "(0.9, 0.95, 0.99), received 0.999",
            id="a coverage that is not stored per class",
        ),
        pytest.param({"coverage": 0}, "query parameter 'coverage': ", id="a coverage of 0"),
        pytest.param({"coverage": 1}, "query parameter 'coverage': ", id="a coverage of 1"),
        pytest.param({"coverage": "nan"}, "query parameter 'coverage': ", id="NaN"),
        pytest.param({"coverage": "95%"}, "query parameter 'coverage': ", id="a percentage"),
        pytest.param({"coverage": ""}, "query parameter 'coverage': ", id="an empty coverage"),
        pytest.param({"per_class": "maybe"}, "query parameter 'per_class': ", id="neither true nor false"),
        pytest.param({"include": ""}, "query parameter 'include': ", id="an empty inclusion"),
        pytest.param({"include": "saliency,saliency"}, "query parameter 'include': ", id="an inclusion twice"),
        pytest.param({"include": "pixels,salience"}, "query parameter 'include': ", id="a misspelt inclusion"),
        pytest.param({"include": "pixels,"}, "query parameter 'include': ", id="a comma at the end"),
    ],
)
def test_an_invalid_option_is_refused(client: httpx.Client, mnist: Mnist, params: dict[str, Any], message: str) -> None:
    reply = ask(client, mnist.pixels[:1], **params)

    assert detail(reply).startswith(message)


def test_a_version_without_calibration_refuses_the_options_about_trust(reloading: Reloading, mnist: Mnist) -> None:
    client = reloading.service.client

    (answer,) = answers(client, mnist.pixels[:1], per_class=False)
    refusals = [
        detail(ask(client, mnist.pixels[:1], **params))
        for params in ({"coverage": 0.99}, {"per_class": True}, {"include": "pixels,saliency"})
    ]

    assert list(answer) == WITHOUT_CALIBRATION
    assert refusals == [
        f"query parameter 'coverage': version {SERVED} has no prediction sets",
        f"query parameter 'per_class': version {SERVED} has no prediction sets",
        f"query parameter 'include': version {SERVED} has no saliency",
    ]


def test_a_version_with_one_coverage_offers_no_other(reloading: Reloading, mnist: Mnist, tmp_path: Path) -> None:
    client = reloading.service.client
    calibration = make_calibration(threshold=0.1)
    calibration["prediction_sets"]["levels"] = [{"coverage": 0.9, "threshold": 0.1, "per_class": None}]
    shutil.copytree(reloading.root, tmp_path / "models")
    folder = publish_trusted(tmp_path / "models").folder
    edit_manifest(folder, {"calibration": calibration})
    folder.rename(reloading.folder(SERVED + 1))
    reloading.wait_for_version(SERVED + 1)

    (by_default,) = answers(client, mnist.pixels[:1])
    (at_90,) = answers(client, mnist.pixels[:1], coverage=0.9)
    per_class = ask(client, mnist.pixels[:1], coverage=0.9, per_class=True)

    assert list(by_default) == [*WITHOUT_CALIBRATION[:3], "is_digit", "novelty", *WITHOUT_CALIBRATION[3:]]
    assert at_90["prediction_set"] == at_least(at_90["probabilities"], 0.1)
    assert at_90["coverage"] == 0.9
    assert detail(per_class) == f"query parameter 'per_class': version {SERVED + 1} has no prediction sets per class"


def test_a_version_with_one_calibration_uses_it_for_every_picture(reloading: Reloading, mnist: Mnist) -> None:
    publish_trusted(reloading.root, threshold=0.1)
    reloading.wait_for_version(SERVED + 1)

    (answer,) = answers(reloading.service.client, off_centre(mnist.pixels[:1]), normalize="auto")

    assert "centered" in answer["preprocessing"]
    assert answer["calibration"] == "mnist"
    assert answer["prediction_set"] == at_least(answer["probabilities"], 0.1)


def test_a_new_version_brings_its_own_options(reloading: Reloading, mnist: Mnist) -> None:
    publish_trusted(reloading.root)
    reloading.wait_for_version(SERVED + 1)

    reply = ask(reloading.service.client, mnist.pixels[:1], coverage=0.95)

    assert reply.json()["coverage"] == 0.95


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("/v1/models/mnist-dense:predict", {"instances": [[0.5] * 784]}, id="v1"),
        pytest.param(
            "/v2/models/mnist-dense/infer",
            {"inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 784], "data": [0.5] * 784}]},
            id="v2",
        ),
    ],
)
def test_other_protocols_reply_without_the_fields_about_trust(
    client: httpx.Client, path: str, body: dict[str, Any]
) -> None:
    reply = client.post(path, json=body)

    assert reply.status_code == 200
    assert not any(field in reply.text for field in ("novelty", "saliency", "prediction_set"))
