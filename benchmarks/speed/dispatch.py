"""What does it cost to get a request to the code that answers it: through FastAPI's router, or before it?

    python -m benchmarks.speed.dispatch

A constant is answered to the same request, in one process and without a server: by a bare ASGI function, by
`app.asgi.application` and by a FastAPI route.
"""

import argparse
import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

import uvloop
from fastapi import FastAPI, Request, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.asgi.application import Application
from app.asgi.endpoint import Endpoint
from app.asgi.in_work import RequestsInWork
from app.asgi.reply import Reply
from app.inference.model_registry import ModelRegistry
from app.telemetry.drift import Drift
from app.telemetry.metrics import Metrics
from benchmarks.harness.report import header, table
from benchmarks.harness.rounds import spread
from digits.artifact import SHIPPED

_BODY = b"0" * 784
_REPLY = b"{}"


async def bare(_scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the body and answers."""
    await receive()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": _REPLY})


async def hot(_scope: Scope, receive: Receive) -> Reply:
    """The same as a hot path."""
    await receive()
    return Reply(_REPLY, 1, 1)


async def route(request: Request) -> Response:
    """The same as a route."""
    await request.body()
    return Response(_REPLY, media_type="application/json")


def scope() -> Scope:
    """Of a request as uvicorn makes it."""
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/predict",
        "raw_path": b"/predict",
        "root_path": "",
        "query_string": b"",
        "scheme": "http",
        "headers": [(b"host", b"x"), (b"content-type", b"application/octet-stream"), (b"content-length", b"784")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "state": {},
    }


async def microseconds(app: ASGIApp, requests: int) -> float:
    """Of one request, one after the other."""

    async def receive() -> Message:
        return {"type": "http.request", "body": _BODY, "more_body": False}

    async def send(_message: Any) -> None:
        return

    began = time.perf_counter()
    for _ in range(requests):
        await app(scope(), receive, send)
        await asyncio.sleep(0)  # the end of a turn, when requests are accounted for
    return 1e6 * (time.perf_counter() - began) / requests


async def measured(rounds: int) -> dict[str, list[float]]:
    """Each of them in turn, round by round."""
    metrics, in_work, registry = Metrics(), RequestsInWork(1), ModelRegistry(SHIPPED)
    router = Router([Route("/predict", Endpoint({"POST": hot}, in_work))])
    drift = Drift(metrics, served=lambda: None)
    front = Application(router, metrics=metrics, in_work=in_work, registry=registry, drift=drift)
    fastapi = FastAPI()
    fastapi.post("/predict")(route)
    apps: dict[str, ASGIApp] = {
        "bare ASGI": bare,
        "app.asgi.application, with log and metrics": front,
        "FastAPI route": fastapi,
    }
    found: dict[str, list[float]] = {name: [] for name in apps}
    for _ in range(rounds):
        for name, app in apps.items():
            found[name].append(await microseconds(app, 2000))
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.dispatch", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="default: %(default)s")
    options = parser.parse_args()
    with Path(os.devnull).open("w") as nowhere:
        sys.stderr = nowhere  # the log's lines
        found = uvloop.run(measured(options.rounds))
    print(header(("fastapi", "starlette")))
    print(f"\nMedian of {options.rounds} rounds of 2000 requests (least-greatest).\n")
    print(table(["way", "us a request"], [[name, spread(values, 1)] for name, values in found.items()]))


if __name__ == "__main__":
    main()
