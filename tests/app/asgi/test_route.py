"""An endpoint declares what its route knows, and its path is matched in linear time."""

import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel

from app.asgi.route import ServiceRequest
from app.main import create_app
from app.settings import Settings


class Note(BaseModel):
    """A body."""

    text: str


async def with_body(_request: ServiceRequest, _note: Note) -> Response:
    return Response()


async def with_another_request(_request: Request) -> Response:
    return Response()


async def with_nothing_but_a_request(_request: ServiceRequest) -> Response:
    return Response()


@pytest.mark.parametrize(
    ("endpoint", "dependencies"),
    [(with_body, []), (with_another_request, []), (with_nothing_but_a_request, [Depends(Note)])],
    ids=["a body", "another request", "a dependency"],
)
def test_an_endpoint_that_declares_what_a_route_does_not_know_is_refused(
    endpoint: Callable[..., Awaitable[Response]], dependencies: list[Any]
) -> None:
    with pytest.raises(TypeError, match="/notes: expected a ServiceRequest, path parameters and a query"):
        create_app(Settings()).post("/notes", dependencies=dependencies)(endpoint)


def test_no_route_takes_long_for_a_path_of_64_kib() -> None:
    routes = [route for route in create_app(Settings()).routes if isinstance(route, APIRoute)]
    assert len(routes) > 20

    for route in routes:
        for filling in (":" * 64_000 + "/", ":/" * 32_000, "a:" * 32_000):
            path = re.sub(r"{[^}]*}", filling, route.path)
            began = time.process_time()

            route.matches({"type": "http", "method": "GET", "path": path, "headers": []})

            assert time.process_time() - began < 1, route.path
