"""Describe the server, the model and its versions as the Open Inference Protocol and Triton do."""

from typing import Any

from app.api.open_inference.request import DIGIT, PROBABILITIES
from app.api.open_inference.tensors import INPUT
from app.inference.model_registry import ModelRegistry
from digits.features import FEATURES
from digits.model import artifact

_EXTENSIONS = ["binary_tensor_data", "classification", "model_repository", "parameters", "statistics"]


def server_metadata(version: str) -> dict[str, Any]:
    return {"name": "digits", "version": version, "extensions": _EXTENSIONS}


def model_metadata(registry: ModelRegistry, number: int | None) -> dict[str, Any]:
    """Return the model's loaded versions, and the inputs and outputs of one version. None means the served one."""
    return {
        "name": artifact.NAME,
        "versions": [str(version) for version in registry.loaded()],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": INPUT, "datatype": "FP32", "shape": [-1, FEATURES]}],
        "outputs": [
            {"name": PROBABILITIES, "datatype": "FP32", "shape": [-1, registry.class_count(number)]},
            {"name": DIGIT, "datatype": "INT64", "shape": [-1]},
        ],
    }


def model_config(max_batch: int, classes: int) -> dict[str, Any]:
    """Return Triton's model configuration. Triton's client reads the maximum batch size from it."""
    return {
        "name": artifact.NAME,
        "platform": "onnxruntime_onnx",
        "backend": "onnxruntime",
        "max_batch_size": max_batch,
        "input": [{"name": INPUT, "data_type": "TYPE_FP32", "dims": [FEATURES]}],
        "output": [
            {"name": PROBABILITIES, "data_type": "TYPE_FP32", "dims": [classes]},
            {"name": DIGIT, "data_type": "TYPE_INT64", "dims": []},
        ],
        "dynamic_batching": {},
    }


def repository_index(registry: ModelRegistry, *, only_ready: bool) -> list[dict[str, Any]]:
    """Return all versions or those that are ready, highest first. A loaded one is READY even without its folder."""
    loaded = registry.loaded()
    # A published version hides a shipped one of the same number, and comes before it in `versions()`.
    reasons = {known.version: known.reason or "" for known in reversed(registry.versions())}
    return [
        {
            "name": artifact.NAME,
            "version": str(version),
            "state": "READY" if version in loaded else "UNAVAILABLE",
            "reason": reasons.get(version, ""),
        }
        for version in sorted({*loaded} if only_ready else {*reasons, *loaded}, reverse=True)
    ]
