"""What Prometheus asks for."""

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from prometheus_client import generate_latest
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    summary="Counts for Prometheus",
    response_class=Response,
    responses={200: {"description": "Text", "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    """Requests, passes, predictions and their drift, refusals and the state of all workers, whichever is asked."""
    told: Collector = request.app.state.drift
    text = await run_sync(generate_latest, told)
    return Response(text, media_type=CONTENT_TYPE)
