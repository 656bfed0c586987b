"""The service reaches the test accuracy that the model card states."""

import os

import httpx
import numpy as np
import pytest

from tests.app.dialects import raw

MNIST_DATA = os.environ.get("MNIST_DATA", "")
"""Read at import, because the tests of training unset the variable."""

PICTURES_PER_REQUEST = 1000

pytestmark = pytest.mark.skipif(
    not MNIST_DATA.endswith(".npz"), reason="needs MNIST_DATA, the path of an npz file with all of MNIST"
)


def test_the_service_has_the_stated_test_accuracy(client: httpx.Client) -> None:
    with np.load(MNIST_DATA) as arrays:
        images, digits = arrays["x_test"], arrays["y_test"]
    stated = client.get("/model").json()["metrics"]["test"]["accuracy"]

    predicted = []
    for start in range(0, len(images), PICTURES_PER_REQUEST):
        reply = client.post("/predict", **raw(images[start : start + PICTURES_PER_REQUEST]))
        predicted += [answer["digit"] for answer in reply.json()["predictions"]]

    correct = int((np.array(predicted) == digits).sum())
    assert correct == round(stated * len(digits))
