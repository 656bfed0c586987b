"""What is told of each picture: its digit, how probable that is, and how far to trust it."""

from typing import Any

from digits.classifier import Classifier
from digits.features import Floats
from digits.prediction_sets import DEFAULT_COVERAGE, prediction_sets


def answers(classifier: Classifier, features: Floats) -> dict[str, list[Any]]:
    """One forward pass, told in the terms of `POST /predict`.

    Args:
        classifier: which makes it.
        features: float32 (N, 784) in [0, 1].

    Returns:
        Columns of N values of JSON's types: `digit`, `probability`, `probabilities` (10 each); `prediction_set` and
        `coverage`, `is_digit` and `novelty` where the version has them.
    """
    probabilities, novelty = classifier.scores(features)
    told: dict[str, list[Any]] = {
        "digit": probabilities.argmax(axis=1).tolist(),
        "probability": probabilities.max(axis=1).tolist(),
        "probabilities": probabilities.tolist(),
    }
    thresholds = classifier.thresholds.get((DEFAULT_COVERAGE, False))
    if thresholds is not None:
        told["prediction_set"] = list(prediction_sets(probabilities, thresholds))
        told["coverage"] = [DEFAULT_COVERAGE] * len(features)
    if novelty is not None:
        told["is_digit"] = (novelty <= 1).tolist()
        told["novelty"] = novelty.tolist()
    return told
