"""Handlers for the calls of `inference.GRPCInferenceService`.

They return what the same requests under `/v2` return, as messages in place of JSON.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from google.protobuf.json_format import ParseDict

from app.api.grpc import open_inference_pb2 as messages
from app.api.grpc.calls import Answer, Call, Handler
from app.api.grpc.infer import infer_answer, read_request
from app.api.open_inference.inference import CountedInference, requested_version
from app.api.open_inference.metadata import model_config, model_metadata, repository_index, server_metadata
from app.api.open_inference.statistics import model_statistics
from app.asgi.service import Service
from app.inference.memory_budget import Reservation
from digits.model import artifact

SERVICE: str = messages.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name


class InferenceService:
    """The handlers. All that take a model's name raise UnknownModel if the model or the version is unknown."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._registry = service.registry

    def handlers(self) -> dict[str, Handler]:
        """Return the handlers by path."""
        return {
            f"/{SERVICE}/ModelInfer": self.infer,
            f"/{SERVICE}/ServerLive": _handler(messages.ServerLiveRequest, self._live),
            f"/{SERVICE}/ServerReady": _handler(messages.ServerReadyRequest, self._ready),
            f"/{SERVICE}/ModelReady": _handler(messages.ModelReadyRequest, self._model_ready),
            f"/{SERVICE}/ServerMetadata": _handler(messages.ServerMetadataRequest, self._server_metadata),
            f"/{SERVICE}/ModelMetadata": _handler(messages.ModelMetadataRequest, self._model_metadata),
            f"/{SERVICE}/ModelConfig": _handler(messages.ModelConfigRequest, self._model_config),
            f"/{SERVICE}/ModelStatistics": _handler(messages.ModelStatisticsRequest, self._statistics),
            f"/{SERVICE}/RepositoryIndex": _handler(messages.RepositoryIndexRequest, self._repository_index),
        }

    async def infer(self, call: Call) -> Answer:
        """Classify the pictures of one call.

        Raises:
            UnknownModel, NoUsableModel, Overloaded: no model can answer.
            DigitsError: any error of a message or a picture.
        """
        data_plane = self._service.data_plane
        parser = partial(read_request, settings=self._service.settings, registry=self._registry)
        self._registry.require_usable()
        with CountedInference(data_plane) as counted, Reservation(data_plane.memory_budget) as memory:
            pictures = counted.read(await call.read_pictures(parser, data_plane, memory))
            return infer_answer(pictures, counted.answered(await data_plane.infer(pictures)))

    def _live(self, _request: Any) -> Any:
        return messages.ServerLiveResponse(live=True)

    def _ready(self, _request: Any) -> Any:
        return messages.ServerReadyResponse(ready=self._registry.unready_reason() is None)

    def _model_ready(self, request: Any) -> Any:
        requested_version(self._registry, request.name, request.version)
        return messages.ModelReadyResponse(ready=self._registry.unready_reason() is None)

    def _server_metadata(self, _request: Any) -> Any:
        return ParseDict(server_metadata(self._service.version), messages.ServerMetadataResponse())

    def _model_metadata(self, request: Any) -> Any:
        number = requested_version(self._registry, request.name, request.version)
        return ParseDict(model_metadata(self._registry, number), messages.ModelMetadataResponse())

    def _model_config(self, request: Any) -> Any:
        number = requested_version(self._registry, request.name, request.version)
        config = model_config(self._service.settings.max_batch, self._registry.class_count(number))
        return ParseDict({"config": config}, messages.ModelConfigResponse())

    def _statistics(self, request: Any) -> Any:
        number = requested_version(self._registry, request.name or artifact.NAME, request.version)
        statistics = model_statistics(self._registry, self._service.metrics, number)
        return ParseDict(statistics, messages.ModelStatisticsResponse())

    def _repository_index(self, request: Any) -> Any:
        versions = repository_index(self._registry, only_ready=request.ready)
        return ParseDict({"models": versions}, messages.RepositoryIndexResponse())


def _handler(kind: Any, answer: Callable[[Any], Any]) -> Handler:
    """Return a handler that parses a message of class `kind` and replies with the message that `answer` returns."""

    async def handle(call: Call) -> Answer:
        return Answer(answer(await call.read_as(kind)))

    return handle
