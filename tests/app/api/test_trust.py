"""`POST /predict` says how far an answer can be trusted, if the version that answers has a calibration."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from digits.features import Floats, Grey, to_features
from digits.model.artifact import FIRST_OWN_VERSION
from digits.model.classifier import Classifier
from tests.app.conftest import Reloading, Service
from tests.app.dialects import raw
from tests.conftest import Mnist, edit_manifest, publish_trusted, renumber

THRESHOLDS = {0.9: 0.2, 0.95: 0.15, 0.99: 0.1, 0.999: 0.01}
"""The thresholds of the service `trusted`. Per class at 0.99, the threshold of a 9 is half as high.

For pictures that were normalized, all thresholds are a fifth of these.
"""

SERVED = FIRST_OWN_VERSION
"""The version of the services `trusted` and `reloading`."""


@pytest.fixture(scope="module")
def client(trusted: Service) -> httpx.Client:
    return trusted.client


def ask(client: httpx.Client, pictures: Grey, **params: Any) -> httpx.Response:
    """Send pictures (N, 28, 28) that are not normalized."""
    return client.post("/predict", params={"normalize": "never", **params}, **raw(pictures))


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


def off_centre(pixels: Grey) -> Grey:
    return np.roll(pixels, 3, axis=-1)


def at_least(answer: dict[str, Any], threshold: float, *, per_class: bool = False) -> list[int]:
    """Return the digits whose probability reaches the threshold. Per class, that of a 9 is half as high."""
    limits = np.full(10, threshold * (0.2 if answer["calibration"] == "normalized" else 1))
    limits[9] *= 0.5 if per_class else 1
    digits: list[int] = np.flatnonzero(np.float32(answer["probabilities"]) >= limits.astype(np.float32)).tolist()
    return digits


@pytest.mark.parametrize(
    ("params", "coverage"),
    [({}, 0.99), *(({"coverage": coverage}, coverage) for coverage in THRESHOLDS), ({"per_class": True}, 0.99)],
    ids=str,
)
@pytest.mark.parametrize("count", [1, 500])
def test_a_prediction_set_has_every_digit_at_or_above_its_threshold(
    client: httpx.Client, mnist: Mnist, count: int, params: dict[str, Any], coverage: float
) -> None:
    predictions = answers(client, mnist.pixels[::10][:count], **params)

    per_class = params.get("per_class", False)
    assert [answer["prediction_set"] for answer in predictions] == [
        at_least(answer, THRESHOLDS[coverage], per_class=per_class) for answer in predictions
    ]
    assert {(answer["coverage"], answer["calibration"]) for answer in predictions} == {(coverage, "mnist")}


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
    client: httpx.Client, mnist: Mnist, change: Callable[[Grey], Grey], normalize: str, calibration: str
) -> None:
    predictions = answers(client, change(mnist.pixels[::100]), normalize=normalize, per_class=True)

    for answer in predictions:
        assert answer["calibration"] == calibration
        assert answer["prediction_set"] == at_least(answer, THRESHOLDS[0.99], per_class=True)


@pytest.mark.parametrize(
    ("white", "is_digit"), [(1, True), (392, True), (393, False), (784, False)], ids="{} white pixels".format
)
def test_a_picture_with_a_novelty_above_1_is_not_a_digit(client: httpx.Client, white: int, *, is_digit: bool) -> None:
    (answer,) = answers(client, inked(white))

    assert answer["is_digit"] is is_digit
    assert answer["novelty"] == pytest.approx(2 * white / 784, rel=1e-5)


@pytest.mark.parametrize("params", [{}, {"coverage": 0.9}, {"per_class": True}], ids="asked for {}".format)
def test_an_answer_is_accepted_if_it_is_the_only_plausible_digit_of_a_picture_of_a_digit(
    client: httpx.Client, mnist: Mnist, params: dict[str, Any]
) -> None:
    pictures = np.concatenate([mnist.pixels[::10], inked(700)])

    predictions = answers(client, pictures, **params)

    rule = [answer["is_digit"] and answer["prediction_set"] == [answer["digit"]] for answer in predictions]
    assert [answer["accept"] for answer in predictions] == rule
    assert set(rule) == {True, False}


@pytest.mark.parametrize("count", [1, 300])
def test_saliency_is_the_output_of_the_network(client: httpx.Client, mnist: Mnist, tmp_path: Path, count: int) -> None:
    pictures = mnist.pixels[:count]
    expected: Floats = Classifier.load(publish_trusted(tmp_path).folder).saliency(to_features(pictures))

    predictions = answers(client, pictures, include="saliency")

    saliency = np.array([answer["saliency"] for answer in predictions], dtype=np.float32)
    np.testing.assert_array_equal(saliency, expected.reshape(-1, 28, 28))
    assert all("pixels" not in answer for answer in predictions)


@pytest.mark.parametrize(
    ("manifests", "served"), [(0.95, 0.95), (None, 0.99)], ids=["its manifest says so", "its manifest says nothing"]
)
def test_a_version_has_its_own_coverage_unless_another_one_is_asked_for(
    reloading: Reloading, mnist: Mnist, tmp_path: Path, manifests: float | None, served: float
) -> None:
    published = publish_trusted(tmp_path, coverage=manifests or served)
    calibration = json.loads((published.folder / "manifest.json").read_text())["calibration"]
    if manifests is None:
        del calibration["coverage"]
        edit_manifest(published.folder, {"calibration": calibration})
    renumber(published, SERVED + 1).folder.rename(reloading.folder(SERVED + 1))
    reloading.wait_for_version(SERVED + 1)

    replies = [
        answers(reloading.service.client, mnist.pixels[:1], **params)[0]
        for params in ({}, {"per_class": True}, {"coverage": 0.9})
    ]

    assert [reply["coverage"] for reply in replies] == [served, served, 0.9]
    assert all("accept" in reply for reply in replies)


COVERAGE, PER_CLASS, INCLUDE = (f"query parameter '{name}': " for name in ("coverage", "per_class", "include"))
HAS_SETS = f"expected a coverage at which version {SERVED} has prediction sets"


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"coverage": 0.97}, f"{COVERAGE}{HAS_SETS} (0.9, 0.95, 0.99, 0.999), received 0.97"),
        ({"coverage": 0.999, "per_class": True}, f"{PER_CLASS}{HAS_SETS} per class (0.9, 0.95, 0.99), received 0.999"),
        ({"coverage": 1}, COVERAGE),
        ({"coverage": "nan"}, COVERAGE),
        ({"per_class": "maybe"}, PER_CLASS),
        ({"include": "saliency,saliency"}, f"{INCLUDE}expected each name once, received one of them again"),
        ({"include": "pixels,"}, f"{INCLUDE}Input should be 'pixels', 'ink' or 'saliency', received ''"),
        ({"include": "all"}, f"{INCLUDE}Input should be 'pixels', 'ink' or 'saliency', received 'all'"),
    ],
    ids=str,
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

    assert list(answer) == ["digit", "probability", "probabilities", "preprocessing", "model", "doubts"]
    assert refusals == [
        f"query parameter 'coverage': version {SERVED} has no prediction sets",
        f"query parameter 'per_class': version {SERVED} has no prediction sets",
        f"query parameter 'include': version {SERVED} has no saliency",
    ]
