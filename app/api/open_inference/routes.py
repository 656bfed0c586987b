"""The paths of the Open Inference Protocol V2 over HTTP, which KServe, Triton and MLServer speak.

The protocol is described at https://github.com/kserve/open-inference-protocol, Triton's extensions at
https://github.com/triton-inference-server/server/tree/main/docs/protocol.
"""

from starlette.routing import Route, Router

from app.api.error_response import error_response
from app.api.open_inference.handlers import OpenInference
from app.asgi.endpoint import ANY_METHOD, Endpoint, Handler
from app.asgi.in_work import RequestsInWork

_MODEL = "/v2/models/{model}"
_VERSION = "/v2/models/{model}/versions/{version}"


def open_inference_router(handlers: OpenInference, in_work: RequestsInWork) -> Router:
    """Return the router of `/v2` and every path below it.

    Routes are tried in order, so the most requested come first.
    """

    def endpoint(by_method: dict[str, Handler]) -> Endpoint:
        return Endpoint(by_method, in_work, error_response)

    def get(path: str, handler: Handler) -> Route:
        return Route(path, endpoint({"GET": handler}))

    def post(path: str, handler: Handler) -> Route:
        return Route(path, endpoint({"POST": handler}))

    return Router(
        [
            post(f"{_MODEL}/infer", handlers.infer),
            post(f"{_VERSION}/infer", handlers.infer),
            get("/v2/health/live", handlers.live),
            get("/v2/health/ready", handlers.ready),
            get(f"{_MODEL}/ready", handlers.model_ready),
            get(f"{_VERSION}/ready", handlers.model_ready),
            get("/v2", handlers.server_metadata),
            get("/v2/", handlers.server_metadata),
            get("/v2/models/stats", handlers.statistics),  # before _MODEL, which would match it too
            get(_MODEL, handlers.model_metadata),
            get(_VERSION, handlers.model_metadata),
            get(f"{_MODEL}/config", handlers.model_config),
            get(f"{_VERSION}/config", handlers.model_config),
            get(f"{_MODEL}/stats", handlers.statistics),
            get(f"{_VERSION}/stats", handlers.statistics),
            post("/v2/repository/index", handlers.repository_index),
        ],
        default=endpoint(dict.fromkeys(ANY_METHOD, handlers.no_such_path)),
        redirect_slashes=False,
    )
