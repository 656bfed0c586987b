"""The usual template, well made: FastAPI, pydantic models, and one forward pass of ONNX Runtime for each request."""

from pathlib import Path
from typing import Annotated

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel, Field

_options = onnxruntime.SessionOptions()
_options.intra_op_num_threads = 1
_newest = max(Path(__file__).parents[2].glob("models/mnist-dense/[1-9]*"), key=lambda folder: int(folder.name))
_session = onnxruntime.InferenceSession(_newest / "model.onnx", _options, providers=["CPUExecutionProvider"])
app = FastAPI()

Row = Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=28, max_length=28)]


class Picture(BaseModel):
    """A request: one picture as 28 rows of 28 pixels."""

    pixels: Annotated[list[Row], Field(min_length=28, max_length=28)]


class Prediction(BaseModel):
    """The reply."""

    digit: int
    probability: float
    probabilities: list[float]


@app.post("/predict")
def predict(picture: Picture) -> Prediction:
    """Recognize a digit, in a thread (`def`), as FastAPI's documentation recommends for computations."""
    features = np.array(picture.pixels, dtype=np.float32).reshape(1, 784) / 255
    probabilities = _session.run(["probabilities"], {"features": features})[0][0]
    digit = int(probabilities.argmax())
    return Prediction(digit=digit, probability=probabilities[digit], probabilities=probabilities.tolist())
