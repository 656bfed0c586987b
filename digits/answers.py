"""The answer for each picture: its digit or class, the probabilities, and how far to trust them."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

from digits.classifier import Classifier, Scores
from digits.features import Floats
from digits.mnist_form import are_normalized
from digits.prediction_sets import DEFAULT_COVERAGE, prediction_sets


def answers(classifier: Classifier, features: Floats, steps: Sequence[Sequence[str]]) -> dict[str, list[Any]]:
    """Classify pictures and return the fields of `POST /predict` as columns.

    Args:
        classifier: the model version to use.
        features: float32 (N, 784) in [0, 1].
        steps: the steps that normalized each picture, or () for a picture that is unchanged.

    Returns:
        Columns of N values in JSON types: `digit` (the index of the class), `class_name` if the classes are not the
        digits, `probability` and `probabilities` (a list for each). If the version has a
        calibration, also `prediction_set`, `coverage` and `calibration`. If it has novelty, also `is_digit` and
        `novelty`.
    """
    return to_answers(classifier, classifier.scores(features), steps)


def to_answers(classifier: Classifier, scores: Scores, steps: Sequence[Sequence[str]]) -> dict[str, list[Any]]:
    """Return what `answers` returns, from the scores of the pictures."""
    probabilities, novelty = scores
    columns: dict[str, list[Any]] = {
        "digit": probabilities.argmax(axis=1).tolist(),
        "probability": probabilities.max(axis=1).tolist(),
        "probabilities": probabilities.tolist(),
    }
    if classifier.class_names is not None:
        columns["class_name"] = [classifier.class_names[index] for index in columns["digit"]]
    thresholds = classifier.thresholds.get((DEFAULT_COVERAGE, False))
    if thresholds is not None:
        normalized = are_normalized(steps)
        columns["prediction_set"] = list(prediction_sets(probabilities, thresholds.of_pictures(normalized)))
        columns["coverage"] = [DEFAULT_COVERAGE] * len(probabilities)
        columns["calibration"] = list(islice(thresholds.calibrations(normalized), len(probabilities)))
    if novelty is not None:
        columns["is_digit"] = (novelty <= 1).tolist()
        columns["novelty"] = novelty.tolist()
    return columns
