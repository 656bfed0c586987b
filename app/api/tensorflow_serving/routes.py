"""The paths of TensorFlow Serving's REST API, of KServe's first protocol, and of SageMaker and MLflow.

https://www.tensorflow.org/tfx/serving/api_rest, http_rest_api_handler.cc of https://github.com/tensorflow/serving
"""

import re
from collections.abc import Awaitable, Callable
from functools import partial

from starlette._utils import get_route_path
from starlette.routing import compile_path
from starlette.types import Receive, Scope

from app.api.tensorflow_serving.reply import predict_reply
from app.api.tensorflow_serving.request import Verb, read_request
from app.api.tensorflow_serving.status import loaded_version, model_metadata, model_status
from app.asgi.reply import ROUTE, Reply
from app.errors import NotFound, WrongMethod
from app.inference.model_registry import ModelRegistry
from app.inference.predictor import Predictor
from app.input.body import MemoryBudget, Reservation, parse, read_inflated_body, wait_for_disconnect
from app.input.pictures import JSON, read_pictures
from app.settings import Settings
from digits import artifact

Handler = Callable[[Scope, Receive], Awaitable[Reply]]


class TensorFlowServing:
    """Answers `/v1` and every path below it, and `/invocations`."""

    def __init__(
        self, settings: Settings, registry: ModelRegistry, predictor: Predictor, memory_budget: MemoryBudget
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._predictor = predictor
        self._memory_budget = memory_budget
        model = "/v1/models/{model}"
        models = (model, f"{model}/versions/{{version}}", f"{model}/labels/{{label}}")
        routes: list[tuple[str, str, Handler]] = [
            *(("POST", f"{path}:predict", self._predict) for path in models),
            *(("POST", f"{path}:classify", self._classify) for path in models),
            *(("POST", f"{path}:regress", self._regress) for path in models),
            *(("GET", f"{path}/metadata", self._metadata) for path in models),
            *(("GET", path, self._status) for path in models),
            ("GET", "/v1/models", self._list),
        ]
        self._routes: list[tuple[str, str, re.Pattern[str], Handler]] = [
            (method, re.sub("/(versions|labels)/{[a-z]+}", "", path), compile_path(path)[0], handler)
            for method, path, handler in routes
        ]

    async def __call__(self, scope: Scope, receive: Receive) -> Reply:
        """Answer one request below `/v1`.

        Raises:
            NotFound, WrongMethod, UnknownModel, NoUsableModel, Overloaded, and the errors of a body or a picture.
        """
        path = get_route_path(scope)
        for method, label, pattern, handler in self._routes:
            match = pattern.match(path)
            parameters = match.groupdict() if match else {}
            if match is None or any(":" in value for value in parameters.values()):
                continue
            if not parameters.get("version", "0").isdecimal():
                continue
            scope[ROUTE] = label
            scope["path_params"] = parameters
            if scope["method"] == method or (method, scope["method"]) == ("GET", "HEAD"):
                return await handler(scope, receive)
            allow = "GET, HEAD" if method == "GET" else method
            raise WrongMethod(f"{_malformed(scope, path)}; expected {allow}, received {scope['method']}", allow)
        raise NotFound(f"{_malformed(scope, path)}; there is nothing at this path, expected /v1/models/{artifact.NAME}")

    async def invocations(self, scope: Scope, receive: Receive) -> Reply:
        """Answer `POST /invocations`: JSON like `:predict`, or any other body that `/predict` takes.

        Raises:
            NoUsableModel, Overloaded, and the errors of a body or a picture.
        """
        content_type = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
        media_type = content_type.partition(b";")[0].strip().lower().decode("latin-1")
        if media_type in ("", JSON):
            return await self._infer(scope, receive, "invocations", None)
        _ = self._registry.classifier
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

    async def _predict(self, scope: Scope, receive: Receive) -> Reply:
        return await self._infer(scope, receive, "predict", self._loaded_version(scope))

    async def _classify(self, scope: Scope, receive: Receive) -> Reply:
        return await self._infer(scope, receive, "classify", self._loaded_version(scope))

    async def _regress(self, scope: Scope, receive: Receive) -> Reply:
        return await self._infer(scope, receive, "regress", self._loaded_version(scope))

    async def _infer(self, scope: Scope, receive: Receive, verb: Verb, number: int | None) -> Reply:
        _ = self._registry.classifier  # raises NoUsableModel before the body is read
        decode_threads = self._predictor.decode_threads
        with Reservation(self._memory_budget) as reservation:
            body = await read_inflated_body(
                receive, scope["headers"], self._settings.max_body_bytes, reservation, decode_threads
            )
            request = await parse(decode_threads, read_request, body, verb, self._settings)
            disconnected = partial(wait_for_disconnect, receive)
            result = await self._predictor.predict(request.pictures, request.mode, disconnected, number)
            return predict_reply(request.reply_key, result)

    async def _list(self, _scope: Scope, _receive: Receive) -> Reply:
        return Reply.of({"models": [artifact.NAME]})

    async def _status(self, scope: Scope, _receive: Receive) -> Reply:
        """Return the status of the model, with 503 unless it is ready.

        TensorFlow Serving replies 200 in every state, and its clients read the state. KServe's probes read the HTTP
        status only: with 200 they would send traffic to a model that cannot answer. 503 suits both.
        """
        parameters = scope["path_params"]
        status = model_status(self._registry, parameters["model"], parameters.get("version"), parameters.get("label"))
        return Reply.of(status, 200 if status["ready"] else 503)

    async def _metadata(self, scope: Scope, _receive: Receive) -> Reply:
        return Reply.of(model_metadata(self._loaded_version(scope) or self._registry.classifier.manifest.version))

    def _loaded_version(self, scope: Scope) -> int | None:
        parameters = scope["path_params"]
        return loaded_version(self._registry, parameters["model"], parameters.get("version"), parameters.get("label"))


def _malformed(scope: Scope, path: str) -> str:
    return f"Malformed request: {scope['method']} {path[:80]}"
