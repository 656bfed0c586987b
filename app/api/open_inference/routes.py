"""The Open Inference Protocol V2 over HTTP, which KServe, Triton and MLServer speak.

The protocol is described at https://github.com/kserve/open-inference-protocol, Triton's extensions at
https://github.com/triton-inference-server/server/tree/main/docs/protocol.
"""

from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Scope

from app.api.open_inference.inference import CountedInference, requested_version
from app.api.open_inference.metadata import model_config, model_metadata, repository_index, server_metadata
from app.api.open_inference.reply import HEADER_LENGTH, infer_reply
from app.api.open_inference.request import read_request
from app.api.open_inference.statistics import model_statistics
from app.asgi.route import Reply, ServiceRequest, direct_router
from app.errors import InvalidBody, NotFound, NotOffered
from app.input.body import SHORT_BODY_BYTES, read_body, read_inflated
from app.input.json import parse_json
from app.input.request import RequestInWork
from app.openapi.example_pictures import seven_base64
from app.openapi.protocols import ModelParameter, documented, json_body
from app.openapi.replies import examples
from digits.model import artifact

router = direct_router("Open Inference Protocol")

_MODEL = "/v2/models/{model}"
_VERSION = "/v2/models/{model}/versions/{version}"

_NOT_OFFERED = ("/v2/trace/", "/v2/logging", "/v2/systemsharedmemory", "/v2/cudasharedmemory", "/v2/repository/")
"""Paths of Triton's extensions that its client can request."""

_EXAMPLES = examples("open_inference")


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


_INFER_BODY = json_body(
    {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "inputs": {"type": "array", "minItems": 1, "maxItems": 1, "items": InputTensor.model_json_schema()},
            "id": {"type": "string"},
        },
    },
    {"inputs": [{"name": "features", "shape": [1], "datatype": "BYTES", "data": [seven_base64()]}]},
)


@router.post(f"{_VERSION}/infer", include_in_schema=False)
@router.post(f"{_MODEL}/infer", **documented("Get probabilities", _EXAMPLES, f"POST {_MODEL}/infer", body=_INFER_BODY))
async def open_inference_infer(request: ServiceRequest, model: ModelParameter) -> Reply:
    """Send tensors of pictures, as JSON or with binary data."""
    service = request.service
    number = _version(request, model)
    data_plane = service.data_plane
    with CountedInference(data_plane, number) as counted, service.requests.begin(request) as work:
        header_length = work.headers.get(HEADER_LENGTH, b"")
        parser = partial(read_request, header_length=header_length, settings=service.settings, version=number)
        pictures = counted.read(await read_inflated(work, parser))
        return infer_reply(pictures, counted.answered(await data_plane.infer(pictures)))


@router.get("/v2/", include_in_schema=False)
@router.get("/v2", **documented("Get the server's name, version and extensions", _EXAMPLES, "GET /v2"))
async def open_inference_server(request: ServiceRequest) -> Reply:
    """Return the server's name and version, and the extensions of the protocol that it speaks."""
    return Reply.of(server_metadata(request.service.version))


@router.get("/v2/health/live", **documented("Check that the process answers", _EXAMPLES, "GET /v2/health/live"))
async def open_inference_live(_request: ServiceRequest) -> Reply:
    """Always reply 200."""
    return Reply.of({"live": True})


@router.get("/v2/health/ready", **documented("Check that requests can be answered", _EXAMPLES, "GET /v2/health/ready"))
async def open_inference_ready(request: ServiceRequest) -> Reply:
    """Reply 200 while the network reproduces its golden predictions, else 503."""
    reason = request.service.registry.unready_reason()
    if reason is None:
        return Reply.of({"ready": True, "live": True})
    return Reply.of({"ready": False, "live": True, "error": reason}, status_code=503)


@router.get(f"{_VERSION}/stats", include_in_schema=False)
@router.get(f"{_MODEL}/stats", include_in_schema=False)
@router.get("/v2/models/stats", include_in_schema=False)  # before _MODEL, which would match it too
async def statistics(request: ServiceRequest) -> Reply:
    """Return the statistics of one version, or of all loaded versions."""
    service = request.service
    number = _version(request, request.path_params.get("model", artifact.NAME))
    return Reply.of(model_statistics(service.registry, service.metrics, number))


@router.get(_VERSION, include_in_schema=False)
@router.get(_MODEL, **documented("Get the model's inputs, outputs and versions", _EXAMPLES, f"GET {_MODEL}"))
async def open_inference_model(request: ServiceRequest, model: ModelParameter) -> Reply:
    """Add `/versions/{number}` after the model to get the inputs and outputs of that version."""
    return Reply.of(model_metadata(request.service.registry, _version(request, model)))


@router.get(f"{_VERSION}/ready", include_in_schema=False)
@router.get(f"{_MODEL}/ready", **documented("Check that the model answers", _EXAMPLES, f"GET {_MODEL}/ready"))
async def open_inference_model_ready(request: ServiceRequest, model: ModelParameter) -> Reply:
    """Reply 200 while the model can answer, else 503 with the reason."""
    _version(request, model)
    reason = request.service.registry.unready_reason()
    if reason is None:
        return Reply.of({"name": artifact.NAME, "ready": True})
    return Reply.of({"name": artifact.NAME, "ready": False, "error": reason}, status_code=503)


@router.get(f"{_VERSION}/config", include_in_schema=False)
@router.get(f"{_MODEL}/config", include_in_schema=False)
async def config(request: ServiceRequest, model: ModelParameter) -> Reply:
    """Return Triton's model configuration."""
    service = request.service
    number = _version(request, model)
    return Reply.of(model_config(service.settings.max_batch, service.registry.class_count(number)))


@router.post("/v2/repository/index", include_in_schema=False)
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
