"""What one takes away from the page (links, copies, files), and the camera of a computer."""

import base64
import io
import re
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from app.openapi.example_pictures import EXAMPLES
from tests.app.conftest import Service
from tests.app.pages.conftest import OpenPage, drag
from tests.app.pages.test_drawing import (
    ANSWERS,
    DESKTOP,
    STROKES,
    answer_with,
    button,
    choose,
    draw,
    expect_blank,
    expect_digit,
    expect_problem,
)
from tests.conftest import amount


@pytest.fixture
def page(open_page: OpenPage, service: Service) -> Page:
    page = open_page(service.url)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    return page


def copied(page: Page, name: str) -> str:
    button(page, name).click()
    expect(page.locator("#taken")).to_contain_text("Copied")
    text: str = page.evaluate("navigator.clipboard.readText()")
    return text


def strokes_on(page: Page) -> Any:
    """Return how opaque each pixel of the drawing is, (height, width)."""
    url = page.locator("#canvas").evaluate("canvas => canvas.toDataURL()")
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as drawing:
        return np.asarray(drawing, int)[..., 3]


def test_a_link_holds_the_drawing_and_the_open_section_and_sends_neither(page: Page, open_page: OpenPage) -> None:
    draw(page, *STROKES[4])
    expect_digit(page, 4)
    button(page, "Look inside").click()
    expect(page.locator("#network")).to_be_visible()
    drawn = strokes_on(page)

    link = copied(page, "Copy link")

    assert re.fullmatch(r"http://[\d.:]+/#lab&strokes=[\w-]{20,400}", link)
    assert "strokes" not in page.url
    other = open_page(link, **DESKTOP)
    expect_digit(other, 4)
    expect(other.locator("#network")).to_be_visible()
    assert np.mean(np.abs(strokes_on(other) - drawn) > 128) < 0.001
    assert other.url == link
    draw(other, [(0.1, 0.1), (0.1, 0.3)])
    expect(other).to_have_url(re.compile("#lab$"))
    for _ in range(3):
        other.keyboard.press("Control+z")
    expect_blank(other)


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (360, 740)])
def test_what_a_link_or_a_reload_restores_moves_nothing_that_is_seen(
    open_page: OpenPage, service: Service, width: int, height: int
) -> None:
    page = open_page("about:blank", viewport={"width": width, "height": height})
    page.add_init_script(
        "globalThis.entries = [];"
        "const observer = new PerformanceObserver((list) => entries.push(...list.getEntries()));"
        "observer.observe({ type: 'layout-shift', buffered: true });"
    )
    # Nothing is restored before the page is parsed. A part of it that was painted before may move.
    since_parsed = (
        "() => { const [{ domInteractive }] = performance.getEntriesByType('navigation');"
        " const counts = (each) => !each.hadRecentInput && each.startTime > domInteractive;"
        " return entries.filter(counts).reduce((sum, { value }) => sum + value, 0); }"
    )

    def shifts() -> float:
        expect(page.locator("#pixels")).to_have_css("visibility", "visible")
        expect(page.locator("body")).to_have_class("")
        page.wait_for_timeout(200)
        return float(page.evaluate(since_parsed))

    moved = {}
    for link in [
        *("example=photo", "example=number", "example=unclear", "example=letter", "example=mistake-2"),
        *("lab&example=unclear", "lab&panel=evidence&example=number", "lab&panel=beside&turn=20&example=photo"),
    ]:
        page.goto("about:blank")
        page.goto(f"{service.url}/#{link}")
        moved[link] = shifts()
    page.goto(service.url)
    for left in (0.1, 0.6):
        drag(page, (left, 0.2), (left + 0.2, 0.2), (left + 0.1, 0.8))
    expect(page.locator("#number")).to_have_text("77")
    page.wait_for_timeout(600)  # until then, a shift would count as one after an input
    page.reload()
    moved["reload"] = shifts()

    assert {link: shift for link, shift in moved.items() if shift >= 0.01} == {}


def test_a_damaged_link_is_explained_and_forgotten(page: Page, service: Service) -> None:
    page.goto(f"{service.url}/#strokes=rAIDABCD!")  # the same page, so that only the fragment changes

    expect_problem(page, "This link holds no drawing that can be shown.")
    expect(page).to_have_url(f"{service.url}/")
    draw(page, *STROKES[7])
    expect_digit(page, 7)


