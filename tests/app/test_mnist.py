"""The test accuracy that the model card states comes out of the service too, whatever the body."""

import os
from collections.abc import Callable, Iterator

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from digits.features import Grey
from tests.conftest import encoded

MNIST_DATA = os.environ.get("MNIST_DATA", "")
"""Read here: the tests of training unset it for theirs."""

BATCH = 1000

pytestmark = pytest.mark.skipif(
    not MNIST_DATA.endswith(".npz"), reason="needs MNIST_DATA, an npz of the whole of MNIST"
)


@pytest.fixture(scope="module")
def test_set() -> tuple[Grey, NDArray[np.int64]]:
    """MNIST's 10 000 test images and their digits."""
    with np.load(MNIST_DATA) as arrays:
        return arrays["x_test"], arrays["y_test"].astype(np.int64)


def batches(images: Grey) -> Iterator[Grey]:
    return (images[start : start + BATCH] for start in range(0, len(images), BATCH))


def by_json(client: httpx.Client, images: Grey) -> list[int]:
    replies = (client.post("/predict", json={"instances": batch.tolist()}) for batch in batches(images))
    return [answer["digit"] for reply in replies for answer in reply.json()["predictions"]]


def by_png(client: httpx.Client, images: Grey) -> list[int]:
    replies = (
        client.post("/predict", files=[("file", ("x.png", encoded(image), "image/png")) for image in batch])
        for batch in batches(images)
    )
    return [answer["digit"] for reply in replies for answer in reply.json()["predictions"]]


def by_raw_bytes(client: httpx.Client, images: Grey) -> list[int]:
    headers = {"content-type": "application/octet-stream"}
    replies = (client.post("/predict", content=image.tobytes(), headers=headers) for image in images)
    return [reply.json()["digit"] for reply in replies]


@pytest.mark.parametrize(
    "ask",
    [pytest.param(by_json, id="JSON"), pytest.param(by_png, id="PNG"), pytest.param(by_raw_bytes, id="raw bytes")],
)
def test_the_stated_test_accuracy_comes_out_of_the_service(
    client: httpx.Client,
    test_set: tuple[Grey, NDArray[np.int64]],
    ask: Callable[[httpx.Client, Grey], list[int]],
) -> None:
    images, digits = test_set
    stated = client.get("/model").json()["metrics"]["test"]["accuracy"]

    answers = ask(client, images)

    right = int((np.array(answers) == digits).sum())
    assert right == round(stated * len(digits))
