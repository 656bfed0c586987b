"""TensorFlow Serving's REST API and KServe's V1 protocol.

The REST API is described at https://www.tensorflow.org/tfx/serving/api_rest. The file http_rest_api_handler.cc of
https://github.com/tensorflow/serving has its regular expressions.
"""

from functools import partial
from typing import Any

from starlette.types import Scope

from app.api.protocol import ModelParameter, Protocol
from app.api.tensorflow_serving import schemas
from app.api.tensorflow_serving.request import Verb, read_request
from app.api.tensorflow_serving.status import ModelPath, loaded_version, model_metadata, model_status
from app.asgi.route import ANY_METHOD, Reply, ServiceRequest
from app.errors import NotFound, WrongMethod
from app.inference.batching import Inference
from app.input.body import read_inflated
from app.telemetry.access_log import REQUEST
from digits.model import artifact

_protocol = Protocol("TensorFlow Serving", "tensorflow_serving", "/versions/{version}", "/labels/{label}")

router = _protocol.router

_MODEL = "/v1/models/{model}"

_PROBABILITIES = schemas.RowProbabilities | schemas.ColumnProbabilities


@_protocol.endpoint(f"POST {_MODEL}:predict", "Get probabilities", _PROBABILITIES, schemas.PREDICT_BODY)
async def tensorflow_serving_predict(request: ServiceRequest, model: ModelParameter) -> Reply:
    """Send rows (`instances`) or a column (`inputs`) of pictures.

    Add `/versions/{number}` or `/labels/{label}` after the model to request that version.
    """
    return await _infer(request, model, "predict")


@_protocol.endpoint(
    f"POST {_MODEL}:classify", "Get each label with its probability", schemas.LabelProbabilities, schemas.CLASSIFY_BODY
)
async def tensorflow_serving_classify(request: ServiceRequest, model: ModelParameter) -> Reply:
    """Add `/versions/{number}` or `/labels/{label}` after the model to request that version."""
    return await _infer(request, model, "classify")


@_protocol.endpoint(f"POST {_MODEL}:regress")
async def regress(request: ServiceRequest, model: ModelParameter) -> Reply:
    """Refuse the request in TensorFlow Serving's words, because the model has no regression signature."""
    return await _infer(request, model, "regress")


# Without this route, `model:verb` would be the name of a model.
@router.api_route("/v1/models/{rest:path}:{verb}", methods=ANY_METHOD, include_in_schema=False)
async def other_verb(request: ServiceRequest, verb: str) -> Reply:
    """Answer with 404, or with 405 if only the method is wrong."""
    if verb in ("predict", "classify", "regress") and request.method != "POST":
        raise WrongMethod(request.method, "POST")
    request.scope[REQUEST].route = None  # the metrics count unknown paths together
    raise no_such_path(request.scope)


@_protocol.endpoint("GET /v1/models", "List the models")
async def tensorflow_serving_models(_request: ServiceRequest) -> Reply:
    """There is one model. KServe's clients call this path."""
    return Reply.of({"models": [artifact.NAME]})


@_protocol.endpoint(f"GET {_MODEL}", "Get the states of the versions")
async def tensorflow_serving_status(request: ServiceRequest, model: ModelParameter) -> Reply:
    """The status is 503 when no version is ready.

    Add `/versions/{number}` or `/labels/{label}` after the model to request that version.
    """
    # TensorFlow Serving replies 200 in every state, and its clients read the state. KServe's probes read the HTTP
    # status only: with 200 they would send traffic to a model that cannot answer. 503 suits both.
    status = model_status(request.service.registry, _model_path(request, model))
    return Reply.of(status, status=200 if status["ready"] else 503)


@_protocol.endpoint(f"GET {_MODEL}/metadata", "Get the model's inputs and outputs")
async def tensorflow_serving_metadata(request: ServiceRequest, model: ModelParameter) -> Reply:
    """Add `/versions/{number}` or `/labels/{label}` after the model to request that version."""
    registry = request.service.registry
    number = loaded_version(registry, _model_path(request, model)) or registry.classifier.manifest.version
    return Reply.of(model_metadata(number, len(registry.version(number).manifest.classes)))


def no_such_path(scope: Scope) -> NotFound:
    request = f"{scope['method']} {scope['path'][:80]}"
    return NotFound(f"Malformed request: {request}; there is nothing at this path, expected /v1/models/{artifact.NAME}")


def predict_reply(key: str, result: Inference) -> Reply:
    """Return an object that maps `key` to the probabilities of each picture, as "results" each with its label."""
    values: Any = result.scores.probabilities
    if key == "results":
        values = [list(zip(result.classifier.manifest.classes, row, strict=True)) for row in values]
    return Reply.of({key: values}, result.classifier.model_id, result.pass_rows)


async def _infer(request: ServiceRequest, model: str, verb: Verb) -> Reply:
    service = request.service
    number = loaded_version(service.registry, _model_path(request, model))
    parser = partial(read_request, verb=verb, settings=service.settings, version=number)
    with service.requests.begin(request) as work:
        pictures = await read_inflated(work, parser)
        return predict_reply(pictures.reply_key, await service.data_plane.infer(pictures))


def _model_path(request: ServiceRequest, model: str) -> ModelPath:
    """Return model, version and label of the path. Raises NotFound if the version is not a number."""
    version = request.path_params.get("version")
    if version is not None and not (version.isascii() and version.isdecimal()):
        raise no_such_path(request.scope)
    return ModelPath(model, version, request.path_params.get("label"))
