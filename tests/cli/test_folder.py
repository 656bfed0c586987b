"""`digits predict --output` writes one row for each picture of a folder, and continues after an interruption."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from app.openapi.example_pictures import EXAMPLES
from cli.batch.worker import COLUMNS
from tests.cli.conftest import Digits
from tests.conftest import REPOSITORY, SHIPPED_VERSION, Mnist, Published, encoded, publish_tiny, publish_trusted

Read = Callable[[Path], list[dict[str, Any]]]


def read_csv(file: Path) -> list[dict[str, Any]]:
    """Return the rows with the types of JSON."""
    types: dict[str, Callable[[str], Any]] = {
        **{"path": str, "error": str, "calibration": str, "digit": int, "probability": float, "novelty": float},
        "left_out": int,
        "prediction_set": lambda text: [int(digit) for digit in text.split()],
        "is_digit": {"true": True, "false": False}.__getitem__,
    }
    with file.open(newline="") as stream:
        reader = csv.DictReader(stream)
        assert tuple(reader.fieldnames or ()) == COLUMNS
        return [{name: types[name](text) if text else None for name, text in row.items()} for row in reader]


def read_jsonl(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def read_parquet(file: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    return rows


@pytest.fixture
def folder(tmp_path: Path, digit_pictures: list[bytes]) -> Path:
    """Pictures in two folders, one of them broken, and other files."""
    folder = tmp_path / "pictures"
    (folder / "b").mkdir(parents=True)
    for digit in range(5):
        (folder / f"{digit}.png").write_bytes(digit_pictures[digit])
        (folder / "b" / f"{digit}, ö.PNG").write_bytes(digit_pictures[digit])
    (folder / "broken.png").write_bytes(digit_pictures[0][:100])
    for other in ("labels.csv", "b/README"):
        (folder / other).write_text("not a picture")
    return folder


@pytest.fixture
def many(tmp_path: Path, mnist: Mnist) -> Path:
    """A folder of 500 large pictures, which take two cores half a second."""
    folder = tmp_path / "many"
    folder.mkdir()
    first = folder / "000.png"
    first.write_bytes(encoded(255 - mnist.pixels[0].repeat(10, axis=0).repeat(10, axis=1)))
    for number in range(1, 500):
        os.link(first, folder / f"{number:03}.png")
    return folder


@pytest.mark.parametrize(
    ("suffix", "read"),
    [
        pytest.param(".csv", read_csv, id="CSV"),
        pytest.param(".jsonl", read_jsonl, id="JSON lines"),
        pytest.param(".parquet", read_parquet, id="Parquet"),
    ],
)
def test_every_picture_has_a_row_with_the_answer_of_a_single_file(
    digits: Digits, folder: Path, suffix: str, read: Read, tmp_path: Path
) -> None:
    trusted = publish_trusted(tmp_path / "trusted", threshold=0.1, normalized_threshold=0.05)
    output = tmp_path / f"results{suffix}"
    single = digits("predict", "--json", "--model-dir", trusted.root, folder)

    ran = digits("predict", folder, "--output", output, "--model-dir", trusted.root)

    assert ran.code == 0
    assert ran.out.startswith(
        f"{output}: 11 pictures by mnist-dense version {SHIPPED_VERSION + 1}, 1 without an answer; 2 other files"
    )
    assert ran.err.startswith(f"{folder / 'broken.png'}: expected a whole PNG picture")
    names = [*(f"{digit}.png" for digit in range(5)), *(f"b/{digit}, ö.PNG" for digit in range(5)), "broken.png"]
    rows = read(output)
    assert [row["path"] for row in rows] == [str(folder / name) for name in names]
    for row, answer in zip(rows, map(json.loads, single.out.splitlines()), strict=True):
        for name in COLUMNS[1:]:
            expected = answer.get(name)
            assert row[name] == (pytest.approx(expected, rel=1e-4) if isinstance(expected, float) else expected)
    assert list(output.parent.glob("*results*")) == [output]


def test_a_row_says_how_many_further_digits_were_left_out(digits: Digits, tmp_path: Path) -> None:
    number, digit = EXAMPLES / "number.jpg", EXAMPLES / "seven.png"

    digits("predict", number, digit, "--output", tmp_path / "results.csv")

    assert [row["left_out"] for row in read_csv(tmp_path / "results.csv")] == [3, None]


def test_strict_exits_with_1_if_any_picture_has_no_answer(digits: Digits, folder: Path, tmp_path: Path) -> None:
    ran = digits("predict", folder / "broken.png", folder / "1.png", "--strict", "--output", tmp_path / "results.csv")

    assert ran.code == 1
    assert [row["error"] is None for row in read_csv(tmp_path / "results.csv")] == [False, True]


def test_force_replaces_the_output_and_discards_an_interrupted_run(
    digits: Digits, folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "results.csv"
    output.write_text("old")
    (tmp_path / "results.csv.partial").write_text("old")

    ran = digits("predict", folder / "1.png", "--force", "--output", output)

    assert ran.code == 0
    assert [row["path"] for row in read_csv(output)] == [str(folder / "1.png")]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        pytest.param(["nothing"], "nothing: expected a file or a folder: No such file or directory", id="no folder"),
        pytest.param(["empty"], "empty: expected pictures, received a folder without any", id="an empty folder"),
        pytest.param(
            ["1.png", "--output", "results.txt"],
            "results.txt: expected a name that ends in .csv, .jsonl or .parquet",
            id="an unknown format",
        ),
        pytest.param(
            ["1.png", "--output", "old.csv"], "old.csv: exists already. Add --force to replace it", id="an old output"
        ),
        pytest.param(
            ["1.png", "--resume"], "nothing to resume: results.csv.partial does not exist", id="nothing to resume"
        ),
        pytest.param(
            ["1.png", "--output", "stopped.csv"],
            "stopped.csv.partial: belongs to an interrupted run. "
            "Add --resume to continue it, or --force to start again",
            id="an interrupted run",
        ),
        pytest.param(
            ["1.png", "--output", "stopped.csv", "--resume"],
            "stopped.csv.partial: expected an interrupted run, received none. Add --force to start again",
            id="a damaged partial file",
        ),
        pytest.param(
            ["1.png", "--output", "missing/results.csv"],
            "[Errno 2] No such file or directory: 'missing/results.csv.partial'",
            id="no folder for the output",
        ),
    ],
)
def test_a_run_that_cannot_begin_is_refused_in_one_line(
    digits: Digits, folder: Path, arguments: list[str], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    Path("empty").mkdir()
    for name in ("old.csv", "stopped.csv.partial"):
        Path(name).write_text("old")

    refused = digits("predict", *arguments, *([] if "--output" in arguments else ["--output", "results.csv"]))

    assert (refused.code, refused.out, refused.err) == (2, "", f"digits: {line}\n")
    assert not Path("results.csv").exists()
    assert Path("old.csv").read_text() == "old"


def test_without_pyarrow_one_line_says_how_to_install_it(
    digits: Digits, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    refused = digits("predict", folder, "--output", "results.parquet")

    assert refused.code == 2
    assert refused.err == (
        "digits: results.parquet: Parquet needs pyarrow, which the extra `parquet` brings. "
        "Run in the repository's folder: uv tool install '.[parquet]', or make .venv/.scale for .venv/bin/digits\n"
    )


def start_and_signal(number: int, rows: int, folder: Path, output: Path, model_dir: Path) -> tuple[int, str]:
    """Start a run in its own process group, send the signal once `rows` are written, and wait for its end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", "predict", str(folder), "--output", str(output), "--model-dir", str(model_dir)],
        cwd=REPOSITORY,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    partial = output.with_name(output.name + ".partial")
    deadline = time.monotonic() + 60
    running = psutil.Process(process.pid)
    while len(running.children()) < 2 or partial.read_bytes().count(b"\n") <= rows:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    workers = running.children()
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    _, error = process.communicate(timeout=60)
    _gone, alive = psutil.wait_procs(workers, timeout=20)
    assert alive == []
    return process.returncode, error


