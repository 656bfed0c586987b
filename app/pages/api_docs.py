"""Swagger UI at `/docs`, and the OpenAPI document that it shows.

Its files come from an installed package, so that the page loads nothing from other hosts.
"""

from functools import cache
from importlib.metadata import distribution
from pathlib import Path

import orjson
from fastapi import FastAPI, Response

from app.asgi import headers as security_headers
from app.asgi.route import ServiceRequest
from app.openapi.example_pictures import EXAMPLES
from app.pages import template
from app.pages.drawing import digest, file_replies
from app.settings import Settings


def install(app: FastAPI, settings: Settings) -> None:
    """Add the page, its files, the OpenAPI document, and the example pictures that it links to."""
    # The files are found without an import of their package, which would create a second application.
    assets = distribution("fastapi-offline").locate_file("fastapi_offline/static")
    _add_files(app, "/docs/assets", Path(str(assets)))
    _add_files(app, "/examples", EXAMPLES)
    headers = security_headers.api_docs()
    # All URLs are relative, so that they work below any path prefix of a proxy. page/api_docs.js starts Swagger UI.
    page = template.fill("api_docs", digest=digest(), links=template.links(settings))

    @app.get("/docs", include_in_schema=False)
    async def docs(_request: ServiceRequest) -> Response:
        return Response(page, headers=headers, media_type="text/html")

    @cache  # encoding it takes 1 ms of the event loop
    def document() -> bytes:
        return orjson.dumps(app.openapi())

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi(_request: ServiceRequest) -> Response:
        return Response(document(), media_type="application/json")


def _add_files(app: FastAPI, path: str, folder: Path) -> None:
    reply = file_replies({file.name for file in folder.iterdir()}, lambda name: (folder / name).read_bytes())

    @app.get(f"{path}/{{name}}", include_in_schema=False)
    async def file(request: ServiceRequest, name: str) -> Response:
        return reply(request, name)
