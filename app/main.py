"""`create_app(settings)`: the only place that ties the parts together."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app import docs, documentation, errors, guard, logs
from app.drift import Drift
from app.front import Front
from app.inference import Inference
from app.keys import open_paths
from app.metrics import Metrics
from app.routes import dialects, health, metrics, model, page, predict
from app.routes.open_inference import OpenInference
from app.routes.tensorflow_serving import TensorFlowServing
from app.serving import Serving
from app.settings import Settings, read_settings
from app.tracing import spans_to

VERSION = "0.1.0"


def create_app(settings: Settings | None = None) -> Front:
    """The service as an ASGI application.

    Args:
        settings: None reads them from the environment, as `uvicorn --factory app.main:create_app` wants it.

    Raises:
        SystemExit: a setting in the environment is bad.
    """
    settings = settings or read_settings()
    logs.configure()
    counts = Metrics()
    serving = Serving(
        settings.model_dir,
        settings.model_version,
        beside=settings.model_versions,
        labels=dict(settings.model_labels),
        on_load=counts.loaded,
    )
    inference = Inference(settings, serving, counts)
    spans = spans_to(str(settings.traces_endpoint)) if settings.traces_endpoint else None
    drift = Drift(counts, served=lambda: serving.classifier.manifest if serving.started else None)

    @asynccontextmanager
    async def lifespan(app: Front) -> AsyncIterator[None]:
        serving.look()
        # What is here now stays: the garbage collector need not look at it again and again, which takes 40 ms a time.
        gc.collect()
        gc.freeze()
        background = [
            asyncio.create_task(serving.keep_looking(settings.reload_seconds)),
            asyncio.create_task(inference.warm()),
            asyncio.create_task(_keep_stating(app, serving)),
            asyncio.create_task(drift.keep_looking()),
        ]
        yield
        for task in background:
            task.cancel()
        if spans is not None:
            await asyncio.to_thread(spans.close)

    app = Front(
        metrics=counts,
        max_requests=settings.max_requests,
        title="Digits",
        version=VERSION,
        description=documentation.DESCRIPTION,
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
    app.state.serving = serving
    app.state.drift = drift
    tensorflow_serving = TensorFlowServing(settings, serving, inference)
    app.hot = {
        ("POST", "/predict"): predict.Predict(settings, serving, inference),
        ("POST", "/invocations"): tensorflow_serving.invocations,
    }
    app.dialects = {
        "v1": tensorflow_serving,
        "V1": tensorflow_serving,
        "v2": OpenInference(settings, serving, inference, counts, VERSION),
    }
    errors.install(app)
    if settings.docs:
        docs.install(app)
    page.install(app, settings)
    for routes in (predict, dialects, model, health, metrics):
        app.include_router(routes.router)
    documentation.install(app, without_key=open_paths(settings) if settings.api_keys else None)
    app.guarded = guard.around(app.answer, settings, counts)
    return app


async def _keep_stating(app: Front, serving: Serving) -> None:
    """Say once a second, to whom it is for to count, how things are."""
    while True:
        ready = serving.unready_reason() is None
        model = None
        if serving.started:
            manifest = serving.classifier.manifest
            model = manifest.name, str(manifest.version)
        app.metrics.state(in_work=app.in_work, ready=ready, model=model)
        await asyncio.sleep(1)
