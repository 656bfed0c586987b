"""`create_app(settings)`: the only place that ties the parts together."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app import docs, documentation, errors, logs
from app.batching import Batcher
from app.front import Front
from app.routes import health, model, page, predict
from app.serving import Serving
from app.settings import Settings, read_settings

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
    serving = Serving(settings.model_dir, settings.model_version)
    predicting = predict.Predict(settings, serving, Batcher(serving))

    @asynccontextmanager
    async def lifespan(_app: Front) -> AsyncIterator[None]:
        serving.look()
        # What is here now stays: the garbage collector need not look at it again and again, which takes 40 ms a time.
        gc.collect()
        gc.freeze()
        background = [
            asyncio.create_task(serving.keep_looking(settings.reload_seconds)),
            asyncio.create_task(predicting.warm()),
        ]
        yield
        for task in background:
            task.cancel()

    app = Front(
        title="Digits",
        version=VERSION,
        description=documentation.DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
        # FastAPI would look for a configured OpenTelemetry at each request, which takes 4 us.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.serving = serving
    app.hot = {("POST", "/predict"): predicting}
    errors.install(app)
    docs.install(app)
    for dialect in (predict, model, health, page):
        app.include_router(dialect.router)
    documentation.install(app)
    return app
