"""How long does it take to route a request to the code that answers it?

    python -m benchmarks.speed.dispatch

A bare ASGI function, the service with a direct route, and FastAPI with a usual route send the same constant reply to
the same request, in this process and without a server.
"""

import asyncio
import os
import time
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import uvloop
from fastapi import FastAPI, Request, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.asgi.route import DirectRoute, Reply
from app.main import create_app
from app.settings import Settings
from benchmarks.harness.command import parser
from benchmarks.harness.report import header, table
from benchmarks.harness.rounds import spread
from digits.model.artifact import ModelId

_BODY = b"0" * 784
_REPLY = b"{}"
REQUESTS = 2000


async def bare(_scope: Scope, receive: Receive, send: Send) -> None:
    """Answer as an ASGI function."""
    await receive()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": _REPLY})


async def endpoint(request: Request) -> Response:
    """Answer as an endpoint of this service."""
    await request.receive()
    return Reply(_REPLY, ModelId(1, "0123456789ab"), 1)


async def route(request: Request) -> Response:
    """Answer as a FastAPI route."""
    await request.body()
    return Response(_REPLY, media_type="application/json")


SCOPE: Scope = {
    "type": "http",
    "http_version": "1.1",
    "method": "POST",
    "path": "/constant",
    "raw_path": b"/constant",
    "root_path": "",
    "query_string": b"",
    "scheme": "http",
    "headers": [(b"host", b"x"), (b"content-type", b"application/octet-stream"), (b"content-length", b"784")],
    "client": ("127.0.0.1", 1),
    "server": ("127.0.0.1", 2),
}
"""The scope of a request as uvicorn makes it."""


async def microseconds(app: ASGIApp, requests: int) -> float:
    """Return the mean duration of requests that follow one another, in microseconds."""

    async def receive() -> Message:
        return {"type": "http.request", "body": _BODY, "more_body": False}

    async def send(_message: Any) -> None:
        return

    began = time.perf_counter()
    for _ in range(requests):
        await app({**SCOPE, "state": {}}, receive, send)
        await asyncio.sleep(0)  # ends a turn of the event loop, so that the request is logged and counted
    return 1e6 * (time.perf_counter() - began) / requests


async def measured(apps: dict[str, ASGIApp], rounds: int) -> dict[str, list[float]]:
    """Measure every application once a round."""
    results: dict[str, list[float]] = {name: [] for name in apps}
    for _ in range(rounds):
        for name, app in apps.items():
            results[name].append(await microseconds(app, REQUESTS))
    return results


def main() -> None:
    """Print the table."""
    options = parser(__doc__, rounds=7).parse_args()
    with Path(os.devnull).open("w") as null, redirect_stderr(null):  # discards the access log
        service, fastapi = create_app(Settings()), FastAPI()
        # First in the list, as `POST /predict` is.
        service.router.routes.insert(0, DirectRoute("/constant", endpoint, methods=["POST"]))
        fastapi.post("/constant")(route)
        apps: dict[str, ASGIApp] = {
            "bare ASGI": bare,
            "a direct route, with log and metrics": service,
            "a usual FastAPI route": fastapi,
        }
        results = uvloop.run(measured(apps, options.rounds))
    print(header(("fastapi", "starlette")))
    print(f"\nMedian of {options.rounds} rounds of {REQUESTS} requests (least-greatest).\n")
    print(table(["application", "us per request"], [[name, spread(values, 1)] for name, values in results.items()]))


if __name__ == "__main__":
    main()
