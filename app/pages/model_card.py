"""Render the model card as a page. HTML inside its Markdown is shown as text."""

import re
from collections.abc import Sequence
from functools import lru_cache
from html import escape
from itertools import pairwise
from typing import Any
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from app.asgi import headers as security_headers
from app.pages.drawing import head
from digits.model.artifact import Manifest
from digits.model.classes import DIGITS

MAX_BYTES = 64 * 1024
"""A usual card has about 5 KB. A hostile card of this size takes 2 s to parse; the time grows with the square."""

_SHOWN_ROWS = 12  # A table with more rows is folded. The recipe has about 45, and a table of ten digits stays open.

_NUMBER = re.compile(r"|[<>]?[-−+]?\d[\d., ]*%?( to \d[\d.]*)?")

_SCRIPT = 'document.querySelector("nav a").hash = location.hash'
"""Takes what was on the drawing page back to it: the fragment that its link to the card had."""

HEADERS = security_headers.model_card(_SCRIPT)

# All URLs are relative, so that they work below any path prefix of a proxy.
_BODY = """<body>
<header>
  <nav aria-label="Back">
    <a href="../">Drawing page</a>
    <a href="documentation">Documentation</a>
  </nav>
  <p class="aside">{version}</p>{contents}
</header>
<main>
{card}</main>
<script>{script}</script>
</body>
</html>
"""


class _Renderer(RendererHTML):
    """Renders Markdown without inline styles, which the page's Content-Security-Policy blocks.

    Wide tables and figures scroll, also with the keyboard, and long tables are folded.
    """

    _is_folded = False  # whether the current table is folded; tables contain no tables

    def image(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        image = tokens[idx]
        source = str(image.attrs["src"])
        if not source or _is_outside(source):  # the parser does not pass empty URLs to validateLink
            return escape(self.renderInlineAsText(image.children, options, env))
        image.attrs["src"] = f"report/{source}"
        return f'<span class="wide" tabindex="0">{super().image(tokens, idx, options, env)}</span>'

    def link_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        link = tokens[idx]
        target = str(link.attrs["href"])
        if not target:
            del link.attrs["href"]
        elif not _is_outside(target):
            link.attrs["href"] = f"report/{target}"
        return self.renderToken(tokens, idx, options, env)

    def table_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        first_line, end = tokens[idx].map or [0, 0]
        rows = end - first_line - 2  # without the header and the line below it
        self._is_folded = rows > _SHOWN_ROWS
        fold = f"<details><summary>Table of {rows} rows</summary>" if self._is_folded else ""
        return f'{fold}<div class="wide" tabindex="0">{self.renderToken(tokens, idx, options, env)}'

    def table_close(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return self.renderToken(tokens, idx, options, env) + ("</div></details>" if self._is_folded else "</div>")

    def th_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        if style := tokens[idx].attrs.pop("style", None):  # text-align:left, center or right
            tokens[idx].attrs["class"] = str(style).removeprefix("text-align:")
        return self.renderToken(tokens, idx, options, env)

    td_open = th_open


def summary(manifest: Manifest) -> str:
    """Return what a version reads, how well, and when not to use it: five lines of Markdown with one picture."""
    what = "one of the ten digits" if manifest.classes == DIGITS else f"one of {len(manifest.classes)} classes"
    lines = [f"**It reads** a 28x28 picture as {what}, with a probability for each."]
    test = manifest.metrics.get("test", {})
    if "accuracy" in test and manifest.dataset is not None:
        interval = ""
        if "wilson_low" in test:
            interval = f" (95 % interval {100 * test['wilson_low']:.2f} % to {100 * test['wilson_high']:.2f} %)"
        images = f"{manifest.dataset.test_images:,} test pictures"
        lines.append(f"**It is right** on {100 * test['accuracy']:.2f} % of {images}{interval}.")
    lines += [
        "**It always names one of them,** whatever the picture shows. Its novelty, if it has one, warns.",
        "**Have a person check** each answer that has no `accept: true`.",
        "**Do not use it** for decisions about people that nobody checks.",
    ]
    return "\n".join(f"- {line}" for line in lines) + "\n\n![Samples of the data with their labels](samples.png)\n"


@lru_cache(maxsize=2)  # for the served version, and for the previous one while they change
def page(card: bytes, version: str, files: frozenset[str], summary: str = "") -> str:
    """Return a model card as a page, with a link to the documentation that `link_to_documentation` gives its address.

    HTML in the Markdown of `card` becomes text. Only links to http(s) and to `files` become links, and only images in
    `files` become images. Other images are replaced by their descriptions. `version` is text with the name too. `files`
    are those of the report, at `report/NAME`, relative to the page. `summary` is Markdown that stands below the title.
    """
    # Unlike the preset `commonmark`, this one has tables and no raw HTML.
    markdown = MarkdownIt("js-default", renderer_cls=_Renderer)
    # markdown-it calls this for links and images, after it has resolved entities and escapes.
    markdown.validateLink = lambda url: _is_outside(url) or unquote(url) in files  # type: ignore[method-assign]
    tokens = markdown.parse(card.decode(errors="replace"))
    contents = _contents(tokens)
    _align_numbers(tokens)
    html = markdown.renderer.render(tokens, markdown.options, {})
    html = html.replace("</h1>\n", f"</h1>\n{markdown.render(summary)}", 1)
    body = _BODY.format(version=escape(version), contents=contents, card=html, script=_SCRIPT)
    return head(f"Model card of {escape(version)}", root="../") + body


def _contents(tokens: list[Token]) -> str:
    """Give each section an address, and return the links to them."""
    sections = [pair for pair in pairwise(tokens) if pair[0].type == "heading_open" and pair[0].tag == "h2"]
    links = []
    for number, (heading, title) in enumerate(sections, 1):
        heading.attrs["id"] = f"section-{number}"
        words = "".join(part.content for part in title.children or ())
        links.append(f'\n    <li><a href="#section-{number}">{escape(words)}</a></li>')
    return f'\n  <nav aria-label="Contents">\n  <ol>{"".join(links)}\n  </ol>\n  </nav>' if links else ""


def _align_numbers(tokens: list[Token]) -> None:
    """Align columns of numbers on the right, but for the first column, which names the rows."""
    rows: list[list[tuple[Token, str]]] = []
    for opening, content in pairwise(tokens):
        if opening.type == "table_open":
            rows = []
        elif opening.type == "tr_open":
            rows.append([])
        elif opening.type in {"th_open", "td_open"}:
            rows[-1].append((opening, content.content))
        elif opening.type == "table_close":
            for cells in [*zip(*rows, strict=True)][1:]:  # all rows are as long as the header
                if all(_NUMBER.fullmatch(text) for _, text in cells[1:]):
                    for cell, _ in cells:
                        cell.attrs["class"] = "right"


def _is_outside(url: str) -> bool:
    return url.lower().startswith(("http://", "https://"))
