"""Bodies are held to their limits, and JSON is read fast without changing its meaning."""

import asyncio
import json
from typing import Any

import numpy as np
import pytest
from starlette.requests import Request
from starlette.types import Message

from app.errors import BatchTooLarge, BodyTooLarge, InvalidBody, SlowBody
from app.inference.decode_threads import DecodeThreads
from app.inference.memory_budget import MemoryBudget, Reservation
from app.input import body
from app.input.body import SHORT_BODY_BYTES
from app.input.json import _whole_numbers, parse_json
from app.input.pictures import PictureBody
from app.settings import Settings
from digits.errors import DigitsError

ROW = list(range(28))
ROWS = [ROW] * 28
FLAT = ROW * 28


@pytest.mark.parametrize(
    "pictures",
    [
        pytest.param([FLAT], id="one, flat"),
        pytest.param([ROWS], id="one, in rows"),
        pytest.param([FLAT] * 3, id="three, flat"),
        pytest.param([ROWS] * 3, id="three, in rows"),
    ],
)
def test_whole_numbers_come_out_as_they_are(pictures: list[Any]) -> None:
    pixels = _whole_numbers(pictures)

    assert pixels is not None
    np.testing.assert_array_equal(pixels, np.array(pictures).reshape(-1, 28, 28))


@pytest.mark.parametrize(
    "pictures",
    [
        pytest.param([FLAT, ROWS], id="flat and in rows"),
        pytest.param([FLAT[1:]], id="one too few"),
        pytest.param([[*ROWS[1:], ROW[1:]]], id="a row too short"),
        pytest.param([ROWS[1:]], id="a row too few"),
        pytest.param([[*FLAT[1:], 256]], id="above 255"),
        pytest.param([[*FLAT[1:], -1]], id="below 0"),
        pytest.param([[*FLAT[1:], 10**30]], id="far above"),
        pytest.param([[*FLAT[1:], 1.0]], id="a float"),
        pytest.param([[*FLAT[1:], None]], id="null"),
        pytest.param([[*FLAT[1:], "1"]], id="a string"),
        pytest.param([[*FLAT[1:], [1]]], id="a list among numbers"),
        pytest.param([[*ROWS[1:], 10**10]], id="a number for a row"),
        pytest.param([10**10], id="a number for a picture"),
        pytest.param(["a" * 784], id="a string for a picture"),
        pytest.param([dict.fromkeys(map(str, FLAT))], id="an object for a picture"),
        pytest.param([[0, 1] * 392], id="nothing above 1"),
        pytest.param([FLAT, [0] * 784], id="one of them blank"),
        pytest.param([None], id="null for a picture"),
    ],
)
def test_anything_else_is_left_to_the_slower_way(pictures: list[Any]) -> None:
    assert _whole_numbers(pictures) is None


def records(count: int, columns: int) -> bytes:
    return json.dumps({"dataframe_records": [dict.fromkeys(map(str, range(columns)), 0.5)] * count}).encode()


ALLOWED = [
    pytest.param(json.dumps({"instances": [[ROW] * 28] * 1024}).encode(), id="1024 pictures in rows"),
    pytest.param(
        json.dumps({"scale": "0-1", "instances": [[0.0] * 632 + [0.7294117647058823] * 152] * 1024}).encode(),
        id="1024 pictures of long floats, as sparse as MNIST",
    ),
    pytest.param(json.dumps({"instances": [{"features": FLAT}] * 1024}).encode(), id="1024 pictures by name"),
    pytest.param(json.dumps({"instances": [{"b64": "a" * 400}] * 1024}).encode(), id="1024 pictures in base64"),
    pytest.param(json.dumps({"inputs": [{"data": ["a" * 400] * 1024}]}).encode(), id="a tensor of 1024 strings"),
    pytest.param(json.dumps({"instances": [{"b64": "a" * 8_000_000}]}).encode(), id="a photo in base64"),
    pytest.param(records(600, 784), id="600 records of 784 columns"),
]


@pytest.mark.parametrize("text", ALLOWED)
def test_json_that_clients_send_is_within_the_limits(text: bytes) -> None:
    assert parse_json(text, Settings()) == json.loads(text)


REFUSED = [
    pytest.param(b"[" + b" " * 8 * 1024 * 1024 + b"]", BodyTooLarge, "application/octet-stream", id="8 MiB and more"),
    pytest.param(b"[" + b"1," * 900_000 + b"1]", BatchTooLarge, "received 900001 values in 1 lists", id="numbers"),
    pytest.param(b"[" + b"[]," * 40_000 + b"[]]", BatchTooLarge, "in 40002 lists", id="lists"),
    pytest.param(b"[" * 40_000, BatchTooLarge, "in 40000 lists", id="nested lists"),
    pytest.param(b"[" + b"{}," * 40_000 + b"{}]", InvalidBody, "received 40001 objects", id="objects"),
    pytest.param(b'["' + b'","' * 40_000 + b'"]', InvalidBody, "and 40001 strings", id="strings"),
    pytest.param(records(640, 784), InvalidBody, "and 501761 strings", id="names in many objects"),
    pytest.param(records(1, 10_000), InvalidBody, "and 10001 strings", id="names in one object"),
]


@pytest.mark.parametrize(("text", "error", "message"), REFUSED)
def test_json_that_would_block_all_threads_is_not_parsed(text: bytes, error: type[DigitsError], message: str) -> None:
    with pytest.raises(error, match=message):
        parse_json(text, Settings())


def test_a_body_that_stalls_is_given_up_and_its_memory_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "TIMEOUT_SECONDS", 0.1)
    budget = MemoryBudget(1_000_000)
    reservation = Reservation(budget)

    async def stall() -> None:
        parts = iter([{"type": "http.request", "body": b"0" * 100_000, "more_body": True}])

        async def receive() -> Message:
            for part in parts:
                return part
            await asyncio.sleep(10)
            raise AssertionError("the body should have been given up")

        request = Request({"type": "http", "headers": [(b"content-type", b"image/png")]}, receive)
        await PictureBody(request, Settings()).pictures(reservation, DecodeThreads())

    with pytest.raises(SlowBody, match="received 100000 bytes"):
        asyncio.run(stall())
    assert budget.reserved_bytes == 100_000
    reservation.release()
    assert budget.reserved_bytes == 0


def test_one_picture_is_short_and_twelve_are_not() -> None:
    assert len(json.dumps({"pixels": FLAT})) < SHORT_BODY_BYTES < len(json.dumps({"instances": [FLAT] * 12}))
