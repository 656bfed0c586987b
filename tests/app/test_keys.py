"""With keys set, whatever is not open is answered to whoever brings one of them, and to nobody else."""

import json
import re
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from app.openapi.example_pictures import EXAMPLES
from app.settings import Settings, read_settings
from tests.app.conftest import OpenPage, Service, StartService
from tests.conftest import fresh_python

OLD, NEW = "the-old-key-0123456789", "the-new-key-0123456789"
SEVEN: dict[str, Any] = {
    "content": (EXAMPLES / "seven.bin").read_bytes(),
    "headers": {"content-type": "application/octet-stream"},
}


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that wants one of two keys."""
    log = tmp_path_factory.mktemp("locked") / "service.log"
    service = Service(log, {"MNIST_API_KEYS": f"{OLD},{NEW}"}).wait_until_ready()
    yield service
    service.stop()
    written = log.read_text()
    assert "Traceback" not in written
    assert OLD not in written
    assert NEW not in written


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"authorization": f"Bearer {OLD}"}, id="a bearer"),
        pytest.param({"authorization": f"Bearer {NEW}"}, id="another bearer: keys can be rotated"),
        pytest.param({"authorization": f"bearer  {NEW}"}, id="in lower case"),
        pytest.param({"x-api-key": NEW}, id="X-API-Key"),
        pytest.param({"authorization": "Basic c2V2ZW46", "x-api-key": NEW}, id="beside a proxy's own sign-in"),
        pytest.param({"authorization": "Bearer of-somebody-else", "x-api-key": NEW}, id="beside another's token"),
    ],
)
def test_a_known_key_opens(locked: Service, headers: dict[str, str]) -> None:
    reply = locked.client.post("/predict", content=SEVEN["content"], headers=SEVEN["headers"] | headers)

    assert (reply.status_code, reply.json()["digit"]) == (200, 7)
    assert locked.client.get("/model", headers=headers).status_code == 200
    assert locked.client.get("/nothing", headers=headers).status_code == 404


def test_the_log_says_that_keys_are_wanted(locked: Service) -> None:
    # An empty variable is as good as none: who thinks that it holds a key can see that it does not.
    assert locked.wait_for_line(r"one of (\d) API keys") == "2"


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no key"),
        pytest.param({"authorization": f"Bearer {NEW[:-1]}"}, id="the beginning of one"),
        pytest.param({"authorization": f"Bearer {NEW}9"}, id="one and more"),
        pytest.param({"authorization": f"Bearer {NEW.upper()}"}, id="in upper case"),
        pytest.param({"authorization": "Bearer"}, id="an empty bearer"),
        pytest.param({"authorization": f"Basic {NEW}"}, id="another scheme"),
        pytest.param({"authorization": NEW}, id="no scheme"),
        pytest.param({"authorization": f"Bearer {OLD},{NEW}"}, id="the whole setting"),
        pytest.param({"x-api-key": ""}, id="an empty X-API-Key"),
        pytest.param({"x-api-key": f"Bearer {NEW}"}, id="a bearer as X-API-Key"),
        pytest.param({"cookie": f"key={NEW}"}, id="as a cookie"),
    ],
)
def test_anything_else_is_401_in_the_same_words(locked: Service, headers: dict[str, str]) -> None:
    reply = locked.client.post("/predict", content=SEVEN["content"], headers=SEVEN["headers"] | headers)

    assert reply.status_code == 401
    assert reply.headers["www-authenticate"] == "Bearer"
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.json() == {
        "type": "urn:digits:unauthorized",
        "title": "Unauthorized",
        "status": 401,
        "detail": "expected a known API key, as `Authorization: Bearer KEY` or as `X-API-Key: KEY`",
    }


def test_a_key_in_the_query_is_none(locked: Service) -> None:
    assert locked.client.get("/model", params={"key": NEW, "x-api-key": NEW}).status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        *("/livez", "/startupz", "/readyz", "/health", "/", "/page/main.js", "/page/index.html"),
        *("/docs", "/docs/assets/swagger-ui.css", "/openapi.json", "/examples/seven.png"),
        *("/ping", "/v2/health/live", "/v2/health/ready"),
    ],
)
def test_probes_and_pages_are_open(locked: Service, path: str) -> None:
    assert locked.client.get(path).status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "TRACE", "HEAD", "DELETE"])
@pytest.mark.parametrize(
    "path",
    [
        *(
            "/predict",
            "/model",
            "/model/card",
            "/model/report/README.md",
            "/metrics",
            "/nothing",
            "/v1/models/mnist-dense",
            "/v2",
        ),
        *("/predict/", "//predict", "/Livez", "/livez/", "/livez/../predict", "/docs/", "/docs/assets", "/pages"),
        *("/%6dodel", "/page%2f..%2fmodel", "/docsx", "/favicon.ico"),
        *("/invocations", "/v1/models/mnist-dense:predict", "/V1/models", "/v2/health", "/ping/"),
    ],
)
def test_all_else_is_closed_whether_it_exists_or_not(locked: Service, method: str, path: str) -> None:
    url = httpx.URL(locked.url)
    with socket.create_connection((url.host, url.port or 0), timeout=20) as connection:
        # Over a socket: a client library would tidy the path up.
        connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        reply = connection.recv(1000)

    # What begins like a page and leads elsewhere leads nowhere.
    assert reply.split(b" ", 2)[1] == (b"404" if path.startswith("/page%2f") else b"401")


def test_a_key_is_asked_for_before_the_body_is_read(locked: Service) -> None:
    url = httpx.URL(locked.url)
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 10000\r\n"
    with socket.create_connection((url.host, url.port or 0), timeout=20) as connection:
        connection.sendall(head + b"Expect: 100-continue\r\n\r\n")

        reply = connection.recv(1000)

    assert reply.startswith(b"HTTP/1.1 401 ")  # and not 100: the body need not even be sent


def test_the_connection_goes_on_after_a_refused_body(locked: Service) -> None:
    for _ in range(3):
        assert locked.client.post("/predict", content=bytes(3_000_000)).status_code == 401

    assert locked.client.get("/livez").status_code == 200


def test_refusals_are_in_the_log(locked: Service) -> None:
    locked.client.get("/refused", headers={"x-api-key": "not-" + NEW})

    line = json.loads(locked.wait_for_line(r"(\{.*/refused.*\})"))

    assert (line["status"], line["bytes"] > 0) == (401, True)


def test_a_client_that_went_away_is_no_failure_in_the_log(locked: Service) -> None:
    url = httpx.URL(locked.url)
    head = f"POST /predict?normalize=never HTTP/1.1\r\nHost: x\r\nX-API-Key: {NEW}\r\nContent-Length: 784\r\n"
    with socket.create_connection((url.host, url.port or 0), timeout=20) as connection:
        connection.sendall(f"{head}Content-Type: application/octet-stream\r\n\r\nhalf".encode())

    assert locked.wait_for_line(r'"status":(499|500)') == "499"


def test_metrics_can_be_opened(start_service: StartService) -> None:
    service = start_service(MNIST_API_KEYS=NEW, MNIST_METRICS_OPEN="true").wait_until_ready()

    assert service.client.get("/metrics").status_code != 401
    assert service.client.get("/metrics/more").status_code == 401


def test_openapi_says_where_a_key_is_wanted(locked: Service, client: httpx.Client) -> None:
    wanted, unset = (each.get("/openapi.json").json() for each in (locked.client, client))

    schemes = wanted["components"]["securitySchemes"]
    assert {scheme["type"] for scheme in schemes.values()} == {"http", "apiKey"}
    for path, operations in wanted["paths"].items():
        for operation in operations.values():
            is_open = locked.client.request("GET", path).status_code != 401
            assert ("401" in operation["responses"], "security" in operation) == (not is_open, not is_open), path
    assert "securitySchemes" not in unset["components"]


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param("too-short-by-one"[:-1], id="too short by one"),
        pytest.param(f"{NEW},", id="an empty one at the end"),
        pytest.param(f",{NEW}", id="an empty one at the beginning"),
        pytest.param(f"{OLD}, {NEW}", id="a space after the comma"),
        pytest.param("the new key 0123456789", id="spaces within"),
        pytest.param("schlüssel-0123456789", id="not ASCII"),
        pytest.param(f"{NEW}\n", id="a line break at the end"),
    ],
)
def test_a_bad_key_is_one_line_without_the_key(monkeypatch: pytest.MonkeyPatch, keys: str) -> None:
    monkeypatch.setenv("MNIST_API_KEYS", keys)

    with pytest.raises(SystemExit) as ended:
        read_settings()

    line = str(ended.value)
    assert line.startswith("digits: MNIST_API_KEYS: expected keys of at least 16 printable ASCII characters")
    assert "\n" not in line
    assert not any(key.strip() in line for key in keys.split(",") if key.strip())


@pytest.mark.parametrize("command", [["-m", "app"], ["-m", "uvicorn", "--factory", "app.main:create_app"]])
def test_a_bad_key_ends_the_start(command: list[str]) -> None:
    ended = fresh_python(*command, environment={"MNIST_API_KEYS": "seven", "MNIST_PORT": "0"})

    assert ended.returncode == 1
    assert ended.stderr.startswith("digits: MNIST_API_KEYS: ")
    assert "seven" not in ended.stderr


def test_settings_keep_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNIST_API_KEYS", f"{OLD},{NEW}")

    settings = Settings()

    assert len(settings.api_keys) == 2
    for shown in (repr(settings), str(settings), str(settings.model_dump()), repr(vars(settings))):
        assert NEW not in shown
    assert "api_keys" not in repr(settings)


# The pages


def draw(page: Page) -> None:
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    x, y, side = box["x"], box["y"], box["width"]
    page.mouse.move(x + 0.3 * side, y + 0.22 * side)
    page.mouse.down()
    page.mouse.move(x + 0.7 * side, y + 0.2 * side, steps=4)
    page.mouse.move(x + 0.45 * side, y + 0.82 * side, steps=6)
    page.mouse.up()


def give(page: Page, key: str) -> None:
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Continue").click()


def expect_seven(page: Page) -> None:
    expect(page.locator("#digit")).to_have_text(re.compile(r"^7\??$"))


def test_the_page_asks_for_the_key_and_goes_on(open_page: OpenPage, locked: Service) -> None:
    page = open_page(locked.url, refusals=True, viewport={"width": 1280, "height": 800})
    sent: list[str | None] = []
    page.on("request", lambda request: sent.append(request.headers.get("authorization")))
    expect(page.get_by_label("API key")).to_be_hidden()

    draw(page)
    expect(page.locator("#sentence")).to_contain_text("requires an API key")
    give(page, "nobody-knows-this-key")
    expect(page.locator("#key-note")).to_have_text("The service does not know this key.")
    expect(page.get_by_label("API key")).to_have_attribute("aria-invalid", "true")
    give(page, NEW)

    expect_seven(page)  # without another stroke
    expect(page.get_by_label("API key")).to_be_hidden()
    assert f"Bearer {NEW}" in sent
    assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 1, ""]
    assert NEW not in page.url
    page.reload()
    draw(page)
    expect_seven(page)
    expect(page.get_by_label("API key")).to_be_hidden()


def test_the_key_is_of_one_tab(open_page: OpenPage, locked: Service) -> None:
    first = open_page(locked.url, refusals=True, viewport={"width": 1280, "height": 800})
    draw(first)
    give(first, NEW)
    expect_seven(first)

    second = first.context.new_page()
    second.goto(locked.url)
    draw(second)

    expect(second.get_by_label("API key")).to_be_visible()


def test_the_report_is_shown_with_the_key(open_page: OpenPage, locked: Service) -> None:
    page = open_page(locked.url, refusals=True, viewport={"width": 1280, "height": 1400})
    page.get_by_text("How good is it?").click()
    give(page, NEW)

    expect(page.locator("#accuracy")).to_contain_text("mnist-dense")
    for image in page.locator("figure img").all():
        image.scroll_into_view_if_needed()
        expect(image).to_be_visible()
        expect(image).to_have_js_property("complete", True)
        assert image.evaluate("image => image.naturalWidth") > 100
    page.get_by_role("link", name="Model card", exact=True).click()
    expect(page).to_have_title(re.compile("^Model card of mnist-dense"))
    for image in page.get_by_role("img").all():
        assert image.evaluate("image => image.naturalWidth") > 100
    assert page.locator("body").evaluate("body => getComputedStyle(body).maxWidth") == "800px"  # its style came too
    page.get_by_role("link", name="Draw a digit").click()
    expect(page.locator("#canvas")).to_be_visible()


def test_the_model_card_asks_for_the_key_too(open_page: OpenPage, locked: Service) -> None:
    page = open_page(locked.url, refusals=True, viewport={"width": 1280, "height": 800})

    page.get_by_role("link", name="Model card", exact=True).click()

    expect(page.get_by_label("API key")).to_be_focused()


def test_the_docs_take_a_key(open_page: OpenPage, locked: Service) -> None:
    page = open_page(f"{locked.url}/docs", refusals=True, viewport={"width": 1200, "height": 1600})
    page.get_by_role("button", name="Authorize").first.click()
    page.get_by_label("auth-bearer-value").fill(NEW)
    page.get_by_role("button", name="Apply credentials").first.click()
    page.get_by_role("button", name="Close").first.click()
    page.locator("#operations-predict-predict_predict_post .opblock-summary-control").click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()

    expect(page.locator(".live-responses-table .response-col_status").last).to_contain_text("200")
