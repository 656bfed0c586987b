"""BentoML, with its adaptive batching: `bentoml serve benchmarks.peers.bentoml_peer:Digits --port PORT`."""

from pathlib import Path
from typing import Annotated, Any

import bentoml  # type: ignore[import-not-found]
import numpy as np
import onnxruntime
from bentoml.validators import DType, Shape  # type: ignore[import-not-found]


@bentoml.service(logging={"access": {"enabled": False}}, metrics={"enabled": False})
class Digits:
    """A digit's pixels to its probabilities."""

    def __init__(self) -> None:
        """Load the model."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        model = Path(__file__).parents[2] / "models/mnist-dense/1/model.onnx"
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    # `async`, so that the batch is computed on the event loop and not handed to a thread. BentoML learns by itself how
    # long to wait; the latency is the one from which on it answers 503, of which 100 ms gave some.
    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=1000)  # type: ignore[untyped-decorator]
    async def predict(self, pixels: Annotated[np.ndarray, Shape((-1, 784)), DType("float32")]) -> list[dict[str, Any]]:
        """Each request's list of pictures is joined with others' to one batch."""
        probabilities = self.session.run(["probabilities"], {"features": pixels / 255})[0]
        return [{"digit": int(row.argmax()), "probabilities": row.tolist()} for row in probabilities]
