"""The model card as a page: Markdown is rendered, and HTML or scripts in it have no effect."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from playwright.sync_api import expect

from app.pages.model_card import MAX_BYTES, page
from digits.model.artifact import FIRST_OWN_VERSION
from tests.app.conftest import Reloading, Service
from tests.app.pages.conftest import OpenPage, expect_loaded
from tests.conftest import make_files, publish_tiny

CARD = "report/README.md"
TITLE = re.compile(r"^Model card of mnist-dense version \d+$")
FILES = frozenset({"README.md", "history.csv", "history.png", "my curves.png"})
HOSTILE = """# A card <script>window.bad = 1</script>

<script>window.bad = 2</script>

<script src="https://evil.example/x.js"></script>
<iframe src="https://evil.example"></iframe><base href="https://evil.example/"><style>body { display: none }</style>
<img src="nothing" onerror="window.bad = 3"> <svg onload="window.bad = 4"></svg> <a href="javascript:bad">raw</a>

[scripted](javascript:window.bad=5) [shouted](JAVASCRIPT:window.bad=6) [entity](&#106;avascript:window.bad=7)
[titled](https://example.org "x\\" onclick=\\"window.bad=8") [data](data:text/html,<script>window.bad=9</script>)
[script's](vbscript:bad) [named][reference] <javascript:window.bad=10>
[elsewhere](//evil.example) [upwards](../../livez)

[reference]: javascript:window.bad=11

![there](https://evil.example/there.png) ![inline](data:image/svg+xml,<svg/onload=bad>) ![missing](missing.png)
![quoted" onerror="window.bad=12](curves.png "x\\" onload=\\"window.bad=13")

| left | right |
| :--- | ---: |
| <b onclick="window.bad=14">x</b> | `<script>window.bad=15</script>` |

```html" onclick="window.bad=16
<script>window.bad = 17</script>
```

[good](https://example.org/?a=1&b=2) [the table](history.csv) <https://example.org/auto>
"""


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def of(self, tag: str, attribute: str) -> list[str | None]:
        return [attributes[attribute] for name, attributes in self.tags if name == tag]


def render(card: str, files: frozenset[str] = FILES) -> Tags:
    html = page(card.encode(), "mnist-dense version 1", files)
    return Tags(html.split("<main>", 1)[1].rsplit("</main>", 1)[0])


def test_the_card_is_a_page_with_tables_figures_and_a_way_back(open_page: OpenPage, service: Service) -> None:
    page = open_page(f"{service.url}/model/card")

    expect(page).to_have_title(TITLE)
    expect(page.get_by_role("heading", level=1)).to_have_text("Model card: mnist-dense")
    expect(page.get_by_role("cell", name="hidden_units")).to_be_hidden()
    page.get_by_text(re.compile(r"Table of \d+ rows")).first.click()
    expect(page.get_by_role("cell", name="hidden_units")).to_be_visible()
    figures = page.get_by_role("img")
    expect_loaded(figures)
    descriptions = figures.evaluate_all("all => all.map(image => image.alt)")
    assert len(descriptions) >= 4
    assert all(len(description) > 10 for description in descriptions)
    page.get_by_role("navigation", name="Contents").get_by_role("link", name="Limits").click()
    expect(page.get_by_role("heading", name="Limits")).to_be_in_viewport()
    page.get_by_role("link", name="Drawing page").click()
    expect(page.locator("#canvas")).to_be_visible()


def test_the_card_begins_with_what_the_model_reads_how_well_and_when_not_to_use_it(client: httpx.Client) -> None:
    main = client.get("/model/card").text.partition("</h1>")[2]

    lines = re.findall("<li>(.*?)</li>", main.partition("<img")[0])
    assert len(lines) == 5
    assert lines[0].startswith("<strong>It reads</strong> a 28x28 picture as one of the ten digits")
    assert re.match(r"<strong>It is right</strong> on 99\.\d\d % of 10,000 test pictures \(95 % interval", lines[1])
    assert 'src="report/samples.png"' in main.partition("<h2")[0]


def test_on_a_phone_only_wide_tables_and_figures_scroll_sideways_in_the_preferred_colours(
    open_page: OpenPage, service: Service
) -> None:
    page = open_page(f"{service.url}/model/card", viewport={"width": 320, "height": 640}, color_scheme="dark")

    expect(page.locator("body")).to_have_css("background-color", "rgb(21, 24, 26)")
    page.emulate_media(color_scheme="light")
    expect(page.locator("body")).to_have_css("background-color", "rgb(245, 243, 238)")
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    scroll = "wide => { wide.scrollLeft = 1000; return wide.scrollLeft; }"
    assert page.locator("div.wide:visible").last.evaluate(scroll) > 0
    confusion = page.locator("span.wide", has=page.locator("img[src$='confusion.png']"))
    confusion.scroll_into_view_if_needed()
    expect_loaded(confusion.locator("img"))
    assert confusion.evaluate(scroll) > 0


@pytest.mark.parametrize(
    ("markdown", "tag", "attribute", "value"),
    [
        pytest.param("![a](history.png)", "img", "src", "report/history.png", id="a figure of the report"),
        pytest.param("[a](history.csv)", "a", "href", "report/history.csv", id="a file of the report"),
        pytest.param("|a|\n|-:|\n|1|", "td", "class", "right", id="numbers to the right, without a style attribute"),
    ],
)
def test_markdown_is_rendered(markdown: str, tag: str, attribute: str, value: str) -> None:
    assert render(markdown).of(tag, attribute) == [value]


FRAGMENTS = st.sampled_from(
    [
        *("<script>", "</script>", "<img src=x onerror=x>", "<a href='javascript:x'>", "<!--", "<![CDATA[", "<?x"),
        *("[a](", "![a](", ")", "[a]: ", "[a]", "javascript:", "data:text/html,", "&#106;avascript:", "java\tscript:"),
        *("https://x.org/", "//x.org", "history.png", "history.csv", "..", "%2f", "\\", '"', "'", " onload=x ", "\0"),
        *("|a|b|\n|:-|-:|\n|", "|", "```", "`", "\n\n", "\n", "# ", "> ", "- ", "7. ", "    ", "&lt;", "<", ">", "*"),
    ]
)
ALLOWED = {
    *("p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "pre", "code", "hr", "br", "em"),
    *("strong", "s", "a", "img", "div", "span", "table", "thead", "tbody", "tr", "th", "td", "details", "summary"),
}


@settings(max_examples=60)
@example(HOSTILE)
@given(st.lists(FRAGMENTS | st.text(max_size=4), max_size=25).map("".join))
def test_every_card_consists_of_text_tables_links_and_figures(card: str) -> None:
    for tag, attributes in render(card).tags:
        assert tag in ALLOWED
        assert set(attributes) <= {"href", "src", "alt", "title", "class", "start", "id", "tabindex"}
        assert re.match(r"(?i)https?://|report/(README\.md|history\.(csv|png))$", attributes.get("href") or "https://")
        assert (attributes.get("src") or "report/history.png") == "report/history.png"


def test_the_card_page_allows_only_its_own_script(client: httpx.Client) -> None:
    reply = client.get("/model/card")

    policy = dict(part.strip().split(" ", 1) for part in reply.headers["content-security-policy"].split(";"))
    nothing = dict.fromkeys(("default-src", "base-uri", "form-action", "frame-ancestors"), "'none'")
    own = re.findall("<script>(.*)</script>", reply.text)[-1]
    digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
    assert policy == nothing | {"script-src": f"'sha256-{digest}'", "style-src": "'self'", "img-src": "'self'"}


def test_the_card_changes_with_the_version_and_is_sent_again_only_then(reloading: Reloading) -> None:
    client = reloading.service.client

    def ask(etag: str = "") -> httpx.Response:
        return client.get("/model/card", headers={"if-none-match": etag})

    def publish(card: dict[str, bytes]) -> Path:
        files = {path: content for path, content in make_files(1).items() if path != CARD}
        published = publish_tiny(reloading.root, 1, files | card)
        reloading.wait_for_version(published.manifest.version)
        return published.folder

    folder = publish({CARD: b"# One\n"})
    one = ask()
    again = ask(one.headers["etag"])
    (folder / CARD).write_bytes(b"# Another\n")
    damaged = ask(one.headers["etag"])
    damaged_report = client.get("/model/report/README.md")
    assert str(folder.parent) not in damaged.text + damaged_report.text
    publish({CARD: b"# Two\n"})
    two = ask(one.headers["etag"])
    publish({})
    none = ask()
    publish({CARD: b"x" * (MAX_BYTES + 1)})
    long = ask()

    replies = [one, again, damaged, damaged_report, two, none, long]
    assert [reply.status_code for reply in replies] == [200, 304, 503, 503, 200, 404, 404]
    assert "<h1>One</h1>" in one.text
    assert again.content == b""
    assert all("expected sha256" in reply.json()["detail"] for reply in (damaged, damaged_report))
    assert "<h1>Two</h1>" in two.text
    assert none.headers["content-type"] == "application/problem+json"
    assert none.json()["detail"] == f"mnist-dense version {FIRST_OWN_VERSION + 3} has no model card"
    assert f"at most {MAX_BYTES} bytes" in long.json()["detail"]
