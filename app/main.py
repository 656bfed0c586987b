"""`create_app(settings)` ties the parts of the HTTP service together. `app.start` adds the gRPC server."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from app.api import health, model, predict, sagemaker
from app.api.not_found import not_found
from app.api.open_inference import routes as open_inference
from app.api.tensorflow_serving import routes as tensorflow_serving
from app.asgi.api_keys import ApiKeys
from app.asgi.application import Application
from app.asgi.service import Service
from app.inference.data_plane import DataPlane
from app.input.request import RequestsInWork
from app.openapi import document
from app.pages import api_docs, drawing, error_page
from app.server.drain import drain_before_stopping
from app.settings import Settings, read_settings
from app.telemetry import logs, tracing
from app.telemetry.accounting import Accounting
from app.telemetry.drift import KEEP_SECONDS, Drift
from app.telemetry.metrics import Metrics

VERSION = "0.4.0"

_log = logging.getLogger(__name__)


async def every(seconds: float, job: Callable[[], object], *, in_thread: bool = False) -> None:
    """Do a job after each interval, until cancelled. A bug or a lack of memory is logged, and does not end it."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await asyncio.to_thread(job) if in_thread else job()
        except Exception:  # noqa: BLE001 - whatever it is, the next time may go well
            _log.exception("%s failed", job.__qualname__)


def create_app(settings: Settings | None = None) -> Application:
    """Return the service as a FastAPI application.

    Without settings it reads those of the environment, as `uvicorn --factory app.main:create_app` needs. Raises
    SystemExit if a setting in the environment or the file with API keys is not valid.
    """
    settings = settings or read_settings()
    log_format = logs.format_in_use(settings.log_format)
    logs.configure(log_format)
    spans = tracing.provider_for(str(settings.traces_endpoint)) if settings.traces_endpoint else None
    accounting = Accounting(Metrics(), log_format, settings)
    data_plane = DataPlane(settings, accounting.metrics)
    drift = Drift(data_plane.metrics, served=data_plane.registry.served_manifest)
    requests = RequestsInWork(data_plane, settings)
    service = Service(settings, VERSION, data_plane, accounting, requests, ApiKeys(settings), drift, spans)

    service.metrics.watch_warnings(service.warnings)

    @asynccontextmanager
    async def lifespan(_app: object) -> AsyncIterator[None]:
        data_plane.registry.refresh()
        service.update_state()
        drift.collect()
        # These objects live as long as the process. Without this, each full garbage collection takes 40 ms longer.
        gc.collect()
        gc.freeze()
        background = [
            every(settings.reload_seconds, data_plane.registry.refresh, in_thread=True),
            every(settings.reload_seconds, service.keys.refresh, in_thread=True),
            every(10, data_plane.memory_budget.trim, in_thread=True),
            every(KEEP_SECONDS, drift.collect, in_thread=True),
            every(1, service.update_state),
            every(0.1, data_plane.metrics.flush),
            every(0.1, service.requests.look),  # most requests are answered before the first look
        ]
        tasks = [asyncio.create_task(job) for job in background]
        drain_before_stopping(service)
        if service.grpc_server is not None:
            await service.grpc_server.start()
        elif settings.grpc_port is not None:
            _log.warning("gRPC is off: only `digits serve` and `python -m app` open MNIST_GRPC_PORT")
        yield
        if service.grpc_server is not None:
            await service.grpc_server.stop()
        for task in tasks:
            task.cancel()
        data_plane.metrics.flush()
        if spans is not None:
            await asyncio.to_thread(spans.shutdown)

    app = Application(
        service,
        error_page.page,
        title="Digits",
        version=VERSION,
        description=document.DESCRIPTION,
        openapi_url=None,  # and so no pages for it
        lifespan=lifespan,
        servers=[{"url": settings.root_path}] if settings.root_path else None,
        telemetry=tracing.for_fastapi(spans, settings.root_path),
    )
    # `include_router` would take 6 us more for each request, and hide the routes' paths from the metrics.
    for each in (predict, open_inference, tensorflow_serving, sagemaker, model, health):
        app.router.routes.extend(each.router.routes)
    # Routes are tried in order, so requests with pictures come first.
    app.router.routes.sort(key=lambda route: "POST" not in getattr(route, "methods", ()))
    app.router.default = not_found
    if settings.docs:
        api_docs.install(app, settings)
    drawing.install(app, settings)
    return app
