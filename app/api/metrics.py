"""`GET /metrics` for Prometheus."""

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from prometheus_client import generate_latest
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

router = APIRouter(tags=["Health"])


@router.get(
    "/metrics",
    summary="Get metrics for Prometheus",
    response_class=Response,
    responses={
        200: {"description": "Prometheus text format", "content": {"text/plain": {"schema": {"type": "string"}}}}
    },
)
async def metrics(request: Request) -> Response:
    """Return counts of requests, forward passes, predictions and refusals, the drift and the state of all workers."""
    request.app.state.metrics.flush()
    collector: Collector = request.app.state.drift
    text = await run_sync(generate_latest, collector)
    return Response(text, media_type=CONTENT_TYPE)
