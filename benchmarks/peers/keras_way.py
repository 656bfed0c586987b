"""The Keras way: FastAPI and `model.predict` for each request, as in most tutorials."""

from pathlib import Path

import keras
import numpy as np
from fastapi import FastAPI

from benchmarks.peers.messages import Picture, Prediction

_newest = max(Path(__file__).parents[2].glob("models/mnist-dense/[1-9]*"), key=lambda folder: int(folder.name))
_model = keras.saving.load_model(_newest / "model.keras")
app = FastAPI()


@app.post("/predict")
def predict(picture: Picture) -> Prediction:
    """Recognize a digit."""
    features = np.array(picture.pixels, dtype=np.float32).reshape(1, 784) / 255
    probabilities = _model.predict(features, verbose=0)[0]
    digit = int(probabilities.argmax())
    return Prediction(digit=digit, probability=probabilities[digit], probabilities=probabilities.tolist())
