"""Swagger UI at `/docs`. The files come from an installed package, so that the page loads nothing from other hosts."""

import importlib.util
import re
from pathlib import Path

from fastapi import FastAPI, Response
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.staticfiles import StaticFiles

from app.asgi import headers as security_headers
from app.openapi.example_pictures import EXAMPLES


def install(app: FastAPI) -> None:
    """Add the page, its files and the example pictures that it links to."""
    package = importlib.util.find_spec("fastapi_offline")
    assert package is not None
    assert package.origin is not None
    # The package is found without an import, because the import would create a second application.
    app.mount("/docs/assets", StaticFiles(directory=Path(package.origin).parent / "static"))
    app.mount("/examples", StaticFiles(directory=EXAMPLES))

    # All URLs are relative, so that they work below any path prefix of a proxy.
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
