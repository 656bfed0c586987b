"""Behind a reverse proxy, the service works below a path prefix."""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from tests.app.conftest import NEW_KEY, OpenPage, Service, drag, expect_loaded, expect_styled_card, running_service
from tests.app.dialects import RAW

pytestmark = pytest.mark.slow

HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive", "date", "server"}


@contextlib.contextmanager
def proxy(url: str, prefix: str, *, strips: bool) -> Iterator[str]:
    """Run a reverse proxy that publishes a service below a path prefix, and return its address."""

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
                if name not in HOP_BY_HOP | {"content-length", "content-encoding"}:
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
    """A service whose settings name its prefix. The last slash makes no difference."""
    with running_service(tmp_path_factory.mktemp("prefixed"), MNIST_ROOT_PATH="/digits/") as service:
        yield service


@pytest.mark.parametrize(
    ("settings_name_it", "strips"),
    [(True, True), (True, False), (False, True)],
    ids=["stripped", "left", "stripped, which the settings do not name"],
)
def test_the_page_works_below_a_prefix(
    open_page: OpenPage, prefixed: Service, service: Service, settings_name_it: bool, strips: bool
) -> None:
    with proxy((prefixed if settings_name_it else service).url, "/digits", strips=strips) as address:
        page = open_page(f"{address}/digits" if settings_name_it else f"{address}/digits/")

        drag(page, (0.52, 0.2), (0.48, 0.8))
        expect(page.locator("#digit")).to_have_text("1")
        page.get_by_text("how good is it?").click()
        expect(page.locator("#accuracy")).to_contain_text("mnist-dense")
        expect_loaded(page.locator("figure img"))
        assert page.get_by_role("link", name="API").evaluate("link => link.href") == f"{address}/digits/docs"
        page.get_by_role("link", name="Model card", exact=True).click()
        page.wait_for_url(f"{address}/digits/model/card#strokes=*")
        expect_styled_card(page)
        page.get_by_role("link", name="Drawing page").click()
        page.wait_for_url(f"{address}/digits/#strokes=*")


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
