"""Our own dialect: `POST /predict`."""

from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl

import numpy as np
import orjson
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.json_schema import SkipJsonSchema
from starlette.types import Receive, Scope

from app.bodies import Asked, Place, read_digits
from app.documentation import PREDICT
from app.errors import InvalidQuery
from app.front import Reply
from app.inference import Answer, Inference
from app.serving import Serving
from app.settings import Settings
from digits.features import to_features
from digits.mnist_form import Mode

router = APIRouter(tags=["predict"])


class Options(BaseModel):
    """The query parameters; a misspelt one is refused, not passed over."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    normalize: Annotated[
        Mode,
        Field(
            description="`auto`: a 28x28 picture in MNIST form passes untouched, anything else is brought to it. "
            "`always`: whatever it is. `never`: 28x28 only, as it is, blank pictures too."
        ),
    ] = "auto"
    include: Annotated[
        Literal["pixels"] | SkipJsonSchema[None],
        Field(description="`pixels`: also reply the 28x28 pixels that the network saw."),
    ] = None


_USUAL = Options()

_QUERY_BYTES = 1000


@router.post("/predict", **PREDICT)
async def predict(options: Annotated[Options, Query()]) -> None:
    """Which digit is it? Any picture of one digit: drawn, scanned or photographed; dark on light or light on dark."""
    # OpenAPI, and the 405 for other methods, are made from this route; `Predict` answers before the router is asked.
    raise NotImplementedError


class Predict:
    """Answers `POST /predict`; called by `app.front`."""

    def __init__(self, settings: Settings, serving: Serving, inference: Inference) -> None:
        """With the model of `serving`, within the limits of the settings."""
        self._settings = settings
        self._serving = serving
        self._inference = inference

    async def __call__(self, scope: Scope, receive: Receive) -> Reply:
        """Read, compute, answer.

        Raises:
            NoUsableModel, Overloaded, InvalidQuery, what `read_digits` raises, and what can be wrong with a picture.
        """
        options = _options(scope["query_string"]) if scope["query_string"] else _USUAL
        _ = self._serving.classifier  # without one the body is not even read
        with Place(self._inference.room) as place:
            asked = await read_digits(
                scope, receive, self._settings, options.normalize, place=place, lanes=self._inference.lanes
            )
            return _reply(asked, await self._inference.answer(asked, options.normalize, receive), options)


def _options(query_string: bytes) -> Options:
    if len(query_string) > _QUERY_BYTES:
        raise InvalidQuery(f"expected a query of at most {_QUERY_BYTES} bytes, received {len(query_string)}")
    try:
        return Options.model_validate(dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)))
    except ValidationError as exc:
        first = exc.errors()[0]
        raise InvalidQuery(f"query parameter {str(first['loc'][0])[:40]!r}: {first['msg']}") from exc


def _reply(asked: Asked, answer: Answer, options: Options) -> Reply:
    """The answer as JSON."""
    answered, pixels, steps = answer
    manifest = answered.classifier.manifest
    model = {"name": manifest.name, "version": manifest.version}
    predictions: list[dict[str, Any]] = [
        {
            "digit": digit,
            "probability": probabilities[digit],
            "probabilities": probabilities,
            "preprocessing": done,
            "model": model,
        }
        for digit, probabilities, done in zip(answered.digits, answered.probabilities, steps, strict=False)
    ]
    if options.include == "pixels":
        shown = np.rint(to_features(pixels) * 255).astype(np.uint8).reshape(pixels.shape)
        for prediction, picture in zip(predictions, shown, strict=True):
            prediction["pixels"] = picture
    # orjson writes a float32 with the fewest digits that read back as the same float32.
    return Reply(
        orjson.dumps(
            predictions[0] if asked.single else {"predictions": predictions}, option=orjson.OPT_SERIALIZE_NUMPY
        ),
        manifest.version,
        answered.batch,
    )
