"""Handlers for the calls of `inference.GRPCInferenceService`.

They return what the same requests under `/v2` return, as messages in place of JSON.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from google.protobuf.json_format import ParseDict
from starlette.types import Receive, Scope

from app.api.grpc import open_inference_pb2 as messages
from app.api.grpc.infer import infer_reply, message_reply, parse_message, read_request
from app.api.open_inference.inference import Inference
from app.api.open_inference.metadata import model_config, model_metadata, repository_index, server_metadata
from app.api.open_inference.statistics import model_statistics, samples_of_all_workers
from app.asgi.endpoint import Handler
from app.asgi.reply import Reply
from app.errors import NotOffered
from app.inference.model_registry import ModelRegistry
from app.input.body import MemoryBudget, Reservation, read_body
from app.settings import Settings
from app.telemetry.metrics import Metrics
from digits import artifact

SERVICE: str = messages.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name


class InferenceService:
    """The handlers. All that take a model's name raise UnknownModel if the model or the version is unknown."""

    def __init__(
        self,
        settings: Settings,
        registry: ModelRegistry,
        inference: Inference,
        memory_budget: MemoryBudget,
        *,
        metrics: Metrics,
        version: str,
    ) -> None:
        """Answer as the service of this version."""
        self._settings = settings
        self._registry = registry
        self._inference = inference
        self._memory_budget = memory_budget
        self._metrics = metrics
        self._version = version

    def probes(self) -> dict[str, Handler]:
        """Return the handlers that need no key and are never refused for load, by path."""
        return {
            f"/{SERVICE}/ServerLive": self._handler(messages.ServerLiveRequest, self._live),
            f"/{SERVICE}/ServerReady": self._handler(messages.ServerReadyRequest, self._ready),
        }

    def calls(self) -> dict[str, Handler]:
        """Return the other handlers by path."""
        return {
            f"/{SERVICE}/ModelInfer": self.infer,
            f"/{SERVICE}/ModelReady": self._handler(messages.ModelReadyRequest, self._model_ready),
            f"/{SERVICE}/ServerMetadata": self._handler(messages.ServerMetadataRequest, self._server_metadata),
            f"/{SERVICE}/ModelMetadata": self._handler(messages.ModelMetadataRequest, self._model_metadata),
            f"/{SERVICE}/ModelConfig": self._handler(messages.ModelConfigRequest, self._model_config),
            f"/{SERVICE}/ModelStatistics": self._handler(messages.ModelStatisticsRequest, self._statistics),
            f"/{SERVICE}/RepositoryIndex": self._handler(messages.RepositoryIndexRequest, self._repository_index),
        }

    async def infer(self, scope: Scope, receive: Receive) -> Reply:
        """Classify the pictures of one call.

        Raises:
            UnknownModel, NoUsableModel, Overloaded, and any error of a message or a picture.
        """
        read = partial(read_request, settings=self._settings, requested_version=self._inference.requested_version)
        return await self._inference.infer(scope, receive, read, infer_reply)

    def _handler(self, kind: Any, answer: Callable[[Any], Any]) -> Handler:
        """Return a handler that parses a message of class `kind` and replies with the message that `answer` returns."""

        async def handle(_scope: Scope, receive: Receive) -> Reply:
            with Reservation(self._memory_budget) as reservation:
                body = await read_body(receive, b"", self._settings.max_body_bytes, reservation)
                return message_reply(answer(parse_message(kind, body)))

        return handle

    def _live(self, _request: Any) -> Any:
        return messages.ServerLiveResponse(live=True)

    def _ready(self, _request: Any) -> Any:
        return messages.ServerReadyResponse(ready=self._registry.unready_reason() is None)

    def _model_ready(self, request: Any) -> Any:
        self._inference.requested_version(request.name, request.version)
        return messages.ModelReadyResponse(ready=self._registry.unready_reason() is None)

    def _server_metadata(self, _request: Any) -> Any:
        return ParseDict(server_metadata(self._version), messages.ServerMetadataResponse())

    def _model_metadata(self, request: Any) -> Any:
        number = self._inference.requested_version(request.name, request.version)
        return ParseDict(model_metadata(self._registry, number), messages.ModelMetadataResponse())

    def _model_config(self, request: Any) -> Any:
        number = self._inference.requested_version(request.name, request.version)
        config = model_config(self._settings.max_batch, self._registry.class_count(number))
        return ParseDict({"config": config}, messages.ModelConfigResponse())

    def _statistics(self, request: Any) -> Any:
        number = self._inference.requested_version(request.name or artifact.NAME, request.version)
        versions = [number] if number else self._registry.loaded()
        samples = samples_of_all_workers(self._metrics)
        statistics = [model_statistics(version, samples) for version in versions]
        return ParseDict({"model_stats": statistics}, messages.ModelStatisticsResponse())

    def _repository_index(self, request: Any) -> Any:
        versions = [
            version for version in repository_index(self._registry) if version["state"] == "READY" or not request.ready
        ]
        return ParseDict({"models": versions}, messages.RepositoryIndexResponse())


async def not_offered(scope: Scope, _receive: Receive) -> Reply:
    """Refuse a call of a method that this server lacks.

    Raises:
        NotOffered
    """
    scope["route"] = None  # the metrics count unknown paths together
    raise NotOffered(f"{scope['path'][:80]} is not offered by this server")
