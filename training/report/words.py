"""Say how many answers need no check, for the terminal and the model card."""

import math

import numpy as np

from digits.model.artifact import Manifest
from digits.model.classes import DIGITS
from training.trust.conformal import needed_images
from training.trust.evaluation import Accepted, Trust

_FEW = 0.05
"""Share of drawings of a kind that may be accepted without a word."""


def accepted(manifest: Manifest, trust: Trust | None) -> str:
    """Return how many answers have `accept`, or why they have none."""
    if trust is None or trust.accepted is None:
        return f"answers have no `accept`: {_why_not(manifest)}"
    counts = trust.accepted
    if trust.shipped is not None:
        return (
            f"On pictures like people's (distorted copies of the test images), {_of_100(counts)} of 100 answers need "
            f"no check; of the shipped model, {_of_100(trust.shipped)}. `--recipe robust` trains for that: without "
            "distortions, a network gives the true digit of some such pictures a probability of nearly 0, so that only "
            "wide prediction sets contain it"
        )
    assert manifest.calibration is not None
    coverage = manifest.calibration.coverage
    return f"Of {counts.images} pictures, {counts.of_images} would need no check, at a coverage of {coverage:g}"


def _of_100(counts: Accepted) -> int:
    return round(100 * counts.of_copies / counts.images)


def _why_not(manifest: Manifest) -> str:
    calibration, dataset = manifest.calibration, manifest.dataset
    if calibration is None or dataset is None:
        return "no pictures were held back for calibration"
    images, needed = calibration.calibration_images, needed_images()
    if images < needed:
        every = dataset.train_images + dataset.validation_images + images + dataset.test_images
        more = needed - images if calibration.folds else math.ceil((needed - images) * every / images)
        return (
            f"a coverage of 0.9 needs {needed} calibration pictures, and there are {images}. Add about {more} pictures"
        )
    field = "is_digit" if manifest.classes == DIGITS else "is_known"
    if manifest.preprocessing == "resize":
        return f"it needs `{field}`, which a model of pictures that are only resized does not have"
    return f"it needs `{field}`, for which there are too few calibration pictures"


def mistaken(manifest: Manifest, trust: Trust) -> str:
    """Return which other things are accepted as which class."""
    found = [
        f"{share:.0%} of {kind} (as {manifest.classes[np.bincount(detection.digits).argmax()]})"
        for kind, detection in trust.detection.items()
        if (share := detection.accepted) >= _FEW
    ]
    if not found:
        return f"It accepts less than {_FEW:.0%} of drawings of other shapes, digits, letters and signs"
    advice = "Pictures of them in a folder and `--other FOLDER` teach it to refuse them"
    if manifest.dataset is not None and manifest.dataset.other is not None:
        advice = f"More pictures of them in the folder {manifest.dataset.other} teach it to refuse them"
    return f"Of other things, it would accept {', '.join(found)}. If these show none of your classes: {advice}"
