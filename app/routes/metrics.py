"""What Prometheus asks for."""

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response

from app.metrics import CONTENT_TYPE, Metrics

router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    summary="Counts for Prometheus",
    response_class=Response,
    responses={200: {"description": "Text", "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    """Requests, passes, predictions, refusals and the state of all workers, whichever of them is asked."""
    counted: Metrics = request.app.metrics
    return Response(await run_sync(counted.text), media_type=CONTENT_TYPE)
