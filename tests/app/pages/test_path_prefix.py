"""Behind a reverse proxy, the service works below a path prefix."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Route, expect

from tests.app.conftest import NEW_KEY, Service, running_service
from tests.app.dialects import RAW
from tests.app.pages.conftest import OpenPage, drag, expect_loaded, expect_styled_card

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def prefixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose settings name its prefix. The last slash makes no difference."""
    with running_service(tmp_path_factory.mktemp("prefixed"), MNIST_ROOT_PATH="/digits/") as service:
        yield service


@pytest.mark.parametrize("is_named", [True, False], ids=["as the settings name it", "which the proxy strips"])
def test_the_page_works_below_a_prefix(
    open_page: OpenPage, tab: Page, prefixed: Service, service: Service, is_named: bool
) -> None:
    def strip(route: Route) -> None:
        """Answer as a proxy does that removes the prefix, of which the settings do not know."""
        route.fulfill(response=route.fetch(url=route.request.url.replace("/digits/", "/", 1)))

    address = f"{(prefixed if is_named else service).url}/digits"
    if not is_named:
        tab.route("**/digits/**", strip)
    page = open_page(address if is_named else f"{address}/")

    drag(page, (0.52, 0.2), (0.48, 0.8))
    expect(page.locator("#digit")).to_have_text("1")
    page.get_by_text("how good is it?").click()
    expect(page.locator("#accuracy")).to_contain_text("mnist-dense")
    expect_loaded(page.locator("figure img"))
    assert page.get_by_role("link", name="API").evaluate("link => link.href") == f"{address}/docs"
    page.get_by_role("link", name="Model card", exact=True).click()
    page.wait_for_url(f"{address}/model/card#strokes=*")
    expect_styled_card(page)
    page.get_by_role("link", name="Drawing page").click()
    page.wait_for_url(f"{address}/#strokes=*")
    expect(page.locator("#digit")).to_have_text("1")
    page.wait_for_load_state("networkidle")


def test_each_path_is_answered_with_and_without_the_prefix(prefixed: Service) -> None:
    paths = ("/", "/livez", "/model", "/page/main.js", "/docs", "/docs/assets/swagger-ui.css", "/examples/seven.png")
    for prefix in ("", "/digits"):
        assert [prefixed.client.get(prefix + path).status_code for path in paths] == [200] * len(paths)
        assert prefixed.client.post(f"{prefix}/predict", **RAW).json()["digit"] == 7
        document = prefixed.client.get(f"{prefix}/openapi.json").json()
        assert document["servers"] == [{"url": "/digits"}]


@pytest.mark.parametrize(
    "path", ["/digitsmodel", "/digits/digits/model", "/Digits/model", "/digits/../model", "/other"]
)
def test_a_path_that_only_resembles_the_prefix_is_not_found(prefixed: Service, path: str) -> None:
    reply = prefixed.send_bytes(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    assert reply.startswith(b"HTTP/1.1 404 ")


def test_below_the_prefix_a_key_is_required_except_for_probes_and_pages(lenient: Service) -> None:
    public = ("/digits", "/digits/", "/digits/livez", "/livez", "/digits/page/main.js")
    locked = ("/digits/model", "/model", "/digits/nothing", "/digits/digits/livez")

    assert [lenient.client.get(path).status_code for path in public + locked] == [200] * 5 + [401] * 4
    assert lenient.client.get("/digits/model", headers={"x-api-key": NEW_KEY}).status_code == 200
