"""Describe the server, the model and its versions as the Open Inference Protocol and Triton do."""

from typing import Any

from app.api.open_inference.outputs import outputs_of
from app.api.open_inference.tensors import INPUT
from app.inference.model_registry import ModelRegistry
from digits.features import FEATURES
from digits.model import artifact

_INPUTS: dict[str, list[int]] = {"FP32": [FEATURES], "UINT8": [FEATURES], "BYTES": []}
"""The datatypes in which pictures may be sent, each with the shape for one picture."""

_EXTENSIONS = ["binary_tensor_data", "classification", "model_repository", "parameters", "statistics"]


def server_metadata(version: str) -> dict[str, Any]:
    return {"name": "digits", "version": version, "extensions": _EXTENSIONS}


def model_metadata(registry: ModelRegistry, number: int | None) -> dict[str, Any]:
    """Return the model's loaded versions, and the inputs and outputs of one version. None means the served one.

    The only input is listed once for each datatype.
    """
    return {
        "name": artifact.NAME,
        "versions": [str(version) for version in registry.loaded()],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": INPUT, "datatype": datatype, "shape": [-1, *dims]} for datatype, dims in _INPUTS.items()],
        "outputs": [
            {"name": name, "datatype": datatype, "shape": [-1, *dims]}
            for name, datatype, dims in outputs_of(registry.find(number))
        ],
    }


def model_config(registry: ModelRegistry, number: int | None, max_batch: int) -> dict[str, Any]:
    """Return Triton's model configuration, in which a name is unique, so that the input has one datatype.

    Triton's client reads the maximum batch size from it.
    """
    return {
        "name": artifact.NAME,
        "platform": "onnxruntime_onnx",
        "backend": "onnxruntime",
        "max_batch_size": max_batch,
        "input": [{"name": INPUT, "data_type": "TYPE_FP32", "dims": [FEATURES]}],
        "output": [
            {"name": name, "data_type": f"TYPE_{datatype}", "dims": dims}
            for name, datatype, dims in outputs_of(registry.find(number))
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
