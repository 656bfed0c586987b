"""LitServe with its batching: `python benchmarks/peers/litserve_peer.py PORT`."""

import sys
from pathlib import Path
from typing import Any

import litserve  # type: ignore[import-not-found]
import numpy as np
import onnxruntime


class Digits(litserve.LitAPI):  # type: ignore[misc]
    """Recognize digits."""

    def setup(self, device: str) -> None:  # noqa: ARG002
        """Load the model, once per worker."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        newest = max(Path(__file__).parents[2].glob("models/mnist-dense/[1-9]*"), key=lambda folder: int(folder.name))
        self.session = onnxruntime.InferenceSession(newest / "model.onnx", options, providers=["CPUExecutionProvider"])

    def decode_request(self, request: dict[str, Any]) -> Any:
        """Return the features of one request."""
        return np.array(request["pixels"], dtype=np.float32).reshape(784) / 255

    def predict(self, batch: Any) -> Any:
        """Return the probabilities of a batch. LitServe stacks the features and splits the result."""
        return self.session.run(["probabilities"], {"features": batch})[0]

    def encode_response(self, probabilities: Any) -> dict[str, Any]:
        """Return one reply."""
        return {"digit": int(probabilities.argmax()), "probabilities": probabilities.tolist()}


if __name__ == "__main__":
    # A single client waits for this timeout in each request. With 5 ms, one client got a third of the requests per
    # second, and 64 clients got a quarter more. Without a timeout the worker polls its queue without a pause.
    # `fast_queue` has no effect in this release (LitServe issue 751).
    api = Digits(max_batch_size=64, batch_timeout=0.001)
    server = litserve.LitServer(api, accelerator="cpu", devices=1, workers_per_device=1)
    server.run("127.0.0.1", int(sys.argv[1]), generate_client_file=False, access_log=False)
