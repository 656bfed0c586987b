"""LitServe, with its batching: `python benchmarks/peers/litserve_peer.py PORT`."""

import sys
from pathlib import Path
from typing import Any

import litserve  # type: ignore[import-not-found]
import numpy as np
import onnxruntime


class Digits(litserve.LitAPI):  # type: ignore[misc]
    """A digit's pixels to its probabilities."""

    def setup(self, device: str) -> None:  # noqa: ARG002
        """Load the model, once in the worker."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        model = Path(__file__).parents[2] / "models/mnist-dense/1/model.onnx"
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def decode_request(self, request: dict[str, Any]) -> Any:
        """One request's features."""
        return np.array(request["pixels"], dtype=np.float32) / 255

    def predict(self, batch: Any) -> Any:
        """A batch's probabilities; LitServe stacks the features, and takes the rows apart again."""
        return self.session.run(["probabilities"], {"features": batch})[0]

    def encode_response(self, probabilities: Any) -> dict[str, Any]:
        """One reply."""
        return {"digit": int(probabilities.argmax()), "probabilities": probabilities.tolist()}


if __name__ == "__main__":
    # A single client waits for the timeout at each request, so that 5 ms cost it two thirds of its requests; they gave
    # 64 clients a quarter more. Without a timeout the worker asks its queue without pause. `fast_queue` has no effect
    # in this release (LitServe issue 751).
    api = Digits(max_batch_size=64, batch_timeout=0.001)
    server = litserve.LitServer(api, accelerator="cpu", devices=1, workers_per_device=1)
    server.run("127.0.0.1", int(sys.argv[1]), generate_client_file=False, access_log=False)
