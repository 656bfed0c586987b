"""The page of a model card, which was rendered when its version was published."""

from html import escape

from app.asgi import headers as security_headers
from app.pages import template
from app.pages.drawing import digest
from app.settings import Settings

_SCRIPT = 'document.querySelector("nav a").hash = location.hash'
"""Takes what was on the drawing page back to it: the fragment that its link to the card had."""

HEADERS = security_headers.model_card(_SCRIPT)


def page(card: str, version: str, settings: Settings) -> str:
    """Return the page with a card, which is HTML. `version` is text with the name too."""
    # All URLs are relative, so that they work below any path prefix of a proxy.
    return template.fill(
        "model_card",
        head=template.fill("head", root="../", digest=digest(), style="card"),
        links=template.links(settings),
        version=escape(version),
        card=card,
        script=_SCRIPT,
    )


def of_markdown(markdown: bytes) -> str:
    """Return the card of a version without a rendered one: the Markdown as text."""
    return f"<pre>{escape(markdown.decode(errors='replace'))}</pre>\n"
