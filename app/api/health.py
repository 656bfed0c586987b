"""Health probes for orchestrators, and one summary for people."""

from enum import Enum
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from app.errors import RETRY_SECONDS
from app.inference.model_registry import ModelRegistry
from app.openapi.example_replies import MODEL
from app.openapi.replies import reply, unready
from app.openapi.schemas import Health, State

router = APIRouter()

_TAGS: list[str | Enum] = ["Health"]

_ALIVE, _STARTED, _STARTING, _READY = ({"status": status} for status in ("alive", "started", "starting", "ready"))

# Examples for the API documentation.
_UNREADY = {"status": "unready", "reason": "the model has not been loaded yet"}
_HEALTHY = {"status": "ready", "reason": None, "model": MODEL, "version": "0.1.0"}
_UNHEALTHY = _UNREADY | {"model": None, "version": "0.1.0"}


@router.get("/livez", tags=_TAGS, summary="Check that the process answers", responses={200: reply(State, _ALIVE)})
async def livez() -> Response:
    """Always reply 200. Restart the process when this probe fails."""
    return _reply(200, _ALIVE)


@router.get(
    "/startupz",
    tags=_TAGS,
    summary="Check that the first model is loaded",
    responses={200: reply(State, _STARTED), 503: unready("No model is loaded yet", _STARTING)},
)
async def startupz(request: Request) -> Response:
    """Reply 200 once a model has been loaded, else 503."""
    registry: ModelRegistry = request.app.state.registry
    return _reply(200, _STARTED) if registry.started else _reply(503, _STARTING)


@router.get(
    "/readyz",
    tags=_TAGS,
    summary="Check that requests can be answered",
    responses={200: reply(State, _READY), 503: unready("Not ready, with the reason", _UNREADY)},
)
async def readyz(request: Request) -> Response:
    """Reply 200 while the network reproduces its golden predictions. Each call runs the network on them."""
    reason = request.app.state.registry.unready_reason()
    return _reply(200, _READY) if reason is None else _reply(503, {"status": "unready", "reason": reason})


@router.get(
    "/health",
    tags=_TAGS,
    summary="Get the state of the service",
    responses={200: reply(Health, _HEALTHY), 503: unready("Not ready", _UNHEALTHY, Health)},
)
async def health(request: Request) -> Response:
    """Reply with a summary for people and load balancers: 200 when the service is ready, else 503."""
    registry: ModelRegistry = request.app.state.registry
    reason = registry.unready_reason()
    model = None
    if registry.started:
        manifest = registry.classifier.manifest
        model = {"name": manifest.name, "version": manifest.version}
    state = {"status": "ready" if reason is None else "unready", "reason": reason, "model": model}
    return _reply(200 if reason is None else 503, {**state, "version": request.app.version})


@router.get(
    "/ping",
    tags=["SageMaker and MLflow"],
    summary="Check that requests can be answered",
    response_class=PlainTextResponse,
    responses={503: {"description": "Not ready"}},
)
async def ping(request: Request) -> Response:
    """Reply with the status of `/readyz` and an empty line as the body."""
    status = 200 if request.app.state.registry.unready_reason() is None else 503
    return PlainTextResponse("\n", status, {"Retry-After": str(RETRY_SECONDS)} if status == 503 else None)


def _reply(status: int, state: dict[str, Any]) -> Response:
    headers = {"Cache-Control": "no-store"}
    if status == 503:
        headers["Retry-After"] = str(RETRY_SECONDS)
    return Response(orjson.dumps(state), status, headers, "application/json")
