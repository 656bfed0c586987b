"""While a request is in work, its client must send in time and may leave, and its memory is released at the end."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.requests import Request

from app.errors import Abandoned, SlowBody
from app.inference.data_plane import DataPlane
from app.input import request as request_module
from app.input.body import read_body
from app.input.request import RequestInWork, RequestsInWork
from app.main import every
from app.settings import Settings
from app.telemetry.metrics import Metrics

BODY = {"type": "http.request", "body": b"0" * 40_000, "more_body": False}
PART = BODY | {"more_body": True}
GONE = {"type": "http.disconnect"}


@pytest.fixture
def plane() -> DataPlane:
    return DataPlane(Settings(), Metrics())


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_module, "TIMEOUT_SECONDS", 0.1)


def work(requests: RequestsInWork, messages: list[dict[str, Any]]) -> RequestInWork:
    """Return a request whose client sends these messages, and then nothing."""
    left: Iterator[dict[str, Any]] = iter(messages)

    async def receive() -> Any:
        message = next(left, None)
        return message if message is not None else await asyncio.get_running_loop().create_future()

    return RequestInWork(requests, Request({"type": "http", "headers": []}, receive))


def answer(plane: DataPlane, messages: list[dict[str, Any]], seconds: float) -> bytes:
    async def read_and_wait() -> bytes:
        requests = RequestsInWork(plane, Settings())
        watching = asyncio.ensure_future(every(0.1, requests.look))
        try:
            with work(requests, messages) as request:
                body = await read_body(request, 1_000_000)
                await asyncio.sleep(seconds)
                return body
        finally:
            watching.cancel()
            assert requests.requests == set()

    return asyncio.run(read_and_wait())


@pytest.mark.parametrize(
    ("messages", "seconds", "error", "message"),
    [
        ([], 0, SlowBody, "expected the whole body within 0.1 seconds, received 0 bytes"),
        ([PART], 0, SlowBody, "received 40000 bytes"),
        ([PART, GONE], 0, Abandoned, ""),
        ([BODY, GONE], 20, Abandoned, ""),
    ],
    ids=["nothing arrives", "the end does not arrive", "the client leaves", "the client leaves during the work"],
)
def test_the_work_ends(
    plane: DataPlane, messages: list[dict[str, Any]], seconds: float, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message or None):
        answer(plane, messages, seconds)

    assert plane.memory_budget.reserved_bytes == 0


def test_work_may_take_longer_than_the_body(plane: DataPlane) -> None:
    assert answer(plane, [BODY], 0.3) == BODY["body"]

    assert plane.memory_budget.reserved_bytes == 0
