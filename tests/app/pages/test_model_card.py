"""The model card as a page, as it was rendered when its version was published."""

import base64
import hashlib
import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from digits.model.artifact import FIRST_OWN_VERSION
from tests.app.conftest import Reloading, Service
from tests.app.pages.conftest import OpenPage, expect_loaded
from tests.conftest import make_files, publish_tiny

CARD, RENDERED = "report/README.md", "report/README.html"
TITLE = re.compile(r"^Model card of mnist-dense version \d+$")


def test_the_card_is_a_page_with_tables_figures_and_a_way_back(open_page: OpenPage, service: Service) -> None:
    page = open_page(f"{service.url}/model/card")

    expect(page).to_have_title(TITLE)
    expect(page.get_by_role("heading", level=1)).to_have_text("Model card: mnist-dense")
    expect(page.get_by_role("cell", name="hidden_units")).to_be_hidden()
    for fold in page.locator("summary").all():
        fold.click()
    expect(page.get_by_role("cell", name="hidden_units")).to_be_visible()
    figures = page.locator(".wide img")
    expect_loaded(figures)
    descriptions = figures.evaluate_all("all => all.map(image => image.alt)")
    assert len(descriptions) == len({*descriptions}) >= 4
    assert all(len(description) > 10 for description in descriptions)
    page.get_by_role("link", name="Drawing page").click()
    expect(page.locator("#canvas")).to_be_visible()


@pytest.mark.parametrize("width", [360, 1280])
def test_the_folded_card_is_short_and_its_contents_stay_in_sight(
    open_page: OpenPage, service: Service, width: int
) -> None:
    page = open_page(f"{service.url}/model/card", viewport={"width": width, "height": 800})

    screens = page.evaluate("document.documentElement.scrollHeight / innerHeight")
    contents = page.get_by_role("navigation", name="Contents")

    assert width < 1280 or screens <= 4
    for link in contents.get_by_role("link").all():
        section = link.inner_text()
        link.click()
        expect(page.get_by_role("heading", name=section, exact=True)).to_be_in_viewport()
        expect(contents).to_be_in_viewport()


def test_a_mistake_of_the_card_opens_on_the_paper_and_is_read_in_the_same_way(
    open_page: OpenPage, service: Service
) -> None:
    page = open_page(f"{service.url}/model/card")
    mistake = page.get_by_role("link").filter(has=page.locator("img")).first
    answer = mistake.inner_text().strip()

    mistake.click()

    expect(page.locator("#digit")).to_have_text(answer.split("→ ")[1][0])
    expect(page.locator("#caption")).to_have_text("Mistake 1 of the model card")
    expect(page).to_have_url(re.compile("#example=mistake-1$"))


def test_on_a_phone_only_wide_tables_and_figures_scroll_sideways_in_the_preferred_colours(
    open_page: OpenPage, service: Service
) -> None:
    page = open_page(f"{service.url}/model/card", viewport={"width": 320, "height": 640}, color_scheme="dark")

    expect(page.locator("body")).to_have_css("background-color", "rgb(21, 24, 26)")
    page.emulate_media(color_scheme="light")
    expect(page.locator("body")).to_have_css("background-color", "rgb(245, 243, 238)")
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    page.locator("summary").evaluate_all("all => all.map((fold) => fold.click())")
    scroll = "wide => { wide.scrollLeft = 1000; return wide.scrollLeft; }"
    assert page.locator("div.wide:visible").last.evaluate(scroll) > 0
    confusion = page.locator("span.wide", has=page.locator("img[src$='confusion.png']"))
    confusion.scroll_into_view_if_needed()
    expect_loaded(confusion.locator("img"))
    assert confusion.evaluate(scroll) > 0


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

    folder = publish({CARD: b"# One\n", RENDERED: b"<h1>One</h1>\n"})
    one = ask()
    again = ask(one.headers["etag"])
    (folder / CARD).write_bytes(b"# Another\n")
    (folder / RENDERED).write_bytes(b"<h1>Another</h1>\n")
    damaged = ask(one.headers["etag"])
    damaged_report = client.get("/model/report/README.md")
    assert str(folder.parent) not in damaged.text + damaged_report.text
    publish({CARD: b"# Two\n", RENDERED: b"<h1>Two</h1>\n"})
    two = ask(one.headers["etag"])
    publish({})
    none = ask()

    replies = [one, again, damaged, damaged_report, two, none]
    assert [reply.status_code for reply in replies] == [200, 304, 503, 503, 200, 404]
    assert "<main>\n<h1>One</h1>\n</main>" in one.text
    assert again.content == b""
    assert all("expected sha256" in reply.json()["detail"] for reply in (damaged, damaged_report))
    assert "<h1>Two</h1>" in two.text
    assert none.headers["content-type"] == "application/problem+json"
    assert none.json()["detail"] == f"mnist-dense version {FIRST_OWN_VERSION + 3} has no model card"


def test_a_card_that_was_published_without_html_is_shown_as_text(reloading: Reloading) -> None:
    files = make_files(1) | {CARD: b"# One <script>window.bad = 1</script>\n"}
    reloading.wait_for_version(publish_tiny(reloading.root, 1, files).manifest.version)

    reply = reloading.service.client.get("/model/card")

    assert "<pre># One &lt;script&gt;window.bad = 1&lt;/script&gt;\n</pre>" in reply.text
