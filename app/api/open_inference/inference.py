"""What inference requests of the Open Inference Protocol share over HTTP and gRPC: the version, and the metrics."""

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.api.open_inference.request import InferRequest
from app.errors import UnknownModel
from app.inference.batching import Inference
from app.inference.data_plane import DataPlane
from app.inference.memory_budget import Reservation
from app.inference.model_registry import ModelRegistry
from digits.errors import DigitsError
from digits.model import artifact

ReplyT = TypeVar("ReplyT")


def requested_version(registry: ModelRegistry, model: str, version: str) -> int | None:
    """Return the number of a loaded version, or None for the served one if `version` is "". Raises UnknownModel."""
    if model != artifact.NAME:
        raise UnknownModel(f"expected the model {artifact.NAME!r}, received {model[:40]!r}")
    if not version:
        return None
    if not (version.isascii() and version.isdecimal()) or len(version) > 9:
        raise UnknownModel(f"expected a version number, received {version[:20]!r}")
    return registry.version(int(version)).manifest.version


async def counted_inference(
    data_plane: DataPlane,
    work: Reservation,
    read: Awaitable[InferRequest],
    render: Callable[[InferRequest, Inference], ReplyT],
    version: int | None = None,
) -> ReplyT:
    """Read, answer and render one request, and count it with the seconds that its steps take.

    A request that names no loaded version is not counted, because failures are counted by version.
    """
    began = time.perf_counter()
    try:
        with work:
            request = await read
            version, read_at = request.version, time.perf_counter()
            inference = await data_plane.infer(request)
            version, answered_at = inference.classifier.manifest.version, time.perf_counter()
            reply = render(request, inference)
    except UnknownModel:
        raise
    except DigitsError:
        version = version or data_plane.registry.classifier.manifest.version
        data_plane.metrics.count_inference(version, fail=time.perf_counter() - began)
        raise
    ended = time.perf_counter()
    data_plane.metrics.count_inference(
        version, success=ended - began, compute_input=read_at - began, compute_output=ended - answered_at
    )
    return reply
