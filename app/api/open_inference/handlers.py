"""Handlers for the Open Inference Protocol and for Triton's extensions of it."""

from functools import partial

from starlette._utils import get_route_path
from starlette.types import Receive, Scope

from app.api.open_inference.inference import Inference
from app.api.open_inference.metadata import model_config, model_metadata, repository_index, server_metadata
from app.api.open_inference.reply import HEADER_LENGTH, infer_reply
from app.api.open_inference.request import read_request
from app.api.open_inference.statistics import model_statistics, samples_of_all_workers
from app.asgi.reply import Reply
from app.errors import NotFound, NotOffered
from app.inference.model_registry import ModelRegistry
from app.settings import Settings
from app.telemetry.metrics import Metrics
from digits import artifact

_NOT_OFFERED = ("/v2/trace/", "/v2/logging", "/v2/systemsharedmemory", "/v2/cudasharedmemory", "/v2/repository/")
"""Paths of Triton's extensions that its client can request."""


class OpenInference:
    """The handlers. All that take a model's path raise UnknownModel if the model or the version is unknown."""

    def __init__(
        self, settings: Settings, registry: ModelRegistry, inference: Inference, *, metrics: Metrics, version: str
    ) -> None:
        """Answer as the service of this version."""
        self._settings = settings
        self._registry = registry
        self._inference = inference
        self._metrics = metrics
        self._version = version

    async def infer(self, scope: Scope, receive: Receive) -> Reply:
        """Classify the pictures of one request.

        Raises:
            UnknownModel, NoUsableModel, Overloaded, and any error of a body or a picture.
        """
        number = self._requested_version(scope)
        header_length = next((value for name, value in scope["headers"] if name == HEADER_LENGTH), b"")
        read = partial(read_request, header_length=header_length, settings=self._settings)
        return await self._inference.infer(scope, receive, read, infer_reply, number)

    async def statistics(self, scope: Scope, _receive: Receive) -> Reply:
        """Return the statistics of one version, or of all loaded versions."""
        number = self._requested_version(scope)
        versions = [number] if number else self._registry.loaded()
        samples = samples_of_all_workers(self._metrics)
        return Reply.of({"model_stats": [model_statistics(version, samples) for version in versions]})

    async def server_metadata(self, _scope: Scope, _receive: Receive) -> Reply:
        """Return the server's name, version and extensions."""
        return Reply.of(server_metadata(self._version))

    async def live(self, _scope: Scope, _receive: Receive) -> Reply:
        """Answer that the process is alive."""
        return Reply.of({"live": True})

    async def ready(self, _scope: Scope, _receive: Receive) -> Reply:
        """Answer with 200 if requests can be answered, else with 503."""
        reason = self._registry.unready_reason()
        if reason is None:
            return Reply.of({"ready": True, "live": True})
        return Reply.of({"ready": False, "live": True, "error": reason}, 503)

    async def model_metadata(self, scope: Scope, _receive: Receive) -> Reply:
        """Return the model's versions, inputs and outputs."""
        return Reply.of(model_metadata(self._registry, self._requested_version(scope)))

    async def model_ready(self, scope: Scope, _receive: Receive) -> Reply:
        """Answer with 200 if the model can answer, else with 503."""
        self._requested_version(scope)
        reason = self._registry.unready_reason()
        if reason is None:
            return Reply.of({"name": artifact.NAME, "ready": True})
        return Reply.of({"name": artifact.NAME, "ready": False, "error": reason}, 503)

    async def model_config(self, scope: Scope, _receive: Receive) -> Reply:
        """Return Triton's model configuration."""
        number = self._requested_version(scope)
        return Reply.of(model_config(self._settings.max_batch, self._registry.class_count(number)))

    async def repository_index(self, _scope: Scope, _receive: Receive) -> Reply:
        """Return all versions and whether they are ready."""
        return Reply.of(repository_index(self._registry))

    async def no_such_path(self, scope: Scope, _receive: Receive) -> Reply:
        """Answer an unknown path with 404, and an extension of Triton that the service lacks with 501.

        Raises:
            NotFound, NotOffered.
        """
        scope["route"] = None  # the metrics count unknown paths together
        path = get_route_path(scope)
        if path.startswith(_NOT_OFFERED):
            raise NotOffered(f"{path[:80]} is not offered by this server")
        raise NotFound(f"there is nothing at {path[:80]!r}; the Open Inference Protocol begins at /v2")

    def _requested_version(self, scope: Scope) -> int | None:
        """Return the version number in the path, or None for the served version. Raises UnknownModel."""
        path = scope["path_params"]
        return self._inference.requested_version(path.get("model", artifact.NAME), path.get("version", ""))
