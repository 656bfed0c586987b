"""Probes for orchestrators, and one page for people."""

from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from app.errors import RETRY_SECONDS
from app.inference.model_registry import ModelRegistry
from app.openapi.schemas import Health, State, unready

router = APIRouter(tags=["health"])


@router.get("/livez", summary="The process answers", responses={200: {"model": State}})
async def livez() -> Response:
    """200 as long as the process answers at all; restart it when it does not."""
    return _reply(200, {"status": "alive"})


@router.get(
    "/startupz", summary="The first model was loaded", responses={200: {"model": State}, 503: unready("Not yet")}
)
async def startupz(request: Request) -> Response:
    """200 once a model was loaded."""
    registry: ModelRegistry = request.app.state.registry
    return _reply(200, {"status": "started"}) if registry.started else _reply(503, {"status": "starting"})


@router.get(
    "/readyz",
    summary="Requests can be answered",
    responses={200: {"model": State}, 503: unready("No, with the reason")},
)
async def readyz(request: Request) -> Response:
    """200 only while the golden predictions come out right: the network is run on them, now."""
    reason = request.app.state.registry.unready_reason()
    return _reply(200, {"status": "ready"}) if reason is None else _reply(503, {"status": "unready", "reason": reason})


@router.get(
    "/health",
    summary="All of it on one page",
    responses={200: {"model": Health}, 503: unready("Not ready", Health)},
)
async def health(request: Request) -> Response:
    """The state of the service for people and load balancers; 200 when it is ready, else 503."""
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
    summary="Requests can be answered, for SageMaker and MLflow",
    response_class=PlainTextResponse,
    responses={503: {"description": "No"}},
)
async def ping(request: Request) -> Response:
    """As `/readyz`, with an empty line."""
    status = 200 if request.app.state.registry.unready_reason() is None else 503
    return PlainTextResponse("\n", status, {"Retry-After": str(RETRY_SECONDS)} if status == 503 else None)


def _reply(status: int, state: dict[str, Any]) -> Response:
    headers = {"Cache-Control": "no-store"}
    if status == 503:
        headers["Retry-After"] = str(RETRY_SECONDS)
    return Response(orjson.dumps(state), status, headers, "application/json")
