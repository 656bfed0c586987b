"""Render errors as pages for people who open an address in a browser."""

from html import escape
from http import HTTPStatus

from fastapi import Response
from starlette.datastructures import Headers
from starlette.types import Scope

from app import errors
from app.asgi import headers as security_headers
from app.pages import template
from app.pages.drawing import digest

_SCRIPT = '\n<script type="module" src="page/{}/key_page.js"></script>'


def page(scope: Scope, exc: Exception) -> Response | None:
    """Return an error of a request as a page, or None if the client is a program, which asks for JSON or anything."""
    accept = Headers(scope=scope).get("accept", "").lower()
    if scope["method"] not in ("GET", "HEAD") or "text/html" not in accept or "json" in accept:
        return None
    status, detail, headers = errors.describe(exc)
    settings = scope["app"].service.settings
    is_locked = isinstance(exc, errors.Unauthorized)
    depth = (scope.get("raw_path") or scope["path"].encode()).count(b"/") - 1
    # The base makes URLs relative to the drawing page, however deep the path is that was not found.
    root = f"{settings.root_path}/" if settings.root_path else "../" * depth or "./"
    title = "This page needs an API key" if is_locked else HTTPStatus(status).phrase
    html = template.fill(
        "error",
        root=root,
        script=_SCRIPT.format(digest()) if is_locked else "",
        head=template.fill("head", root="", digest=digest(), style="card"),
        links=template.links(settings, docs=True),
        status=str(status),
        title=title,
        content=template.fill("key_form", access_form=template.fill("access_form")) if is_locked else _message(detail),
    )
    return Response(html, status, headers | security_headers.own_files(base=True), "text/html")


def _message(detail: str) -> str:
    """Return an error's detail as a sentence, with a link if it names `/docs`."""
    before, docs, after = detail.partition(" /docs ")
    link = ' <a href="docs">/docs</a> ' if docs else ""
    return f"<p>{escape(before[0].upper() + before[1:])}{link}{escape(after)}.</p>"
