"""Render a model card as HTML. The service shows it within its page, so that serving needs no Markdown."""

import re
from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from digits.model.artifact import Manifest
from digits.model.classes import DIGITS

_NUMBER = re.compile(r"|[<>]?[-−+]?\d[\d., ]*%?( to \d[\d.]*)?")


def render(card: str, manifest: Manifest, sizes: Mapping[str, tuple[int, int]]) -> str:
    """Return a card, which is Markdown, as HTML, with links to its sections and a summary below its title.

    Figures are at `report/NAME`, relative to the service's page. `sizes` are their widths and heights in pixels, by
    name. They keep their places until they have loaded. HTML in the Markdown becomes text. Each subsection is folded
    below its heading, so that the card is short.
    """
    # Unlike the preset `commonmark`, this one has tables and no raw HTML.
    markdown = MarkdownIt("js-default", renderer_cls=_Renderer)
    title, _, sections = card.partition("\n\n")
    tokens = markdown.parse("\n\n".join((title, _summary(manifest), sections)))
    contents = _contents(tokens)
    _align_numbers(tokens)
    html: str = markdown.renderer.render(_fold_subsections(tokens), markdown.options, dict(sizes))
    return contents + html


class _Renderer(RendererHTML):
    """Renders Markdown without inline styles, which the page's Content-Security-Policy blocks.

    Wide tables and figures scroll, also with the keyboard. A picture in a link is part of its text.
    """

    def image(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        image = tokens[idx]
        name = str(image.attrs["src"])
        image.attrs["src"] = f"report/{name}"
        if name in env:
            image.attrs["width"], image.attrs["height"] = env[name]
        html = super().image(tokens, idx, options, env)
        is_in_link = idx > 0 and tokens[idx - 1].type == "link_open"
        return html if is_in_link else f'<span class="wide" tabindex="0">{html}</span>'

    def table_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return f'<div class="wide" tabindex="0">{self.renderToken(tokens, idx, options, env)}'

    def table_close(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return f"{self.renderToken(tokens, idx, options, env)}</div>"

    def th_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        if style := tokens[idx].attrs.pop("style", None):  # text-align:left, center or right
            tokens[idx].attrs["class"] = str(style).removeprefix("text-align:")
        return self.renderToken(tokens, idx, options, env)

    td_open = th_open


def _summary(manifest: Manifest) -> str:
    """Return what a version reads, how well, and when not to use it: five lines of Markdown."""
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
    return "\n".join(f"- {line}" for line in lines)


def _contents(tokens: list[Token]) -> str:
    """Give each section an address, and return the links to them."""
    sections = [pair for pair in pairwise(tokens) if pair[0].type == "heading_open" and pair[0].tag == "h2"]
    links = []
    for number, (heading, title) in enumerate(sections, 1):
        heading.attrs["id"] = f"section-{number}"
        words = "".join(part.content for part in title.children or ())
        links.append(f'\n    <li><a href="#section-{number}">{escape(words)}</a></li>')
    return f'<nav aria-label="Contents">\n  <ol>{"".join(links)}\n  </ol>\n</nav>\n'


def _fold_subsections(tokens: list[Token]) -> list[Token]:
    """Fold what is below each heading of the third level, up to the next heading of this level or above."""
    folded: list[Token] = []
    is_open = False
    for token in tokens:
        if token.type == "heading_open" and token.tag in {"h2", "h3"}:
            if is_open:
                folded.append(_html("</details>\n"))
            is_open = token.tag == "h3"
            if is_open:
                folded.append(_html("<details><summary>"))
        folded.append(token)
        if token.type == "heading_close" and token.tag == "h3":
            folded.append(_html("</summary>\n"))
    return [*folded, _html("</details>\n")] if is_open else folded


def _html(content: str) -> Token:
    return Token("html_block", "", 0, content=content)


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
