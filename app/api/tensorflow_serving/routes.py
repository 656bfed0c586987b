"""The paths of TensorFlow Serving's REST API and of KServe's first protocol.

https://www.tensorflow.org/tfx/serving/api_rest, http_rest_api_handler.cc of https://github.com/tensorflow/serving
"""

from starlette.routing import Route, Router

from app.api.tensorflow_serving.errors import error_response
from app.api.tensorflow_serving.handlers import TensorFlowServing
from app.asgi.endpoint import ANY_METHOD, Endpoint, Handler
from app.asgi.in_work import RequestsInWork

_MODEL = "/v1/models/{model}"
_MODELS = (_MODEL, f"{_MODEL}/versions/{{version}}", f"{_MODEL}/labels/{{label}}")


def tensorflow_serving_router(protocol: TensorFlowServing, in_work: RequestsInWork) -> Router:
    """Return the router of `/v1` and every path below it, the most requested path first."""

    def endpoint(handlers: dict[str, Handler]) -> Endpoint:
        return Endpoint(handlers, in_work, error_response)

    no_such_path = endpoint(dict.fromkeys(ANY_METHOD, protocol.no_such_path))
    return Router(
        [
            *(Route(f"{model}:predict", endpoint({"POST": protocol.predict})) for model in _MODELS),
            *(Route(f"{model}:classify", endpoint({"POST": protocol.classify})) for model in _MODELS),
            *(Route(f"{model}:regress", endpoint({"POST": protocol.regress})) for model in _MODELS),
            Route("/v1/models/{rest:path}:{verb}", no_such_path),
            *(Route(model, endpoint({"GET": protocol.status})) for model in _MODELS),
            *(Route(f"{model}/metadata", endpoint({"GET": protocol.metadata})) for model in _MODELS),
            Route("/v1/models", endpoint({"GET": protocol.list_models})),
        ],
        default=no_such_path,
        redirect_slashes=False,
    )
