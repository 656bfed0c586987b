"""Only pictures that are not in MNIST form are normalized, and every prediction keeps its place."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.errors import NoRoom
from app.inference import decoding
from app.inference.batching import PASS_ROWS, Inference
from app.inference.data_plane import DataPlane
from app.inference.decoding import prepare_pictures
from app.inference.memory_budget import Reservation
from app.inference.picture_batch import PictureBatch
from app.openapi.example_pictures import EXAMPLES
from app.settings import Settings
from app.telemetry.metrics import Metrics
from digits.errors import NoInk, TooManyDigits
from digits.features import to_features
from digits.normalization.mnist_form import Mode
from digits.picture import Picture
from tests.conftest import Mnist, encoded, publish_classes


@pytest.fixture(scope="module")
def plane() -> DataPlane:
    plane = DataPlane(Settings(), Metrics())
    plane.registry.refresh()
    return plane


@pytest.fixture
def digits(mnist: Mnist) -> NDArray[np.uint8]:
    return mnist.pixels[:300]


Infer = Callable[[PictureBatch], Inference]


@pytest.fixture
def infer(plane: DataPlane) -> Infer:
    return lambda batch: asyncio.run(plane.infer(batch))


def batch_of_numbers(plane: DataPlane, count: int) -> PictureBatch:
    batch = PictureBatch(encoded=[NUMBER] * count)
    batch.memory = Reservation(plane.memory_budget)
    return batch


def steps(inference: Inference) -> list[tuple[str, ...]]:
    return [tuple(prediction["preprocessing"]) for prediction in inference.predictions]


@pytest.fixture
def normalized(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    seen: list[int] = []

    def watched(batch: PictureBatch, pictures: Mapping[int, Picture], indices: Sequence[int], mode: Mode) -> Any:
        seen.extend(indices)
        return prepare_pictures(batch, pictures, indices, mode)

    monkeypatch.setattr(decoding, "prepare_pictures", watched)
    return seen


@pytest.mark.parametrize("count", [3, PASS_ROWS, PASS_ROWS + 1, 300])
@pytest.mark.parametrize("floats", [False, True], ids=["bytes", "floats"])
def test_one_picture_that_is_not_in_form_is_normalized_alone(
    infer: Infer, normalized: list[int], digits: NDArray[np.uint8], count: int, floats: bool
) -> None:
    sent = digits[:count].copy()
    sent[2] = 255 - sent[2]
    pixels = to_features(sent).reshape(sent.shape) if floats else sent

    result = infer(PictureBatch(pixels=pixels))

    expected = infer(PictureBatch(pixels=digits[:count]))
    assert normalized == [2]
    np.testing.assert_allclose(result.scores.probabilities, expected.scores.probabilities, atol=1e-6)
    np.testing.assert_allclose(to_features(result.pixels), to_features(digits[:count]), atol=1e-6)
    assert steps(result) == [()] * 2 + [("inverted",)] + [()] * (count - 3)


def test_an_error_names_its_picture(infer: Infer, digits: NDArray[np.uint8]) -> None:
    sent = digits[:4].copy()
    sent[3] = 0

    with pytest.raises(NoInk, match=r"^picture 4 of 4: no ink found") as raised:
        infer(PictureBatch(pixels=sent, pointer="#/instances/{}"))

    assert raised.value.pointer == "#/instances/3"


NUMBER = (EXAMPLES / "number.jpg").read_bytes()


def test_an_error_of_an_earlier_attempt_is_forgotten(tmp_path: Path) -> None:
    plane = DataPlane(Settings(model_dir=tmp_path), Metrics())
    plane.registry.refresh()
    batch = PictureBatch(encoded=[NUMBER, encoded(np.zeros((40, 40), np.uint8))], reports_errors=True)
    batch.memory = Reservation(plane.memory_budget)

    async def serve_another_preprocessing() -> None:
        publish_classes(tmp_path, ["light", "dark"])  # which only resizes pictures, so that a blank one is valid
        plane.registry.refresh()

    async def infer_meanwhile() -> Inference:
        inference, _ = await asyncio.gather(plane.infer(batch), serve_another_preprocessing())
        return inference

    inference = asyncio.run(infer_meanwhile())

    assert steps(inference) == [("resized",)] * 2
    assert batch.errors == {}


def test_a_picture_for_which_there_is_no_room_can_be_reported(plane: DataPlane) -> None:
    batch = batch_of_numbers(plane, 2)
    batch.reports_errors = True

    with Reservation(plane.memory_budget) as others, batch.memory:
        others.reserve(plane.memory_budget.max_bytes - 40_000)
        result = asyncio.run(plane.read(batch))

    assert (result.numbers, result.digits.predictions) == ([], [])
    assert {index: type(error) for index, error in batch.errors.items()} == {0: NoRoom, 1: NoRoom}


def test_the_pictures_of_a_request_are_refused_as_soon_as_they_have_too_many_digits_together() -> None:
    plane = DataPlane(Settings(max_batch=10), Metrics())
    plane.registry.refresh()

    with pytest.raises(TooManyDigits, match=r"at most 10 digits together, found 12 on the first 3$"):
        asyncio.run(plane.read(batch_of_numbers(plane, 9)))


@pytest.mark.parametrize(
    ("answer", "left_bytes", "is_answered"),
    [
        pytest.param(DataPlane.infer, 40_000, True, id="prepared"),
        pytest.param(DataPlane.infer, 30_000, False, id="prepared, no room"),
        pytest.param(DataPlane.read, 200_000, True, id="with what the finder sees"),
        pytest.param(DataPlane.read, 40_000, False, id="with what the finder sees, no room"),
    ],
)
def test_what_pictures_take_once_they_are_prepared_counts_in_the_memory_budget(
    plane: DataPlane, answer: Callable[..., Any], left_bytes: int, *, is_answered: bool
) -> None:
    others = Reservation(plane.memory_budget)
    others.reserve(plane.memory_budget.max_bytes - left_bytes)
    batch = batch_of_numbers(plane, 2)
    refusal = nullcontext() if is_answered else pytest.raises(NoRoom, match="other requests hold")

    with refusal, batch.memory:
        asyncio.run(answer(plane, batch))

    others.release()
    assert plane.memory_budget.reserved_bytes == 0
