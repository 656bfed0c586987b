"""The drawing page at `/`, from files of our own: no outside host is asked for anything."""

from pathlib import Path

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from app.asgi import caching
from app.asgi import headers as security_headers
from app.settings import Settings

FOLDER = Path(__file__).parent / "static"

# Not asked of the operating system: some call JavaScript text/plain, and a browser then refuses the module.
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def install(app: FastAPI, settings: Settings) -> None:
    """Add the page and what it loads."""
    files = {file.name: (file.read_bytes(), _TYPES[file.suffix]) for file in FOLDER.iterdir()}
    html, kind = files["index.html"]
    files["index.html"] = _as_set(html.decode(), settings).encode(), kind
    tags = {name: caching.etag(content) for name, (content, _) in files.items()}
    secured = security_headers.drawing_page(base=bool(settings.root_path))

    def _file(request: Request, name: str) -> Response:
        content, media_type = files[name]
        headers = caching.headers(tags[name]) | secured
        if caching.is_known(request, tags[name]):
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers | {"Content-Type": media_type})

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def page(request: Request) -> Response:
        """The page itself. Whatever it names, it names relative to here, so that it works below a path prefix."""
        return _file(request, "index.html")

    @app.api_route("/page/{name}", methods=["GET", "HEAD"], include_in_schema=False)
    async def part(request: Request, name: str) -> Response:
        """A style sheet, script or picture of the page."""
        if name not in files:
            raise HTTPException(404)
        return _file(request, name)


def _as_set(html: str, settings: Settings) -> str:
    if settings.root_path:
        # So that /digits is as good as /digits/: a proxy that strips its prefix shows both as /.
        html = html.replace("<head>", f'<head>\n<base href="{settings.root_path}/">')
    if not settings.docs:
        link = '<a href="docs">API</a>'
        html = html.replace(f"    {link}\n", "").replace(link, "API")
    return html
