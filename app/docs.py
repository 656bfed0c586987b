"""Swagger UI at `/docs`, from files of our own environment: no outside host is asked for anything."""

import importlib.util
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.staticfiles import StaticFiles

from app.documentation import EXAMPLES


def install(app: FastAPI) -> None:
    """Add the page, what it loads, and the example pictures that it names."""
    package = importlib.util.find_spec("fastapi_offline")
    assert package is not None
    assert package.origin is not None
    # Only its files: importing the package would make a second application.
    app.mount("/docs/assets", StaticFiles(directory=Path(package.origin).parent / "static"))
    app.mount("/examples", StaticFiles(directory=EXAMPLES))

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        root = request.scope.get("root_path", "")
        return get_swagger_ui_html(
            openapi_url=f"{root}{app.openapi_url}",
            title=app.title,
            swagger_js_url=f"{root}/docs/assets/swagger-ui-bundle.js",
            swagger_css_url=f"{root}/docs/assets/swagger-ui.css",
            swagger_favicon_url=f"{root}/docs/assets/favicon.png",
        )
