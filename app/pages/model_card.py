"""A model card as a page: Markdown, of which nothing becomes HTML but what Markdown itself means."""

from collections.abc import Sequence
from functools import lru_cache
from html import escape
from typing import Any
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

MAX_BYTES = 64 * 1024
"""A card has about 5 KB. What is made to take long takes 2 s of this size, and four times that of twice the size."""

# All relative, so that they hold below whatever path prefix a proxy shows them.
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover">
<meta name="color-scheme" content="light dark">
<meta name="theme-color" content="#f5f3ee" media="(prefers-color-scheme: light)">
<meta name="theme-color" content="#15181a" media="(prefers-color-scheme: dark)">
<title>Model card of {version}</title>
<link rel="icon" href="../page/favicon.svg" type="image/svg+xml">
<link rel="stylesheet" href="../page/style.css">
<link rel="stylesheet" href="../page/card.css">
</head>
<body>
<header>
  <nav aria-label="Back"><a href="../">Draw a digit</a></nav>
  <p class="aside">{version}</p>
</header>
<main>
{card}</main>
</body>
</html>
"""


class _Renderer(RendererHTML):
    """As Markdown has it, but for what the page's Content-Security-Policy refuses, and for wide tables."""

    def image(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        image = tokens[idx]
        source = str(image.attrs["src"])
        if not source or _is_outside(source):  # an empty address is one to the parser, whatever validateLink says
            return escape(self.renderInlineAsText(image.children, options, env))
        image.attrs["src"] = f"report/{source}"
        return super().image(tokens, idx, options, env)

    def link_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        link = tokens[idx]
        target = str(link.attrs["href"])
        if not target:
            del link.attrs["href"]
        elif not _is_outside(target):
            link.attrs["href"] = f"report/{target}"
        return self.renderToken(tokens, idx, options, env)

    def table_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return '<div class="wide">' + self.renderToken(tokens, idx, options, env)

    def table_close(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return self.renderToken(tokens, idx, options, env) + "</div>"

    def th_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        if style := tokens[idx].attrs.pop("style", None):  # text-align:left, center or right
            tokens[idx].attrs["class"] = str(style).removeprefix("text-align:")
        return self.renderToken(tokens, idx, options, env)

    td_open = th_open


@lru_cache(maxsize=2)  # the served version's, and that of the one before while they change
def page(card: bytes, version: str, files: frozenset[str]) -> bytes:
    """The page of a model card.

    Args:
        card: Markdown. HTML in it is shown, not obeyed; a link that leads elsewhere than to http(s) or to one of
            `files` is none, and an image that is not one of them is its description.
        version: which model it is of, in words.
        files: the names of the report's files, which are at `report/NAME` from where the page is.
    """
    # Tables and no raw HTML, unlike the preset `commonmark`.
    markdown = MarkdownIt("js-default", renderer_cls=_Renderer)
    # Of links and images both. In the form in which it is written into the page: entities and escapes are resolved.
    markdown.validateLink = lambda url: _is_outside(url) or unquote(url) in files  # type: ignore[method-assign]
    html = markdown.render(card.decode(errors="replace"))
    return _PAGE.format(version=escape(version), card=html).encode()


def _is_outside(url: str) -> bool:
    return url.lower().startswith(("http://", "https://"))
