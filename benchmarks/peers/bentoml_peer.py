"""BentoML with its adaptive batching: `bentoml serve benchmarks.peers.bentoml_peer:Digits --port PORT`."""

from pathlib import Path
from typing import Annotated, Any

import bentoml  # type: ignore[import-not-found]
import numpy as np
import onnxruntime
from bentoml.validators import DType, Shape  # type: ignore[import-not-found]


@bentoml.service(logging={"access": {"enabled": False}}, metrics={"enabled": False})
class Digits:
    """Recognize digits."""

    def __init__(self) -> None:
        """Load the model."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        newest = max(Path(__file__).parents[2].glob("models/mnist-dense/[1-9]*"), key=lambda folder: int(folder.name))
        self.session = onnxruntime.InferenceSession(newest / "model.onnx", options, providers=["CPUExecutionProvider"])

    # `async` computes the batch on the event loop instead of a thread. BentoML learns how long to wait for a batch, and
    # replies 503 above `max_latency_ms`, which happened with 100 ms.
    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=1000)  # type: ignore[untyped-decorator]
    async def predict(
        self, pixels: Annotated[np.ndarray, Shape((-1, 28, 28)), DType("float32")]
    ) -> list[dict[str, Any]]:
        """Recognize a batch, which BentoML joins from the lists of several requests."""
        probabilities = self.session.run(["probabilities"], {"features": pixels.reshape(-1, 784) / 255})[0]
        return [{"digit": int(row.argmax()), "probabilities": row.tolist()} for row in probabilities]
