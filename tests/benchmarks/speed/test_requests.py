"""The tables of rates compare each service with the floors of the same round, and refuse wrong answers."""

import json
from typing import Any

import numpy as np
import pytest

from benchmarks.harness.bodies import BODIES, DRAWING, GOLDEN
from benchmarks.harness.services import Service, is_right, own
from benchmarks.harness.wrk import Run
from benchmarks.speed.requests import Case, rows
from tests.conftest import fresh_python, needs


def run(rate: float) -> Run:
    return Run(rate, p50_ms=1, p99_ms=2, cpu_us=1e6 / rate, errors={"timeout": 1})


def test_the_ratio_of_the_worst_round_is_the_least_in_parentheses() -> None:
    ours, floor = (Case(Service(name, ()), DRAWING, 16) for name in ("ours", "decode-floor"))
    results = {ours: [run(50), run(20), run(90)], floor: [run(100), run(100), run(150)]}

    heads, lines = rows([[ours, floor]], results, ["decode-floor"])

    ours_cells, floor_cells = (dict(zip(heads, line, strict=True)) for line in lines)
    assert ours_cells["x decode-floor"] == "0.50 (0.20-0.60)"
    assert ours_cells["CPU, x decode-floor"] == "2.00 (1.67-5.00)"
    assert ours_cells["errors"] == "3 timeout"
    assert floor_cells["x decode-floor"] == ""


def test_every_body_gets_the_golden_answers() -> None:
    with own().started([body for name, body in BODIES.items() if name != "photo"]):  # SystemExit if one is wrong
        pass


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        pytest.param(lambda rows: {"predictions": [{"probabilities": row} for row in rows]}, True, id="several"),
        pytest.param(
            lambda rows: {"predictions": [{"probabilities": row} for row in (rows[0], rows[0][::-1])]},
            False,
            id="one of two is another digit",
        ),
        pytest.param(lambda rows: {"probabilities": [0.99 * p for p in rows[0]]}, False, id="other probabilities"),
    ],
)
def test_an_answer_is_right_if_all_its_probabilities_are(answer: Any, right: bool) -> None:
    expected = GOLDEN.probabilities[7]
    reply = json.dumps(answer(np.stack([expected] * 2).tolist())).encode()

    assert is_right(reply, expected, exact=True) is right


def test_the_service_and_both_floors_answer_drawings() -> None:
    needs("wrk")
    options = ("--rounds", "1", "--bodies", "drawing", "--services", "ours,decode-floor,floor", "--clients", "1,16")

    output = fresh_python("-m", "benchmarks.speed.requests", *options, timeout_seconds=240).stdout

    lines = [line.strip("| ").split(" | ") for line in output.splitlines() if line.startswith("| drawing")]
    measured = [(line[1], line[2], line[-1]) for line in lines]
    assert measured == [(clients, name, "0") for clients in ("1", "16") for name in ("ours", "decode-floor", "floor")]
