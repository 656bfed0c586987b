"""The docs page in a real browser without a network: every kind of body can be tried on it."""

import re

import httpx
import pytest
from playwright.sync_api import Page

from app.input.pictures import FORM, IMAGE_TYPES, JSON, RAW
from app.openapi.example_pictures import EXAMPLES
from tests.app.conftest import OpenPage, Service, StartService


@pytest.fixture
def docs(open_page: OpenPage, service: Service) -> Page:
    """/docs with the operation `POST /predict` opened for trying."""
    page = open_page(f"{service.url}/docs", viewport={"width": 1200, "height": 1600})
    page.locator("#operations-predict-predict_predict_post .opblock-summary-control").click()
    page.get_by_role("button", name="Try it out").click()
    return page


def execute(page: Page) -> tuple[str, str]:
    """Press Execute; the status and the body of the reply as shown."""
    page.get_by_role("button", name="Execute").click()
    live = page.locator(".live-responses-table .response").first
    live.wait_for()
    return live.locator(".response-col_status").inner_text().strip(), live.locator(".microlight").first.inner_text()


def choose_type(page: Page, kind: str) -> None:
    page.locator(".opblock-section-request-body select.content-type").select_option(kind)


@pytest.mark.parametrize("example", ["rows", "flat", "floats", "batch"])
def test_each_json_example_can_be_tried(docs: Page, example: str) -> None:
    choose_type(docs, JSON)
    docs.locator(".opblock-section-request-body .examples-select select").select_option(example)

    status, body = execute(docs)

    assert status.startswith("200")
    assert re.search(r'"digit":\s*7', body)


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        *(pytest.param(kind, "seven.png", id=kind) for kind in IMAGE_TYPES),
        pytest.param(RAW, "seven.bin", id=RAW),
    ],
)
def test_a_file_can_be_sent_as_each_type(docs: Page, kind: str, file: str) -> None:
    choose_type(docs, kind)
    docs.locator(".opblock-section-request-body input[type=file]").set_input_files(EXAMPLES / file)

    status, body = execute(docs)

    assert status.startswith("200")
    assert re.search(r'"digit":\s*7', body)


def test_files_can_be_sent_as_a_form(docs: Page) -> None:
    choose_type(docs, FORM)
    docs.locator(".opblock-section-request-body input[type=file]").set_input_files(EXAMPLES / "seven.png")

    status, body = execute(docs)

    assert status.startswith("200")
    assert re.search(r'"digit":\s*7', body)


def test_every_example_of_the_document_is_answered(client: httpx.Client) -> None:
    content = client.get("/openapi.json").json()["paths"]["/predict"]["post"]["requestBody"]["content"]

    for example in content[JSON]["examples"].values():
        assert client.post("/predict", json=example["value"]).status_code == 200
    assert set(content) == {JSON, FORM, RAW, *IMAGE_TYPES}


def test_two_files_can_be_sent_as_a_form(docs: Page) -> None:
    choose_type(docs, FORM)
    docs.locator(".opblock-section-request-body button", has_text="Add string item").click()
    for index in range(2):
        docs.locator(".opblock-section-request-body input[type=file]").nth(index).set_input_files(
            EXAMPLES / "seven.png"
        )

    status, body = execute(docs)

    assert status.startswith("200")
    assert len(re.findall(r'"digit":\s*7', body)) == 2


def test_the_docs_can_be_switched_off(open_page: OpenPage, start_service: StartService) -> None:
    service = start_service(MNIST_DOCS="false").wait_until_ready()

    for path in ("/docs", "/openapi.json", "/docs/assets/swagger-ui.css", "/examples/seven.png"):
        reply = service.client.get(path)
        assert (reply.status_code, "docs" in reply.text) == (404, False)
    page = open_page(service.url)
    assert "docs" not in page.content()
    assert page.get_by_role("navigation").get_by_role("link").all_inner_texts() == ["Model card"]
    assert service.client.post("/predict", content=(EXAMPLES / "seven.png").read_bytes()).status_code == 415
