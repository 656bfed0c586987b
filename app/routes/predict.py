"""Our own dialect: `POST /predict`."""

import asyncio
import importlib
from collections.abc import Awaitable, Iterable
from contextlib import closing
from itertools import repeat
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar
from urllib.parse import parse_qsl

import numpy as np
import orjson
from fastapi import APIRouter, Query
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.json_schema import SkipJsonSchema
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from app.batching import PASS_ROWS, Answered, Batcher
from app.bodies import Asked, Place, Room, read_digits
from app.documentation import PREDICT
from app.errors import InvalidQuery, Overloaded
from app.front import Reply
from app.lanes import Lanes
from app.metrics import Metrics
from app.serving import Serving
from app.settings import Settings
from digits.errors import DigitsError
from digits.features import SIDE, Grey, to_features
from digits.images import to_grey
from digits.mnist_form import Mode

if TYPE_CHECKING:
    from digits.normalize import Normalized

T = TypeVar("T")

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

    def __init__(self, settings: Settings, serving: Serving, metrics: Metrics) -> None:
        """With the model of `serving`, within the limits of the settings."""
        self._settings = settings
        self._serving = serving
        self._metrics = metrics
        self._batcher = Batcher(serving, metrics)
        self._lanes = Lanes()
        self._room = Room(settings)

    async def warm(self) -> None:
        """Load what only pictures need: SciPy takes 0.1 s, which the first answer to pixels need not wait for."""
        await self._lanes.of(0).run(importlib.import_module, "digits.normalize")

    async def __call__(self, scope: Scope, receive: Receive) -> Reply:
        """Read, compute, answer.

        Raises:
            NoUsableModel, Overloaded, InvalidQuery, what `read_digits` raises, and what can be wrong with a picture.
        """
        options = _options(scope["query_string"]) if scope["query_string"] else _USUAL
        mode = options.normalize
        _ = self._serving.classifier  # without one the body is not even read
        place = Place(self._room)
        try:
            asked = await read_digits(scope, receive, self._settings, mode, place=place, lanes=self._lanes)
            pixels = asked.pixels
            if pixels is not None and mode != "always":
                answer = self._batcher.classify(pixels)
                # The usual is answered by the next pass: too soon for a look at whether the client is still there.
                answered = await (answer if len(pixels) <= PASS_ROWS else _while_connected(receive, answer))
                if mode == "never" or all(answered.in_form):
                    self._metrics.predicted(answered.digits, answered.probabilities)
                    return _reply(asked, answered, pixels, repeat(()), options)
            return await _while_connected(receive, self._answer(asked, options))
        finally:
            place.leave()

    async def _answer(self, asked: Asked, options: Options) -> Reply:
        """The longer way: some are to be decoded or normalized."""
        mode, pixels = options.normalize, asked.pixels
        digits = []
        for index, picture in enumerate(asked.images if pixels is None else pixels):
            size = picture.width * picture.height if isinstance(picture, Image.Image) else picture.size
            try:
                digits.append(await self._lanes.of(size).run(_normalized, picture, mode))
            except Overloaded:
                raise
            except DigitsError as exc:
                raise asked.named(exc, index) from exc
        # As floats, since some that passed through untouched may be floats.
        pixels = np.concatenate([to_features(digit.pixels[None]) for digit in digits]).reshape(-1, SIDE, SIDE)
        answered = await self._batcher.classify(pixels)
        self._metrics.predicted(answered.digits, answered.probabilities)
        return _reply(asked, answered, pixels, [digit.steps for digit in digits], options)


def _normalized(picture: Image.Image | Grey, mode: Mode) -> "Normalized":
    from digits.normalize import normalize  # noqa: PLC0415 - `warm` has loaded it

    if not isinstance(picture, Image.Image):
        return normalize(picture, mode)
    with closing(picture):  # its memory is given back before the next is decoded
        grey = to_grey(picture)
    return normalize(grey, mode)


def _options(query_string: bytes) -> Options:
    if len(query_string) > _QUERY_BYTES:
        raise InvalidQuery(f"expected a query of at most {_QUERY_BYTES} bytes, received {len(query_string)}")
    try:
        return Options.model_validate(dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)))
    except ValidationError as exc:
        first = exc.errors()[0]
        raise InvalidQuery(f"query parameter {str(first['loc'][0])[:40]!r}: {first['msg']}") from exc


async def _while_connected(receive: Receive, work: Awaitable[T]) -> T:
    """The work's result, unless the client goes away before it is there: then no more is done.

    Raises:
        ClientDisconnect: it went away.
    """

    async def disconnect() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    working, gone = asyncio.ensure_future(work), asyncio.ensure_future(disconnect())
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        gone.cancel()


def _reply(
    asked: Asked, answered: Answered, pixels: NDArray[Any], steps: Iterable[tuple[str, ...]], options: Options
) -> Reply:
    """The answer as JSON.

    Args:
        asked: what was asked.
        answered: the network's answer.
        pixels: (N, 28, 28), what it was an answer to; uint8, or float32 in [0, 1].
        steps: what was done to each picture before.
        options: what else is to be told.
    """
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
