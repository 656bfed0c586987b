"""Our own dialect: `POST /predict`."""

from collections.abc import Sequence
from functools import partial
from itertools import repeat
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.json_schema import SkipJsonSchema
from starlette.types import Receive, Scope

from app.asgi.reply import Reply
from app.errors import InvalidQuery
from app.inference.batching import PASS_ROWS, BatchResult
from app.inference.model_registry import ModelRegistry
from app.inference.predictor import InferenceResult, Predictor
from app.input.body import MemoryBudget, Reservation, wait_for_disconnect
from app.input.pictures import read_pictures
from app.settings import Settings
from digits.classifier import Classifier
from digits.features import SIDE, to_features
from digits.mnist_form import Mode
from digits.prediction_sets import DEFAULT_COVERAGE, prediction_sets


class Options(BaseModel):
    """The query parameters; a misspelt one is refused, not passed over."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    normalize: Annotated[
        Mode,
        Field(
            description="`auto`: bring the picture to MNIST form, unless it is a 28x28 picture in that form already. "
            "`always`: bring every picture to MNIST form. `never`: use the picture unchanged; it must be 28x28 and may "
            "be blank."
        ),
    ] = "auto"
    include: Annotated[
        Literal["pixels", "saliency", "pixels,saliency", "saliency,pixels"] | SkipJsonSchema[None],
        Field(
            description="`pixels`: add the 28x28 pixels that the network saw. `saliency`: add how much each of these "
            "pixels supports the predicted digit. Not every version provides it."
        ),
    ] = None
    coverage: Annotated[
        Annotated[float, Field(gt=0, lt=1)] | SkipJsonSchema[None],
        Field(
            description="The minimum frequency with which `prediction_set` contains the true digit. It must be one of "
            f"the coverages that the version is calibrated for. The default is {DEFAULT_COVERAGE}.",
        ),
    ] = None
    per_class: Annotated[
        bool,
        Field(description="Whether the coverage holds for each digit separately, instead of for all digits together."),
    ] = False


_USUAL = Options()

_QUERY_BYTES = 1000


class Predict:
    """The handler of `POST /predict`."""

    def __init__(
        self, settings: Settings, registry: ModelRegistry, predictor: Predictor, memory_budget: MemoryBudget
    ) -> None:
        """Use the models of `registry` within the limits of `settings`."""
        self._settings = settings
        self._memory_budget = memory_budget
        self._registry = registry
        self._predictor = predictor

    async def __call__(self, scope: Scope, receive: Receive) -> Reply:
        """Read, compute, answer.

        Raises:
            NoUsableModel, Overloaded, InvalidQuery, what `read_pictures` raises, and what can be wrong with a picture.
        """
        options = _options(scope["query_string"]) if scope["query_string"] else _USUAL
        _ = self._registry.classifier  # without one the body is not even read
        with Reservation(self._memory_budget) as reservation:
            pictures = await read_pictures(
                scope,
                receive,
                self._settings,
                options.normalize,
                reservation=reservation,
                decode_threads=self._predictor.decode_threads,
            )
            result = await self._predictor.predict(pictures, options.normalize, partial(wait_for_disconnect, receive))
            saliency = (
                await self._saliency(result, reservation) if options.include and "saliency" in options.include else ()
            )
            return _reply(pictures.single, result, options, saliency)

    async def _saliency(self, result: InferenceResult, reservation: Reservation) -> Sequence[bytes]:
        """Of each picture, as JSON.

        Raises:
            InvalidQuery: the version that answered has none.
            NoRoom, Overloaded.
        """
        pixels, classifier = result.pixels, result.batch.classifier
        if not classifier.explains:
            raise InvalidQuery(f"query parameter 'include': version {classifier.manifest.version} has no saliency")
        if len(pixels) == 1:  # as a rule, and done sooner than a thread is asked
            return _explained(classifier, pixels)
        found: list[bytes] = []
        for start in range(0, len(pixels), PASS_ROWS):
            part = pixels[start : start + PASS_ROWS]
            explained = await self._predictor.decode_threads.run(part.size, _explained, classifier, part)
            # A thousand pictures of noise are 9 MB of text, ten times what was sent.
            reservation.reserve(sum(map(len, explained)))
            found += explained
        return found


def _options(query_string: bytes) -> Options:
    if len(query_string) > _QUERY_BYTES:
        raise InvalidQuery(f"expected a query of at most {_QUERY_BYTES} bytes, received {len(query_string)}")
    try:
        return Options.model_validate(dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)))
    except ValidationError as exc:
        first = exc.errors()[0]
        raise InvalidQuery(f"query parameter {str(first['loc'][0])[:40]!r}: {first['msg']}") from exc


def _reply(single: bool, result: InferenceResult, options: Options, saliency: Sequence[bytes]) -> Reply:
    """The answer as JSON. Raises InvalidQuery."""
    batch, pixels, steps = result.batch, result.pixels, result.steps
    manifest = batch.classifier.manifest
    model = {"name": manifest.name, "version": manifest.version}
    coverage, sets = _sets(batch, options)
    predictions: list[dict[str, Any]] = []
    for digit, probabilities, may_be, novelty, done in zip(
        batch.digits,
        batch.probabilities,
        repeat(None) if sets is None else sets,
        repeat(None) if batch.novelty is None else batch.novelty,
        steps,
        strict=False,
    ):
        prediction = {"digit": digit, "probability": probabilities[digit], "probabilities": probabilities}
        if may_be is not None:
            prediction["prediction_set"] = may_be
            prediction["coverage"] = coverage
        if novelty is not None:
            prediction["is_digit"] = novelty <= 1
            prediction["novelty"] = novelty
        prediction["preprocessing"] = done
        prediction["model"] = model
        predictions.append(prediction)
    if options.include and "pixels" in options.include:
        shown = np.rint(to_features(pixels) * 255).astype(np.uint8).reshape(pixels.shape)
        for prediction, picture in zip(predictions, shown, strict=True):
            prediction["pixels"] = picture
    for prediction, explained in zip(predictions, saliency, strict=False):
        prediction["saliency"] = orjson.Fragment(explained)
    # orjson writes a float32 with the fewest digits that read back as the same float32.
    return Reply(
        orjson.dumps(predictions[0] if single else {"predictions": predictions}, option=orjson.OPT_SERIALIZE_NUMPY),
        manifest.version,
        batch.pass_rows,
    )


def _sets(batch: BatchResult, options: Options) -> tuple[float, list[list[int]] | None]:
    """The coverage that is asked for, and the prediction sets at it; None where nobody asked and there are none.

    Raises:
        InvalidQuery: the version that answered has none at the coverage that was asked for.
    """
    if options.coverage is None and not options.per_class:
        return DEFAULT_COVERAGE, batch.prediction_sets
    coverage = DEFAULT_COVERAGE if options.coverage is None else options.coverage
    stored = batch.classifier.thresholds
    thresholds = stored.get((coverage, options.per_class))
    if thresholds is not None:
        return coverage, prediction_sets(batch.probabilities, thresholds)
    per_class = options.coverage is None or (options.per_class and (coverage, False) in stored)
    culprit = "per_class" if per_class else "coverage"
    version = f"version {batch.classifier.manifest.version}"
    kind = "prediction sets per class" if options.per_class and stored else "prediction sets"
    there = ", ".join(str(level) for level, own in sorted(stored) if own == options.per_class)
    if not there:
        raise InvalidQuery(f"query parameter {culprit!r}: {version} has no {kind}")
    raise InvalidQuery(
        f"query parameter {culprit!r}: expected a coverage at which {version} has {kind}, {there}, received {coverage}"
    )


def _explained(classifier: Classifier, pixels: NDArray[Any]) -> list[bytes]:
    # Written here, picture by picture: all at once would hold up the event loop for 20 ms, from any thread.
    return [
        orjson.dumps(saliency.reshape(SIDE, SIDE), option=orjson.OPT_SERIALIZE_NUMPY)
        for saliency in classifier.saliency(to_features(pixels))
    ]
