"""The last lines of a training say how many answers need no check, or why none can say so."""

from datetime import UTC, datetime
from typing import Any

import pytest

from digits.model.artifact import Calibration, Dataset, Manifest
from tests.conftest import make_calibration
from training.report import words


def manifest(images: int, folds: int | None, **fields: Any) -> Manifest:
    dataset = Dataset(
        name="own", sha256="", train_images=56, validation_images=8, calibration_images=images, test_images=16
    )
    calibration = Calibration(**make_calibration(classes=2) | {"calibration_images": images, "folds": folds})
    described: dict[str, Any] = {
        "name": "mnist-dense",
        "version": 1000,
        "created": datetime.now(UTC),
        "classes": ("circle", "star"),
        "recipe": {},
        "seed": 0,
        "dataset": dataset,
        "libraries": {},
        "metrics": {},
        "calibration": calibration,
        "files": {"model.onnx": ""},
    }
    return Manifest(**described | fields)


@pytest.mark.parametrize(
    ("images", "folds", "fields", "reason"),
    [
        pytest.param(6, 6, {}, "there are 6. Add about 3 pictures", id="all calibrate"),
        pytest.param(8, None, {}, "there are 8. Add about 11 pictures", id="one in eleven calibrates"),
        pytest.param(
            9, None, {"preprocessing": "resize"}, "which a model of pictures that are only resized", id="resize"
        ),
        pytest.param(9, None, {}, "it needs `is_known`, for which there are too few", id="no novelty"),
        pytest.param(9, None, {"calibration": None}, "no pictures were held back", id="no calibration"),
    ],
)
def test_a_model_whose_answers_have_no_accept_says_why(
    images: int, folds: int | None, fields: dict[str, Any], reason: str
) -> None:
    line = words.accepted(manifest(images, folds, **fields), None)

    assert line.startswith("answers have no `accept`: ")
    assert reason in line
