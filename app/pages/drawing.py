"""The drawing page at `/`. All its files are our own, so that it loads nothing from other hosts."""

import gzip
import hashlib
import re
from collections.abc import Callable, Collection, Sequence
from functools import cache
from html import escape
from pathlib import Path

from fastapi import FastAPI, Response

from app.asgi import caching
from app.asgi import headers as security_headers
from app.asgi.route import ServiceRequest
from app.errors import nothing_here
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
    ".bin": "application/octet-stream",
    ".safetensors": "application/octet-stream",
}

_ACCEPTS_GZIP = re.compile(r"(?i)\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))")
"""Found in an Accept-Encoding that names gzip, unless with a weight of 0."""

_FIRST_SENTENCE = re.compile(r'(<p id="sentence">)[^<]*')

_HEAD = """<!doctype html>
<html lang="en">
<head>{more}
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="{root}page/favicon.svg" type="image/svg+xml">
{links}
</head>
"""

_CARD_STYLES = ("page/tokens.css", "page/base.css", "page/card.css")

_OWN_CLASSES = "own-classes.html"  # the page that is shown when the model recognizes other things than digits


@cache
def _digest() -> str:
    """Return a name for the current content of all files, which changes with each of them."""
    content = b"".join(file.name.encode() + b"\0" + file.read_bytes() for file in sorted(FOLDER.iterdir()))
    return hashlib.sha256(content).hexdigest()[:12]


def link_to_files(html: str) -> str:
    """Name the current content in all links to the page's files, so that browsers may keep these files for ever.

    Modules import each other by relative URLs, and so find the same content.
    """
    return html.replace("page/", f"page/{_digest()}/")


def head(title: str, styles: Sequence[str] = _CARD_STYLES, *, root: str = "", more: str = "") -> str:
    """Return the head of another page. `title` and `more` are HTML, and the page's files are below `root`."""
    links = "\n".join(f'<link rel="stylesheet" href="{root}{style}">' for style in styles)
    return link_to_files(_HEAD.format(title=title, root=root, links=links, more=more))


def install(app: FastAPI, settings: Settings) -> None:
    """Add the page and its files."""
    contents = {file.name: file.read_bytes() for file in FOLDER.iterdir()}
    page_of_digits = link_to_documentation(link_to_files(contents["index.html"].decode()), settings)
    if settings.root_path:
        # A proxy that strips its prefix shows /digits and /digits/ as /. The base makes relative URLs work for both.
        page_of_digits = page_of_digits.replace("<head>", f'<head>\n<base href="{settings.root_path}/">')
    if not settings.docs:
        link = '<a href="docs">API</a>'
        page_of_digits = page_of_digits.replace(f"    {link}\n", "").replace(link, "API")
    contents["index.html"] = page_of_digits.encode()
    # The page's scripts find the attribute and do not speak of digits.
    contents[_OWN_CLASSES] = page_of_digits.replace('<html lang="en">', '<html lang="en" data-classes="own">').encode()
    secured = security_headers.drawing_page(base=bool(settings.root_path))
    reply = file_replies(contents, contents.__getitem__)

    @app.get("/", include_in_schema=False)
    async def page(request: ServiceRequest) -> Response:
        """Return the page. All its URLs are relative, so that they work below any path prefix of a proxy."""
        registry = request.service.registry
        if not registry.started:
            first = f"The service has no model: {escape(registry.unready_reason() or '')}."
            html = _FIRST_SENTENCE.sub(lambda found: found[1] + first, page_of_digits, count=1)
            return Response(html, headers=secured, media_type="text/html")
        return reply(request, _OWN_CLASSES if registry.classifier.class_names else "index.html", secured)

    @app.get("/page/{digest}/{name}", include_in_schema=False)
    async def file(request: ServiceRequest, digest: str, name: str) -> Response:
        """Return a style sheet, script or picture of the page. A page of another release gets the current content."""
        if not digest.isalnum():
            raise nothing_here(request.scope)
        return reply(request, name, caching.FOREVER if digest == _digest() else None)

    @app.get("/page/{name}", include_in_schema=False)
    async def unversioned_file(request: ServiceRequest, name: str) -> Response:
        return reply(request, name)


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


def link_to_documentation(html: str, settings: Settings) -> str:
    """Give a page's link to the documentation its address, or remove the link if the documentation is not served."""
    link = '<a href="documentation">Documentation</a>'
    if settings.documentation_url is None:
        return html.replace(f"    {link}\n", "")
    return html.replace(link, link.replace("documentation", escape(str(settings.documentation_url))))
