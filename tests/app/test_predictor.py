"""Only pictures that are not in MNIST form are normalized, and every prediction keeps its place."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.requests import ClientDisconnect

from app.inference import predictor
from app.inference.batching import PASS_ROWS
from app.inference.decoding import decode_tiny, normalize_pixels
from app.inference.model_registry import ModelRegistry
from app.inference.picture_batch import PictureBatch
from app.inference.predictor import InferenceResult, Predictor
from app.settings import Settings
from app.telemetry.metrics import Metrics
from digits.artifact import SHIPPED
from digits.errors import InvalidImage, NoInk
from digits.features import to_features
from digits.mnist_form import Mode
from tests.conftest import Mnist, encoded


@pytest.fixture(scope="module")
def registry() -> ModelRegistry:
    registry = ModelRegistry(SHIPPED)
    registry.refresh()
    return registry


@pytest.fixture
def digits(mnist: Mnist) -> NDArray[np.uint8]:
    return mnist.pixels[:300]


async def never() -> None:
    await asyncio.Event().wait()


Predict = Callable[..., InferenceResult]


@pytest.fixture
def predict(registry: ModelRegistry) -> Predict:
    def run(batch: PictureBatch, mode: Mode = "auto") -> InferenceResult:
        return asyncio.run(Predictor(Settings(), registry, Metrics()).predict(batch, mode, never))

    return run


@pytest.fixture
def normalized(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The pictures that were normalized."""
    pictures = []

    def watched(batch: PictureBatch, pixels: Any, indices: Sequence[int], mode: Mode) -> Any:
        pictures.extend(pixels[indices])
        return normalize_pixels(batch, pixels, indices, mode)

    monkeypatch.setattr(predictor, "normalize_pixels", watched)
    return pictures


@pytest.mark.parametrize("count", [3, PASS_ROWS, PASS_ROWS + 1, 300])
@pytest.mark.parametrize("floats", [False, True], ids=["bytes", "floats"])
def test_one_picture_that_is_not_in_form_is_normalized_alone(
    predict: Predict, normalized: list[Any], digits: NDArray[np.uint8], count: int, floats: bool
) -> None:
    sent = digits[:count].copy()
    sent[2] = 255 - sent[2]
    pixels = to_features(sent).reshape(sent.shape) if floats else sent

    result = predict(PictureBatch(pixels=pixels))

    expected = predict(PictureBatch(pixels=digits[:count]))
    assert len(normalized) == 1
    np.testing.assert_allclose(result.batch.probabilities, expected.batch.probabilities, atol=1e-6)
    np.testing.assert_allclose(to_features(result.pixels), to_features(digits[:count]), atol=1e-6)
    assert list(result.steps) == [()] * 2 + [("inverted",)] + [()] * (count - 3)


@pytest.mark.parametrize(("mode", "count"), [("auto", 0), ("never", 0), ("always", 5)])
def test_the_mode_says_which_pictures_in_form_are_normalized(
    predict: Predict, normalized: list[Any], digits: NDArray[np.uint8], mode: Mode, count: int
) -> None:
    predict(PictureBatch(pixels=digits[:5]), mode)

    assert len(normalized) == count


def test_pictures_in_form_pass_untouched(predict: Predict, digits: NDArray[np.uint8]) -> None:
    assert predict(PictureBatch(pixels=digits)).pixels is digits


def test_an_error_names_its_picture(predict: Predict, digits: NDArray[np.uint8]) -> None:
    sent = digits[:4].copy()
    sent[3] = 0

    with pytest.raises(NoInk, match=r"^picture 3 of 4: no ink found") as raised:
        predict(PictureBatch(pixels=sent, pointer="#/instances/{}"))

    assert raised.value.pointer == "#/instances/3"


def test_encoded_pictures_of_any_size_are_decoded_in_order(predict: Predict, digits: NDArray[np.uint8]) -> None:
    large = np.kron(digits[1], np.ones((20, 20), dtype=np.uint8))

    result = predict(PictureBatch(encoded=[encoded(digits[0]), encoded(large, format="GIF"), encoded(digits[2])]))

    expected = predict(PictureBatch(pixels=digits[:3]))
    assert result.batch.digits == expected.batch.digits
    assert list(result.steps)[::2] == [(), ()]


TINY = encoded(np.eye(28, dtype=np.uint8) * 255)


@pytest.mark.parametrize(
    ("files", "decoded"),
    [
        pytest.param([TINY], 1, id="one"),
        pytest.param([TINY] * 3, 3, id="three"),
        pytest.param([TINY] * 6, None, id="six"),
        pytest.param([encoded(np.eye(29, dtype=np.uint8) * 255)], None, id="29x29 pixels"),
        pytest.param([TINY, encoded(np.eye(28, dtype=np.uint8) * 255, format="GIF")], None, id="a GIF among them"),
    ],
)
def test_only_small_png_files_of_28x28_pixels_are_decoded_on_the_event_loop(
    files: list[bytes], decoded: int | None
) -> None:
    pixels = decode_tiny(PictureBatch(encoded=files), Settings().max_image_pixels)

    assert (None if pixels is None else len(pixels)) == decoded


def test_a_small_png_that_is_damaged_is_named(predict: Predict) -> None:
    with pytest.raises(InvalidImage, match=r"^picture 1 of 2: "):
        predict(PictureBatch(encoded=[TINY, TINY[:50]]))


def test_the_work_ends_when_the_client_disconnects(
    registry: ModelRegistry, normalized: list[Any], digits: NDArray[np.uint8]
) -> None:
    async def after_the_first_picture() -> None:
        while not normalized:
            await asyncio.sleep(0)

    core = Predictor(Settings(), registry, Metrics())
    with pytest.raises(ClientDisconnect):
        asyncio.run(core.predict(PictureBatch(pixels=digits), "always", after_the_first_picture))

    assert len(normalized) < len(digits)


def test_a_cancelled_request_is_not_reported_as_one_whose_client_has_left(
    registry: ModelRegistry, digits: NDArray[np.uint8]
) -> None:
    async def cancel() -> bool:
        core = Predictor(Settings(), registry, Metrics())
        request = asyncio.ensure_future(core.predict(PictureBatch(pixels=digits), "always", never))
        await asyncio.sleep(0)
        request.cancel()
        await asyncio.wait([request])
        return request.cancelled()

    assert asyncio.run(cancel())
