"""Behind a reverse proxy: below a path prefix that it strips or leaves, and told the client's address by it."""

import contextlib
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from app.asgi.middleware import spellings
from app.openapi.example_pictures import EXAMPLES
from tests.app.conftest import OpenPage, Service, StartService
from tests.conftest import REPOSITORY

SEVEN: dict[str, Any] = {
    "content": (EXAMPLES / "seven.bin").read_bytes(),
    "headers": {"content-type": "application/octet-stream"},
}
HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive", "date", "server"}


@contextlib.contextmanager
def proxy(url: str, prefix: str, *, strips: bool) -> Iterator[str]:
    """The address of a reverse proxy that shows a service below a path prefix, and only there."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            reply = httpx.Response(404)
            if self.path == prefix or self.path.startswith(f"{prefix}/"):
                path = (self.path.removeprefix(prefix) or "/") if strips else self.path
                reply = httpx.request(self.command, url + path, content=body, headers=dict(self.headers), timeout=60)
            self.send_response(reply.status_code)
            for name, value in reply.headers.multi_items():
                if name not in HOP_BY_HOP | {"content-length"}:
                    self.send_header(name, value)
            self.send_header("content-length", str(len(reply.content)))
            self.end_headers()
            self.wfile.write(reply.content)

        do_GET = do_POST = forward  # noqa: N815 - http.server asks for these names

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@pytest.fixture(scope="module")
def prefixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that knows of its prefix."""
    log = tmp_path_factory.mktemp("prefixed") / "service.log"
    service = Service(log, {"MNIST_ROOT_PATH": "/digits/"}).wait_until_ready()  # the last slash makes no difference
    yield service
    service.stop()
    assert "Traceback" not in log.read_text()


@pytest.fixture(scope="module", params=["strips", "leaves"])
def outside(request: pytest.FixtureRequest, prefixed: Service) -> Iterator[str]:
    """The address of the proxy before it."""
    with proxy(prefixed.url, "/digits", strips=request.param == "strips") as address:
        yield address


def draw_a_one(page: Page) -> None:
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.52 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.48 * box["width"], box["y"] + 0.8 * box["height"], steps=8)
    page.mouse.up()


def expect_a_working_page(page: Page) -> None:
    draw_a_one(page)
    expect(page.locator("#digit")).to_have_text("1")
    page.get_by_text("How good is it?").click()
    expect(page.locator("#accuracy")).to_contain_text("mnist-dense")
    for image in page.locator("figure img").all():
        image.scroll_into_view_if_needed()
        expect(image).to_have_js_property("complete", True)
        assert image.evaluate("image => image.naturalWidth") > 100


def expect_a_card(page: Page) -> None:
    for image in page.get_by_role("img").all():
        expect(image).to_have_js_property("complete", True)
        assert image.evaluate("image => image.naturalWidth") > 100
    # Its style came too: without one, browsers write in serifs.
    assert page.locator("body").evaluate("body => getComputedStyle(body).maxWidth") == "800px"


@pytest.mark.parametrize("path", ["/digits/", "/digits"])
def test_the_page_works_below_the_prefix(open_page: OpenPage, outside: str, path: str) -> None:
    page = open_page(outside + path)

    expect_a_working_page(page)

    assert page.get_by_role("link", name="API").evaluate("link => link.href") == f"{outside}/digits/docs"
    page.get_by_role("link", name="Model card", exact=True).click()
    page.wait_for_url(f"{outside}/digits/model/card")
    expect_a_card(page)
    page.get_by_role("link", name="Draw a digit").click()
    page.wait_for_url(f"{outside}/digits/")


def test_the_page_works_below_a_prefix_that_nobody_told_it(open_page: OpenPage, service: Service) -> None:
    with proxy(service.url, "/some/prefix", strips=True) as address:
        page = open_page(f"{address}/some/prefix/")

        expect_a_working_page(page)
        page.get_by_role("link", name="Model card", exact=True).click()
        page.wait_for_url(f"{address}/some/prefix/model/card")
        expect_a_card(page)


def test_the_docs_work_below_the_prefix(open_page: OpenPage, outside: str) -> None:
    page = open_page(f"{outside}/digits/docs", viewport={"width": 1200, "height": 1600})
    page.locator("#operations-predict-predict_predict_post .opblock-summary-control").click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()

    live = page.locator(".live-responses-table .response").first
    expect(live.locator(".response-col_status")).to_contain_text("200")
    expect(page.locator(".request-url")).to_contain_text(f"{outside}/digits/predict")
    shown = page.get_by_role("link", name="seven.png").evaluate("link => fetch(link.href).then(reply => reply.status)")
    assert shown == 200


