"""Answer an inference request of the Open Inference Protocol, over HTTP or gRPC."""

import time
from collections.abc import Callable
from functools import partial

from starlette.types import Receive, Scope

from app.api.open_inference.request import InferRequest
from app.asgi.reply import Reply
from app.errors import UnknownModel
from app.inference.model_registry import ModelRegistry
from app.inference.predictor import InferenceResult, Predictor
from app.input.body import MemoryBudget, Reservation, parse, read_inflated_body, wait_for_disconnect
from app.settings import Settings
from app.telemetry.metrics import Metrics
from digits import artifact
from digits.errors import DigitsError


class Inference:
    """Classifies the pictures of requests, and counts how long their steps take."""

    def __init__(
        self,
        settings: Settings,
        registry: ModelRegistry,
        predictor: Predictor,
        memory_budget: MemoryBudget,
        metrics: Metrics,
    ) -> None:
        """Use the models of `registry` within the limits of `settings`."""
        self._max_body_bytes = settings.max_body_bytes
        self._registry = registry
        self._predictor = predictor
        self._memory_budget = memory_budget
        self._metrics = metrics

    def requested_version(self, model: str, version: str) -> int | None:
        """Return the number of a loaded version, or None for the served one if `version` is "".

        Raises:
            UnknownModel: the model or the version is unknown.
        """
        if model != artifact.NAME:
            raise UnknownModel(f"expected the model {artifact.NAME!r}, received {model[:40]!r}")
        if not version:
            return None
        if not version.isdecimal() or len(version) > 9:
            raise UnknownModel(f"expected a version number, received {version[:20]!r}")
        return self._registry.version(int(version)).manifest.version

    async def infer(
        self,
        scope: Scope,
        receive: Receive,
        read_request: Callable[[bytes], InferRequest],
        write_reply: Callable[[InferRequest, InferenceResult], Reply],
        version: int | None = None,
    ) -> Reply:
        """Answer one request.

        Args:
            scope: the request's scope.
            receive: receives its body.
            read_request: parses the body. A long body is parsed in a decode thread.
            write_reply: returns the reply with the predictions.
            version: the version that the path names. None if only the body may name one.

        Raises:
            UnknownModel, NoUsableModel, Overloaded, and any error of a body or a picture.
        """
        self._registry.require_usable()
        decode_threads = self._predictor.decode_threads
        began = time.perf_counter()
        try:
            with Reservation(self._memory_budget) as reservation:
                body = await read_inflated_body(
                    receive, scope["headers"], self._max_body_bytes, reservation, decode_threads
                )
                request = await parse(decode_threads, read_request, body)
                version = request.version or version
                decoded = time.perf_counter()
                disconnected = partial(wait_for_disconnect, receive)
                result = await self._predictor.predict(request.pictures, request.mode, disconnected, version)
        except UnknownModel:  # failures are counted by version, and this request names none that is loaded
            raise
        except DigitsError:
            self._metrics.count_inference(
                version or self._registry.classifier.manifest.version, fail=time.perf_counter() - began
            )
            raise
        answered = time.perf_counter()
        reply = write_reply(request, result)
        ended = time.perf_counter()
        self._metrics.count_inference(
            result.batch.classifier.manifest.version,
            success=ended - began,
            compute_input=decoded - began,
            compute_output=ended - answered,
        )
        return reply
