"""The query parameters of `POST /predict` and `POST /read`, and what they change in the reply."""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from orjson import Fragment
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from app.errors import InvalidQuery
from app.inference.batching import Inference
from app.inference.data_plane import DataPlane
from app.inference.memory_budget import Reservation
from digits.features import to_features
from digits.finder.read import Marks, Number
from digits.model.predictions import Prediction, set_coverage
from digits.normalization.mnist_form import Mode

_JSON_BYTES = 4  # of a grey value in the reply, with its comma


def _split(names: str) -> list[str]:
    split = names.split(",")
    if len(set(split)) < len(split):
        raise ValueError("expected each name once, received one of them again")
    return split


_Separated = BeforeValidator(_split)
"""Reads a set from names with commas between them."""


class TrustQuery(BaseModel):
    """The query parameters of both. An unknown name is an error, so that a misspelt parameter is not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    include: frozenset[str] = frozenset()
    coverage: Annotated[float, Field(gt=0, lt=1)] | SkipJsonSchema[None] = None
    """The coverage of `prediction_set`. The default is the version's own, 0.99 for a model of digits. The shipped model
    also has 0.9, 0.95 and 0.999. `accept` follows the set."""
    per_class: bool = False
    """Whether the coverage holds for each digit separately, instead of for all digits together. Available up to
    0.99."""
    on_error: Literal["fail", "report"] = "fail"
    """What an invalid picture does to a request with several pictures. `fail`, the default: its error is the reply.
    `report`: the list of predictions has its error in its place, and the status is 200."""


class PredictQuery(TrustQuery):
    """The query parameters of `POST /predict`."""

    normalize: Mode = "auto"
    """`auto`, the default: bring the picture to MNIST form, unless it is a 28x28 picture in that form already.
    `always`: bring every picture to MNIST form. `never`: use the picture unchanged. It must be 28x28 and may be
    blank."""
    include: Annotated[frozenset[Literal["pixels", "ink", "saliency"]], _Separated] = frozenset()
    """Fields to add to the reply, in any order with commas between them. `pixels` of one picture also adds its `ink`.
    Not every version provides `saliency`."""


class ReadQuery(TrustQuery):
    """The query parameters of `POST /read`."""

    include: Annotated[frozenset[Literal["pixels", "ink"]], _Separated] = frozenset()
    """Fields to add to the reply, in any order with commas between them. `pixels`: the 28x28 pixels of each digit that
    the network saw. `ink`: the ink of each picture. `pixels` of one picture also adds its `ink`."""
    marks: Marks = "count"
    """`count`, the default: a number with marks is not accepted. `ignore`: points, commas, colons, dashes and slashes
    between digits do not change `accept`, as in phone numbers, amounts and dates. All other marks still do."""

    @model_validator(mode="before")
    @classmethod
    def explain_what_only_predict_has(cls, parameters: dict[str, str]) -> dict[str, str]:
        """Raise InvalidQuery for the parameter that `POST /predict` accepts and this endpoint does not."""
        if "normalize" in parameters:
            raise InvalidQuery("query parameter 'normalize': expected none, because /read normalizes every digit")
        return parameters


async def extend(
    data_plane: DataPlane,
    inference: Inference,
    query: TrustQuery,
    records: Sequence[Prediction] | Sequence[Number],
    memory: Reservation,
) -> None:
    """Change the records of a request as its query asks: another coverage, the pixels, the ink, the saliency.

    `records` are those of the pictures, which get the ink. `memory` reserves what these take in the reply. Raises
    BatchTooLarge, NoRoom or Overloaded if this is too much, and InvalidQuery for what the model version does not have.
    """
    if query.coverage is not None or query.per_class:
        _set_coverage(inference, query)
    if "pixels" in query.include:
        pixels = inference.pixels
        memory.reserve(_JSON_BYTES * pixels.size)
        grey_levels = np.rint(to_features(pixels) * 255).astype(np.uint8).reshape(pixels.shape)
        for prediction, picture in zip(inference.predictions, grey_levels, strict=True):
            prediction["pixels"] = picture
    if "ink" in query.include or ("pixels" in query.include and len(records) == 1):
        memory.reserve(_JSON_BYTES * sum(ink.size for ink in inference.ink if ink is not None))
        for record, ink in zip(records, inference.ink, strict=False):
            if ink is not None:
                record["ink"] = ink
    if "saliency" in query.include:
        if not inference.classifier.explains:
            version = inference.classifier.manifest.version
            raise InvalidQuery(f"query parameter 'include': version {version} has no saliency")
        for prediction, text in zip(inference.predictions, await data_plane.saliency(inference, memory), strict=True):
            prediction.update({"saliency": Fragment(text)})  # type: ignore[typeddict-item] # encoded already


def _set_coverage(inference: Inference, query: TrustQuery) -> None:
    classifier = inference.classifier
    coverage = classifier.coverage if query.coverage is None else query.coverage
    try:
        thresholds = classifier.thresholds_at(coverage, per_class=query.per_class)
    except ValueError as exc:
        per_class = query.coverage is None or (query.per_class and (coverage, False) in classifier.thresholds)
        raise InvalidQuery(f"query parameter {'per_class' if per_class else 'coverage'!r}: {exc}") from None
    records, probabilities = inference.predictions, inference.scores.probabilities
    set_coverage(records, probabilities, thresholds, coverage, inference.normalized, others=inference.others)
