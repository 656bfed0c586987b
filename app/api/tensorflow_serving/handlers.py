"""Handlers for TensorFlow Serving's REST API and for `/invocations` of SageMaker and MLflow."""

from functools import partial

from starlette._utils import get_route_path
from starlette.types import Receive, Scope

from app.api.tensorflow_serving.reply import predict_reply
from app.api.tensorflow_serving.request import Verb, read_request
from app.api.tensorflow_serving.status import ModelPath, loaded_version, model_metadata, model_status
from app.asgi.reply import Reply
from app.errors import NotFound
from app.inference.model_registry import ModelRegistry
from app.inference.predictor import Predictor
from app.input.body import MemoryBudget, Reservation, parse, read_inflated_body, wait_for_disconnect
from app.input.pictures import JSON, read_pictures
from app.settings import Settings
from digits import artifact


class TensorFlowServing:
    """The handlers. All that take a model's path raise NotFound if it is malformed, else UnknownModel if it is unknown.

    The handlers of inference also raise NoUsableModel, Overloaded, and any error of a body or a picture.
    """

    def __init__(
        self, settings: Settings, registry: ModelRegistry, predictor: Predictor, memory_budget: MemoryBudget
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._predictor = predictor
        self._memory_budget = memory_budget

    async def infer(self, scope: Scope, receive: Receive, *, verb: Verb) -> Reply:
        """Answer `:predict`, `:classify` or `:regress`."""
        return await self._infer(scope, receive, verb, loaded_version(self._registry, _model_path(scope)))

    async def invocations(self, scope: Scope, receive: Receive) -> Reply:
        """Answer `POST /invocations`: JSON like `:predict`, or any other body that `/predict` takes."""
        content_type = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
        media_type = content_type.partition(b";")[0].strip().lower().decode("latin-1")
        if media_type in ("", JSON):
            return await self._infer(scope, receive, "invocations", None)
        self._registry.require_usable()
        with Reservation(self._memory_budget) as reservation:
            pictures = await read_pictures(
                scope,
                receive,
                self._settings,
                "auto",
                reservation=reservation,
                decode_threads=self._predictor.decode_threads,
            )
            result = await self._predictor.predict(pictures, "auto", partial(wait_for_disconnect, receive))
            return predict_reply("predictions", result)

    async def list_models(self, _scope: Scope, _receive: Receive) -> Reply:
        """Return the names of all models. KServe's clients ask for this."""
        return Reply.of({"models": [artifact.NAME]})

    async def status(self, scope: Scope, _receive: Receive) -> Reply:
        """Return the status of the model, with 503 unless it is ready.

        TensorFlow Serving replies 200 in every state, and its clients read the state. KServe's probes read the HTTP
        status only: with 200 they would send traffic to a model that cannot answer. 503 suits both.
        """
        status = model_status(self._registry, _model_path(scope))
        return Reply.of(status, 200 if status["ready"] else 503)

    async def metadata(self, scope: Scope, _receive: Receive) -> Reply:
        """Return the signature of the model."""
        number = loaded_version(self._registry, _model_path(scope))
        number = number or self._registry.classifier.manifest.version
        return Reply.of(model_metadata(number, self._registry.class_count(number)))

    async def no_such_path(self, scope: Scope, _receive: Receive) -> Reply:
        """Answer an unknown path with 404.

        Raises:
            NotFound: always.
        """
        scope["route"] = None  # the metrics count unknown paths together
        raise _not_found(scope)

    async def _infer(self, scope: Scope, receive: Receive, verb: Verb, number: int | None) -> Reply:
        self._registry.require_usable()
        decode_threads = self._predictor.decode_threads
        with Reservation(self._memory_budget) as reservation:
            body = await read_inflated_body(
                receive, scope["headers"], self._settings.max_body_bytes, reservation, decode_threads
            )
            request = await parse(decode_threads, read_request, body, verb, self._settings)
            disconnected = partial(wait_for_disconnect, receive)
            result = await self._predictor.predict(request.pictures, request.mode, disconnected, number)
            return predict_reply(request.reply_key, result)


def _model_path(scope: Scope) -> ModelPath:
    """Parse model, version and label from the path. Raises NotFound if the version is not a number."""
    parameters = scope["path_params"]
    version = parameters.get("version")
    if version is not None and not version.isdecimal():
        raise _not_found(scope)
    return ModelPath(parameters["model"], version, parameters.get("label"))


def _not_found(scope: Scope) -> NotFound:
    request = f"{scope['method']} {get_route_path(scope)[:80]}"
    return NotFound(f"Malformed request: {request}; there is nothing at this path, expected /v1/models/{artifact.NAME}")
