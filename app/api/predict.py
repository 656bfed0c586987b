"""Answer `POST /predict`, our own dialect."""

from collections.abc import Sequence
from functools import partial

from starlette.types import Receive, Scope

from app.api.predict_options import DEFAULTS, read_options
from app.api.predict_reply import predict_reply, saliency_texts
from app.asgi.reply import Reply
from app.errors import InvalidQuery
from app.inference.batching import PASS_ROWS
from app.inference.model_registry import ModelRegistry
from app.inference.predictor import InferenceResult, Predictor
from app.input.body import MemoryBudget, Reservation, wait_for_disconnect
from app.input.pictures import read_pictures
from app.settings import Settings


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
        """Answer one request.

        Raises:
            NoUsableModel, Overloaded, InvalidQuery, and any error of a body or a picture.
        """
        options = read_options(scope["query_string"]) if scope["query_string"] else DEFAULTS
        self._registry.require_usable()
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
            saliency: Sequence[bytes] = ()
            if options.include and options.includes("saliency"):
                saliency = await self._saliency(result, reservation)
            return predict_reply(pictures.single, result, options, saliency)

    async def _saliency(self, result: InferenceResult, reservation: Reservation) -> Sequence[bytes]:
        """Return the saliency of each picture as JSON.

        Raises:
            InvalidQuery: the model version has no saliency.
            NoRoom, Overloaded.
        """
        pixels, classifier = result.pixels, result.batch.classifier
        if not classifier.explains:
            raise InvalidQuery(f"query parameter 'include': version {classifier.manifest.version} has no saliency")
        if len(pixels) == 1:  # faster than a thread
            return saliency_texts(classifier, pixels)
        texts: list[bytes] = []
        for start in range(0, len(pixels), PASS_ROWS):
            part = pixels[start : start + PASS_ROWS]
            part_texts = await self._predictor.decode_threads.run(part.size, saliency_texts, classifier, part)
            # A thousand pictures of noise are 9 MB of text, ten times what was sent.
            reservation.reserve(sum(map(len, part_texts)))
            texts += part_texts
        return texts
