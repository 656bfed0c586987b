"""The drawing page at `/`, from files of our own: no outside host is asked for anything."""

from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from app import conditional, security

router = APIRouter(include_in_schema=False)

FOLDER = Path(__file__).parent.parent / "static" / "page"

# Not asked of the operating system: some call JavaScript text/plain, and a browser then refuses the module.
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

_FILES = {file.name: (file.read_bytes(), _TYPES[file.suffix]) for file in FOLDER.iterdir()}
_TAGS = {name: conditional.etag(content) for name, (content, _) in _FILES.items()}

_SECURITY = security.page()


@router.api_route("/", methods=["GET", "HEAD"])
async def page(request: Request) -> Response:
    """The page itself. Whatever it names, it names relative to here, so that it works below a path prefix."""
    return _file(request, "index.html")


@router.api_route("/page/{name}", methods=["GET", "HEAD"])
async def part(request: Request, name: str) -> Response:
    """A style sheet, script or picture of the page."""
    if name not in _FILES:
        raise HTTPException(404)
    return _file(request, name)


def _file(request: Request, name: str) -> Response:
    content, media_type = _FILES[name]
    headers = conditional.headers(_TAGS[name]) | _SECURITY
    if conditional.is_known(request, _TAGS[name]):
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers | {"Content-Type": media_type})
