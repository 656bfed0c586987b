"""The pages ask for an API key when the service requires one, and only their tab keeps it."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.app.conftest import NEW_KEY, Service
from tests.app.pages.conftest import OpenPage, drag, expect_loaded, expect_styled_card


def draw_seven(page: Page) -> None:
    drag(page, (0.3, 0.22), (0.7, 0.2), (0.45, 0.82))


def enter_key(page: Page, key: str) -> None:
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Continue").click()


@pytest.fixture
def page(open_page: OpenPage, locked: Service) -> Page:
    """The drawing page in a new context, which has stored no key."""
    return open_page(locked.url, refusals=True, viewport={"width": 1280, "height": 800})


def test_the_page_asks_for_the_key_and_the_tab_keeps_it(page: Page, locked: Service) -> None:
    sent: list[str | None] = []
    page.on("request", lambda request: sent.append(request.headers.get("authorization")))
    expect(page.get_by_label("API key")).to_be_hidden()

    draw_seven(page)
    expect(page.locator("#sentence")).to_contain_text("requires an API key")
    enter_key(page, "nobody-knows-this-key")
    expect(page.locator("#key-note")).to_have_text("The service does not know this key.")
    expect(page.get_by_label("API key")).to_have_attribute("aria-invalid", "true")
    enter_key(page, NEW_KEY)
    expect(page.locator("#digit")).to_have_text(re.compile(r"^7\??$"))  # without another stroke
    expect(page.get_by_label("API key")).to_be_hidden()
    assert f"Bearer {NEW_KEY}" in sent
    assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 1, ""]
    assert NEW_KEY not in page.url

    page.reload()
    draw_seven(page)
    other = page.context.new_page()
    other.goto(locked.url)
    draw_seven(other)

    expect(page.locator("#digit")).to_have_text(re.compile(r"^7\??$"))
    expect(page.get_by_label("API key")).to_be_hidden()
    expect(other.get_by_label("API key")).to_be_visible()


def test_the_model_card_asks_for_the_key_and_the_drawing_page_then_knows_it(page: Page) -> None:
    page.get_by_role("link", name="Model card", exact=True).click()
    expect(page.get_by_label("API key")).to_be_focused()
    enter_key(page, "nobody-knows-this-key")
    expect(page.locator("#key-note")).to_have_text("The service does not know this key.")
    enter_key(page, NEW_KEY)

    expect(page).to_have_title(re.compile("^Model card of mnist-dense"))
    expect_styled_card(page)
    assert page.url.endswith("/model/card")  # an address that others can open, too
    page.get_by_role("link", name="Drawing page").click()
    page.get_by_text("how good is it?").click()
    expect(page.locator("#accuracy")).to_contain_text("mnist-dense")
    expect_loaded(page.locator("figure img"))
    page.get_by_role("link", name="Model card", exact=True).click()
    expect(page).to_have_title(re.compile("^Model card of mnist-dense"))