@pytest.mark.parametrize(
    ("number", "rows", "code"),
    [
        pytest.param(signal.SIGINT, 40, 130, id="Ctrl-C"),
        pytest.param(signal.SIGINT, 0, 130, id="Ctrl-C before the first row"),
        pytest.param(signal.SIGKILL, 40, -signal.SIGKILL, id="a kill"),
    ],
)
def test_a_stopped_run_keeps_its_rows_and_resumes(
    digits: Digits, published: Published, many: Path, number: int, rows: int, code: int, tmp_path: Path
) -> None:
    output = tmp_path / "results.jsonl"
    partial = tmp_path / "results.jsonl.partial"

    stopped, error = start_and_signal(number, rows, many, output, published.root)
    kept = partial.read_bytes()
    partial.write_bytes(kept + b'{"path": "a torn li')
    resumed = digits("predict", many, "--output", output, "--resume")

    assert stopped == code
    if number == signal.SIGINT:
        assert error.endswith("of 500 pictures. Add --resume to continue\n")
        assert len(error.splitlines()) == 1
    assert resumed.code == 0
    assert resumed.out.startswith(f"{output}: 500 pictures by ")
    assert output.read_bytes().startswith(kept.partition(b"\n")[2])
    assert [row["path"] for row in read_jsonl(output)] == [str(many / f"{number:03}.png") for number in range(500)]
    assert not partial.exists()


