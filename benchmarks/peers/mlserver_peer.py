"""MLServer with the same network: `python benchmarks/peers/mlserver_peer.py HTTP_PORT GRPC_PORT`."""

import asyncio
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from mlserver import MLModel, MLServer, ModelSettings, Settings  # type: ignore[import-not-found]
from mlserver.codecs import NumpyCodec  # type: ignore[import-not-found]
from mlserver.types import InferenceRequest, InferenceResponse  # type: ignore[import-not-found]


class Digits(MLModel):  # type: ignore[misc]
    """Recognize digits."""

    async def load(self) -> bool:
        """Load the model."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        newest = max(Path(__file__).parents[2].glob("models/mnist-dense/[1-9]*"), key=lambda folder: int(folder.name))
        self.session = onnxruntime.InferenceSession(newest / "model.onnx", options, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Return the probabilities and digits of one request."""
        features = NumpyCodec.decode_input(payload.inputs[0])
        probabilities = self.session.run(["probabilities"], {"features": features})[0]
        outputs = [
            NumpyCodec.encode_output("probabilities", probabilities),
            NumpyCodec.encode_output("digit", probabilities.argmax(axis=1).astype(np.int64)),
        ]
        return InferenceResponse(model_name=self.name, outputs=outputs)


if __name__ == "__main__":
    http_port, grpc_port = map(int, sys.argv[1:])
    settings = Settings(
        host="127.0.0.1",
        http_port=http_port,
        grpc_port=grpc_port,
        parallel_workers=0,  # the model runs in the server's process, as ours does
        metrics_endpoint=None,
    )
    # Its adaptive batching is left off, which is the default.
    models = [ModelSettings(name="mnist-dense", implementation="mlserver_peer.Digits")]
    asyncio.run(MLServer(settings).start(models))
