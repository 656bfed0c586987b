"""Every reply has the security headers of a browser, and a hostile request learns nothing."""

import httpx
import pytest

from tests.app.conftest import Service

BARE = {"default-src": "'none'", "frame-ancestors": "'none'"}
CLOSED = {"default-src": "'none'", "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'"}
REPLIES = [
    pytest.param("GET", "/", 200, id="the page"),
    pytest.param("GET", "/page/main.js", 200, id="a script of the page"),
    pytest.param("GET", "/docs", 200, id="the API docs"),
    pytest.param("GET", "/docs/assets/swagger-ui.css", 200, id="a style sheet of the API docs"),
    pytest.param("GET", "/examples/seven.png", 200, id="an example"),
    pytest.param("GET", "/openapi.json", 200, id="openapi.json"),
    pytest.param("GET", "/model", 200, id="the manifest"),
    pytest.param("GET", "/model/card", 200, id="the model card"),
    pytest.param("GET", "/model/report/README.md", 200, id="the Markdown of the model card"),
    pytest.param("GET", "/livez", 200, id="a probe"),
    pytest.param("GET", "/nothing", 404, id="an unknown path"),
    pytest.param("GET", "/predict", 405, id="a wrong method"),
    pytest.param("POST", "/predict", 415, id="a refused body"),
]


def policy(reply: httpx.Response) -> dict[str, str]:
    parts = (part.split(None, 1) for part in reply.headers["content-security-policy"].split(";"))
    return {name: value.strip() for name, value in parts}


@pytest.mark.parametrize(("method", "path", "status"), REPLIES)
def test_a_reply_must_not_be_sniffed_framed_or_stored_and_does_not_name_the_software(
    client: httpx.Client, method: str, path: str, status: int
) -> None:
    reply = client.request(method, path)

    assert reply.status_code == status
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["cross-origin-resource-policy"] == "same-origin"
    assert policy(reply).items() >= BARE.items()
    assert reply.headers["cache-control"] == ("no-cache" if "etag" in reply.headers else "no-store")
    assert "server" not in reply.headers
    # A browser ignores such a header if it appears twice.
    assert len(reply.headers.multi_items()) == len(reply.headers)


@pytest.mark.parametrize("path", ["/", "/docs", "/model/card"])
def test_a_page_is_isolated_and_only_the_drawing_page_may_use_the_camera(client: httpx.Client, path: str) -> None:
    reply = client.get(path)

    assert policy(reply).items() >= CLOSED.items()
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert reply.headers["cross-origin-opener-policy"] == "same-origin"
    assert f"camera={'(self)' if path == '/' else '()'}" in reply.headers["permissions-policy"]
    assert "unsafe" not in policy(reply).get("script-src", "")


@pytest.mark.parametrize(
    "path",
    [
        *("//evil.example/", "//evil.example/%2e%2e"),
        *("/docs/", "/docs/assets", "/docs/assets/", "/docs/assets/" + "x" * 3000),
        *("/docs/assets/../../main.py", "/docs/assets/%2e%2e/__init__.py", "/docs/assets/..%2f__init__.py"),
        *("/page/", "/page/..%2findex.html", "/page/%2e%2e/examples/seven.png", "/model/report/" + "x" * 3000),
        *("/model/report/", "/model/report/%00", "/model/report/..%2fmodel.onnx", "/model/report/%2e%2e/model.keras"),
        *("/model/corrections.npz", "/model/report/corrections.npz", "/model/report/..%2fcorrections.npz"),
        *("/examples", "/examples/%00", "/examples/%2fetc/passwd", "/examples/../main.py"),
        *("/examples/..%2fpage%2findex.html", "/examples/..%5cpage%5cindex.html", "/model/report/..%2fmanifest.json"),
    ],
)
def test_no_path_leads_out_of_a_folder_or_to_another_host(service: Service, path: str) -> None:
    with service.connect() as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".encode())
        reply = b"".join(iter(lambda: connection.recv(65536), b"")).lower()

    assert reply.startswith(b"http/1.1 404 ")
    assert b"location:" not in reply.partition(b"\r\n\r\n")[0]
    assert b"evil" not in reply
