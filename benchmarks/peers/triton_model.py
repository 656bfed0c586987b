"""The model of `triton_peer.py`, for Triton's Python backend."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton  # type: ignore[import-not-found]


class TritonPythonModel:
    """Recognize digits."""

    def initialize(self, args: dict[str, str]) -> None:  # noqa: ARG002
        """Load the model. Triton has a link to this file."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        folder = Path(__file__).resolve().parents[2]
        newest = max(folder.glob("models/mnist-dense/[1-9]*"), key=lambda folder: int(folder.name))
        self.session = onnxruntime.InferenceSession(newest / "model.onnx", options, providers=["CPUExecutionProvider"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer all requests of a batch with one forward pass."""
        pixels = [triton.get_input_tensor_by_name(request, "pixels").as_numpy() for request in requests]
        features = np.divide(np.concatenate(pixels), 255, dtype=np.float32)
        probabilities = self.session.run(["probabilities"], {"features": features})[0]
        digits = probabilities.argmax(axis=1)[:, None]
        responses, start = [], 0
        for each in pixels:
            rows = slice(start, start := start + len(each))
            tensors = [triton.Tensor("probabilities", probabilities[rows]), triton.Tensor("digit", digits[rows])]
            responses.append(triton.InferenceResponse(tensors))
        return responses
