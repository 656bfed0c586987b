"""`create_app(settings)`: the only place that ties the parts together."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app import errors
from app.api import health, metrics, model, predict
from app.api.open_inference.routes import OpenInference
from app.api.tensorflow_serving.routes import TensorFlowServing
from app.asgi import middleware
from app.asgi.api_keys import open_paths
from app.asgi.application import Application
from app.inference.model_registry import ModelRegistry
from app.inference.predictor import Predictor
from app.openapi import dialects, schemas
from app.pages import api_docs, drawing
from app.settings import Settings, read_settings
from app.telemetry import logs
from app.telemetry.drift import Drift
from app.telemetry.metrics import Metrics
from app.telemetry.tracing import spans_to

VERSION = "0.1.0"


def create_app(settings: Settings | None = None) -> Application:
    """The service as an ASGI application.

    Args:
        settings: None reads them from the environment, as `uvicorn --factory app.main:create_app` wants it.

    Raises:
        SystemExit: a setting in the environment is bad.
    """
    settings = settings or read_settings()
    logs.configure()
    counts = Metrics()
    registry = ModelRegistry(
        settings.model_dir,
        settings.model_version,
        beside=settings.model_versions,
        labels=dict(settings.model_labels),
        on_load=counts.loaded,
    )
    predictor = Predictor(settings, registry, counts)
    spans = spans_to(str(settings.traces_endpoint)) if settings.traces_endpoint else None
    drift = Drift(counts, served=lambda: registry.classifier.manifest if registry.started else None)

    @asynccontextmanager
    async def lifespan(app: Application) -> AsyncIterator[None]:
        registry.look()
        # What is here now stays: the garbage collector need not look at it again and again, which takes 40 ms a time.
        gc.collect()
        gc.freeze()
        background = [
            asyncio.create_task(registry.keep_looking(settings.reload_seconds)),
            asyncio.create_task(predictor.warm()),
            asyncio.create_task(_keep_stating(app, registry)),
            asyncio.create_task(drift.keep_looking()),
        ]
        yield
        for task in background:
            task.cancel()
        if spans is not None:
            await asyncio.to_thread(spans.close)

    app = Application(
        metrics=counts,
        max_requests=settings.max_requests,
        title="Digits",
        version=VERSION,
        description=schemas.DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
        openapi_url="/openapi.json" if settings.docs else None,
        servers=[{"url": settings.root_path}] if settings.root_path else None,
        # FastAPI would look for a configured OpenTelemetry at each request, which takes 4 us.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.record = spans.record if spans is not None else None
    app.state.registry = registry
    app.state.drift = drift
    tensorflow_serving = TensorFlowServing(settings, registry, predictor)
    app.hot = {
        ("POST", "/predict"): predict.Predict(settings, registry, predictor),
        ("POST", "/invocations"): tensorflow_serving.invocations,
    }
    app.dialects = {
        "v1": tensorflow_serving,
        "v2": OpenInference(settings, registry, predictor, counts, VERSION),
    }
    errors.install(app)
    if settings.docs:
        api_docs.install(app)
    drawing.install(app, settings)
    for routes in (predict, dialects, model, health, metrics):
        app.include_router(routes.router)
    schemas.install(app, without_key=open_paths(settings) if settings.api_keys else None)
    app.guarded = middleware.around(app.answer, settings, counts)
    return app


async def _keep_stating(app: Application, registry: ModelRegistry) -> None:
    """Say once a second, to whom it is for to count, how things are."""
    while True:
        ready = registry.unready_reason() is None
        model = None
        if registry.started:
            manifest = registry.classifier.manifest
            model = manifest.name, str(manifest.version)
        app.metrics.state(in_work=app.in_work, ready=ready, model=model)
        await asyncio.sleep(1)
