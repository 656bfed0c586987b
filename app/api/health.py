"""Health probes for orchestrators, and one summary for people."""

from itertools import chain
from typing import Any

import orjson
from fastapi import Response

from app.asgi.route import ServiceRequest, direct_router
from app.errors import RETRY_SECONDS
from app.openapi.replies import RETRY_AFTER, example, examples
from app.openapi.schemas import Health, State

router = direct_router("Health")

_EXAMPLES = examples("health")

_ALIVE, _STARTED, _STARTING, _READY = ({"status": status} for status in ("alive", "started", "starting", "ready"))


def _unready(description: str, name: str, model: type = State) -> dict[str, Any]:
    return {"model": model, "description": description, "headers": RETRY_AFTER, **example(_EXAMPLES[name])}


@router.get(
    "/livez",
    summary="Check that the process answers",
    response_model=State,
    responses={200: example(_EXAMPLES["livez"])},
)
async def livez(_request: ServiceRequest) -> Response:
    """Always reply 200. Restart the process when this probe fails."""
    return _reply(200, _ALIVE)


@router.get(
    "/startupz",
    summary="Check that the first model is loaded",
    response_model=State,
    responses={200: example(_EXAMPLES["startupz"]), 503: _unready("No model is loaded yet", "startupz 503")},
)
async def startupz(request: ServiceRequest) -> Response:
    """Reply 200 once a model has been loaded, else 503."""
    return _reply(200, _STARTED) if request.service.registry.started else _reply(503, _STARTING)


@router.get(
    "/readyz",
    summary="Check that requests can be answered",
    response_model=State,
    responses={200: example(_EXAMPLES["readyz"]), 503: _unready("Not ready, with the reason", "readyz 503")},
)
async def readyz(request: ServiceRequest) -> Response:
    """Reply 200 while the network reproduces its golden predictions and the service is not stopping, else 503.

    Each call runs the network on the golden pictures, unless the service is stopping.
    """
    reason = request.service.registry.unready_reason()
    return _reply(200, _READY) if reason is None else _reply(503, {"status": "unready", "reason": reason})


@router.get(
    "/health",
    summary="Get the state of the service",
    response_model=Health,
    responses={200: example(_EXAMPLES["health"]), 503: _unready("Not ready", "health 503", Health)},
)
async def health(request: ServiceRequest) -> Response:
    """Reply with a summary for people and load balancers: 200 when the service is ready, else 503."""
    service = request.service
    reason = service.registry.unready_reason()
    model = service.registry.classifier.model_name if service.registry.started else None
    state = {"status": "ready" if reason is None else "unready", "reason": reason, "model": model}
    more = {"warnings": list(chain.from_iterable(service.warnings().values())), "version": service.version}
    return _reply(200 if reason is None else 503, state | more)


def _reply(status: int, state: dict[str, Any]) -> Response:
    headers = {"Cache-Control": "no-store"}
    if status == 503:
        headers["Retry-After"] = str(RETRY_SECONDS)
    return Response(orjson.dumps(state), status, headers, "application/json")
