"""What inference requests of the Open Inference Protocol share over HTTP and gRPC: the version, and the metrics."""

import time
from typing import Self

from app.api.open_inference.request import InferRequest
from app.errors import UnknownModel
from app.inference.data_plane import DataPlane, Inference
from app.inference.model_registry import ModelRegistry
from digits.errors import DigitsError
from digits.model import artifact


def requested_version(registry: ModelRegistry, model: str, version: str) -> int | None:
    """Return the number of a loaded version, or None for the served one if `version` is "". Raises UnknownModel."""
    if model != artifact.NAME:
        raise UnknownModel(f"expected the model {artifact.NAME!r}, received {model[:40]!r}")
    if not version:
        return None
    if not (version.isascii() and version.isdecimal()) or len(version) > 9:
        raise UnknownModel(f"expected a version number, received {version[:20]!r}")
    return registry.version(int(version)).manifest.version


class CountedInference:
    """Counts one inference request, and how long its steps take. Use it as a context manager around them.

    A request that names no loaded version is not counted, because failures are counted by version.
    """

    def __init__(self, data_plane: DataPlane, version: int | None = None) -> None:
        self._metrics, self._registry = data_plane.metrics, data_plane.registry
        self._version = version
        self._read_at = self._answered_at = 0.0

    def read(self, request: InferRequest) -> InferRequest:
        """Note that the request is parsed, and return it."""
        self._version, self._read_at = request.version, time.perf_counter()
        return request

    def answered(self, inference: Inference) -> Inference:
        """Note that the pictures are classified, and return their predictions."""
        self._version, self._answered_at = inference.classifier.manifest.version, time.perf_counter()
        return inference

    def __enter__(self) -> Self:
        self._began = time.perf_counter()
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        ended = time.perf_counter()
        if error is None and self._version is not None:
            self._metrics.count_inference(
                self._version,
                success=ended - self._began,
                compute_input=self._read_at - self._began,
                compute_output=ended - self._answered_at,
            )
        elif isinstance(error, DigitsError) and not isinstance(error, UnknownModel) and self._registry.started:
            number = self._version or self._registry.classifier.manifest.version
            self._metrics.count_inference(number, fail=ended - self._began)
