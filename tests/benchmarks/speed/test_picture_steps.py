"""The steps of a picture that are timed are the steps that the service takes."""

import pytest

from benchmarks.harness.bodies import DRAWING, JPEG, MODEL, Body
from benchmarks.speed.picture_steps import time_steps
from digits.model.classifier import Classifier


@pytest.mark.parametrize("body", [DRAWING, JPEG], ids=lambda body: body.name)
def test_a_picture_takes_time_in_every_step(body: Body) -> None:
    steps = time_steps(Classifier.load(MODEL), body, at_least_seconds=0.05)

    assert list(steps) == ["decode", "grey", "locate", "strokes", "fit", "the rest of normalization", "network"]
    assert all(us > 0 for us in steps.values())
