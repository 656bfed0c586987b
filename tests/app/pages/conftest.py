"""A browser, which the tests of the pages start once, and what they do in it."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Locator,
    Page,
    Request,
    expect,
    sync_playwright,
)

from tests.app.conftest import Service
from tests.conftest import needs

BROWSER_MILLISECONDS = 30_000
"""A guard against hanging, for each step in the browser. Playwright's own 5 seconds are too short on a busy machine."""


# Not for the session: while Playwright runs, this thread has an event loop, and a test could not start its own.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    needs("chromium")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]  # fmt: skip
    expect.set_options(timeout=BROWSER_MILLISECONDS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Iterator[Page]:
    """A tab that tests share. A new tab takes five times as long to load a page."""
    context = browser.new_context(reduced_motion="reduce")
    yield context.new_page()
    context.close()


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, tab: Page) -> Iterator[OpenPage]:
    """`open_page(url)` opens a page. With Playwright's context options, such as `viewport`, it gets a new context.

    At the end of the test, the fixture checks that the page has contacted no other host and that the console shows no
    error, such as a violation of the Content-Security-Policy. Chromium also writes an error for each failed request. A
    test that expects these says `refusals=True`.
    """
    own: list[BrowserContext] = []
    outside: list[str] = []
    errors: list[str] = []
    refusals_expected = False

    def hear(line: ConsoleMessage) -> None:
        if line.type == "error" and not (refusals_expected and line.text.startswith("Failed to load resource")):
            errors.append(f"{line.text} {line.location}")

    def follow(sent: Request) -> None:
        if not sent.url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            outside.append(sent.url)

    def fail(error: Error) -> None:
        errors.append(str(error))

    listeners: dict[str, Callable[[Any], None]] = {"request": follow, "console": hear, "pageerror": fail}

    def listen(page: Page) -> None:
        for event, listener in listeners.items():
            page.on(event, listener)  # type: ignore[call-overload]

    def open_(url: str, *, refusals: bool = False, **options: Any) -> Page:
        nonlocal refusals_expected
        refusals_expected |= refusals
        page = tab
        if options:
            own.append(browser.new_context(**{"reduced_motion": "reduce"} | options))
            page = own[-1].new_page()
            listen(page)
        page.set_default_timeout(BROWSER_MILLISECONDS)
        page.goto(url)
        return page

    listen(tab)
    tab.set_viewport_size({"width": 1280, "height": 720})
    yield open_
    for context in own:
        context.close()
    tab.unroute_all()
    tab.goto("about:blank")
    for event, listener in listeners.items():
        tab.remove_listener(event, listener)
    assert outside == []
    assert errors == []


@pytest.fixture
def page(open_page: OpenPage, service: Service) -> Page:
    """The drawing page. Modules whose tests expect something else have their own."""
    return open_page(service.url)


def drag(page: Page, *points: tuple[float, float]) -> None:
    """Draw one stroke with the mouse. Points are x and y as fractions of the drawing area."""
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for x, y in places[1:]:
        page.mouse.move(x, y, steps=6)
    page.mouse.up()


def expect_loaded(images: Locator) -> None:
    """Wait until each image has loaded, and check that it is large enough to be read."""
    expect(images).not_to_have_count(0)
    for image in images.all():
        image.scroll_into_view_if_needed()
        expect(image).to_have_js_property("complete", True)
        assert image.evaluate("image => image.naturalWidth") > 100


def expect_styled_card(page: Page) -> None:
    """Check that the model card has its images and its style sheet."""
    expect_loaded(page.get_by_role("img"))
    assert page.locator("body").evaluate("body => getComputedStyle(body).maxWidth") == "1056px"
