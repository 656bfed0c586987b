"""What pictures take counts in the memory budget, and a version that appears meanwhile answers with its own ways."""

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.errors import NoRoom
from app.inference.batching import Inference
from app.inference.data_plane import DataPlane
from app.inference.memory_budget import Reservation
from app.inference.picture_batch import PictureBatch
from app.openapi.example_pictures import EXAMPLES
from app.settings import Settings
from app.telemetry.metrics import Metrics
from tests.conftest import encoded, publish_classes

NUMBER = (EXAMPLES / "number.jpg").read_bytes()


@pytest.fixture(scope="module")
def plane() -> DataPlane:
    plane = DataPlane(Settings(), Metrics())
    plane.registry.refresh()
    return plane


def batch_of_numbers(plane: DataPlane, count: int) -> PictureBatch:
    batch = PictureBatch(encoded=[NUMBER] * count)
    batch.memory = Reservation(plane.memory_budget)
    return batch


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

    assert [tuple(prediction["preprocessing"]) for prediction in inference.predictions] == [("resized",)] * 2
    assert batch.errors == {}


def test_a_picture_for_which_there_is_no_room_can_be_reported(plane: DataPlane) -> None:
    batch = batch_of_numbers(plane, 2)
    batch.reports_errors = True

    with Reservation(plane.memory_budget) as others, batch.memory:
        others.reserve(plane.memory_budget.max_bytes - 40_000)
        result = asyncio.run(plane.read(batch))

    assert (result.numbers, result.digits.predictions) == ([], [])
    assert {index: type(error) for index, error in batch.errors.items()} == {0: NoRoom, 1: NoRoom}


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
