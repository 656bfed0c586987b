"""The paths of the Open Inference Protocol V2 over HTTP, which KServe, Triton and MLServer speak.

https://github.com/kserve/open-inference-protocol,
https://github.com/triton-inference-server/server/tree/main/docs/protocol
"""

from starlette.routing import Route, Router

from app.api.open_inference.errors import error_response
from app.api.open_inference.handlers import OpenInference
from app.asgi.endpoint import ANY_METHOD, Endpoint, Handler
from app.asgi.in_work import RequestsInWork

_MODEL = "/v2/models/{model}"
_VERSION = "/v2/models/{model}/versions/{version}"


def open_inference_router(protocol: OpenInference, in_work: RequestsInWork) -> Router:
    """Return the router of `/v2` and every path below it, the most requested path first."""

    def endpoint(handlers: dict[str, Handler]) -> Endpoint:
        return Endpoint(handlers, in_work, error_response)

    def get(path: str, handler: Handler) -> Route:
        return Route(path, endpoint({"GET": handler}))

    def post(path: str, handler: Handler) -> Route:
        return Route(path, endpoint({"POST": handler}))

    return Router(
        [
            post(f"{_MODEL}/infer", protocol.infer),
            post(f"{_VERSION}/infer", protocol.infer),
            get("/v2/health/live", protocol.live),
            get("/v2/health/ready", protocol.ready),
            get(f"{_MODEL}/ready", protocol.model_ready),
            get(f"{_VERSION}/ready", protocol.model_ready),
            get("/v2", protocol.server_metadata),
            get("/v2/", protocol.server_metadata),
            get("/v2/models/stats", protocol.statistics),
            get(_MODEL, protocol.model_metadata),
            get(_VERSION, protocol.model_metadata),
            get(f"{_MODEL}/config", protocol.model_config),
            get(f"{_VERSION}/config", protocol.model_config),
            get(f"{_MODEL}/stats", protocol.statistics),
            get(f"{_VERSION}/stats", protocol.statistics),
            post("/v2/repository/index", protocol.repository_index),
        ],
        default=endpoint(dict.fromkeys(ANY_METHOD, protocol.no_such_path)),
        redirect_slashes=False,
    )
