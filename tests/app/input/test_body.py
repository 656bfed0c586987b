"""Bodies are held to their limits, and JSON is read fast without changing its meaning."""

import json

import pytest

from app.errors import BatchTooLarge, BodyTooLarge, InvalidBody, NoRoom
from app.inference.memory_budget import MIN_BUDGET_BYTES, MemoryBudget, Reservation
from app.input.json import parse_json
from app.settings import Settings
from digits.errors import DigitsError
from tests.app.conftest import cases

ROW = list(range(28))
FLAT = ROW * 28


def records(count: int, columns: int) -> dict[str, object]:
    return {"dataframe_records": [dict.fromkeys(map(str, range(columns)), 0.5)] * count}


LONG_FLOATS = [0.0] * 632 + [0.7294117647058823] * 152
"""As sparse as MNIST."""

ALLOWED = {
    "1024 pictures in rows": {"instances": [[ROW] * 28] * 1024},
    "1024 pictures of long floats": {"scale": "0-1", "instances": [LONG_FLOATS] * 1024},
    "1024 pictures by name": {"instances": [{"features": FLAT}] * 1024},
    "a tensor of 1024 strings": {"inputs": [{"data": ["a" * 400] * 1024}]},
    "a photo in base64": {"instances": [{"b64": "a" * 8_000_000}]},
    "600 records of 784 columns": records(600, 784),
}


@cases("document", ALLOWED)
def test_json_that_clients_send_is_within_the_limits(document: dict[str, object]) -> None:
    assert parse_json(json.dumps(document).encode(), Settings()) == document


REFUSED = {
    "8 MiB and more": (b"[" + b" " * 8 * 1024 * 1024 + b"]", BodyTooLarge, "application/octet-stream"),
    "numbers": (b"[" + b"1," * 900_000 + b"1]", BatchTooLarge, "900001 numbers in 1 lists, as 1148 pictures have"),
    "lists": (b"[" + b"[]," * 40_000 + b"[]]", BatchTooLarge, "in 40002 lists"),
    "nested lists": (b"[" * 40_000, BatchTooLarge, "in 40000 lists"),
    "objects": (b"[" + b"{}," * 40_000 + b"{}]", InvalidBody, "received 40001 objects"),
    "strings": (b'["' + b'","' * 40_000 + b'"]', InvalidBody, "and 40001 strings"),
    "names in many objects": (json.dumps(records(640, 784)).encode(), InvalidBody, "and 501761 strings"),
    "names in one object": (json.dumps(records(1, 10_000)).encode(), InvalidBody, "and 10001 strings"),
}


@cases(("text", "error", "message"), REFUSED)
def test_json_that_would_block_all_threads_is_not_parsed(text: bytes, error: type[DigitsError], message: str) -> None:
    with pytest.raises(error, match=message):
        parse_json(text, Settings())


def test_a_request_that_never_fits_into_the_memory_budget_is_too_large() -> None:
    with pytest.raises(BatchTooLarge, match="at most 40000000 bytes with its reply, received one that takes 40000001"):
        Reservation(MemoryBudget(10_000_000)).reserve(40_000_001)


def test_the_memory_budget_is_used_to_its_last_byte_and_no_further() -> None:
    budget = MemoryBudget(100)
    first, second = Reservation(budget), Reservation(budget)
    first.reserve(MIN_BUDGET_BYTES - 1)
    second.reserve(1)

    with pytest.raises(NoRoom, match="other requests hold 32000000 bytes already"):
        second.reserve(1)
    first.release()
    second.reserve(1)
