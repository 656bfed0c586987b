"""Swagger UI at `/docs`, from files of our own environment: no outside host is asked for anything."""

import importlib.util
import re
from pathlib import Path

from fastapi import FastAPI, Response
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.staticfiles import StaticFiles

from app.asgi import headers as security_headers
from app.openapi.example_pictures import EXAMPLES


def install(app: FastAPI) -> None:
    """Add the page, what it loads, and the example pictures that it names."""
    package = importlib.util.find_spec("fastapi_offline")
    assert package is not None
    assert package.origin is not None
    # Only its files: importing the package would make a second application.
    app.mount("/docs/assets", StaticFiles(directory=Path(package.origin).parent / "static"))
    app.mount("/examples", StaticFiles(directory=EXAMPLES))

    # All relative, so that they hold below whatever path prefix a proxy shows them.
    page = get_swagger_ui_html(
        openapi_url=str(app.openapi_url).removeprefix("/"),
        title=app.title,
        swagger_js_url="docs/assets/swagger-ui-bundle.js",
        swagger_css_url="docs/assets/swagger-ui.css",
        swagger_favicon_url="docs/assets/favicon.png",
    ).body
    script = re.findall(r"<script>(.*?)</script>", bytes(page).decode(), re.DOTALL)[0]
    headers = security_headers.api_docs(script)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return Response(page, headers=headers, media_type="text/html")
