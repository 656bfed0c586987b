"""The files of the drawing page, the model card and the report: types, caching and security."""

import re

import httpx
import pytest

from app.pages.drawing import FOLDER


def test_the_page_runs_only_its_own_files(client: httpx.Client) -> None:
    reply = client.get("/")

    policy = dict(part.strip().split(" ", 1) for part in reply.headers["content-security-policy"].split(";"))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert re.findall(r'style=|<style|\son\w+=|(?:src|href)="(?:https?:)?/', reply.text) == []


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        pytest.param("/", "text/html; charset=utf-8", id="the page"),
        *(
            pytest.param(
                f"/page/{file.name}",
                {
                    ".html": "text/html; charset=utf-8",
                    ".css": "text/css; charset=utf-8",
                    ".js": "text/javascript; charset=utf-8",
                    ".svg": "image/svg+xml",
                    ".png": "image/png",
                    ".jpg": "image/jpeg",
                }[file.suffix],
                id=file.name,
            )
            for file in sorted(FOLDER.iterdir())
        ),
        pytest.param("/model/card", "text/html; charset=utf-8", id="the model card"),
        pytest.param("/model/report/README.md", "text/plain; charset=utf-8", id="the card's Markdown"),
        pytest.param("/model/report/history.csv", "text/csv; charset=utf-8", id="a table"),
        pytest.param("/model/report/confusion.png", "image/png", id="a figure"),
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


@pytest.mark.parametrize(
    "path",
    [
        "/page/",
        "/page/nothing.js",
        "/page/..%2findex.html",
        "/page/%2e%2e/examples/seven.png",
        "/model/report/",
        "/model/report/nothing.png",
        "/model/report/..%2fmodel.onnx",
        "/model/report/..%2fmanifest.json",
        "/model/report/%2e%2e/model.keras",
        "/model/report/%00",
        "/model/report/" + "x" * 3000,
    ],
)
def test_no_other_file_is_served(client: httpx.Client, path: str) -> None:
    reply = client.get(path)

    assert reply.status_code == 404
    assert reply.headers["content-type"] == "application/problem+json"
