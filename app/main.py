"""`create_app(settings)`: the only place that ties the parts together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from app import docs, documentation, errors, logs
from app.routes import health, model, page, predict
from app.serving import Serving
from app.settings import Settings, read_settings

VERSION = "0.1.0"


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service as an ASGI application.

    Args:
        settings: None reads them from the environment, as `uvicorn --factory app.main:create_app` wants it.

    Raises:
        SystemExit: a setting in the environment is bad.
    """
    settings = settings or read_settings()
    logs.configure()
    serving = Serving(settings.model_dir)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        serving.load()
        looking = asyncio.create_task(serving.keep_looking())
        yield
        looking.cancel()

    app = FastAPI(
        title="Digits",
        version=VERSION,
        description=documentation.DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.settings = settings
    app.state.serving = serving
    errors.install(app)
    docs.install(app)
    for dialect in (predict, model, health, page):
        app.include_router(dialect.router)
    documentation.install(app)
    return app
