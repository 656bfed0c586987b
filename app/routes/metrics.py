"""What Prometheus asks for."""

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from prometheus_client import generate_latest
from prometheus_client.registry import Collector

from app.front import Front

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
    front: Front = request.app
    told: Collector = front.state.drift
    front.in_work -= 1  # this request is none of those that it is asked about
    try:
        text = await run_sync(generate_latest, told)
    finally:
        front.in_work += 1
    return Response(text, media_type=CONTENT_TYPE)
