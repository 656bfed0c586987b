"""The documentation page in a real browser without a network: every kind of body can be tried on it."""

import re

import pytest
from playwright.sync_api import Page, expect

from app.input.pictures import FORM, IMAGE_TYPES, JSON, RAW
from app.openapi.example_pictures import EXAMPLES
from tests.app.conftest import OpenPage, Service, StartService

BODY = ".opblock-section-request-body"

SLOW = 120_000
"""Milliseconds to wait for Swagger UI. It takes 3 s of processor time to show an operation, and half a second for each
reply. On a busy machine that can be a minute."""

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def docs(open_page: OpenPage, service: Service) -> Page:
    """/docs with `POST /predict` opened for trying."""
    page = open_page(f"{service.url}/docs#/Predict/predict", viewport={"width": 1200, "height": 1600})
    page.set_default_timeout(SLOW)
    page.locator(".try-out button").click()
    return page


def expect_sevens(page: Page, count: int) -> None:
    """Press Execute and expect a reply that shows so many predictions of a seven."""
    with page.expect_response("**/predict*") as reply:
        page.locator("button.execute").click()
    assert reply.value.status == 200
    shown = page.locator(".live-responses-table .response").first
    expect(shown.locator(".response-col_status")).to_contain_text("200", timeout=SLOW)
    expect(shown.locator(".microlight").first).to_have_text(
        re.compile(rf'^(?:(?!"digit").)*(?:"digit":\s*7,(?:(?!"digit").)*){{{count}}}$', re.DOTALL), timeout=SLOW
    )


def choose_type(page: Page, media_type: str) -> None:
    page.locator(f"{BODY} select.content-type").select_option(media_type)


def test_each_json_example_can_be_tried(docs: Page) -> None:
    choose_type(docs, JSON)
    for example, count in {"rows": 1, "flat": 1, "floats": 1, "batch": 2}.items():
        docs.locator(f"{BODY} .examples-select select").select_option(example)
        expect_sevens(docs, count)


def test_a_file_can_be_sent_as_each_type(docs: Page) -> None:
    for media_type in (*IMAGE_TYPES, RAW):
        choose_type(docs, media_type)
        docs.locator(f"{BODY} input[type=file]").set_input_files(
            EXAMPLES / ("seven.bin" if media_type == RAW else "seven.png")
        )
        expect_sevens(docs, 1)


def test_one_or_two_files_can_be_sent_as_a_form(docs: Page) -> None:
    choose_type(docs, FORM)
    docs.locator(f"{BODY} input[type=file]").set_input_files(EXAMPLES / "seven.png")
    expect_sevens(docs, 1)
    docs.locator(f"{BODY} button", has_text="Add string item").click()
    docs.locator(f"{BODY} input[type=file]").last.set_input_files(EXAMPLES / "seven.png")
    expect_sevens(docs, 2)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_our_own_api_comes_first_in_the_preferred_colours_with_a_way_back(
    open_page: OpenPage, service: Service, scheme: str
) -> None:
    page = open_page(f"{service.url}/docs", color_scheme=scheme)

    groups = page.locator(".opblock-tag")
    expect(groups.first).to_have_text(re.compile("Predict"), timeout=SLOW)
    assert [group.split()[0] for group in groups.all_inner_texts()[:3]] == ["Predict", "Model", "Health"]
    heading = page.get_by_role("heading", level=1)
    colour = heading.evaluate("heading => getComputedStyle(heading).color.match(/[0-9]+/g).map(Number)")
    assert (min(colour) > 128) is (scheme == "dark")
    page.get_by_role("link", name="Drawing page").click()
    expect(page.locator("#canvas")).to_be_visible()


def test_the_docs_can_be_switched_off(open_page: OpenPage, start_service: StartService) -> None:
    service = start_service(MNIST_DOCS="false").wait_until_ready()

    for path in ("/docs", "/openapi.json", "/docs/assets/swagger-ui.css", "/examples/seven.png"):
        reply = service.client.get(path)
        assert (reply.status_code, "docs" in reply.text) == (404, False)
    page = open_page(service.url)
    assert "docs" not in page.content()
    assert page.get_by_role("navigation").get_by_role("link").all_inner_texts() == ["Model card"]
    assert service.client.post("/predict", content=(EXAMPLES / "seven.png").read_bytes()).status_code == 415
