"""Behind a trusted proxy, the service knows the client's own address."""

import asyncio

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from app.asgi import middleware
from app.settings import Settings

FORWARDED = {"x-forwarded-for": "203.0.113.7, 127.0.0.1", "x-forwarded-proto": "https"}


def seen_client(monkeypatch: pytest.MonkeyPatch, trusted_proxies: str, headers: dict[str, str]) -> list[str]:
    """Return the client's address and scheme as the application sees them. The connection is from 127.0.0.1."""

    async def report_client(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        await JSONResponse([request.client and request.client.host, request.url.scheme])(scope, receive, send)

    async def ask() -> list[str]:
        monkeypatch.setenv("MNIST_TRUSTED_PROXIES", trusted_proxies)
        transport = httpx.ASGITransport(middleware.forwarded(report_client, Settings()), client=("127.0.0.1", 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://digits") as client:
            seen: list[str] = (await client.get("/", headers=headers)).json()
            return seen

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("trusted_proxies", "headers", "expected"),
    [
        pytest.param("", FORWARDED, ["127.0.0.1", "http"], id="no proxy is trusted"),
        pytest.param("127.0.0.1", FORWARDED, ["203.0.113.7", "https"], id="its address is trusted"),
        pytest.param("10.0.0.0/8,127.0.0.0/8", FORWARDED, ["203.0.113.7", "https"], id="its network is trusted"),
        pytest.param("127.0.0.1", {}, ["127.0.0.1", "http"], id="a trusted proxy without the headers"),
        pytest.param(
            "127.0.0.1,192.0.2.0/24",
            {"x-forwarded-for": "198.51.100.1, 203.0.113.7:4711, 192.0.2.9"},
            ["203.0.113.7", "http"],
            id="addresses that the client itself added",
        ),
    ],
)
def test_forwarded_headers_are_believed_from_trusted_proxies_only(
    monkeypatch: pytest.MonkeyPatch, trusted_proxies: str, headers: dict[str, str], expected: list[str]
) -> None:
    assert seen_client(monkeypatch, trusted_proxies, headers) == expected


def test_an_ipv4_proxy_is_also_known_by_its_address_on_an_ipv6_socket() -> None:
    assert middleware.spellings("10.0.0.0/8") == ["10.0.0.0/8", "::ffff:10.0.0.0/104"]
    assert middleware.spellings("2001:db8::/32") == ["2001:db8::/32"]
