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
from digits.model import artifact

HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"]


def handlers(service: Service) -> dict[str, Handler]:
    """Return the handlers by path. All that take a model's name raise UnknownModel without such a version."""
    answers = {method: _handler(method, partial(answer, service)) for method, answer in _ANSWERS.items()}
    infer = {SERVICE.methods_by_name["ModelInfer"]: partial(_infer, service)}
    return {f"/{method.containing_service.full_name}/{method.name}": each for method, each in (answers | infer).items()}


async def _infer(service: Service, call: Call) -> Answer:
    """Classify the pictures of one call. Raises any error of a message, a picture or the data plane."""
    data_plane = service.data_plane
    parser = partial(read_request, settings=service.settings, registry=service.registry)
    service.registry.require_usable()
    memory = Reservation(data_plane.memory_budget)
    return await counted_inference(data_plane, memory, call.read_pictures(parser, data_plane, memory), infer_answer)


def _ready(service: Service, _request: Any) -> dict[str, Any]:
    return {"ready": service.registry.unready_reason() is None}


def _model_ready(service: Service, request: Any) -> dict[str, Any]:
    requested_version(service.registry, request.name, request.version)
    return _ready(service, request)


def _model_metadata(service: Service, request: Any) -> dict[str, Any]:
    return model_metadata(service.registry, requested_version(service.registry, request.name, request.version))


def _model_config(service: Service, request: Any) -> dict[str, Any]:
    number = requested_version(service.registry, request.name, request.version)
    return {"config": model_config(service.settings.max_batch, service.registry.class_count(number))}


def _statistics(service: Service, request: Any) -> dict[str, Any]:
    number = requested_version(service.registry, request.name or artifact.NAME, request.version)
    return model_statistics(service.registry, service.metrics, number)


def _health(service: Service, request: Any) -> dict[str, Any]:
    """Answer as `/readyz` does, for the whole server ("") or for the inference service. Raises NotFound for others."""
    if request.service not in ("", SERVICE.full_name):
        raise NotFound(f"expected the service {SERVICE.full_name!r} or '', received {request.service[:40]!r}")
    return {"status": "SERVING" if service.registry.unready_reason() is None else "NOT_SERVING"}


_ANSWERS: dict[Any, Callable[[Service, Any], dict[str, Any]]] = {
    SERVICE.methods_by_name["ServerLive"]: lambda _service, _request: {"live": True},
    SERVICE.methods_by_name["ServerReady"]: _ready,
    SERVICE.methods_by_name["ModelReady"]: _model_ready,
    SERVICE.methods_by_name["ServerMetadata"]: lambda service, _request: server_metadata(service.version),
    SERVICE.methods_by_name["ModelMetadata"]: _model_metadata,
    SERVICE.methods_by_name["ModelConfig"]: _model_config,
    SERVICE.methods_by_name["ModelStatistics"]: _statistics,
    SERVICE.methods_by_name["RepositoryIndex"]: lambda service, request: {
        "models": repository_index(service.registry, only_ready=request.ready)
    },
    # There is no `Watch`. The protocol says that a client without it takes the server for healthy.
    HEALTH.methods_by_name["Check"]: _health,
}
"""By method: what returns the fields of the reply."""


def _handler(method: Any, answer: Callable[[Any], dict[str, Any]]) -> Handler:
    """Return a handler that parses the method's request and replies with the fields that `answer` returns."""
    request, reply = GetMessageClass(method.input_type), GetMessageClass(method.output_type)

    async def handle(call: Call) -> Answer:
        return Answer(ParseDict(answer(await call.read_as(request)), reply()))

    return handle
