"""The prediction for a picture: one record from the forward pass to the reply, a folder's row and the command's output.

A new field is added to `Prediction` and set in `predictions`. `/predict`, each digit of `/read`, `--json` and the rows
of `digits predict` then have it. `/read` lacks what `complete` sets. Describe the field in `app/openapi/schemas.py` and
in the reply examples.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypedDict

import numpy as np
import orjson
from numpy.typing import NDArray

from digits.features import Floats, to_features
from digits.model.artifact import MAX_NOVELTY
from digits.model.classifier import Classifier, ModelName, Scores
from digits.model.prediction_sets import DEFAULT_COVERAGE, Thresholds, prediction_sets
from digits.normalization.mnist_form import are_normalized
from digits.normalization.normalize import Normalized


class Prediction(TypedDict, total=False):
    """What the network says about one picture. A field that does not apply is absent.

    `app.openapi.schemas` describes each field for clients.
    """

    digit: int
    class_name: str
    probability: np.float32
    probabilities: Floats
    """(classes,)"""
    prediction_set: list[int]
    coverage: float
    calibration: str
    is_digit: bool
    novelty: np.float32
    accept: bool
    preprocessing: Sequence[str]
    model: ModelName
    left_out: int
    line: int
    box: Any
    pixels: NDArray[np.uint8]
    ink: NDArray[np.uint8]
    saliency: orjson.Fragment


def predictions(classifier: Classifier, scores: Scores) -> list[Prediction]:
    """Return the prediction for each of N pictures in MNIST form, without `preprocessing` and `model`.

    Args:
        classifier: the version that computed the scores.
        scores: probabilities (N, classes), and novelty (N,) if the version has it.
    """
    probabilities, novelty = scores
    # A list, because each access to one value of an array takes a microsecond.
    digits: list[int] = probabilities.argmax(axis=1).tolist()
    names = classifier.class_names
    records: list[Prediction] = [
        {"digit": digit, "probability": row[digit], "probabilities": row}
        if names is None
        else {"digit": digit, "class_name": names[digit], "probability": row[digit], "probabilities": row}
        for digit, row in zip(digits, probabilities, strict=True)
    ]
    thresholds = classifier.thresholds.get((DEFAULT_COVERAGE, False))
    if thresholds is not None:
        set_coverage(records, probabilities, thresholds, DEFAULT_COVERAGE)
    if novelty is not None:
        for record, score, is_digit in zip(records, novelty, (novelty <= MAX_NOVELTY).tolist(), strict=True):
            record["is_digit"] = is_digit
            record["novelty"] = score
            _set_accept(record)
    return records


def _set_accept(record: Prediction) -> None:
    """Set whether the answer needs no check by a person. It is not known if the version lacks what the rule needs."""
    if "is_digit" in record and "prediction_set" in record:
        is_sure = record["prediction_set"] == [record["digit"]]
        record["accept"] = is_sure and record["is_digit"] and "left_out" not in record


def set_coverage(
    records: Sequence[Prediction],
    probabilities: Floats,
    thresholds: Thresholds,
    coverage: float,
    normalized: NDArray[np.bool_] | None = None,
) -> None:
    """Set the prediction sets of N records, with their coverage and calibration.

    Args:
        records: the records to change.
        probabilities: (N, classes), of the same pictures.
        thresholds: those of the coverage.
        coverage: the minimum frequency with which a set contains the true class.
        normalized: which pictures were normalized, (N,). None if all of them came in MNIST form.
    """
    sets = prediction_sets(probabilities, thresholds.of_pictures(normalized))
    for record, each, calibration in zip(records, sets, thresholds.calibrations(normalized), strict=False):
        record["prediction_set"] = each
        record["coverage"] = coverage
        record["calibration"] = calibration
        _set_accept(record)


def calibrate(
    records: Sequence[Prediction], classifier: Classifier, probabilities: Floats, normalized: NDArray[np.bool_]
) -> None:
    """Give the pictures that were normalized their own prediction sets at the default coverage.

    Args:
        records: N records from `predictions`.
        classifier: the version that made them.
        probabilities: (N, classes), of the same pictures.
        normalized: which pictures were normalized, (N,), from `are_normalized`.
    """
    thresholds = classifier.thresholds.get((DEFAULT_COVERAGE, False))
    if thresholds is not None:
        set_coverage(records, probabilities, thresholds, DEFAULT_COVERAGE, normalized)


def complete(
    records: Sequence[Prediction],
    classifier: Classifier,
    steps: Iterable[Sequence[str]],
    left_out: Iterable[int] = (),
) -> None:
    """Add the steps, the model and the marks that were left out to N records of single digits.

    Args:
        records: N records from `predictions`.
        classifier: the version that made them.
        steps: the steps that normalized each picture. The iterable may be infinite.
        left_out: number of marks beside each picture's digit that look like further digits, or nothing.
    """
    for record, own_steps in zip(records, steps, strict=False):
        record["preprocessing"] = own_steps
        record["model"] = classifier.model_name
    for record, marks in zip(records, left_out, strict=False):
        if marks:
            record["left_out"] = marks
            _set_accept(record)


def predict(classifier: Classifier, pictures: Sequence[Normalized]) -> list[Prediction]:
    """Classify prepared pictures in one forward pass, and return their complete records."""
    scores = classifier.scores(np.concatenate([to_features(picture.pixels[None]) for picture in pictures]))
    records = predictions(classifier, scores)
    steps = [picture.steps for picture in pictures]
    calibrate(records, classifier, scores.probabilities, are_normalized(steps))
    complete(records, classifier, steps, [picture.left_out for picture in pictures])
    return records


def to_json(content: Any) -> bytes:
    """Encode records as JSON. A float32 has the fewest digits that read back as the same float32."""
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
