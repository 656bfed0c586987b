"""The table of pictures compares each service with the floors of the same round."""

import subprocess
import sys

from benchmarks.harness.bodies import DRAWING
from benchmarks.harness.services import Service
from benchmarks.harness.wrk import Run
from benchmarks.speed.pictures import rows
from benchmarks.speed.requests import Case
from tests.conftest import REPOSITORY, needs


def run(rate: float) -> Run:
    return Run(rate, p50_ms=1, p99_ms=2, cpu_us=1e6 / rate, errors={"timeout": 1})


def test_the_ratio_of_the_worst_round_is_the_least_in_parentheses() -> None:
    ours, floor = (Case(Service(name, ()), DRAWING, 16) for name in ("ours", "decode-floor"))
    results = {ours: [run(50), run(20), run(90)], floor: [run(100), run(100), run(150)]}

    heads, lines = rows([[ours, floor]], results)

    ours_cells, floor_cells = (dict(zip(heads, line, strict=True)) for line in lines)
    assert ours_cells["x decode-floor"] == "0.50 (0.20-0.60)"
    assert ours_cells["CPU, x decode-floor"] == "2.00 (1.67-5.00)"
    assert ours_cells["errors"] == "3"
    assert floor_cells["x decode-floor"] == ""


def test_one_worker_two_workers_and_both_floors_answer_drawings() -> None:
    needs("wrk")
    command = [sys.executable, "-m", "benchmarks.speed.pictures", "--rounds", "1", "--bodies", "drawing"]

    output = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True).stdout

    lines = [line.strip("| ").split(" | ") for line in output.splitlines() if line.startswith("| drawing")]
    measured = [(line[1], line[2], line[-1]) for line in lines]
    assert measured == [
        ("1", "ours", "0"),
        ("1", "decode-floor", "0"),
        ("16", "ours", "0"),
        ("16", "decode-floor", "0"),
        ("16", "ours:2", "0"),
        ("16", "floor", "0"),
    ]
