"""The state of the service: probes for orchestrators, a summary for people, and metrics for Prometheus."""

from itertools import chain
from typing import Any

import orjson
from anyio.to_thread import run_sync
from fastapi import Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from app.asgi.route import ServiceRequest, direct_router
from app.errors import RETRY_SECONDS
from app.openapi.replies import RETRY_AFTER, example, examples
from app.openapi.schemas import Health, State

router = direct_router("Health")

_EXAMPLES = examples("health")


def _documented(summary: str, name: str, unready: str = "", model: type = State) -> dict[str, Any]:
    """Return the options that document a probe, with the description of its 503 reply if it has one."""
    replies: dict[int, Any] = {200: example(_EXAMPLES[name])}
    if unready:
        not_ready = example(_EXAMPLES[f"{name} 503"])
        replies[503] = {"model": model, "description": unready, "headers": RETRY_AFTER, **not_ready}
    return {"summary": summary, "response_model": model, "responses": replies}


@router.get("/livez", **_documented("Check that the process answers", "livez"))
async def livez(_request: ServiceRequest) -> Response:
    """Always reply 200. Restart the process when this probe fails."""
    return _reply(200, {"status": "alive"})


@router.get("/startupz", **_documented("Check that the first model is loaded", "startupz", "No model is loaded yet"))
async def startupz(request: ServiceRequest) -> Response:
    """Reply 200 once a model has been loaded, else 503."""
    if request.service.registry.started:
        return _reply(200, {"status": "started"})
    return _reply(503, {"status": "starting"})


@router.get("/readyz", **_documented("Check that requests can be answered", "readyz", "Not ready, with the reason"))
async def readyz(request: ServiceRequest) -> Response:
    """Reply 200 while the network reproduces its golden predictions and the service is not stopping, else 503.

    Each call runs the network on the golden pictures, unless the service is stopping.
    """
    reason = request.service.registry.unready_reason()
    return _reply(200, {"status": "ready"}) if reason is None else _reply(503, {"status": "unready", "reason": reason})


@router.get("/health", **_documented("Get the state of the service", "health", "Not ready", Health))
async def health(request: ServiceRequest) -> Response:
    """Reply with a summary for people and load balancers: 200 when the service is ready, else 503."""
    service = request.service
    reason = service.registry.unready_reason()
    model = service.registry.classifier.model_name if service.registry.started else None
    state = {"status": "ready" if reason is None else "unready", "reason": reason, "model": model}
    more = {"warnings": list(chain.from_iterable(service.warnings().values())), "version": service.version}
    return _reply(200 if reason is None else 503, state | more)


@router.get(
    "/metrics",
    summary="Get metrics for Prometheus",
    response_class=Response,
    responses={
        200: {"description": "Prometheus text format", "content": {"text/plain": {"schema": {"type": "string"}}}}
    },
)
async def metrics(request: ServiceRequest) -> Response:
    """Return counts of requests, forward passes, predictions and refusals, the drift and the state of the service."""
    service = request.service
    service.metrics.flush()
    return Response(await run_sync(generate_latest, service.drift), media_type=CONTENT_TYPE_PLAIN_0_0_4)


def _reply(status: int, state: dict[str, Any]) -> Response:
    headers = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else None
    return Response(orjson.dumps(state), status, headers, "application/json")
