"""Pages of other origins may call the service only if the settings name their origin."""

import httpx
import pytest

from tests.app.conftest import NEW_KEY, ORIGIN, Service
from tests.app.dialects import RAW

SEVEN = RAW | {"headers": RAW["headers"] | {"origin": ORIGIN}}
PREFLIGHT = {
    "origin": ORIGIN,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,traceparent,x-api-key,x-request-id",
}


def cors_headers(reply: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in reply.headers.items() if name.startswith("access-control-")}


def test_without_the_setting_there_are_no_cors_headers(client: httpx.Client) -> None:
    for reply in (client.post("/predict", **SEVEN), client.get("/model", headers={"origin": ORIGIN})):
        assert cors_headers(reply) == {}
        assert "vary" not in reply.headers
    assert client.options("/predict", headers=PREFLIGHT).status_code == 405


def test_a_preflight_needs_no_key(locked: Service) -> None:
    reply = locked.client.options("/predict", headers=PREFLIGHT)

    headers = cors_headers(reply)
    allowed = {name.strip().lower() for name in headers.pop("access-control-allow-headers").split(",")}
    assert reply.status_code == 200
    assert allowed >= set(PREFLIGHT["access-control-request-headers"].split(","))
    assert headers == {
        "access-control-allow-origin": ORIGIN,
        "access-control-allow-methods": "GET, HEAD, POST",
        "access-control-max-age": "7200",
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [("origin", "https://a.org"), ("access-control-request-method", "PUT"), ("access-control-request-headers", "x")],
)
def test_a_preflight_for_anything_else_is_refused(locked: Service, name: str, value: str) -> None:
    reply = locked.client.options("/predict", headers=PREFLIGHT | {name: value})

    assert (reply.status_code, reply.headers["content-type"]) == (400, "application/problem+json")
    assert reply.json()["detail"].startswith("expected an origin, a method and headers that are allowed, received dis")


def test_pages_of_any_origin_can_read_a_reply_if_all_are_allowed(lenient: Service) -> None:
    headers = SEVEN["headers"] | {"origin": "https://any.example", "x-api-key": NEW_KEY}

    reply = lenient.client.post("/predict", content=SEVEN["content"], headers=headers)

    assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (200, "*")


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        pytest.param("/predict", {"x-api-key": NEW_KEY}, 200, id="a prediction"),
        pytest.param("/predict", {}, 401, id="no key"),
        pytest.param("/predict", {"x-api-key": NEW_KEY, "content-type": "text/plain"}, 415, id="a refused body"),
        pytest.param("/nothing", {"x-api-key": NEW_KEY}, 404, id="an unknown path"),
        pytest.param("/model", {"x-api-key": NEW_KEY}, 405, id="a wrong method"),
    ],
)
def test_a_named_origin_can_read_every_reply(locked: Service, path: str, headers: dict[str, str], status: int) -> None:
    reply = locked.client.post(path, content=SEVEN["content"], headers=SEVEN["headers"] | headers)

    assert reply.status_code == status
    assert cors_headers(reply) == {
        "access-control-allow-origin": ORIGIN,
        "access-control-expose-headers": "Retry-After, X-Model-Graph, X-Model-Version, X-Request-ID",
    }
    assert "Origin" in reply.headers["vary"]
