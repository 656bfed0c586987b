"""The files of the drawing page, the model card and the report: types, caching and security."""

import re

import httpx
import pytest

from app.pages.drawing import FOLDER
from tests.app.conftest import Service

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".safetensors": "application/octet-stream",
    ".txt": "text/plain; charset=utf-8",
}


def test_the_page_runs_only_its_own_files(client: httpx.Client) -> None:
    reply = client.get("/")

    policy = dict(part.strip().split(" ", 1) for part in reply.headers["content-security-policy"].split(";"))
    nothing = dict.fromkeys(("default-src", "base-uri", "form-action", "frame-ancestors"), "'none'")
    own = dict.fromkeys(("script-src", "style-src", "connect-src", "worker-src"), "'self'")
    assert policy == nothing | own | {"img-src": "'self' data:"}
    assert re.findall(r'style=|<style|\son\w+=|(?:src|href)="(?:https?:)?/', reply.text) == []


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        *((f"/page/{file.name}", TYPES[file.suffix]) for file in sorted(FOLDER.iterdir())),
        ("/model/card", "text/html; charset=utf-8"),
        ("/model/report/README.md", "text/plain; charset=utf-8"),
        ("/model/report/history.csv", "text/csv; charset=utf-8"),
        ("/model/report/confusion.png", "image/png"),
    ],
)
def test_files_have_a_type_and_are_sent_again_only_after_a_change(client: httpx.Client, path: str, kind: str) -> None:
    first = client.get(path)
    again = client.get(path, headers={"if-none-match": f'W/{first.headers["etag"]}, "other"'})
    changed = client.get(path, headers={"if-none-match": '"other"'})
    head = client.head(path)

    assert [reply.status_code for reply in (first, again, changed, head)] == [200, 304, 200, 200]
    assert first.headers["content-type"] == kind
    assert first.headers["cache-control"] == "no-cache"
    assert again.content == head.content == b""
    assert int(head.headers["content-length"]) > 0
    assert again.headers["etag"] == first.headers["etag"]


def test_files_have_the_name_of_their_content_and_browsers_keep_them(client: httpx.Client) -> None:
    links = [
        re.findall(r'(?:href|src)="(?:\.\./)?(page/[^"]+)"', client.get(path).text) for path in ("/", "/model/card")
    ]
    (digest,) = {link.split("/")[1] for page in links for link in page}
    files = [client.get(f"/{link}") for page in links for link in page]
    older = client.get("/page/000000000000/main.js")

    assert re.fullmatch("[0-9a-f]{12}", digest)
    assert {file.status_code for file in files} == {200}
    assert {file.headers["cache-control"] for file in files} == {"public, max-age=31536000, immutable"}
    assert (older.status_code, older.headers["cache-control"]) == (200, "no-cache")  # from a page of another release
    assert client.get(f"/page/{digest}/none.js").status_code == 404


def test_a_first_load_has_at_most_62_kilobytes_and_preloads_all_modules(client: httpx.Client) -> None:
    page = client.get("/")
    links = set(re.findall(r'(?:href|src)="(page/[^"]+)"', page.text))
    replies = {link.rpartition("/")[2]: client.get(f"/{link}") for link in links}
    imported = {
        name for file in replies.values() for name in re.findall(r'^import .*"\./(\S+)";$', file.text, re.MULTILINE)
    }

    heads = sum(len(b"".join(name + value for name, value in file.headers.raw)) for file in replies.values())
    assert sum(file.num_bytes_downloaded for file in [page, *replies.values()]) + heads < 62_000
    assert imported | {"main.js"} == {name for name in replies if name.endswith(".js")}


@pytest.mark.parametrize("path", ["/", "/page/base.css", "/page/main.js", "/docs/assets/swagger-ui.css"])
def test_texts_are_compressed_for_clients_that_accept_it(client: httpx.Client, path: str) -> None:
    plain, packed = (client.get(path, headers={"accept-encoding": each}) for each in ("identity", "gzip, br"))

    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding"
    assert plain.content == packed.content
    assert packed.num_bytes_downloaded < plain.num_bytes_downloaded / 2


def test_the_docs_can_be_left_out_and_the_documentation_linked(limited: Service) -> None:
    def get(path: str) -> httpx.Response:
        return limited.client.get(path, headers={"accept": "text/html"})

    for path in ("/docs", "/openapi.json", "/docs/assets/swagger-ui.css", "/examples/seven.png"):
        reply = get(path)
        assert (reply.status_code, "docs" in reply.text) == (404, False)
    for path in ("/", "/nothing"):
        page = get(path).text
        assert ">API<" not in page
        assert 'href="https://guide.example.org/page/?a&amp;b"' in page
