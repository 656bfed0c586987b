"""What `POST /predict` says about how far its answer can be trusted, if the version that answered can say it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from digits.classifier import Classifier
from digits.features import Floats, Grey, to_features
from tests.app.conftest import Service, StartService
from tests.conftest import Mnist, Published, edit_manifest, encoded, make_calibration, publish_tiny, publish_trusted

THRESHOLDS = {0.9: 0.2, 0.95: 0.15, 0.99: 0.1, 0.999: 0.01}
"""Of `publish_trusted(threshold=0.1)`; that of a 9 is half of it at 0.99 per class."""

BEFORE = ["digit", "probability", "probabilities", "preprocessing", "model"]


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return publish_trusted(tmp_path_factory.mktemp("trusted"), threshold=0.1)


@pytest.fixture(scope="module")
def client(trusted: Published, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Of a service with a version that can say everything."""
    log = tmp_path_factory.mktemp("service") / "service.log"
    service = Service(log, {"MNIST_MODEL_DIR": str(trusted.root)}).wait_until_ready()
    yield service.client
    assert service.stop() == 0
    assert "Traceback" not in log.read_text()


def ask(client: httpx.Client, pictures: Grey, **params: Any) -> httpx.Response:
    """Have pictures (N, 28, 28) answered as they are."""
    query = {"normalize": "never", **params}
    return client.post(
        "/predict", params=query, content=pictures.tobytes(), headers={"content-type": "application/octet-stream"}
    )


def answers(client: httpx.Client, pictures: Grey, **params: Any) -> list[dict[str, Any]]:
    reply = ask(client, pictures, **params)
    assert reply.status_code == 200, reply.text
    found: list[dict[str, Any]] = reply.json().get("predictions", [reply.json()])
    return found


def detail(reply: httpx.Response) -> str:
    assert reply.status_code == 422
    assert reply.json()["type"] == "urn:digits:invalid-query"
    said: str = reply.json()["detail"]
    return said


def inked(pixels: int) -> Grey:
    """A picture with so many pixels of full ink; its novelty is twice their share."""
    return np.array([255] * pixels + [0] * (784 - pixels), dtype=np.uint8).reshape(1, 28, 28)


def at_least(probabilities: list[float], threshold: float) -> list[int]:
    return [digit for digit, probability in enumerate(probabilities) if probability >= threshold]


def test_all_of_it_is_said_after_the_probabilities(client: httpx.Client, mnist: Mnist) -> None:
    (answer,) = answers(client, mnist.pixels[:1])

    assert list(answer) == [*BEFORE[:3], "prediction_set", "coverage", "is_digit", "novelty", *BEFORE[3:]]


@pytest.mark.parametrize("count", [1, 2, 300])
def test_the_set_has_each_digit_that_is_probable_enough(client: httpx.Client, mnist: Mnist, count: int) -> None:
    found = answers(client, mnist.pixels[::10][:count])

    assert [answer["prediction_set"] for answer in found] == [
        at_least(answer["probabilities"], THRESHOLDS[0.99]) for answer in found
    ]
    assert {answer["coverage"] for answer in found} == {0.99}
    assert count < 300 or len({tuple(answer["prediction_set"]) for answer in found}) > 10


@pytest.mark.parametrize("coverage", THRESHOLDS)
def test_another_coverage_that_is_stored_can_be_asked_for(client: httpx.Client, mnist: Mnist, coverage: float) -> None:
    found = answers(client, mnist.pixels[::100], coverage=coverage)

    assert [answer["prediction_set"] for answer in found] == [
        at_least(answer["probabilities"], THRESHOLDS[coverage]) for answer in found
    ]
    assert {answer["coverage"] for answer in found} == {coverage}


def test_a_set_may_be_empty(client: httpx.Client, mnist: Mnist) -> None:
    found = answers(client, mnist.pixels[::10], coverage=0.9)

    assert [] in [answer["prediction_set"] for answer in found]


def test_per_class_each_digit_has_its_own_threshold(client: httpx.Client, mnist: Mnist) -> None:
    for_all = answers(client, mnist.pixels[::10])

    found = answers(client, mnist.pixels[::10], per_class=True)

    expected = [
        answer["prediction_set"] + [9] * (0.05 <= answer["probabilities"][9] < THRESHOLDS[0.99]) for answer in for_all
    ]
    assert [answer["prediction_set"] for answer in found] == expected
    assert expected != [answer["prediction_set"] for answer in for_all]
    assert {answer["coverage"] for answer in found} == {0.99}


@pytest.mark.parametrize(
    ("pictures", "is_digit"),
    [
        pytest.param(inked(1), True, id="hardly any ink"),
        pytest.param(inked(392), True, id="a novelty of 1"),
        pytest.param(inked(393), False, id="a novelty just above 1"),
        pytest.param(inked(784), False, id="nothing but ink"),
    ],
)
def test_what_is_too_new_is_said_to_be_no_digit(client: httpx.Client, pictures: Grey, *, is_digit: bool) -> None:
    (answer,) = answers(client, pictures)

    assert answer["is_digit"] is is_digit
    assert answer["novelty"] == pytest.approx(2 * to_features(pictures).mean(), rel=1e-5)


def test_novelty_has_the_fewest_digits_that_read_back_as_the_same(client: httpx.Client, mnist: Mnist) -> None:
    found = answers(client, mnist.pixels[::100])

    assert [str(answer["novelty"]) for answer in found] == [str(np.float32(answer["novelty"])) for answer in found]


