"""The Open Inference Protocol V2 over HTTP, which KServe, Triton and MLServer speak.

The protocol is described at https://github.com/kserve/open-inference-protocol, Triton's extensions at
https://github.com/triton-inference-server/server/tree/main/docs/protocol.
"""

from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Scope

from app.api.open_inference.inference import counted_inference, requested_version
from app.api.open_inference.metadata import model_config, model_metadata, repository_index, server_metadata
from app.api.open_inference.reply import HEADER_LENGTH, infer_reply
from app.api.open_inference.request import read_request
from app.api.open_inference.statistics import model_statistics
from app.api.protocol import ModelParameter, Protocol, json_body
from app.asgi.route import Reply, ServiceRequest
from app.errors import InvalidBody, NotFound, NotOffered
from app.input.body import SHORT_BODY_BYTES, read_body, read_inflated
from app.input.json import parse_json
from app.input.request import RequestInWork
from app.openapi.example_pictures import SEVEN_BASE64
from digits.model import artifact

_protocol = Protocol("Open Inference Protocol", "open_inference", "/versions/{version}")

router = _protocol.router

_MODEL = "/v2/models/{model}"

_NOT_OFFERED = ("/v2/trace/", "/v2/logging", "/v2/systemsharedmemory", "/v2/cudasharedmemory", "/v2/repository/")
"""Paths of Triton's extensions that its client can request."""


class InputTensor(BaseModel):
    """The only input: N pictures."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: Literal["features"]
    shape: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1, max_length=3)]
    """[N, 784] or [N, 28, 28]. For BYTES [N] or [N, 1]."""
    datatype: Literal["FP32", "UINT8", "BYTES"]
    """FP32: values from 0 to 1, which go to the network unchanged. UINT8: pixels from 0 to 255, which are normalized.
    BYTES: encoded pictures in base64, which are normalized."""
    data: Annotated[list[Any], Field(min_length=1)]
    """Flat, or nested like the shape."""


_INPUTS = {"type": "array", "minItems": 1, "maxItems": 1, "items": InputTensor.model_json_schema()}
_OUTPUT = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
_OUTPUTS = {
    "type": ["array", "null"],
    "items": _OUTPUT,
    "description": "Outputs that the metadata of the version lists. Without any: `probabilities` and `digit`.",
}
_INFER_BODY = json_body(
    {
        "type": "object",
        "required": ["inputs"],
        "properties": {"inputs": _INPUTS, "outputs": _OUTPUTS, "id": {"type": "string"}},
    },
    {"inputs": [{"name": "features", "shape": [1], "datatype": "BYTES", "data": [SEVEN_BASE64]}]},
)


@_protocol.endpoint(f"POST {_MODEL}/infer", "Get probabilities", body=_INFER_BODY)
async def open_inference_infer(request: ServiceRequest, model: ModelParameter) -> Reply:
    """Send tensors of pictures, as JSON or with binary data."""
    service = request.service
    number = _version(request, model)
    work = service.requests.begin(request)
    header_length = work.headers.get(HEADER_LENGTH, b"")
    parser = partial(read_request, header_length=header_length, settings=service.settings, version=number)
    return await counted_inference(service.data_plane, work, read_inflated(work, parser), infer_reply, number)


@_protocol.endpoint("GET /v2/")
@_protocol.endpoint("GET /v2", "Get the server's name, version and extensions")
async def open_inference_server(request: ServiceRequest) -> Reply:
    """Return the server's name and version, and the extensions of the protocol that it speaks."""
    return Reply.of(server_metadata(request.service.version))


@_protocol.endpoint("GET /v2/health/live", "Check that the process answers")
async def open_inference_live(_request: ServiceRequest) -> Reply:
    """Always reply 200."""
    return Reply.of({"live": True})


@_protocol.endpoint("GET /v2/health/ready", "Check that requests can be answered")
async def open_inference_ready(request: ServiceRequest) -> Reply:
    """Reply 200 while the network reproduces its golden predictions, else 503."""
    reason = request.service.registry.unready_reason()
    if reason is None:
        return Reply.of({"ready": True, "live": True})
    return Reply.of({"ready": False, "live": True, "error": reason}, status=503)


@_protocol.endpoint(f"GET {_MODEL}/stats")
@_protocol.endpoint("GET /v2/models/stats")  # before _MODEL, which would match it too
async def statistics(request: ServiceRequest) -> Reply:
    """Return the statistics of one version, or of all loaded versions."""
    service = request.service
    number = _version(request, request.path_params.get("model", artifact.NAME))
    return Reply.of(model_statistics(service.registry, service.metrics, number))


@_protocol.endpoint(f"GET {_MODEL}", "Get the model's inputs, outputs and versions")
async def open_inference_model(request: ServiceRequest, model: ModelParameter) -> Reply:
    """Add `/versions/{number}` after the model to get the inputs and outputs of that version."""
    return Reply.of(model_metadata(request.service.registry, _version(request, model)))


@_protocol.endpoint(f"GET {_MODEL}/ready", "Check that the model answers")
async def open_inference_model_ready(request: ServiceRequest, model: ModelParameter) -> Reply:
    """Reply 200 while the model can answer, else 503 with the reason."""
    _version(request, model)
    reason = request.service.registry.unready_reason()
    if reason is None:
        return Reply.of({"name": artifact.NAME, "ready": True})
    return Reply.of({"name": artifact.NAME, "ready": False, "error": reason}, status=503)


@_protocol.endpoint(f"GET {_MODEL}/config")
async def config(request: ServiceRequest, model: ModelParameter) -> Reply:
    """Return Triton's model configuration."""
    service = request.service
    number = _version(request, model)
    return Reply.of(model_config(service.registry, number, service.settings.max_batch))


@_protocol.endpoint("POST /v2/repository/index")
async def index(request: ServiceRequest) -> Reply:
    """Return all versions, or with `{"ready": true}` those that are ready."""
    service = request.service
    with RequestInWork(service.requests, request) as work:  # which needs no model
        body = await read_body(work, SHORT_BODY_BYTES)
    document = parse_json(body, service.settings) if body else {}
    only_ready = document.get("ready", False) if isinstance(document, dict) else None
    if not isinstance(only_ready, bool):
        raise InvalidBody("expected nothing or an object whose 'ready' is true or false, received another JSON value")
    return Reply.of(repository_index(service.registry, only_ready=only_ready))


def no_such_path(scope: Scope) -> NotFound | NotOffered:
    """Return the error for an unknown path: 404, or 501 for an extension of Triton that the service lacks."""
    path = scope["path"]
    if path.startswith(_NOT_OFFERED):
        return NotOffered(f"{path[:80]} is not offered by this server")
    return NotFound(f"there is nothing at {path[:80]!r}; the Open Inference Protocol begins at /v2")


def _version(request: ServiceRequest, model: str) -> int | None:
    """Return the version number in the path, or None for the served version. Raises UnknownModel."""
    return requested_version(request.service.registry, model, request.path_params.get("version", ""))
