"""Describe the states of the model's versions, and its signature, as TensorFlow Serving and KServe do."""

from typing import Any, NamedTuple

from app.api.tensorflow_serving.elements import INPUT
from app.api.tensorflow_serving.request import SIGNATURE
from app.errors import UnknownModel
from app.inference.model_registry import ModelRegistry
from digits.features import FEATURES
from digits.model import artifact


class ModelPath(NamedTuple):
    """The model that a path names. A path has a version number, a label, or neither."""

    name: str
    version: str | None = None
    label: str | None = None


def loaded_version(registry: ModelRegistry, path: ModelPath) -> int | None:
    """Return the number of the loaded version that the path names, or None. Raises UnknownModel and NoUsableModel."""
    if path.name != artifact.NAME:
        name = path.name[:40]
        wanted = f"Latest({name})" if path.version is None else f"Specific({name}, {path.version[:20]})"
        raise UnknownModel(f"Servable not found for request: {wanted}; {_expected(path)}")
    number = _version_number(registry, path)
    if number is not None:
        try:
            registry.version(number)
        except UnknownModel as exc:
            raise UnknownModel(f"Servable not found for request: Specific({path.name}, {number}); {exc}") from exc
    return number


def model_status(registry: ModelRegistry, path: ModelPath) -> dict[str, Any]:
    """Return one object for two protocols: TensorFlow Serving's version states and KServe's `name` and `ready`.

    Raises UnknownModel, and NoUsableModel for an unknown version if no version is loaded.
    """
    if path.name != artifact.NAME:
        raise UnknownModel(f"Could not find any versions of model {path.name[:40]}; {_expected(path)}")
    number = _version_number(registry, path)
    states = {
        known.version: _state(known.version, "END", "FAILED_PRECONDITION", known.reason or "")
        for known in registry.versions()
        if known.state == "refused"
    }
    # Another thread may load versions meanwhile, so this list is read once.
    available = {loaded: _state(loaded, "AVAILABLE", "OK", "") for loaded in registry.loaded()}
    states |= available
    if number is not None:
        if number not in states:
            registry.require_usable()
            raise UnknownModel(
                f"Could not find version {number} of model {artifact.NAME}; "
                f"loaded versions: {', '.join(map(str, available))}"
            )
        states = {number: states[number]}
    reason = registry.unready_reason()
    ready = reason is None and bool(states.keys() & available.keys())
    highest_first = [state for _, state in sorted(states.items(), reverse=True)]
    status = {"name": artifact.NAME, "ready": ready, "model_version_status": highest_first}
    return status if ready else status | {"error": reason or "the version is not loaded"}


def model_metadata(number: int, classes: int) -> dict[str, Any]:
    """Return the signature of a version. As clients expect, `signature_def` is nested inside `signature_def`."""
    signature = {
        "inputs": {INPUT: _tensor("serving_default_features:0", FEATURES)},
        "outputs": {"probabilities": _tensor("StatefulPartitionedCall:0", classes)},
        "method_name": "tensorflow/serving/predict",
        "defaults": {},
    }
    return {
        "model_spec": {"name": artifact.NAME, "signature_name": "", "version": str(number)},
        "metadata": {"signature_def": {"signature_def": {SIGNATURE: signature}}},
    }


def _version_number(registry: ModelRegistry, path: ModelPath) -> int | None:
    """Return the version number that a path names, or None for the served version. Raises UnknownModel."""
    if path.label is not None:
        try:
            return registry.labelled(path.label)
        except UnknownModel as exc:
            raise UnknownModel(f"Unrecognized servable version label: {path.label[:40]}; {exc}") from exc
    if path.version is None:
        return None
    # int() refuses more than 4300 digits. No version has 20 digits, so a shortened number is unknown too.
    return int(path.version[:20])


def _expected(path: ModelPath) -> str:
    return f"expected the model {artifact.NAME!r}, received {path.name[:40]!r}"


def _state(version: int, state: str, code: str, message: str) -> dict[str, Any]:
    return {"version": str(version), "state": state, "status": {"error_code": code, "error_message": message}}


def _tensor(name: str, size: int) -> dict[str, Any]:
    dimensions = [{"size": str(each), "name": ""} for each in (-1, size)]
    return {"dtype": "DT_FLOAT", "tensor_shape": {"dim": dimensions, "unknown_rank": False}, "name": name}
