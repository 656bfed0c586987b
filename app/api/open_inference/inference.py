"""Answer an inference request of the Open Inference Protocol, over HTTP or gRPC, and count how long its steps take."""

import time
from collections.abc import Callable
from typing import TypeVar

from app.api.open_inference.request import InferRequest
from app.errors import UnknownModel
from app.inference.data_plane import DataPlane, Inference, Source
from app.inference.decode_threads import DecodeThreads
from app.inference.memory_budget import Reservation
from app.inference.model_registry import ModelRegistry
from digits.errors import DigitsError
from digits.model import artifact

T = TypeVar("T")


def requested_version(registry: ModelRegistry, model: str, version: str) -> int | None:
    """Return the number of a loaded version, or None for the served one if `version` is "".

    Raises:
        UnknownModel: the model or the version is unknown.
    """
    if model != artifact.NAME:
        raise UnknownModel(f"expected the model {artifact.NAME!r}, received {model[:40]!r}")
    if not version:
        return None
    if not (version.isascii() and version.isdecimal()) or len(version) > 9:
        raise UnknownModel(f"expected a version number, received {version[:20]!r}")
    return registry.version(int(version)).manifest.version


class _NotingVersion:
    """The source of a request, with the version that the request names."""

    def __init__(self, source: Source[InferRequest], version: int | None) -> None:
        self.version = version
        self._source = source
        self.abandoned = source.abandoned

    async def pictures(self, reservation: Reservation, decode_threads: DecodeThreads) -> InferRequest:
        request = await self._source.pictures(reservation, decode_threads)
        self.version = request.version
        return request


async def infer(
    data_plane: DataPlane,
    source: Source[InferRequest],
    render: Callable[[Inference[InferRequest]], T],
    version: int | None = None,
) -> T:
    """Answer one request.

    Args:
        data_plane: classifies the pictures.
        source: the pictures.
        render: returns the reply with the predictions.
        version: the version that the path names. None if only the body may name one.

    Raises:
        UnknownModel, NoUsableModel, Overloaded: no model can answer.
        DigitsError: any error of a body or a picture.
    """
    began = time.perf_counter()
    metrics = data_plane.metrics
    noting = _NotingVersion(source, version)
    try:
        inference = await data_plane.infer(noting)
    except UnknownModel:  # failures are counted by version, and this request names none that is loaded
        raise
    except DigitsError:
        if data_plane.registry.started:
            number = noting.version or data_plane.registry.classifier.manifest.version
            metrics.count_inference(number, fail=time.perf_counter() - began)
        raise
    answered = time.perf_counter()
    reply = render(inference)
    ended = time.perf_counter()
    metrics.count_inference(
        inference.classifier.manifest.version,
        success=ended - began,
        compute_input=inference.parsed_at - began,
        compute_output=ended - answered,
    )
    return reply
