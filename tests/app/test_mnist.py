"""The service reaches the test accuracy that the model card states, with every kind of body."""

import os
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from numpy.typing import NDArray

from digits.features import Grey
from tests.conftest import encoded

MNIST_DATA = os.environ.get("MNIST_DATA", "")
"""Read at import, because the tests of training unset the variable."""

PICTURES_PER_REQUEST = 1000

pytestmark = pytest.mark.skipif(
    not MNIST_DATA.endswith(".npz"), reason="needs MNIST_DATA, the path of an npz file with all of MNIST"
)


@pytest.fixture(scope="module")
def test_set() -> tuple[Grey, NDArray[np.int64]]:
    """MNIST's 10 000 test images and their digits."""
    with np.load(MNIST_DATA) as arrays:
        return arrays["x_test"], arrays["y_test"].astype(np.int64)


def as_json(images: Grey) -> dict[str, Any]:
    body = orjson.dumps({"instances": images.reshape(-1, 784)}, option=orjson.OPT_SERIALIZE_NUMPY)
    return {"content": body, "headers": {"content-type": "application/json"}}


def as_png(images: Grey) -> dict[str, Any]:
    return {"files": [("file", ("x.png", encoded(image, compress_level=1), "image/png")) for image in images]}


def as_raw_bytes(images: Grey) -> dict[str, Any]:
    return {"content": images.tobytes(), "headers": {"content-type": "application/octet-stream"}}


@pytest.mark.parametrize(
    "as_body",
    [
        pytest.param(as_json, id="JSON"),
        pytest.param(as_png, id="PNG"),
        pytest.param(as_raw_bytes, id="raw bytes"),
    ],
)
def test_the_service_has_the_stated_test_accuracy(
    client: httpx.Client, test_set: tuple[Grey, NDArray[np.int64]], as_body: Callable[[Grey], dict[str, Any]]
) -> None:
    images, digits = test_set
    stated = client.get("/model").json()["metrics"]["test"]["accuracy"]

    predicted = []
    for start in range(0, len(images), PICTURES_PER_REQUEST):
        reply = client.post("/predict", **as_body(images[start : start + PICTURES_PER_REQUEST]))
        predicted += [answer["digit"] for answer in reply.json()["predictions"]]

    correct = int((np.array(predicted) == digits).sum())
    assert correct == round(stated * len(digits))
