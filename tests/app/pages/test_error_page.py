"""A browser that opens an address gets an error as a page, and a program gets it as JSON."""

import re
from urllib.parse import urljoin

import httpx
import pytest

CHROMIUM = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
PAGE, PROBLEM = "text/html; charset=utf-8", "application/problem+json"

HTML_RATHER = [CHROMIUM, "TEXT/HTML", "text/html;q=x,,;"]
JSON_RATHER = ["*/*", "", "application/json, text/html;q=0.9", "text/html, application/problem+json"]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [*((accept, PAGE) for accept in HTML_RATHER), *((accept, PROBLEM) for accept in JSON_RATHER)],
)
def test_the_accept_header_decides(client: httpx.Client, accept: str, expected: str) -> None:
    reply = client.get("/nothing/here", headers={"accept": accept})

    assert (reply.status_code, reply.headers["content-type"]) == (404, expected)


@pytest.mark.parametrize(
    "path", ["/nothing", "/some/where/deep", "/model/report/none.png", "/page/%2e%2fx", "/predict"]
)
def test_the_page_has_its_style_and_links_wherever_it_is(client: httpx.Client, path: str) -> None:
    reply = client.get(path, headers={"accept": CHROMIUM})

    base = urljoin(str(reply.url), re.findall(r'<base href="(.*?)">', reply.text)[0])
    links = re.findall(r'(?:href|src)="(?!\.\./)(.*?)"', reply.text.partition("<base")[2].partition(">")[2])
    assert reply.status_code == (405 if path == "/predict" else 404)
    assert {"./", "docs", "base.css"} <= {link.rpartition("/")[2] or link for link in links}
    assert ('<a href="docs">/docs</a> lists all paths' in reply.text) == (reply.status_code == 404)
    assert [client.get(urljoin(base, link)).status_code for link in links] == [200] * len(links)


def test_other_methods_and_protocols_keep_their_form(client: httpx.Client) -> None:
    posted = client.post("/nothing", headers={"accept": CHROMIUM})
    other = client.get("/v2/nothing", headers={"accept": CHROMIUM})

    assert posted.headers["content-type"] == PROBLEM
    assert other.headers["content-type"] == "application/json"


def test_what_the_client_sent_is_text_on_the_page(client: httpx.Client) -> None:
    reply = client.get("/model/card?<script>=1", headers={"accept": CHROMIUM})
    wrong = client.get("/predict?<script>=1", headers={"accept": CHROMIUM})

    assert "<script>=" not in reply.text + wrong.text
    assert "default-src 'none'" in wrong.headers["content-security-policy"]
