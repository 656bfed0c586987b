"""What is known of the served model."""

import orjson
from fastapi import APIRouter, Request, Response

from app.documentation import PROBLEM

router = APIRouter(tags=["model"])


@router.get("/model", summary="The served model's manifest", responses={503: PROBLEM})
async def model(request: Request) -> Response:
    """Name, version, signature, recipe, data set, library versions and metrics, as they were published."""
    return Response(orjson.dumps(request.app.state.serving.classifier.manifest.public()), media_type="application/json")
