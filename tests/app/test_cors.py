"""Pages of other origins may ask when they are named, and a browser is told nothing of it else."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from app.openapi.example_pictures import EXAMPLES
from tests.app.conftest import OpenPage, Service, StartService

KEY = "the-only-key-0123456789"
ORIGIN = "https://lecture.example.org"
SEVEN: dict[str, Any] = {
    "content": (EXAMPLES / "seven.bin").read_bytes(),
    "headers": {"content-type": "application/octet-stream", "origin": ORIGIN},
}
PREFLIGHT = {
    "origin": ORIGIN,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,traceparent,x-api-key,x-request-id",
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that wants a key and answers pages of two origins."""
    log = tmp_path_factory.mktemp("shared") / "service.log"
    settings = {"MNIST_CORS_ORIGINS": f"{ORIGIN}, http://localhost:3000", "MNIST_API_KEYS": KEY}
    service = Service(log, settings).wait_until_ready()
    yield service
    service.stop()
    assert "Traceback" not in log.read_text()


def cors(reply: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in reply.headers.items() if name.startswith("access-control-")}


def test_nothing_is_said_of_it_unless_it_is_set(client: httpx.Client) -> None:
    for reply in (client.post("/predict", **SEVEN), client.get("/model", headers={"origin": ORIGIN})):
        assert cors(reply) == {}
        assert "vary" not in reply.headers
    assert client.options("/predict", headers=PREFLIGHT).status_code == 405


def test_a_preflight_passes_without_a_key(shared: Service) -> None:
    reply = shared.client.options("/predict", headers=PREFLIGHT)

    said = cors(reply)
    allowed = {name.strip().lower() for name in said.pop("access-control-allow-headers").split(",")}
    assert reply.status_code == 200
    assert allowed >= set(PREFLIGHT["access-control-request-headers"].split(","))
    assert said == {
        "access-control-allow-origin": ORIGIN,
        "access-control-allow-methods": "GET, HEAD, POST",
        "access-control-max-age": "7200",
    }


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"origin": "https://evil.example"}, id="another origin"),
        pytest.param({"origin": "null"}, id="a hidden origin"),
        pytest.param({"access-control-request-method": "DELETE"}, id="another method"),
        pytest.param({"access-control-request-headers": "x-other"}, id="another header"),
    ],
)
def test_another_preflight_does_not(shared: Service, headers: dict[str, str]) -> None:
    assert shared.client.options("/predict", headers=PREFLIGHT | headers).status_code == 400


def test_options_that_are_no_preflight_want_a_key(shared: Service) -> None:
    assert shared.client.options("/predict", headers={"origin": ORIGIN}).status_code == 401


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        pytest.param("/predict", {"x-api-key": KEY}, 200, id="an answer"),
        pytest.param("/predict", {}, 401, id="no key"),
        pytest.param("/predict", {"x-api-key": KEY, "content-type": "text/plain"}, 415, id="a refused body"),
        pytest.param("/nothing", {"x-api-key": KEY}, 404, id="nothing there"),
        pytest.param("/model", {"x-api-key": KEY}, 405, id="another method"),
    ],
)
def test_every_reply_can_be_read_by_the_named_origins(
    shared: Service, path: str, headers: dict[str, str], status: int
) -> None:
    reply = shared.client.post(path, content=SEVEN["content"], headers=SEVEN["headers"] | headers)

    assert reply.status_code == status
    assert cors(reply) == {
        "access-control-allow-origin": ORIGIN,
        "access-control-expose-headers": "Retry-After, X-Model-Version, X-Request-ID",
    }
    assert "Origin" in reply.headers["vary"]


def test_no_other_origin_can_read_one(shared: Service) -> None:
    headers = SEVEN["headers"] | {"origin": "https://evil.example", "x-api-key": KEY}

    reply = shared.client.post("/predict", content=SEVEN["content"], headers=headers)

    assert "access-control-allow-origin" not in reply.headers


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """The address of a page of another origin."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<link rel=icon href=data:><title>Lecture</title>")

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_page_of_another_origin_asks_in_a_real_browser(
    open_page: OpenPage, elsewhere: str, start_service: StartService
) -> None:
    answering = start_service(MNIST_CORS_ORIGINS="*", MNIST_API_KEYS=KEY).wait_until_ready()
    page = open_page(elsewhere, refusals=True)

    asked = page.evaluate(
        """async ([url, key, values]) => {
            const ask = async (headers) => {
                headers["Content-Type"] = "application/octet-stream";
                const reply = await fetch(url, { method: "POST", body: new Uint8Array(values), headers });
                return [reply.status, (await reply.json()).digit, reply.headers.get("X-Model-Version")];
            };
            return [await ask({ Authorization: `Bearer ${key}` }), await ask({})];
        }""",
        [f"{answering.url}/predict", KEY, list(SEVEN["content"])],
    )

    assert asked == [[200, 7, "1"], [401, None, None]]
