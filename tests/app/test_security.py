"""What a browser is told of each reply, and what a hostile request gets: nothing."""

import socket

import httpx
import pytest

from app.openapi.example_pictures import EXAMPLES
from tests.app.conftest import Service

BARE = {"default-src": "'none'", "frame-ancestors": "'none'"}
CLOSED = {"default-src": "'none'", "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'"}
REPLIES = [
    pytest.param("GET", "/", 200, id="the page"),
    pytest.param("GET", "/page/main.js", 200, id="its script"),
    pytest.param("GET", "/docs", 200, id="the docs"),
    pytest.param("GET", "/docs/assets/swagger-ui.css", 200, id="their styles"),
    pytest.param("GET", "/examples/seven.png", 200, id="an example"),
    pytest.param("GET", "/openapi.json", 200, id="openapi.json"),
    pytest.param("GET", "/model", 200, id="the manifest"),
    pytest.param("GET", "/model/card", 200, id="the model card"),
    pytest.param("GET", "/model/report/README.md", 200, id="its Markdown"),
    pytest.param("GET", "/livez", 200, id="a probe"),
    pytest.param("GET", "/nothing", 404, id="nothing at this path"),
    pytest.param("GET", "/predict", 405, id="another method"),
    pytest.param("POST", "/predict", 415, id="a refused body"),
]


def policy(reply: httpx.Response) -> dict[str, str]:
    parts = (part.split(None, 1) for part in reply.headers["content-security-policy"].split(";"))
    return {name: value.strip() for name, value in parts}


@pytest.mark.parametrize(("method", "path", "status"), REPLIES)
def test_no_reply_is_sniffed_framed_or_kept_unasked(client: httpx.Client, method: str, path: str, status: int) -> None:
    reply = client.request(method, path)

    assert reply.status_code == status
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["cross-origin-resource-policy"] == "same-origin"
    assert policy(reply).items() >= BARE.items()
    assert reply.headers["cache-control"] == ("no-cache" if "etag" in reply.headers else "no-store")
    # Once each: two values of one of them would be read as neither.
    assert len(reply.headers.multi_items()) == len(reply.headers)


@pytest.mark.parametrize("path", ["/", "/docs", "/model/card"])
def test_a_page_keeps_to_itself(client: httpx.Client, path: str) -> None:
    reply = client.get(path)

    assert policy(reply).items() >= CLOSED.items()
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert reply.headers["cross-origin-opener-policy"] == "same-origin"
    assert "camera=()" in reply.headers["permissions-policy"]
    assert "unsafe" not in policy(reply).get("script-src", "")


def test_an_answer_says_what_it_is_who_made_it_and_no_more(client: httpx.Client) -> None:
    kind = {"content-type": "application/octet-stream"}

    reply = client.post("/predict", content=(EXAMPLES / "seven.bin").read_bytes(), headers=kind)

    assert set(reply.headers) == {
        "date",
        "content-type",
        "content-length",
        "x-content-type-options",
        "x-model-version",
        "x-request-id",
    }
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_no_reply_names_the_software(client: httpx.Client) -> None:
    assert "server" not in client.get("/livez").headers


def test_a_trace_is_not_echoed(client: httpx.Client) -> None:
    for path in ("/", "/predict", "/docs/assets/favicon.png"):
        reply = client.request("TRACE", path, headers={"x-secret": "seven"})

        assert reply.status_code == 405
        assert "seven" not in reply.text


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example/",
        "//evil.example/%2e%2e",
        "/docs/",
        "/docs/assets",
        "/docs/assets/",
        "/docs/assets/../../main.py",
        "/docs/assets/%2e%2e/__init__.py",
        "/docs/assets/..%2f__init__.py",
        "/docs/assets/" + "x" * 3000,
        "/examples",
        "/examples/%00",
        "/examples/%2fetc/passwd",
        "/examples/..%2fpage%2findex.html",
        "/examples/..%5cpage%5cindex.html",
    ],
)
def test_no_path_leads_out_of_a_folder_or_to_another_host(service: Service, path: str) -> None:
    url = httpx.URL(service.url)

    # Over a socket: a client library would tidy the path up.
    with socket.create_connection((url.host, url.port or 0), timeout=20) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".encode())
        reply = b"".join(iter(lambda: connection.recv(65536), b""))

    head, _, body = reply.lower().partition(b"\r\n\r\n")
    assert head.startswith(b"http/1.1 404 ")
    assert b"location:" not in head
    assert b"evil" not in head + body