def test_each_path_is_answered_with_and_without_the_prefix(prefixed: Service) -> None:
    paths = ("/", "/livez", "/model", "/page/main.js", "/docs", "/docs/assets/swagger-ui.css", "/examples/seven.png")
    for prefix in ("", "/digits"):
        assert [prefixed.client.get(prefix + path).status_code for path in paths] == [200] * len(paths)
        assert prefixed.client.post(f"{prefix}/predict", **SEVEN).json()["digit"] == 7  # the hot path
        document = prefixed.client.get(f"{prefix}/openapi.json").json()
        assert document["servers"] == [{"url": "/digits"}]


@pytest.mark.parametrize(
    "path", ["/digitsmodel", "/digits/digits/model", "/Digits/model", "/digits/../model", "/other"]
)
def test_what_only_looks_like_the_prefix_is_none(prefixed: Service, path: str) -> None:
    url = httpx.URL(prefixed.url)
    with socket.create_connection((url.host, url.port or 0), timeout=20) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

        assert connection.recv(1000).startswith(b"HTTP/1.1 404 ")


def test_keys_are_asked_for_below_the_prefix_too(start_service: StartService) -> None:
    key = "the-only-key-0123456789"
    service = start_service(MNIST_ROOT_PATH="/digits", MNIST_API_KEYS=key).wait_until_ready()

    for path in ("/digits/model", "/model", "/digits/nothing", "/digits/digits/livez", "/digits/digits/"):
        assert service.client.get(path).status_code == 401
    for path in ("/digits", "/digits/", "/digits/livez", "/livez", "/digits/page/main.js"):
        assert service.client.get(path).status_code == 200
    assert service.client.get("/digits/model", headers={"x-api-key": key}).status_code == 200


def test_probes_below_the_prefix_are_not_logged_either(prefixed: Service) -> None:
    prefixed.client.get("/digits/livez")
    prefixed.client.get("/livez")
    prefixed.client.get("/digits/after")

    prefixed.wait_for_line(r"(/digits/after)")
    assert "livez" not in prefixed.log.read_text()


def test_uvicorns_own_option_works_too(start_service: StartService) -> None:
    command = [sys.executable, "-m", "uvicorn", "--factory", "app.main:create_app", "--port", "0"]
    service = start_service([*command, "--root-path", "/digits"], MNIST_ROOT_PATH="/digits").wait_until_ready()

    for prefix in ("", "/digits"):
        assert service.client.get(f"{prefix}/docs/assets/favicon.png").status_code == 200
        assert service.client.post(f"{prefix}/predict", **SEVEN).status_code == 200


# Who the client is

SEEN = """
import json
from app.asgi import middleware
from app.telemetry.metrics import Metrics
from app.settings import read_settings

async def seen(scope, receive, send):
    body = json.dumps([scope["client"][0], scope["scheme"]]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})

def create():
    return middleware.around(seen, read_settings(), Metrics()) or seen
"""
"""An application behind the guard that tells who it takes the client for."""

StartSeen = Callable[..., Service]


@pytest.fixture
def start_seen(start_service: StartService, tmp_path: Path) -> StartSeen:
    (tmp_path / "seen.py").write_text(SEEN)

    def start(**environment: str) -> Service:
        options = ["--factory", "--port", "0", "--lifespan", "off", "--no-proxy-headers"]
        command = [sys.executable, "-m", "uvicorn", "seen:create", *options]
        service: Service = start_service(command, cwd=tmp_path, PYTHONPATH=str(REPOSITORY), **environment)
        return service

    return start


FORWARDED = {"x-forwarded-for": "203.0.113.7, 127.0.0.1", "x-forwarded-proto": "https"}


@pytest.mark.parametrize(
    ("trusted", "client", "scheme"),
    [
        pytest.param("", "127.0.0.1", "http", id="nobody"),
        pytest.param("10.0.0.0/8, ::1", "127.0.0.1", "http", id="others"),
        pytest.param("127.0.0.1", "203.0.113.7", "https", id="this address"),
        pytest.param("10.0.0.0/8,127.0.0.0/8", "203.0.113.7", "https", id="this network"),
    ],
)
def test_forwarded_headers_are_believed_from_trusted_proxies_only(
    start_seen: StartSeen, trusted: str, client: str, scheme: str
) -> None:
    service = start_seen(MNIST_TRUSTED_PROXIES=trusted)

    assert service.client.get("/", headers=FORWARDED).json() == [client, scheme]
    assert service.client.get("/").json() == ["127.0.0.1", "http"]


def test_what_the_client_wrote_before_the_proxy_is_not_believed(start_seen: StartSeen) -> None:
    service = start_seen(MNIST_TRUSTED_PROXIES="127.0.0.1,192.0.2.0/24")

    seen = service.client.get("/", headers={"x-forwarded-for": "198.51.100.1, 203.0.113.7:4711, 192.0.2.9"})

    assert seen.json()[0] == "203.0.113.7"


def test_a_proxy_is_known_by_its_ipv4_address_where_ipv6_is_listened_on_too() -> None:
    assert spellings("10.0.0.0/8") == ["10.0.0.0/8", "::ffff:10.0.0.0/104"]
    assert spellings("2001:db8::/32") == ["2001:db8::/32"]
