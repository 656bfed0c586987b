"""The service object, `app.state.service`: what endpoints, the server, gRPC and Ray Serve share."""

import asyncio
from dataclasses import dataclass
from typing import Any

from app.asgi.api_keys import ApiKeys
from app.errors import Overloaded
from app.inference.data_plane import DataPlane
from app.inference.model_registry import ModelRegistry
from app.input.request import RequestsInWork
from app.settings import Settings
from app.telemetry.access_log import UNLOGGED
from app.telemetry.accounting import Accounting
from app.telemetry.drift import Drift
from app.telemetry.metrics import Metrics


@dataclass(slots=True)
class Service:
    """The parts of one process."""

    settings: Settings
    version: str
    """The release of this software."""
    data_plane: DataPlane
    accounting: Accounting
    requests: RequestsInWork
    """The requests with pictures that are being answered over HTTP."""
    keys: ApiKeys
    drift: Drift
    """The metrics, with the drift."""
    tracer_provider: Any = None
    """Of the spans, or None if the service sends no traces."""
    grpc_server: Any = None
    """An `app.api.grpc.server.GrpcServer`, or None without gRPC. The application's lifespan starts and stops it."""
    _stopping_calls: "asyncio.Task[None] | None" = None

    @property
    def registry(self) -> ModelRegistry:
        return self.data_plane.registry

    @property
    def metrics(self) -> Metrics:
        return self.data_plane.metrics

    def warnings(self) -> dict[str, list[str]]:
        """Return what the operator should know while it lasts, by what it is about."""
        keys = [] if self.keys.problem is None else [f"a restart would fail: {self.keys.problem}"]
        return {**self.registry.warnings, "keys": keys}

    def update_state(self) -> None:
        """Update the state gauges."""
        ready = self.registry.unready_reason() is None
        manifest = self.registry.served_manifest()
        model = None if manifest is None else (manifest.name, str(manifest.version), manifest.graph)
        classes = 0 if manifest is None else len(manifest.classes)
        self.metrics.set_state(in_progress=self.accounting.in_progress, ready=ready, model=model, classes=classes)

    def check_load(self, path: str) -> None:
        """Raise Overloaded if too many requests are in progress, with this one. Probes and scrapes do not count."""
        if self.accounting.in_progress > self.settings.max_requests and path not in UNLOGGED:
            raise Overloaded(f"{self.settings.max_requests} requests are already in progress; try again later")

    def drain(self) -> None:
        """Report that the service is not ready. It still answers, but stops the gRPC server after `drain_seconds`."""
        self.registry.is_draining = True
        if self.grpc_server is not None:
            asyncio.get_running_loop().call_later(self.settings.drain_seconds, self._stop_calls)

    def _stop_calls(self) -> None:
        self._stopping_calls = asyncio.ensure_future(self.grpc_server.stop())  # the lifespan's `stop` waits for its end
