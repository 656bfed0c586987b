"""A model card as HTML: tables, figures and links to its sections. HTML in its Markdown is text."""

import re
from html.parser import HTMLParser

import pytest

from digits.model.artifact import NAME, SHIPPED, Manifest, read_manifest
from tests.conftest import SHIPPED_VERSION
from training.report import files
from training.report.card_html import render

HOSTILE = """<script>window.bad = 1</script>

<iframe src="https://evil.example"></iframe><base href="https://evil.example/"><style>body { display: none }</style>
<img src="nothing" onerror="window.bad = 2"> <a href="javascript:bad">raw</a> [scripted](javascript:window.bad=3)
[entity](&#106;avascript:window.bad=4) [titled](https://example.org "x\\" onclick=\\"window.bad=5")

| left | right |
| :--- | ---: |
| <b onclick="window.bad=6">x</b> | `<script>window.bad=7</script>` |
"""
ALLOWED = {
    *("nav", "ol", "ul", "li", "h1", "h2", "p", "a", "strong", "em", "code", "pre", "div", "span", "img"),
    *("table", "thead", "tbody", "tr", "th", "td", "details", "summary"),
}
ATTRIBUTES = {"href", "src", "alt", "title", "class", "id", "tabindex", "aria-label"}
SHIPPED_FOLDER = SHIPPED / NAME / str(SHIPPED_VERSION)


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return read_manifest(SHIPPED_FOLDER)


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_card_begins_with_what_the_model_reads_how_well_and_when_not_to_use_it(manifest: Manifest) -> None:
    html = render("# A card\n\nText.\n\n## Limits\n\nSome.\n", manifest, {})

    lines = re.findall("<li>(.*?)</li>", html.partition("</h1>")[2])
    assert html.startswith('<nav aria-label="Contents">\n  <ol>\n    <li><a href="#section-1">Limits</a></li>')
    assert len(lines) == 5
    assert lines[0].startswith("<strong>It reads</strong> a 28x28 picture as one of the ten digits")
    assert re.match(r"<strong>It is right</strong> on 99\.\d\d % of 10,000 test pictures \(95 % interval", lines[1])
    assert '<h2 id="section-1">Limits</h2>' in html


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        pytest.param(
            "![a](history.png)",
            '<img src="report/history.png" alt="a" width="80" height="60">',
            id="a figure of the report",
        ),
        pytest.param("|a|b|\n|-|-|\n|x|1|", '<td class="right">1</td>', id="numbers stand to the right"),
        pytest.param("|a|b|\n|-|-|\n|x|y|", "<td>y</td>", id="words stand to the left"),
        pytest.param("![a](a.png)", '<span class="wide" tabindex="0"><img', id="a wide figure scrolls"),
        pytest.param("[![](a.png) a](/)", '<a href="/"><img src="report/a.png" alt=""> a</a>', id="a linked picture"),
        pytest.param(
            "### A\n\nx\n\n### B\n\ny\n\n## C",
            "<details><summary><h3>A</h3>\n</summary>\n<p>x</p>\n</details>\n"
            "<details><summary><h3>B</h3>\n</summary>\n<p>y</p>\n</details>\n<h2",
            id="subsections are folded",
        ),
    ],
)
def test_markdown_is_rendered(manifest: Manifest, markdown: str, html: str) -> None:
    assert html in render(f"# A card\n\n{markdown}\n\nText.\n", manifest, {"history.png": (80, 60)})


def test_html_in_a_card_is_text(manifest: Manifest) -> None:
    html = render(f"# A card <script>window.bad = 0</script>\n\n{HOSTILE}", manifest, {})

    tags = Tags(html).tags
    assert {tag for tag, _ in tags} <= ALLOWED
    assert {name for _, attributes in tags for name in attributes} <= ATTRIBUTES
    assert {(attributes.get("href") or "")[:8] for tag, attributes in tags if tag == "a"} == {"https://"}


def test_the_shipped_version_has_the_rendered_card(manifest: Manifest) -> None:
    names = {"README.md", *(file.name for file in (SHIPPED_FOLDER / "report").glob("*.png"))}
    report = {name: (SHIPPED_FOLDER / "report" / name).read_bytes() for name in names}

    rendered = files.for_publication(report, manifest)["README.html"]

    assert rendered == (SHIPPED_FOLDER / "report/README.html").read_bytes()
