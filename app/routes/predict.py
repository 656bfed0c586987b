"""Our own dialect: `POST /predict`."""

from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from app.bodies import read_features
from app.documentation import PREDICT
from digits.features import Floats

router = APIRouter(tags=["predict"])


@router.post("/predict", **PREDICT)
async def predict(request: Request) -> Response:
    """Which digit is it? Pictures of 28x28 pixels, light ink on a dark ground, as MNIST has them."""
    classifier = request.app.state.serving.classifier
    features, single = await read_features(request, request.app.state.settings)
    probabilities = classifier.probabilities(features)
    model = {"name": classifier.manifest.name, "version": classifier.manifest.version}
    predictions = [_prediction(row, model) for row in probabilities]
    return Response(
        # orjson writes a float32 with the fewest digits that read back as the same float32.
        orjson.dumps(predictions[0] if single else {"predictions": predictions}, option=orjson.OPT_SERIALIZE_NUMPY),
        media_type="application/json",
    )


def _prediction(probabilities: Floats, model: dict[str, Any]) -> dict[str, Any]:
    digit = int(probabilities.argmax())
    return {
        "digit": digit,
        "probability": probabilities[digit],
        "probabilities": probabilities,
        "preprocessing": [],
        "model": model,
    }
