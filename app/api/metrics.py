"""`GET /metrics` for Prometheus."""

from anyio.to_thread import run_sync
from fastapi import Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from app.asgi.route import ServiceRequest, direct_router

router = direct_router("Health")


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
    text = await run_sync(generate_latest, service.drift)
    return Response(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)