def test_without_the_clipboard_the_address_becomes_the_link(page: Page) -> None:
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    draw(page, *STROKES[1])
    button(page, "Copy number").click()
    expect(page.locator("#taken")).to_have_text("This browser copies only over HTTPS.")

    button(page, "Copy link").click()

    expect(page.locator("#taken")).to_contain_text("Copy the address of this page")
    assert "#strokes=" in page.url


def test_the_number_is_copied_and_the_paper_saved_with_its_boxes(page: Page) -> None:
    page.route(ANSWERS, answer_with("407", "12", unsure=[1], strangers=[3]))
    choose(page, name="a.png", content=(EXAMPLES / "photo-2048.jpg").read_bytes(), kind="image/jpeg")

    assert copied(page, "Copy number") == "40?7\n□?2"
    assert page.locator("#number div").all_text_contents() == ["40?7", "□?2"]
    words = "5 digits in 2 lines. 2 of them are unsure, marked with “?”. “□” does not look like a digit."
    expect(page.locator("#taken")).to_have_text(f"Copied “40?7, □?2”. {words}")
    expect(page.locator("#announcement")).to_have_text(f"40?7, □?2. {words}")
    expect(button(page, "Copy link")).to_be_hidden()  # a link would hold only strokes
    with page.expect_download() as download:
        button(page, "Save as PNG").click()

    assert download.value.suggested_filename == "40-unsure-7-no-digit-2.png"
    with Image.open(download.value.path()) as picture:
        assert picture.size == tuple(page.locator("#canvas").evaluate("canvas => [canvas.width, canvas.height]"))
        accent = np.all(np.abs(np.asarray(picture.convert("RGB"), int) - (15, 107, 102)) < 8, axis=-1)
    assert accent.sum() > 300


def test_a_separator_is_neither_copied_nor_spoken_nor_saved(page: Page) -> None:
    choose(page, name="amount.png", content=amount())
    expect(page.locator("#number .separator")).to_have_count(1)

    text = copied(page, "Copy number")

    marked = page.evaluate("getSelection().selectAllChildren(document.getElementById('number')), `${getSelection()}`")
    assert text == marked.strip() == "40752"
    words = "5 digits, none of them unsure. 1 separator was not read."
    expect(page.locator("#announcement")).to_have_text(f"40752. {words}")
    expect(page.locator("#taken")).to_have_text(f"Copied “40752”. {words}")
    with page.expect_download() as download:
        button(page, "Save as PNG").click()
    assert download.value.suggested_filename == "40752.png"


def test_a_letter_is_neither_copied_nor_saved_as_the_digit_that_it_resembles(page: Page) -> None:
    button(page, "A letter").click()
    expect(page.locator("#answer")).to_have_attribute("data-state", "stranger")

    text = copied(page, "Copy number")

    assert text == "□?"
    expect(page.locator("#taken")).to_have_text("Copied “□?”. This does not look like a digit.")
    with page.expect_download() as download:
        button(page, "Save as PNG").click()
    assert download.value.suggested_filename == "no-digit.png"


@pytest.fixture(scope="module")
def filmed(browser: Browser) -> Iterator[Browser]:
    """A browser with a camera, which films a picture that Chromium draws."""
    flags = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    filming = browser.browser_type.launch(executable_path=shutil.which("chromium"), args=flags)
    yield filming
    filming.close()


def test_a_computer_takes_a_photo_and_the_camera_stops(filmed: Browser, service: Service) -> None:
    page = filmed.new_page(**DESKTOP, reduced_motion="reduce")
    page.add_init_script(
        "const devices = navigator.mediaDevices, ask = devices.getUserMedia.bind(devices);"
        "devices.getUserMedia = async (wanted) => (window.stream = await ask(wanted));"
    )
    page.goto(service.url)
    state = "window.stream.getTracks()[0].readyState"
    ended = f"async () => {{ while ({state} !== 'ended') await new Promise((next) => setTimeout(next, 20)); }}"
    photo, dialog = button(page, "Camera"), page.get_by_role("dialog", name="Camera")

    photo.click()
    expect(button(page, "Take the picture")).to_be_focused()
    assert page.evaluate(state) == "live"
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page.evaluate(ended)
    expect_blank(page)
    photo.click()
    expect(button(page, "Take the picture")).to_be_enabled()
    button(page, "Take the picture").click()

    expect(page.locator("#caption")).to_have_text("Photo")
    page.evaluate(ended)
    refuse = "async () => { throw new DOMException('', 'NotAllowedError'); }"
    page.evaluate(f"void (navigator.mediaDevices.getUserMedia = {refuse})")
    photo.click()
    expect_problem(page, "does not let this page use the camera")
    page.close()
