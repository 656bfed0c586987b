"""The usual template, done well: FastAPI, a pydantic model in and out, one forward pass of ONNX Runtime a request."""

from pathlib import Path

import numpy as np
import onnxruntime
from fastapi import FastAPI

from benchmarks.peers.messages import Picture, Prediction

_options = onnxruntime.SessionOptions()
_options.intra_op_num_threads = 1
_session = onnxruntime.InferenceSession(
    Path(__file__).parents[2] / "models/mnist-dense/1/model.onnx", _options, providers=["CPUExecutionProvider"]
)
app = FastAPI()
async_app = FastAPI()


@app.post("/predict")
def predict(picture: Picture) -> Prediction:
    """Which digit is it? As FastAPI's documentation has it for what computes: `def`, in a thread."""
    features = np.array([picture.pixels], dtype=np.float32) / 255
    probabilities = _session.run(["probabilities"], {"features": features})[0][0]
    digit = int(probabilities.argmax())
    return Prediction(digit=digit, probability=probabilities[digit], probabilities=probabilities.tolist())


@async_app.post("/predict")
async def predict_on_the_loop(picture: Picture) -> Prediction:
    """The same by who knows that one forward pass is shorter than the hand-over to a thread."""
    return predict(picture)
