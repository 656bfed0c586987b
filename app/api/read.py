"""Answer `POST /read`: read the digits of a number on each picture."""

from functools import partial
from typing import Any

import orjson
from starlette.types import Receive, Scope

from app.api.predict_options import READ_DEFAULTS, ReadOptions, read_number_options
from app.api.predict_reply import add_inclusions, digit_fields
from app.asgi.reply import Reply
from app.inference.model_registry import ModelRegistry
from app.inference.predictor import Predictor, ReadingResult
from app.input.body import MemoryBudget, Reservation, wait_for_disconnect
from app.input.pictures import PICTURE_TYPES, read_pictures
from app.settings import Settings


class Read:
    """The handler of `POST /read`."""

    def __init__(
        self, settings: Settings, registry: ModelRegistry, predictor: Predictor, memory_budget: MemoryBudget
    ) -> None:
        """Use the models of `registry` within the limits of `settings`."""
        self._settings = settings
        self._memory_budget = memory_budget
        self._registry = registry
        self._predictor = predictor

    async def __call__(self, scope: Scope, receive: Receive) -> Reply:
        """Answer one request.

        Raises:
            NoUsableModel, OtherClasses, Overloaded, InvalidQuery, TooManyDigits, and any error of a body or a picture.
        """
        options = read_number_options(scope["query_string"]) if scope["query_string"] else READ_DEFAULTS
        self._registry.classifier.require_digits()
        with Reservation(self._memory_budget) as reservation:
            pictures = await read_pictures(
                scope,
                receive,
                self._settings,
                "auto",
                reservation=reservation,
                decode_threads=self._predictor.decode_threads,
                accepted=PICTURE_TYPES,
            )
            result = await self._predictor.read(pictures, partial(wait_for_disconnect, receive))
            return _reply(pictures.single, result, options)


def _reply(single: bool, result: ReadingResult, options: ReadOptions) -> Reply:
    """Return the readings as JSON, one instead of a list if `single`.

    Raises:
        InvalidQuery: the model version has no prediction sets at the requested coverage.
    """
    digits = digit_fields(result.digits, options)
    if options.include:
        add_inclusions(digits, result.digits, options)
    batch = result.digits.batch
    manifest = batch.classifier.manifest
    model = {"name": manifest.name, "version": manifest.version}
    numbers: list[dict[str, Any]] = []
    start = 0
    for reading in result.readings:
        own = digits[start : (start := start + len(reading.digits))]
        lines = [""] * (reading.digits[-1].line + 1)
        for fields, found in zip(own, reading.digits, strict=True):
            lines[found.line] += str(fields["digit"])
            fields["line"] = found.line
            fields["box"] = found.box
        numbers.append(
            {"text": "\n".join(lines), "lines": lines, "digits": own, "left_out": reading.left_out, "model": model}
        )
    content = numbers[0] if single else {"predictions": numbers}
    return Reply(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY), manifest.version, batch.pass_rows)