@pytest.mark.parametrize("count", [1, 2, 300])
def test_saliency_is_what_the_network_says_of_what_it_saw(
    client: httpx.Client, trusted: Published, mnist: Mnist, count: int
) -> None:
    pictures = mnist.pixels[:count]
    expected: Floats = Classifier.load(trusted.folder).saliency(to_features(pictures))

    found = answers(client, pictures, include="saliency")

    saliency = np.array([answer["saliency"] for answer in found], dtype=np.float32)
    np.testing.assert_array_equal(saliency, expected.reshape(-1, 28, 28))
    assert all("pixels" not in answer for answer in found)


@pytest.mark.parametrize("include", ["pixels,saliency", "saliency,pixels"])
def test_pixels_and_saliency_of_a_picture_are_of_the_same_form(
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
            "query parameter 'coverage': expected a coverage at which version 2 has prediction sets "
            "(0.9, 0.95, 0.99, 0.999), received 0.97",
            id="a coverage that is not stored",
        ),
        pytest.param(
            {"coverage": 0.999, "per_class": True},
            "query parameter 'per_class': expected a coverage at which version 2 has prediction sets per class "
            "(0.9, 0.95, 0.99), received 0.999",
            id="a coverage that is not stored per class",
        ),
        pytest.param({"coverage": 0}, "query parameter 'coverage': ", id="nothing is covered"),
        pytest.param({"coverage": 1}, "query parameter 'coverage': ", id="everything is covered"),
        pytest.param({"coverage": "nan"}, "query parameter 'coverage': ", id="NaN"),
        pytest.param({"coverage": "95%"}, "query parameter 'coverage': ", id="percent"),
        pytest.param({"coverage": ""}, "query parameter 'coverage': ", id="an empty coverage"),
        pytest.param({"per_class": "maybe"}, "query parameter 'per_class': ", id="neither true nor false"),
        pytest.param({"include": ""}, "query parameter 'include': ", id="an empty inclusion"),
        pytest.param({"include": "saliency,saliency"}, "query parameter 'include': ", id="an inclusion twice"),
        pytest.param({"include": "pixels,salience"}, "query parameter 'include': ", id="a misspelt inclusion"),
        pytest.param({"include": "pixels,"}, "query parameter 'include': ", id="an inclusion and nothing"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(
    client: httpx.Client, mnist: Mnist, params: dict[str, Any], message: str
) -> None:
    reply = ask(client, mnist.pixels[:1], **params)

    assert detail(reply).startswith(message)


def test_a_version_from_before_answers_as_before(
    start_service: StartService, published: Published, mnist: Mnist
) -> None:
    client = start_service(MNIST_MODEL_DIR=str(published.root)).wait_until_ready().client

    (answer,) = answers(client, mnist.pixels[:1], per_class=False)
    refused = [
        detail(ask(client, mnist.pixels[:1], **params))
        for params in ({"coverage": 0.99}, {"per_class": True}, {"include": "pixels,saliency"})
    ]

    assert list(answer) == BEFORE
    assert refused == [
        "query parameter 'coverage': version 2 has no prediction sets",
        "query parameter 'per_class': version 2 has no prediction sets",
        "query parameter 'include': version 2 has no saliency",
    ]


def test_a_version_of_few_calibration_images_has_what_sets_it_has(
    start_service: StartService, tmp_path: Path, mnist: Mnist
) -> None:
    few = publish_trusted(tmp_path)
    calibration = make_calibration(threshold=0.1)
    calibration["prediction_sets"]["levels"] = [{"coverage": 0.9, "threshold": 0.1, "per_class": None}]
    edit_manifest(few.folder, {"calibration": calibration})
    client = start_service(MNIST_MODEL_DIR=str(tmp_path)).wait_until_ready().client

    (usual,) = answers(client, mnist.pixels[:1])
    (at_90,) = answers(client, mnist.pixels[:1], coverage=0.9)
    per_class = ask(client, mnist.pixels[:1], coverage=0.9, per_class=True)

    assert list(usual) == [*BEFORE[:3], "is_digit", "novelty", *BEFORE[3:]]
    assert at_90["prediction_set"] == at_least(at_90["probabilities"], 0.1)
    assert at_90["coverage"] == 0.9
    assert detail(per_class) == "query parameter 'per_class': version 2 has no prediction sets per class"


def test_the_version_that_answers_decides_what_can_be_asked_for(
    start_service: StartService, tmp_path: Path, mnist: Mnist
) -> None:
    publish_tiny(tmp_path)
    service = start_service(MNIST_MODEL_DIR=str(tmp_path), MNIST_RELOAD_SECONDS="0.1").wait_until_ready()
    before = ask(service.client, mnist.pixels[:1], coverage=0.95)

    publish_trusted(tmp_path)
    service.wait_for_line("serving mnist-dense (version 3)")
    after = ask(service.client, mnist.pixels[:1], coverage=0.95)

    assert "version 2 has no prediction sets" in detail(before)
    assert after.json()["coverage"] == 0.95


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
def test_other_protocols_say_what_they_said(client: httpx.Client, path: str, body: dict[str, Any]) -> None:
    reply = client.post(path, json=body)

    assert reply.status_code == 200
    assert not any(word in reply.text for word in ("novelty", "saliency", "prediction_set"))
