"""What Prometheus asks for."""

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response

from app.front import Front
from app.metrics import CONTENT_TYPE

router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    summary="Counts for Prometheus",
    response_class=Response,
    responses={200: {"description": "Text", "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    """Requests, passes, predictions, refusals and the state of all workers, whichever of them is asked."""
    front: Front = request.app
    front.in_work -= 1  # this request is none of those that it is asked about
    try:
        text = await run_sync(front.metrics.text)
    finally:
        front.in_work += 1
    return Response(text, media_type=CONTENT_TYPE)
