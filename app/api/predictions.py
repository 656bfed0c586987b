"""What clients may ask for at `POST /predict` and `POST /read`: another coverage, the pixels, the ink, the saliency."""

from collections.abc import Sequence

import numpy as np
from orjson import Fragment

from app.api.query import TrustQuery
from app.errors import InvalidQuery
from app.inference.data_plane import DataPlane, Inference
from app.inference.memory_budget import Reservation
from digits.features import to_features
from digits.model.prediction_sets import DEFAULT_COVERAGE
from digits.model.predictions import Prediction, set_coverage
from digits.numbers.read import Number

_JSON_BYTES = 4
"""Bytes of a grey value in the reply, with its comma."""


async def extend(
    data_plane: DataPlane,
    inference: Inference,
    query: TrustQuery,
    records: Sequence[Prediction] | Sequence[Number],
    memory: Reservation,
) -> None:
    """Change the records of a request as its query asks: another coverage, the pixels, the ink, the saliency.

    `records` are those of the pictures, which get the ink. `memory` reserves what these take in the reply. Raises
    BatchTooLarge, NoRoom or Overloaded if this is too much, and InvalidQuery if the model version has no prediction
    sets at this coverage, or no saliency.
    """
    if query.coverage is not None or query.per_class:
        _set_coverage(inference, query)
    include = query.include or ""
    if "pixels" in include:
        pixels = inference.pixels
        memory.reserve(_JSON_BYTES * pixels.size)
        grey_levels = np.rint(to_features(pixels) * 255).astype(np.uint8).reshape(pixels.shape)
        for prediction, picture in zip(inference.predictions, grey_levels, strict=True):
            prediction["pixels"] = picture
    if "ink" in include or ("pixels" in include and len(records) == 1):
        memory.reserve(_JSON_BYTES * sum(ink.size for ink in inference.ink if ink is not None))
        for record, ink in zip(records, inference.ink, strict=False):
            if ink is not None:
                record["ink"] = ink
    if "saliency" in include:
        if not inference.classifier.explains:
            version = inference.classifier.manifest.version
            raise InvalidQuery(f"query parameter 'include': version {version} has no saliency")
        texts = await data_plane.saliency(inference, memory)
        for prediction, text in zip(inference.predictions, texts, strict=True):
            prediction.update({"saliency": Fragment(text)})  # type: ignore[typeddict-item] # encoded already


def _set_coverage(inference: Inference, query: TrustQuery) -> None:
    coverage = DEFAULT_COVERAGE if query.coverage is None else query.coverage
    stored = inference.classifier.thresholds
    thresholds = stored.get((coverage, query.per_class))
    if thresholds is not None:
        set_coverage(
            inference.predictions,
            inference.probabilities,
            thresholds,
            coverage,
            inference.normalized,
            others=inference.others,
        )
        return
    per_class = query.coverage is None or (query.per_class and (coverage, False) in stored)
    parameter = "per_class" if per_class else "coverage"
    version = f"version {inference.classifier.manifest.version}"
    kind = "prediction sets per class" if query.per_class and stored else "prediction sets"
    levels = ", ".join(str(level) for level, level_per_class in sorted(stored) if level_per_class == query.per_class)
    if not levels:
        raise InvalidQuery(f"query parameter {parameter!r}: {version} has no {kind}")
    raise InvalidQuery(
        f"query parameter {parameter!r}: expected a coverage at which {version} has {kind} ({levels}), "
        f"received {coverage}"
    )
