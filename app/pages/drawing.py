"""The drawing page at `/`. All its files are our own, so that it loads nothing from other hosts."""

import gzip
import hashlib
import re
from collections.abc import Callable, Collection
from functools import cache
from html import escape
from pathlib import Path

from fastapi import FastAPI, Response

from app.asgi import caching
from app.asgi import headers as security_headers
from app.asgi.route import ServiceRequest
from app.errors import nothing_here
from app.pages import template
from app.settings import Settings

FOLDER = Path(__file__).parent / "static"

# Some operating systems call JavaScript text/plain, and a browser then refuses to run it. So the types are fixed here.
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".md": "text/markdown; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".bin": "application/octet-stream",
    ".safetensors": "application/octet-stream",
}

_ACCEPTS_GZIP = re.compile(r"(?i)\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))")
"""Found in an Accept-Encoding that names gzip, unless with a weight of 0."""

_MODULES = ["address", "answer", "api_key", "boxes", "dom", "drawing", "files", "heat", "number", "requests", "verdict"]
"""The modules that the page needs at once, which the browser loads together."""

_DIGITS = "index.html"
_OWN_CLASSES = "own-classes.html"  # the page that is shown when the model recognizes other things than digits


@cache
def digest() -> str:
    """Return a name for the current content of all files, which changes with each of them.

    Links to the files contain it, so that browsers may keep these files for ever. Modules import each other by relative
    URLs, and so find the same content.
    """
    content = b"".join(file.name.encode() + b"\0" + file.read_bytes() for file in sorted(FOLDER.iterdir()))
    return hashlib.sha256(content).hexdigest()[:12]


def install(app: FastAPI, settings: Settings) -> None:
    """Add the page and its files."""

    def render(sentence: str = "Draw a digit or a number. The answer appears here.", classes: str = "") -> str:
        return template.fill(
            "index",
            # A proxy that strips its prefix shows /digits and /digits/ as /. The base makes URLs work for both.
            base=f'\n<base href="{settings.root_path}/">' if settings.root_path else "",
            head=template.fill("head", root="", digest=digest(), style="drawing"),
            preloads="\n".join(f'<link rel="modulepreload" href="page/{digest()}/{name}.js">' for name in _MODULES),
            digest=digest(),
            classes=classes,
            links=template.links(settings, docs=True),
            api='<a href="docs">API</a>' if settings.docs else "API",
            sentence=sentence,
            access_form=template.fill("access_form"),
        )

    contents = {file.name: file.read_bytes() for file in FOLDER.iterdir()}
    contents[_DIGITS] = render().encode()
    # The page's scripts find the attribute and do not speak of digits.
    contents[_OWN_CLASSES] = render(classes=' data-classes="own"').encode()
    secured = security_headers.drawing_page(base=bool(settings.root_path))
    reply = file_replies(contents, contents.__getitem__)
    current = digest()

    @app.get("/", include_in_schema=False)
    async def page(request: ServiceRequest) -> Response:
        """Return the page. All its URLs are relative, so that they work below any path prefix of a proxy."""
        registry = request.service.registry
        if not registry.started:
            sentence = f"The service has no model: {escape(registry.unready_reason() or '')}."
            return Response(render(sentence), headers=secured, media_type="text/html")
        return reply(request, _OWN_CLASSES if registry.classifier.class_names else _DIGITS, secured)

    @app.get("/page/{digest}/{name}", include_in_schema=False)
    async def file(request: ServiceRequest, digest: str, name: str) -> Response:
        """Return a style sheet, script or picture of the page. A page of another release gets the current content."""
        if not digest.isalnum():
            raise nothing_here(request.scope)
        kept = caching.FOREVER if digest == current else {}
        return reply(request, name, security_headers.PAGE_FILE | kept)

    @app.get("/page/{name}", include_in_schema=False)
    async def unversioned_file(request: ServiceRequest, name: str) -> Response:
        return reply(request, name, security_headers.PAGE_FILE)


def file_replies(names: Collection[str], read: Callable[[str], bytes]) -> Callable[..., Response]:
    """Return a function that replies with one of some files, or that the client has it already.

    Each is read, and compressed for clients that accept it, when it is first asked for.
    """

    @cache
    def encodings(name: str) -> tuple[tuple[bytes, dict[str, str]], ...]:
        """Return a file and its headers for clients without and with gzip. Pictures are compressed already."""
        content, media_type = read(name), _TYPES[Path(name).suffix]
        is_text = media_type.startswith("text/")
        headers = {"Content-Type": media_type} | ({"Vary": "Accept-Encoding"} if is_text else {})
        plain = content, headers | caching.headers_of(content)
        if not is_text:
            return plain, plain
        compressed = gzip.compress(content, mtime=0)  # without a time, so that all replicas send the same bytes
        return plain, (compressed, headers | caching.headers_of(compressed) | {"Content-Encoding": "gzip"})

    def reply(request: ServiceRequest, name: str, more: dict[str, str] | None = None) -> Response:
        if name not in names:
            raise nothing_here(request.scope)
        content, headers = encodings(name)[bool(_ACCEPTS_GZIP.search(request.headers.get("accept-encoding", "")))]
        headers = headers | (more or {})
        return caching.unchanged(request, headers) or Response(content, headers=headers)

    return reply