@pytest.fixture
def interrupted(published: Published, folder: Path, tmp_path: Path) -> Path:
    """The output of an interrupted run over `folder`, which has two rows."""
    run = {
        "sources": [str(folder)],
        "--normalize": "auto",
        "model": f"mnist-dense version {SHIPPED_VERSION + 1}, sha256 {published.manifest.files['model.onnx']}",
    }
    rows = [dict.fromkeys(COLUMNS) | {"path": str(folder / name), "digit": 3} for name in ("0.png", "1.png")]
    (tmp_path / "results.csv.partial").write_text("".join(json.dumps(line) + "\n" for line in (run, *rows)))
    return tmp_path / "results.csv"


def test_a_resumed_run_begins_after_the_last_row(digits: Digits, folder: Path, interrupted: Path) -> None:
    (folder / "0.png").write_bytes(b"changed after its row was written")

    resumed = digits("predict", folder, "--resume", "--output", interrupted)

    assert resumed.code == 0
    assert "; 9 pictures in " in resumed.out
    rows = read_csv(interrupted)
    assert [row["digit"] for row in rows[:2]] == [3, 3]
    assert [row["error"] is None for row in rows] == [True] * 10 + [False]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(
            "model",
            f"the interrupted run had other model: expected mnist-dense version {SHIPPED_VERSION + 1}, ",
            id="the model",
        ),
        pytest.param("normalize", "the interrupted run had other --normalize: expected auto, ", id="an option"),
        pytest.param("folder", "the sources have changed since the run was interrupted: expected ", id="the folder"),
    ],
)
def test_a_run_resumes_only_if_nothing_has_changed(
    digits: Digits, published: Published, folder: Path, interrupted: Path, change: str, reason: str
) -> None:
    options = []
    if change == "model":
        publish_tiny(published.root, seed=1)
    elif change == "normalize":
        options = ["--normalize", "always"]
    else:
        (folder / "0.5.png").write_bytes(b"a new picture before the last row")

    refused = digits("predict", folder, "--resume", "--output", interrupted, *options)

    assert refused.code == 2
    assert refused.err.startswith(f"digits: {interrupted}.partial: {reason}")
    assert refused.err.endswith(". Add --force to start again\n")
    assert len(refused.err.splitlines()) == 1


def test_a_folder_without_output_is_printed_line_by_line(digits: Digits, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    printed = digits("predict", folder)
    empty = digits("predict", tmp_path / "empty")

    assert (printed.code, len(printed.out.splitlines())) == (1, 10)
    assert printed.err.startswith(f"{folder / 'broken.png'}: ")
    assert (empty.code, empty.err) == (
        2,
        f"digits: {tmp_path / 'empty'}: expected pictures, received a folder without any\n",
    )


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["--resume"], id="resume without output"),
        pytest.param(["--force", "--resume", "--output", "results.csv"], id="resume and force"),
        pytest.param(["--json", "--output", "results.csv"], id="JSON and output"),
        pytest.param(["-", "--output", "results.csv"], id="standard input and output"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(digits: Digits, folder: Path, options: list[str]) -> None:
    assert digits("predict", folder, *options).code == 2
