"""Write predictions as the JSON reply of `POST /predict`, and those parts of it that `POST /read` has too."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from app.api.predict_options import Options, TrustOptions
from app.asgi.reply import Reply
from app.errors import InvalidQuery
from app.inference.predictor import InferenceResult
from digits.classifier import Classifier
from digits.features import SIDE, to_features
from digits.prediction_sets import DEFAULT_COVERAGE, CalibrationName, prediction_sets


def predict_reply(single: bool, result: InferenceResult, options: Options, saliency: Sequence[bytes]) -> Reply:
    """Return the predictions as JSON.

    Args:
        single: whether to reply with one prediction instead of a list.
        result: the predictions for N pictures.
        options: the query parameters.
        saliency: N JSON texts of 28 rows of 28 numbers, or an empty sequence.

    Raises:
        InvalidQuery: the model version has no prediction sets at the requested coverage.
    """
    manifest = result.batch.classifier.manifest
    model = {"name": manifest.name, "version": manifest.version}
    predictions = digit_fields(result, options)
    for prediction, steps in zip(predictions, result.steps, strict=False):
        prediction["preprocessing"] = steps
        prediction["model"] = model
    for prediction, left_out in zip(predictions, result.left_out, strict=False):
        if left_out:
            prediction["left_out"] = left_out
    if options.include:
        add_inclusions(predictions, result, options, saliency)
    content = predictions[0] if single else {"predictions": predictions}
    # orjson writes a float32 with the fewest digits that read back as the same float32.
    return Reply(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY), manifest.version, result.batch.pass_rows)


def digit_fields(result: InferenceResult, options: TrustOptions) -> list[dict[str, Any]]:
    """Return the answer for each of N pictures: its digit or class, the probabilities and how far to trust them.

    Raises:
        InvalidQuery: the model version has no prediction sets at the requested coverage.
    """
    batch = result.batch
    names = batch.classifier.class_names
    sets = _prediction_sets(result, options)
    predictions: list[dict[str, Any]] = []
    for index, digit in enumerate(batch.digits):
        probabilities = batch.probabilities[index]
        prediction = {"digit": digit, "probability": probabilities[digit], "probabilities": probabilities}
        if names is not None:
            prediction["class_name"] = names[digit]
        if sets is not None:
            prediction["prediction_set"] = sets.sets[index]
            prediction["coverage"] = sets.coverage
            prediction["calibration"] = next(sets.calibrations)
        if batch.novelty is not None:
            novelty = batch.novelty[index]
            prediction["is_digit"] = novelty <= 1
            prediction["novelty"] = novelty
        predictions.append(prediction)
    return predictions


def add_inclusions(
    predictions: list[dict[str, Any]], result: InferenceResult, options: TrustOptions, saliency: Sequence[bytes] = ()
) -> None:
    """Add the pixels and the saliency to each prediction, if the client asked for them."""
    if options.includes("pixels"):
        grey_levels = np.rint(to_features(result.pixels) * 255).astype(np.uint8).reshape(result.pixels.shape)
        for prediction, picture in zip(predictions, grey_levels, strict=True):
            prediction["pixels"] = picture
    for prediction, text in zip(predictions, saliency, strict=False):
        prediction["saliency"] = orjson.Fragment(text)


def saliency_texts(classifier: Classifier, pixels: NDArray[Any]) -> list[bytes]:
    """Return the saliency of each picture as JSON, 28 rows of 28 numbers.

    Args:
        classifier: a version that has saliency.
        pixels: (N, 28, 28), uint8, or float32 in [0, 1].
    """
    # One text at a time: encoding a whole batch at once would hold the interpreter lock for 20 ms.
    return [
        orjson.dumps(saliency.reshape(SIDE, SIDE), option=orjson.OPT_SERIALIZE_NUMPY)
        for saliency in classifier.saliency(to_features(pixels))
    ]


@dataclass(slots=True)
class _PredictionSets:
    """The prediction sets of all pictures of a request."""

    coverage: float
    sets: list[list[int]]
    """The set of each picture."""
    calibrations: Iterator[CalibrationName]
    """The calibration of each picture's set. The iterator may be infinite."""


def _prediction_sets(result: InferenceResult, options: TrustOptions) -> _PredictionSets | None:
    """Return the prediction sets, or None if the version has none and none were requested.

    Raises:
        InvalidQuery: the version has no prediction sets at the requested coverage.
    """
    batch, by_default = result.batch, options.coverage is None and not options.per_class
    coverage = DEFAULT_COVERAGE if options.coverage is None else options.coverage
    stored = batch.classifier.thresholds
    thresholds = stored.get((coverage, options.per_class))
    if thresholds is not None:
        sets = batch.prediction_sets if by_default and result.normalized is None else None
        if sets is None:
            sets = prediction_sets(batch.probabilities, thresholds.of_pictures(result.normalized))
        return _PredictionSets(coverage, sets, iter(thresholds.calibrations(result.normalized)))
    if by_default:
        return None
    per_class = options.coverage is None or (options.per_class and (coverage, False) in stored)
    parameter = "per_class" if per_class else "coverage"
    version = f"version {batch.classifier.manifest.version}"
    kind = "prediction sets per class" if options.per_class and stored else "prediction sets"
    levels = ", ".join(str(level) for level, level_per_class in sorted(stored) if level_per_class == options.per_class)
    if not levels:
        raise InvalidQuery(f"query parameter {parameter!r}: {version} has no {kind}")
    raise InvalidQuery(
        f"query parameter {parameter!r}: expected a coverage at which {version} has {kind} ({levels}), "
        f"received {coverage}"
    )
