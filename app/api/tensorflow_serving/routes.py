"""The paths of TensorFlow Serving's REST API and of KServe's V1 protocol.

The REST API is described at https://www.tensorflow.org/tfx/serving/api_rest. The file http_rest_api_handler.cc of
https://github.com/tensorflow/serving has its regular expressions.
"""

from functools import partial

from starlette.routing import Route, Router

from app.api.error_response import error_response
from app.api.tensorflow_serving.handlers import TensorFlowServing
from app.api.tensorflow_serving.request import Verb
from app.asgi.endpoint import ANY_METHOD, Endpoint, Handler
from app.asgi.in_work import RequestsInWork

_MODEL = "/v1/models/{model}"
_MODEL_PATHS = (_MODEL, f"{_MODEL}/versions/{{version}}", f"{_MODEL}/labels/{{label}}")
"""The served version, a version by number, and a version by label."""

_VERBS: tuple[Verb, ...] = ("predict", "classify", "regress")


def tensorflow_serving_router(handlers: TensorFlowServing, in_work: RequestsInWork) -> Router:
    """Return the router of `/v1` and every path below it.

    Routes are tried in order, so the most requested come first.
    """

    def endpoint(by_method: dict[str, Handler]) -> Endpoint:
        return Endpoint(by_method, in_work, error_response)

    def infer(verb: Verb) -> Endpoint:
        return endpoint({"POST": partial(handlers.infer, verb=verb)})

    no_such_path = endpoint(dict.fromkeys(ANY_METHOD, handlers.no_such_path))
    return Router(
        [
            *(Route(f"{model}:{verb}", infer(verb)) for verb in _VERBS for model in _MODEL_PATHS),
            # Any other verb is unknown. Without this route, `model:verb` would be the name of a model.
            Route("/v1/models/{rest:path}:{verb}", no_such_path),
            *(Route(model, endpoint({"GET": handlers.status})) for model in _MODEL_PATHS),
            *(Route(f"{model}/metadata", endpoint({"GET": handlers.metadata})) for model in _MODEL_PATHS),
            Route("/v1/models", endpoint({"GET": handlers.list_models})),
        ],
        default=no_such_path,
        redirect_slashes=False,
    )
