"""Our own dialect: `POST /predict`."""

from typing import Annotated, Any, Literal

import numpy as np
import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.bodies import read_digits
from app.documentation import PREDICT
from digits.features import Floats, to_features
from digits.normalize import Mode, Normalized

router = APIRouter(tags=["predict"])


class Options(BaseModel):
    """The query parameters; a misspelt one is refused, not passed over."""

    model_config = ConfigDict(extra="forbid")

    normalize: Annotated[
        Mode,
        Field(
            description="`auto`: a 28x28 picture in MNIST form passes untouched, anything else is brought to it. "
            "`always`: whatever it is. `never`: 28x28 only, as it is, blank pictures too."
        ),
    ] = "auto"
    include: Annotated[
        Literal["pixels"] | None, Field(description="`pixels`: also reply the 28x28 pixels that the network saw.")
    ] = None


@router.post("/predict", **PREDICT)
async def predict(request: Request, options: Annotated[Options, Query()]) -> Response:
    """Which digit is it? Any picture of one digit: drawn, scanned or photographed; dark on light or light on dark."""
    classifier = request.app.state.serving.classifier
    digits, single = await read_digits(request, request.app.state.settings, options.normalize)
    features = np.concatenate([to_features(digit.pixels[None]) for digit in digits])
    probabilities = classifier.probabilities(features)
    model = {"name": classifier.manifest.name, "version": classifier.manifest.version}
    predictions = [
        _prediction(*answered, model, include=options.include) for answered in zip(digits, probabilities, strict=True)
    ]
    return Response(
        # orjson writes a float32 with the fewest digits that read back as the same float32.
        orjson.dumps(predictions[0] if single else {"predictions": predictions}, option=orjson.OPT_SERIALIZE_NUMPY),
        media_type="application/json",
    )


def _prediction(
    digit: Normalized, probabilities: Floats, model: dict[str, Any], *, include: str | None
) -> dict[str, Any]:
    most = int(probabilities.argmax())
    answer = {
        "digit": most,
        "probability": probabilities[most],
        "probabilities": probabilities,
        "preprocessing": digit.steps,
        "model": model,
    }
    if include == "pixels":
        answer["pixels"] = np.rint(to_features(digit.pixels[None]) * 255).astype(np.uint8).reshape(digit.pixels.shape)
    return answer
