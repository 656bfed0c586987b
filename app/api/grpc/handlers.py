"""Answer gRPC calls as the same requests under `/v2`, with messages in place of JSON, and the health check."""

from collections.abc import Callable
from functools import partial
from typing import Any

from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2

from app.api.grpc.calls import Answer, Call, Handler
from app.api.grpc.infer import infer_answer, read_request
from app.api.grpc.messages import SERVICE
from app.api.open_inference.inference import counted_inference, requested_version
from app.api.open_inference.metadata import model_config, model_metadata, repository_index, server_metadata
from app.api.open_inference.statistics import model_statistics
from app.asgi.service import Service
from app.errors import NotFound
from app.inference.memory_budget import Reservation
from app.inference.model_registry import ModelRegistry
from digits.model import artifact

HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"]


def handlers(service: Service) -> dict[str, Handler]:
    """Return the handlers by path. All that take a model's name raise UnknownModel without such a version."""
    registry = service.registry

    def version(request: Any) -> int | None:
        return requested_version(registry, request.name, request.version)

    def ready(_request: Any) -> dict[str, Any]:
        return {"ready": registry.unready_reason() is None}

    def model_ready(request: Any) -> dict[str, Any]:
        version(request)
        return ready(request)

    def config(request: Any) -> dict[str, Any]:
        return {"config": model_config(registry, version(request), service.settings.max_batch)}

    def statistics(request: Any) -> dict[str, Any]:
        number = requested_version(registry, request.name or artifact.NAME, request.version)
        return model_statistics(registry, service.metrics, number)

    methods = SERVICE.methods_by_name
    answers: dict[Any, Callable[[Any], dict[str, Any]]] = {
        methods["ServerLive"]: lambda _request: {"live": True},
        methods["ServerReady"]: ready,
        methods["ModelReady"]: model_ready,
        methods["ServerMetadata"]: lambda _request: server_metadata(service.version),
        methods["ModelMetadata"]: lambda request: model_metadata(registry, version(request)),
        methods["ModelConfig"]: config,
        methods["ModelStatistics"]: statistics,
        methods["RepositoryIndex"]: lambda request: {"models": repository_index(registry, only_ready=request.ready)},
        # There is no `Watch`. The protocol says that a client without it takes the server for healthy.
        HEALTH.methods_by_name["Check"]: partial(_health, registry),
    }
    found = {method: _handler(method, answer) for method, answer in answers.items()}
    found[methods["ModelInfer"]] = partial(_infer, service)
    return {f"/{method.containing_service.full_name}/{method.name}": handler for method, handler in found.items()}


async def _infer(service: Service, call: Call) -> Answer:
    """Classify the pictures of one call. Raises any error of a message, a picture or the data plane."""
    data_plane = service.data_plane
    parser = partial(read_request, settings=service.settings, registry=service.registry)
    service.registry.require_usable()
    memory = Reservation(data_plane.memory_budget)
    return await counted_inference(data_plane, memory, call.read_pictures(parser, data_plane, memory), infer_answer)


def _health(registry: ModelRegistry, request: Any) -> dict[str, Any]:
    """Answer as `/readyz` does, for the whole server ("") or for the inference service. Raises NotFound for others."""
    if request.service not in ("", SERVICE.full_name):
        raise NotFound(f"expected the service {SERVICE.full_name!r} or '', received {request.service[:40]!r}")
    return {"status": "SERVING" if registry.unready_reason() is None else "NOT_SERVING"}


def _handler(method: Any, answer: Callable[[Any], dict[str, Any]]) -> Handler:
    """Return a handler that parses the method's request and replies with the fields that `answer` returns."""
    request, reply = GetMessageClass(method.input_type), GetMessageClass(method.output_type)

    async def handle(call: Call) -> Answer:
        return Answer(ParseDict(answer(await call.read_as(request)), reply()))

    return handle
