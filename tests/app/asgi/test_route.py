"""An endpoint that declares what the direct route does not know is handled by FastAPI."""

import asyncio
import re
import time
from typing import Annotated

import httpx
import pytest
from fastapi import Depends, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel

from app.asgi.route import Reply, ServiceRequest
from app.main import create_app
from app.settings import Settings


class Note(BaseModel):
    """A body."""

    text: str


def who(request: ServiceRequest) -> str:
    return request.headers["x-name"]


@pytest.fixture
def application() -> httpx.ASGITransport:
    app = create_app(Settings())

    @app.post("/notes/{number}")
    async def add_note(number: int, note: Note, name: Annotated[str, Depends(who)]) -> dict[str, object]:
        return {"number": number, "text": note.text, "name": name}

    @app.get("/direct/{number}")
    async def direct(_request: ServiceRequest, number: str) -> Response:
        return Reply.of({"number": number})

    return httpx.ASGITransport(app)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "expected"),
    [
        ("POST", "/notes/7", {"text": "seven"}, 200, {"number": 7, "text": "seven", "name": "me"}),
        ("POST", "/notes/7", {"text": 7}, 422, None),
        ("GET", "/notes/7", None, 405, None),
        ("GET", "/direct/7", None, 200, {"number": "7"}),
    ],
    ids=["a dependency and a body", "a wrong body", "a wrong method", "nothing else"],
)
def test_an_endpoint_may_declare(
    application: httpx.ASGITransport, method: str, path: str, body: object, status: int, expected: object
) -> None:
    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=application, base_url="http://x") as client:
            return await client.request(method, path, json=body, headers={"x-name": "me"})

    reply = asyncio.run(ask())

    assert reply.status_code == status, reply.text
    assert "x-request-id" in reply.headers
    if expected is None:
        assert reply.headers["content-type"] == "application/problem+json"
    else:
        assert reply.json() == expected


def test_no_route_takes_long_for_a_path_of_64_kib() -> None:
    routes = [route for route in create_app(Settings()).routes if isinstance(route, APIRoute)]
    assert len(routes) > 20

    for route in routes:
        for filling in (":" * 64_000 + "/", ":/" * 32_000, "a:" * 32_000):
            path = re.sub(r"{[^}]*}", filling, route.path)
            began = time.process_time()

            route.matches({"type": "http", "method": "GET", "path": path, "headers": []})

            assert time.process_time() - began < 1, route.path
