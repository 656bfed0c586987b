"""Render errors as pages for people who open an address in a browser."""

import re
from html import escape
from http import HTTPStatus

from fastapi import Response
from starlette.datastructures import Headers
from starlette.types import Scope

from app import errors
from app.asgi import headers as security_headers
from app.pages.drawing import FOLDER, head, link_to_documentation

_BODY = """<body>
<header>
  <nav aria-label="More">
    <a href="./">Drawing page</a>{docs}
    <a href="documentation">Documentation</a>
  </nav>
  <p class="aside">Error {status}</p>
</header>
<main>
<h1>{title}</h1>
{content}
</main>
</body>
</html>
"""

_SCRIPT = '\n<script type="module" src="page/key_page.js"></script>'

# The form of the drawing page.
_KEY_FORM = f"""{re.findall('(?s)<form id="access".*?</form>', (FOLDER / "index.html").read_text("utf-8"))[0]}
<p id="problem" role="status"></p>
<noscript><p>Entering a key needs JavaScript.</p></noscript>"""


def page(scope: Scope, exc: Exception) -> Response | None:
    """Return an error of a request as a page, or None if the client is a program, which asks for JSON or anything."""
    accept = Headers(scope=scope).get("accept", "").lower()
    if scope["method"] not in ("GET", "HEAD") or "text/html" not in accept or "json" in accept:
        return None
    status, detail, headers = errors.describe(exc)
    settings = scope["app"].service.settings
    is_locked = isinstance(exc, errors.Unauthorized)
    depth = (scope.get("raw_path") or scope["path"].encode()).count(b"/") - 1
    message = escape(detail[0].upper() + detail[1:]).replace(" /docs ", ' <a href="docs">/docs</a> ')
    title = "This page needs an API key" if is_locked else HTTPStatus(status).phrase
    # The base makes URLs relative to the drawing page, however deep the path is that was not found.
    root = f"{settings.root_path}/" if settings.root_path else "../" * depth or "./"
    html = head(title, more=f'\n<base href="{root}">{_SCRIPT if is_locked else ""}') + _BODY.format(
        status=status,
        title=title,
        content=_KEY_FORM if is_locked else f"<p>{message}.</p>",
        docs='\n    <a href="docs">API</a>' if settings.docs else "",
    )
    html = link_to_documentation(html, settings)
    return Response(html, status, headers | security_headers.own_files(base=True), "text/html")
