"""Only pictures that are not in MNIST form are normalized, and every prediction keeps its place."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.inference import data_plane
from app.inference.batching import PASS_ROWS
from app.inference.data_plane import DataPlane, Inference
from app.inference.decode_threads import SMALL_SIZE
from app.inference.decoding import normalize_pixels
from app.inference.picture_batch import PictureBatch
from app.openapi.example_pictures import EXAMPLES
from app.settings import Settings
from app.telemetry.accounting import Accounting
from app.telemetry.metrics import Metrics
from digits.errors import InvalidImage, NoInk, TooManyDigits
from digits.features import to_features
from digits.normalization.mnist_form import Mode
from tests.conftest import Mnist, encoded, publish_classes, publish_tiny


@pytest.fixture(scope="module")
def plane() -> DataPlane:
    plane = DataPlane(Settings(), Accounting(Metrics(), "json"))
    plane.registry.refresh()
    return plane


@pytest.fixture
def digits(mnist: Mnist) -> NDArray[np.uint8]:
    return mnist.pixels[:300]


Infer = Callable[[PictureBatch], Inference[PictureBatch]]


@pytest.fixture
def infer(plane: DataPlane) -> Infer:
    return lambda batch: asyncio.run(plane.infer(batch))


def steps(inference: Inference[PictureBatch]) -> list[tuple[str, ...]]:
    return [tuple(prediction["preprocessing"]) for prediction in inference.predictions]


@pytest.fixture
def normalized(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    pictures = []

    def watched(batch: PictureBatch, pixels: Any, indices: Sequence[int], mode: Mode) -> Any:
        pictures.extend(pixels[indices])
        return normalize_pixels(batch, pixels, indices, mode)

    monkeypatch.setattr(data_plane, "normalize_pixels", watched)
    return pictures


@pytest.mark.parametrize("count", [3, PASS_ROWS, PASS_ROWS + 1, 300])
@pytest.mark.parametrize("floats", [False, True], ids=["bytes", "floats"])
def test_one_picture_that_is_not_in_form_is_normalized_alone(
    infer: Infer, normalized: list[Any], digits: NDArray[np.uint8], count: int, floats: bool
) -> None:
    sent = digits[:count].copy()
    sent[2] = 255 - sent[2]
    pixels = to_features(sent).reshape(sent.shape) if floats else sent

    result = infer(PictureBatch(pixels=pixels))

    expected = infer(PictureBatch(pixels=digits[:count]))
    assert len(normalized) == 1
    np.testing.assert_allclose(result.result.probabilities, expected.result.probabilities, atol=1e-6)
    np.testing.assert_allclose(to_features(result.pixels), to_features(digits[:count]), atol=1e-6)
    assert steps(result) == [()] * 2 + [("inverted",)] + [()] * (count - 3)


@pytest.mark.parametrize(("mode", "count"), [("auto", 0), ("never", 0), ("always", 5)])
def test_the_mode_says_which_pictures_in_form_are_normalized(
    infer: Infer, normalized: list[Any], digits: NDArray[np.uint8], mode: Mode, count: int
) -> None:
    infer(PictureBatch(pixels=digits[:5], mode=mode))

    assert len(normalized) == count


def test_pictures_are_prepared_again_if_a_model_with_another_preprocessing_is_served_meanwhile(
    tmp_path: Path, digits: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_tiny(tmp_path)
    plane = DataPlane(Settings(model_dir=tmp_path), Accounting(Metrics(), "json"))
    plane.registry.refresh()
    inverted = 255 - digits[:2]

    def published_meanwhile(*arguments: Any) -> Any:
        publish_classes(tmp_path, ("circle", "square"))
        plane.registry.refresh()
        return normalize_pixels(*arguments)

    monkeypatch.setattr(data_plane, "normalize_pixels", published_meanwhile)
    result = asyncio.run(plane.infer(PictureBatch(pixels=inverted)))

    assert result.classifier.class_names == ("circle", "square")
    assert (result.pixels == inverted).all()
    assert steps(result) == [(), ()]


def test_an_error_names_its_picture(infer: Infer, digits: NDArray[np.uint8]) -> None:
    sent = digits[:4].copy()
    sent[3] = 0

    with pytest.raises(NoInk, match=r"^picture 4 of 4: no ink found") as raised:
        infer(PictureBatch(pixels=sent, pointer="#/instances/{}"))

    assert raised.value.pointer == "#/instances/3"


TINY = encoded(np.eye(28, dtype=np.uint8) * 255)


def test_a_small_png_that_is_damaged_is_named(infer: Infer) -> None:
    with pytest.raises(InvalidImage, match=r"^picture 2 of 2: "):
        infer(PictureBatch(encoded=[TINY, TINY[:50]]))


NUMBER = (EXAMPLES / "number.jpg").read_bytes()


def test_a_reading_that_is_longer_than_a_small_job_begins_again_among_the_large_ones(
    plane: DataPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    run = plane.decode_threads.run

    async def watched(size: int, *job: Any) -> Any:
        sizes.append(size)
        return await run(size, *job)

    monkeypatch.setattr(plane.decode_threads, "run", watched)
    expected = asyncio.run(plane.read(PictureBatch(encoded=[NUMBER])))
    monkeypatch.setattr(data_plane, "_USUAL_STEPS", 1_000_000)
    assert max(sizes) <= SMALL_SIZE

    read = asyncio.run(plane.read(PictureBatch(encoded=[NUMBER])))

    assert max(sizes) > SMALL_SIZE
    assert [number["text"] for number in read.numbers] == [number["text"] for number in expected.numbers]


@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [
        pytest.param("_MAX_REQUEST_STEPS", 3_000_000, "at most 3000000 steps", id="steps"),
        pytest.param("MAX_CANDIDATES", 10, "candidates for digits on the first 2$", id="candidates"),
    ],
)
def test_the_pictures_of_a_request_are_refused_as_soon_as_they_take_too_much_together(
    monkeypatch: pytest.MonkeyPatch, limit: str, value: int, message: str
) -> None:
    plane = DataPlane(Settings(max_batch=1), Accounting(Metrics(), "json"))
    plane.registry.refresh()
    monkeypatch.setattr(data_plane, limit, value)

    with pytest.raises(TooManyDigits, match=message):
        asyncio.run(plane.read(PictureBatch(encoded=[NUMBER] * 9)))
