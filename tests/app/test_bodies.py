"""JSON is read fast where it is as usual, and means the same where it is not."""

import asyncio
import json
from typing import Any
from unittest import mock

import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.types import Message

from app.errors import SlowBody
from app.inference.decode_threads import DecodeThreads
from app.input import body as bodies
from app.input.body import SHORT, MemoryBudget, Reservation, _loads_in_pieces, _whole_numbers, read_digits
from app.settings import Settings

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


def test_deep_json_is_no_failure() -> None:
    assert _loads_in_pieces(b'{"pixels":' + b"[" * 900 + b"0" + b"]" * 900 + b"}")["pixels"]


def test_json_of_brackets_far_apart_is_read_in_no_time() -> None:
    text = b'{"pixels":[1]' + b" " * 15_000_000 + b"]" * 20_000

    with pytest.raises(orjson.JSONDecodeError):
        _loads_in_pieces(text)


numbers = st.integers(0, 300) | st.floats(allow_nan=False, allow_infinity=False)
nested = st.recursive(numbers | st.none() | st.booleans(), lambda inner: st.lists(inner, max_size=4), max_leaves=20)
documents = st.dictionaries(st.sampled_from(["pixels", "instances", "scale", "a[b", "c]"]), nested | st.text())


@given(document=documents | nested | st.text(), indent=st.sampled_from([None, 1]))
@example(document={"pixels": [[1, 2], 3, [], [[4]]], "scale": "0-1"}, indent=None)
@example(document={"pixels": ["[0", [1]], "instances": "[0"}, indent=None)
@example(document={"pixels": [0.5] * 20_000}, indent=None)
@example(document={"instances": [{"features": [ROW, [0.5]]}, {"features": {"b64": "c2V2ZW4="}}]}, indent=None)
@example(document={"inputs": [{"shape": [1, 784], "data": [[[0.5] * 28] * 28], "datatype": "FP32"}]}, indent=None)
@example(document={"instances": ["[0", [1], '"[', "\\"]}, indent=None)
def test_json_parsed_in_pieces_is_the_same_json(document: Any, indent: int | None) -> None:
    text = json.dumps(document, indent=indent).encode()

    parsed = _loads_in_pieces(text)

    assert parsed == document


@given(data=st.data())
def test_broken_json_is_broken_in_pieces_too(data: st.DataObject) -> None:
    text = json.dumps(data.draw(documents)).encode()
    position = data.draw(st.integers(0, len(text)))
    mutated = (
        text[:position] + data.draw(st.sampled_from([b"", b"[", b"]", b",", b"{", b'"', b"1"])) + text[position + 1 :]
    )

    whole = outcome(orjson.loads, mutated)

    assert (outcome(_loads_in_pieces, mutated) is None) == (whole is None)


columns = st.sampled_from(["a", "},", "{", '"},"', "[", "\\"])
records = st.lists(
    st.dictionaries(columns, numbers | st.text("},{[] a") | st.dictionaries(columns, numbers)), max_size=6
)


@given(document=st.dictionaries(st.sampled_from(["records", "a]"]), records | nested), data=st.data())
@example(document={"records": [{"a": 1}, {"a": {"},": 2}, "},": 3}, {"a": "},"}]}, data=None)
@example(document={"records": [{"a": 1}, {"[": 2}]}, data=None)
def test_records_cut_anywhere_are_the_same_records_or_as_broken(document: Any, data: st.DataObject | None) -> None:
    text = json.dumps(document, separators=(",", ":")).encode()
    if data is not None:
        position = data.draw(st.integers(0, len(text)))
        text = text[:position] + data.draw(st.sampled_from([b"", b"}", b",", b"{", b'"', b"},"])) + text[position:]

    for short in (1, 5, 30):
        with mock.patch.object(bodies, "SHORT", short):
            assert outcome(_loads_in_pieces, text) == outcome(orjson.loads, text)


def test_long_records_are_parsed_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps({"dataframe_records": [dict.fromkeys(map(str, range(784)), 0.5)] * 100}).encode()
    parsed = mock.Mock(wraps=orjson.loads)
    monkeypatch.setattr(orjson, "loads", parsed)

    _loads_in_pieces(text)

    assert max(len(call.args[0]) for call in parsed.call_args_list) < 2 * SHORT


def test_a_hole_in_many_records_is_broken_json() -> None:
    text = json.dumps({"dataframe_records": [dict.fromkeys(map(str, range(784)), 0.5)] * 100}).encode()

    with pytest.raises(orjson.JSONDecodeError):
        _loads_in_pieces(text.replace(b"0.5", b"", 1))


@pytest.mark.parametrize("text", ["[1{},]", "[{},1]", "[1{},,1]", "[1{},{},1]", "[1,{}]"])
def test_a_long_list_with_a_hole_is_broken_wherever_it_is_cut(text: str) -> None:
    for filling in (" " * 2 * SHORT, ",0.5" * SHORT + ","):
        long = text.replace("{}", filling).encode()

        assert outcome(orjson.loads, long) is None
        assert outcome(_loads_in_pieces, long) is None


def outcome(loads: Any, text: bytes) -> Any:
    try:
        return [loads(text)]
    except orjson.JSONDecodeError:
        return None


def test_a_body_that_stalls_is_given_up_and_its_place_is_free_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_SECONDS", 0.1)
    room = MemoryBudget(Settings())
    place = Reservation(room)

    async def stalled() -> None:
        parts = iter([{"type": "http.request", "body": b"0" * 100_000, "more_body": True}])

        async def receive() -> Message:
            for part in parts:
                return part
            await asyncio.sleep(10)
            raise AssertionError("it should have been given up")

        scope = {"headers": [(b"content-type", b"image/png")]}
        await read_digits(scope, receive, Settings(), "auto", reservation=place, decode_threads=DecodeThreads())

    with pytest.raises(SlowBody, match="received 100000 bytes"):
        asyncio.run(stalled())
    assert room.taken == 100_000
    place.leave()
    assert room.taken == 0


def test_long_json_is_long() -> None:
    assert len(json.dumps({"pixels": FLAT})) < SHORT < len(json.dumps({"instances": [FLAT] * 12}))
