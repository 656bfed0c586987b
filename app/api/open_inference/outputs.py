"""The output tensors of the Open Inference Protocol. Each is a field of the prediction for every picture."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidBody
from app.inference.batching import Inference
from app.input.pixels import shown
from digits.features import to_features
from digits.model.classes import DIGITS
from digits.model.classifier import Classifier
from digits.model.predictions import predictions

PROBABILITIES, DIGIT = "probabilities", "digit"
"""The outputs of every version, which a reply has unless the client names others."""

_PREDICTION_SET = "prediction_set"

_DATATYPES = {
    PROBABILITIES: "FP32",
    DIGIT: "INT64",
    "accept": "BOOL",
    "is_digit": "BOOL",
    "is_known": "BOOL",
    "novelty": "FP32",
    _PREDICTION_SET: "UINT8",
}
_DTYPES = {"FP32": np.float32, "INT64": np.int64, "BOOL": np.bool_, "UINT8": np.uint8}


class Output(NamedTuple):
    """An output that a version offers."""

    name: str
    datatype: str
    dims: list[int]
    """The shape for one picture."""


def outputs_of(classifier: Classifier | None) -> list[Output]:
    """Return the outputs that a version offers, because its predictions have these fields.

    Without a version, return those that every version offers, with ten classes.
    """
    fields, classes = {PROBABILITIES, DIGIT}, len(DIGITS)
    if classifier is not None:
        classes = len(classifier.manifest.classes)
        (prediction,) = predictions(classifier, classifier.scores(to_features(classifier.golden.pixels[:1])))
        fields = {*prediction}
    return [
        Output(name, datatype, [classes] if name in (PROBABILITIES, _PREDICTION_SET) else [])
        for name, datatype in _DATATYPES.items()
        if name in fields
    ]


def output_values(name: str, inference: Inference) -> tuple[str, NDArray[Any]]:
    """Return an output's datatype, and its values for N pictures: (N,), or (N, classes) for two of them.

    A prediction set has 1 for each class that is in it, and 0 for the others. Raises InvalidBody if the version that
    has answered does not offer the output.
    """
    records: Sequence[Mapping[str, Any]] = inference.predictions
    if name not in _DATATYPES or name not in records[0]:
        offered = ", ".join(output.name for output in outputs_of(inference.classifier))
        version = inference.classifier.manifest.version
        raise InvalidBody(f"expected the outputs that version {version} has ({offered}), received {shown(name)}")
    datatype = _DATATYPES[name]
    if name == PROBABILITIES:
        return datatype, inference.scores.probabilities
    if name == _PREDICTION_SET:
        members = np.zeros(inference.scores.probabilities.shape, np.uint8)
        for row, record in zip(members, records, strict=True):
            row[record[name]] = 1
        return datatype, members
    return datatype, np.array([record[name] for record in records], _DTYPES[datatype])
