"""The documentation page in a real browser without a network: every kind of body can be tried on it."""

import re

import pytest
from playwright.sync_api import Page, expect

from app.input.pictures import FORM, IMAGE_TYPES, JSON, RAW
from app.openapi.example_pictures import EXAMPLES
from tests.app.conftest import Service
from tests.app.pages.conftest import OpenPage

BODY = ".opblock-section-request-body"
SEVEN_PNG = EXAMPLES / "seven.png"

SLOW = 120_000
"""Milliseconds to wait for Swagger UI. It takes 3 s of processor time to show an operation, and half a second for each
reply. On a busy machine that can be a minute."""

pytestmark = pytest.mark.timeout(600)


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


def test_the_sections_of_other_servers_protocols_are_folded(open_page: OpenPage, service: Service) -> None:
    page = open_page(f"{service.url}/docs")

    shown = page.locator(".opblock-tag-section:has(.opblock) h3")
    expect(shown).to_have_text([re.compile(f"^{tag}") for tag in ("Predict", "Model", "Health")], timeout=SLOW)


def test_an_operation_begins_with_the_upload_of_a_file_and_its_errors_are_folded(
    open_page: OpenPage, service: Service
) -> None:
    page = open_page(f"{service.url}/docs#/Predict/predict")
    page.set_default_timeout(SLOW)

    expect(page.locator(f"{BODY} input[type=file]")).to_be_visible(timeout=SLOW)
    expect(page.locator(".opblock-description code")).to_contain_text("curl -F file=@seven.png")
    statuses = page.locator(".responses-table .response-col_status:visible")
    expect(statuses).to_have_text(["Code", "200"])
    page.get_by_text("Error replies").click()
    expect(statuses.filter(has_text="422")).to_be_visible()


def test_each_kind_of_body_can_be_tried(open_page: OpenPage, service: Service) -> None:
    page = open_page(f"{service.url}/docs#/Predict/predict", viewport={"width": 1200, "height": 1600})
    page.set_default_timeout(SLOW)
    kind = page.locator(f"{BODY} select.content-type")
    file = page.locator(f"{BODY} input[type=file]")

    expect(kind).to_have_value(FORM, timeout=SLOW)
    kind.select_option(JSON)
    expect_sevens(page, 1)  # the example, without a file
    page.locator(f"{BODY} .examples-select select").select_option("batch")
    expect_sevens(page, 2)
    for media_type in (*IMAGE_TYPES, RAW):
        kind.select_option(media_type)
        expect(file).to_be_visible(timeout=SLOW)
    file.set_input_files(EXAMPLES / "seven.bin")
    expect_sevens(page, 1)
    kind.select_option("image/png")
    file.set_input_files(SEVEN_PNG)
    expect_sevens(page, 1)
    kind.select_option(FORM)
    file.set_input_files(SEVEN_PNG)
    expect_sevens(page, 1)
    page.locator(f"{BODY} button", has_text="Add string item").click()
    file.last.set_input_files(SEVEN_PNG)
    expect_sevens(page, 2)
