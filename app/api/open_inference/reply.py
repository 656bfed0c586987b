"""Write an inference result as an Open Inference Protocol reply."""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.api.open_inference.outputs import output_values
from app.api.open_inference.request import InferRequest, RequestedOutput
from app.asgi.route import JSON, Reply
from app.inference.batching import Inference
from digits.model.predictions import to_json

HEADER_LENGTH = b"inference-header-content-length"


def infer_reply(request: InferRequest, batch: Inference) -> Reply:
    """Return the requested outputs: JSON, followed by the bytes of the outputs that were requested as binary."""
    tensors: list[dict[str, Any]] = []
    binary: list[bytes] = []
    for output in request.outputs:
        tensor = output_tensor(output, batch)
        if output.binary:
            content = to_bytes(tensor.pop("data"))
            tensor["parameters"] = {"binary_data_size": len(content)}
            binary.append(content)
        tensors.append(tensor)
    manifest = batch.classifier.manifest
    header = to_json(
        {"model_name": manifest.name, "model_version": str(manifest.version), "id": request.id, "outputs": tensors}
    )
    headers = ((b"content-type", b"application/octet-stream"), (HEADER_LENGTH, b"%d" % len(header))) if binary else JSON
    return Reply(b"".join((header, *binary)), batch.classifier.model_id, batch.pass_rows, headers=headers)


def output_tensor(output: RequestedOutput, batch: Inference) -> dict[str, Any]:
    """Return an output with its name, datatype and shape, and with its values as `data`, row by row.

    Raises InvalidBody if the version that has answered does not offer the output.
    """
    datatype, values = output_values(output.name, batch)
    if output.classes:
        rows, classes = values.shape
        classes = min(output.classes, classes)
        texts = _most_probable(values, classes, batch.classifier.manifest.classes)
        return {"name": output.name, "datatype": "BYTES", "shape": [rows, classes], "data": texts}
    return {"name": output.name, "datatype": datatype, "shape": [*values.shape], "data": values.reshape(-1)}


def _most_probable(probabilities: NDArray[Any], classes: int, labels: Sequence[str]) -> list[str]:
    """Return the most probable classes of each row in Triton's format, "probability:index:label"."""
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :classes]
    return [
        f"{row[index]:.6g}:{index}:{labels[index]}"
        for row, indices in zip(probabilities, best, strict=True)
        for index in indices
    ]


def to_bytes(data: NDArray[Any] | list[str]) -> bytes:
    """Return a tensor's bytes, little-endian. The length of a text precedes it."""
    if isinstance(data, np.ndarray):
        return data.tobytes()
    return b"".join(struct.pack("<I", len(text)) + text for text in map(str.encode, data))
