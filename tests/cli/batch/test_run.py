"""`digits predict` and `digits read` with --output write one row for each picture of a folder, and can be resumed."""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from app.openapi.example_pictures import EXAMPLES
from cli.batch.executor import Executor
from cli.batch.tasks import Task
from cli.batch.worker import LoadedModel, score
from digits.model.artifact import FIRST_OWN_VERSION, SHIPPED
from tests.cli.conftest import Digits, each_command
from tests.conftest import (
    REPOSITORY,
    SHIPPED_VERSION,
    Mnist,
    Published,
    amount,
    encoded,
    publish_classes,
    publish_tiny,
    publish_trusted,
)

Read = Callable[[Path], list[dict[str, Any]]]

PREDICT = (
    *("path", "digit", "probability", "prediction_set", "coverage", "calibration", "is_digit", "novelty"),
    *("accept", "preprocessing", "doubts", "left_out", "version", "error", "checked_by"),
)
READ = (
    *("path", "text", "digit_count", "least_probability", "ambiguous_count", "non_digit_count", "mark_count"),
    *("left_out", "accept", "version", "error", "checked_by"),
)


def read_csv(file: Path) -> list[dict[str, Any]]:
    """Return the rows with the types of JSON."""
    counts = ("digit_count", "ambiguous_count", "non_digit_count", "mark_count", "left_out")
    types: dict[str, Callable[[str], Any]] = {
        **dict.fromkeys(("path", "error", "checked_by", "calibration", "text"), str),
        **dict.fromkeys(("digit", "version", *counts), int),
        **dict.fromkeys(("probability", "least_probability", "novelty", "coverage"), float),
        **dict.fromkeys(("is_digit", "accept"), {"true": True, "false": False}.__getitem__),
        **dict.fromkeys(("preprocessing", "doubts"), str.split),
        "probabilities": lambda text: [float(each) for each in text.split()],
        "prediction_set": lambda text: [int(digit) for digit in text.split()],
    }
    with file.open(newline="") as stream:
        reader = csv.DictReader(stream)
        return [{name: types[name](text) if text else None for name, text in row.items()} for row in reader]


def read_jsonl(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture(autouse=True)
def _score_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start no processes. `test_a_stopped_run_keeps_its_rows_and_resumes` and `tests/cli/test_recognize.py` do."""

    @contextmanager
    def executor(model: LoadedModel, task: Task) -> Iterator[Executor]:
        yield Executor(lambda chunk: partial(score, model, task, Path(), chunk), processes=1)

    monkeypatch.setattr("cli.batch.run.processes", executor)


@pytest.fixture
def folder(tmp_path: Path, digit_pictures: list[bytes]) -> Path:
    """Pictures in two folders, one of them of a number, one broken, and other files."""
    folder = tmp_path / "pictures"
    (folder / "b").mkdir(parents=True)
    for digit in range(5):
        (folder / f"{digit}.png").write_bytes(digit_pictures[digit])
        (folder / "b" / f"{digit}, ö.PNG").write_bytes(digit_pictures[digit])
    shutil.copy(EXAMPLES / "number.jpg", folder / "b")
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
    [(".csv", read_csv), (".jsonl", read_jsonl), (".parquet", lambda file: pq.read_table(file).to_pylist())],
    ids=["CSV", "JSON lines", "Parquet"],
)
def test_every_picture_has_a_row_with_the_answer_of_a_single_file(
    digits: Digits, folder: Path, suffix: str, read: Read, tmp_path: Path
) -> None:
    trusted = publish_trusted(tmp_path / "trusted", threshold=0.1, normalized_threshold=0.05)
    output = tmp_path / f"results{suffix}"
    single = digits("predict", "--json", "--model-dir", trusted.root, folder)

    ran = digits("predict", folder, "--output", output, "--model-dir", trusted.root, "--probabilities")

    assert ran.code == 0
    assert ran.out.startswith(
        f"{output}: 12 pictures by mnist-dense version {FIRST_OWN_VERSION}, 1 without an answer; 2 other files"
    )
    assert ran.err.startswith(f"{folder / 'broken.png'}: expected a whole PNG picture")
    names = [f"{digit}.png" for digit in range(5)]
    names += [*(f"b/{digit}, ö.PNG" for digit in range(5)), "b/number.jpg", "broken.png"]
    rows = read(output)
    assert [row["path"] for row in rows] == [str(folder / name) for name in names]
    for row, answer in zip(rows, map(json.loads, single.out.splitlines()), strict=True):
        answer["version"] = answer["model"]["version"] if "model" in answer else None
        assert set(row) == {*PREDICT, "probabilities"}
        for name in ("preprocessing", "doubts"):
            assert (row.pop(name) or []) == answer.get(name, [])
        for name in set(row) - {"path"}:
            expected = answer.get(name)
            is_rounded = isinstance(expected, float) or (name == "probabilities" and expected)
            assert row[name] == (pytest.approx(expected, rel=1e-4) if is_rounded else expected)
    assert [row["left_out"] for row in rows if row["left_out"]] == [3]
    assert list(output.parent.glob("*results*")) == [output]


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    """Three pictures of numbers, one of an amount, one of a letter, one that is blank, and another file."""
    folder = tmp_path / "numbers"
    folder.mkdir()
    for name in ("number.jpg", "scan-1986-407-52.jpg", "drawing-314.png"):
        shutil.copy(EXAMPLES / name, folder)
    shutil.copy(REPOSITORY / "app/pages/static/example-letter.png", folder)
    (folder / "blank.png").write_bytes(encoded(np.full((100, 300), 255, dtype=np.uint8)))
    (folder / "amount.png").write_bytes(amount())
    (folder / "labels.csv").write_text("not a picture")
    return folder


def test_every_picture_of_a_number_has_a_row_that_sums_up_the_answer_of_a_single_file(
    digits: Digits, numbers: Path, tmp_path: Path
) -> None:
    output = tmp_path / "numbers.csv"
    files = sorted(map(str, numbers.glob("*.[jp][pn]g")))
    single = digits("read", "--json", "--model-dir", SHIPPED, *files)

    ran = digits("read", numbers, "--output", output, "--model-dir", SHIPPED)

    assert ran.code == 0
    assert ran.out.startswith(
        f"{output}: 6 pictures by mnist-dense version {SHIPPED_VERSION}, 1 without an answer; 1 other file "
    )
    assert f"{numbers / 'blank.png'}: no ink found: the picture is blank\n" in ran.err
    first, blank, *rows = read_csv(output)
    marked, unread, *answers = map(json.loads, single.out.splitlines())
    assert blank == dict.fromkeys(READ) | {"path": files[1], "error": unread["error"]}
    for file, row, answer in zip([files[0], *files[2:]], [first, *rows], [marked, *answers], strict=True):
        found = answer["digits"]
        assert row == {
            "path": file,
            "text": answer["text"],
            "digit_count": len(found),
            "least_probability": pytest.approx(min(digit["probability"] for digit in found), rel=1e-4),
            "ambiguous_count": sum(digit["prediction_set"] != [digit["digit"]] for digit in found),
            "non_digit_count": sum(not digit["is_digit"] for digit in found),
            "mark_count": len(answer["marks"]),
            "left_out": answer["left_out"],
            "accept": answer["accept"],
            "version": SHIPPED_VERSION,
            "error": None,
            "checked_by": None,
        }
    texts = [row["text"] for row in rows if row["ambiguous_count"] == row["non_digit_count"] == row["left_out"] == 0]
    assert texts == ["314", "4071"]


@pytest.mark.parametrize(
    ("expected", "grades"),
    [
        pytest.param("4071", {"number.jpg": "right", "seven.png": "wrong"}, id="one for all"),
        pytest.param("seven.png,7\nsub/number.jpg,4071\n", {"number.jpg": "", "seven.png": "right"}, id="by path"),
        pytest.param(
            "File;x;expected\r\nnumber.jpg;;4 / 1\r\n", {"number.jpg": "wrong", "seven.png": ""}, id="headings"
        ),
    ],
)
def test_expected_answers_grade_each_row_and_one_that_is_not_accepted_is_open(
    digits: Digits, numbers: Path, tmp_path: Path, expected: str, grades: dict[str, str]
) -> None:
    shutil.copy(EXAMPLES / "seven.png", numbers)
    answers, output = tmp_path / "answers.csv", tmp_path / "graded.csv"
    answers.write_text(expected)
    is_number = expected.isdecimal()

    options = ["--expected", expected if is_number else answers]
    ran = digits("read", numbers, "--output", output, "--model-dir", SHIPPED, *options)

    assert ran.code == 0
    with output.open(newline="") as stream:
        rows = {Path(row["path"]).name: row for row in csv.DictReader(stream)}
    others = dict.fromkeys(rows.keys() - grades.keys(), "open" if is_number else "")
    assert {name: row["grade"] for name, row in rows.items()} == grades | others
    assert {row["expected"] for row in rows.values() if not row["grade"]} <= {""}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        pytest.param(["--output", "a.csv", "--expected", "no.csv"], "No such file", id="missing"),
        pytest.param(["--output", "a.csv", "--expected", "answers.csv"], "row 2: expected only digits", id="no number"),
        pytest.param(["--expected", "7"], "together with --output", id="without an output"),
    ],
)
def test_expected_answers_that_cannot_be_used_are_refused(
    digits: Digits, numbers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("answers.csv").write_text("a.png,7\nb.png,seven\n")

    refused = digits("read", numbers, *options)

    assert refused.code == 2
    assert reason in " ".join(refused.err.replace("│", " ").split())
    assert not Path("a.csv").exists()


def test_other_classes_get_a_column_of_names_and_read_no_numbers(digits: Digits, folder: Path, tmp_path: Path) -> None:
    own = publish_classes(tmp_path / "own", ["circle", "star"])
    options = (folder / "1.png", "--output", tmp_path / "results.jsonl", "--model-dir", own.root)

    refused = digits("read", *options)
    predicted = digits("predict", *options)

    assert (refused.code, predicted.code) == (2, 0)
    assert refused.err.startswith("digits: expected a model of the digits 0 to 9 to read numbers, ")
    assert len(refused.err.splitlines()) == 1
    (row,) = read_jsonl(tmp_path / "results.jsonl")
    assert row["class_name"] == ["circle", "star"][row["digit"]]


@each_command
def test_rows_of_tables_are_answered_like_files(
    digits: Digits, folder: Path, digit_pictures: list[bytes], command: str, tmp_path: Path
) -> None:
    tables = tmp_path / "tables"
    tables.mkdir()
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(picture))) for picture in digit_pictures[:5]])
    np.savez(tables / "five.npz", x=pixels, labels=range(5))
    pq.write_table(pa.table({"image": digit_pictures[:5], "label": range(5)}), tables / "five.parquet")
    files = [folder / f"{digit}.png" for digit in range(5)]
    output = tmp_path / "results.jsonl"

    ran = digits(command, *files, tables, "--output", output)
    printed = digits(command, tables / "five.npz", "--column", "x")

    assert (ran.code, ran.err) == (0, "")
    expected, from_npz, from_parquet = np.array(read_jsonl(output)).reshape(3, 5).tolist()
    names = [[row.pop("path") for row in rows] for rows in (from_npz, from_parquet)]
    assert names == [[f"{tables}/five.{kind}#{row}" for row in range(5)] for kind in ("npz", "parquet")]
    assert from_npz == from_parquet == [{name: row[name] for name in row if name != "path"} for row in expected]
    assert printed.out.splitlines()[4].startswith(f"{tables / 'five.npz'}#4: ")


@each_command
def test_strict_exits_with_1_if_a_picture_has_no_answer(
    digits: Digits, folder: Path, command: str, tmp_path: Path
) -> None:
    ran = digits(command, folder / "broken.png", folder / "1.png", "--strict", "--output", tmp_path / "results.csv")

    assert ran.code == 1
    assert [row["error"] is None for row in read_csv(tmp_path / "results.csv")] == [False, True]


def test_force_replaces_the_output_and_an_interrupted_run(digits: Digits, folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "results.csv"
    output.write_text("old")
    (tmp_path / "results.csv.partial").write_text("old")

    ran = digits("predict", folder / "1.png", "--force", "--output", output)

    assert ran.code == 0
    assert [row["path"] for row in read_csv(output)] == [str(folder / "1.png")]


def test_no_name_of_a_file_acts_on_a_spreadsheet_or_a_terminal(
    digits: Digits, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["=1+1.png", "@a.png", "\x1b[2Ja.png"]
    for name in names:
        shutil.copy(folder / "1.png", tmp_path / name)
    monkeypatch.chdir(tmp_path)

    written = digits("predict", *names, "missing\x1b[2J", "--output", "results.csv")
    printed = digits("predict", *names, "missing\x1b[2J")

    assert "\x1b" not in written.err + printed.out + printed.err
    assert "\\x1b[2Ja.png: " in printed.out
    assert written.code == 2  # because of the missing one
    digits("predict", *names, "--output", "results.csv")
    assert [row["path"] for row in read_csv(tmp_path / "results.csv")] == ["'=1+1.png", "'@a.png", "\\x1b[2Ja.png"]


RESUMABLE = "belongs to an interrupted run. Add --resume to continue it, or --force to start again"
NOT_A_RUN = "expected an interrupted run, received none. Add --force to start again"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nothing"], "nothing: expected a file or a folder: No such file or directory"),
        (["empty"], "empty: expected pictures, received a folder without any"),
        (["1.png", "--output", "a.txt"], "a.txt: expected a name that ends in .csv, .jsonl or .parquet"),
        (["1.png", "--output", "old.csv"], "old.csv: exists already. Add --force to replace it"),
        (["1.png", "--resume"], "nothing to resume: results.csv.partial does not exist"),
        (["1.png", "--output", "stopped.csv"], f"stopped.csv.partial: {RESUMABLE}"),
        (["1.png", "--output", "stopped.csv", "--resume"], f"stopped.csv.partial: {NOT_A_RUN}"),
        (["1.png", "--output", "a/b/c.csv"], "a/b/c.csv: there is no folder a/b. Create it first"),
        (["1.png", "--output", f"{'a' * 250}.csv"], f"{'a' * 250}.csv.partial: File name too long"),
    ],
)
@each_command
def test_a_run_that_cannot_begin_is_refused_in_one_line(
    digits: Digits, folder: Path, command: str, arguments: list[str], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    Path("empty").mkdir()
    for name in ("old.csv", "stopped.csv.partial"):
        Path(name).write_text("old")

    refused = digits(command, *arguments, *([] if "--output" in arguments else ["--output", "results.csv"]))

    assert (refused.code, refused.out, refused.err) == (2, "", f"digits: {line}\n")
    assert not Path("results.csv").exists()
    assert Path("old.csv").read_text() == "old"


def table_and(link: Callable[[Path, Path], None] | None = None, name: str = "s.parquet") -> Callable[[Path], None]:
    """Return what makes a folder `t` with a table of pictures, and another name for the table."""

    def make(picture: Path) -> None:
        Path("t").mkdir()
        pq.write_table(pa.table({"image": [picture.read_bytes()]}), "t/s.parquet")
        if link is not None:
            link(Path(name), Path("t/s.parquet").absolute())

    return make


def linked_picture(picture: Path) -> None:
    os.link(picture, "results.csv")


@pytest.mark.parametrize(
    ("make", "source", "output", "same"),
    [
        pytest.param(table_and(), "t/s.parquet", "t/s.parquet", "t/s.parquet", id="the same path"),
        pytest.param(table_and(), "t/s.parquet", "./t/../t/s.parquet", "t/s.parquet", id="another spelling"),
        pytest.param(table_and(), "t", "t/s.parquet", "t/s.parquet", id="a table of a folder"),
        pytest.param(table_and(Path.symlink_to), "t/s.parquet", "s.parquet", "t/s.parquet", id="a symbolic link"),
        pytest.param(table_and(Path.symlink_to), "s.parquet", "t/s.parquet", "s.parquet", id="a linked source"),
        pytest.param(table_and(Path.hardlink_to), "t", "s.parquet", "t/s.parquet", id="a hard link"),
        pytest.param(linked_picture, "1.png", "results.csv", "1.png", id="a picture"),
        pytest.param(
            *(table_and(Path.hardlink_to, "results.csv.partial"), "t", "results.csv", "t/s.parquet"),
            id="the partial file",
        ),
    ],
)
@pytest.mark.parametrize("options", ["predict", "predict --force", "read --resume"])
def test_an_output_that_is_a_source_is_refused_and_nothing_is_written(
    digits: Digits,
    folder: Path,
    options: str,
    make: Callable[[Path], None],
    source: str,
    output: str,
    same: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copy(folder / "1.png", tmp_path)
    monkeypatch.chdir(tmp_path)
    make(Path("1.png"))
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}

    refused = digits(*options.split(), source, "--output", output)

    written = f"{output}.partial" if Path(f"{output}.partial").exists() else output
    expected = f"expected an output that is not a source, received the same file as the source {same}."
    assert (refused.code, refused.err) == (2, f"digits: {Path(written)}: {expected} Choose another --output\n")
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "rows", "code"),
    [(signal.SIGINT, 0, 130), (signal.SIGKILL, 40, -signal.SIGKILL)],
    ids=["Ctrl-C", "a kill"],
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
        "command": "digits predict",
        "sources": [str(folder)],
        "--normalize": "auto",
        "columns": PREDICT,
        "model": f"mnist-dense version {FIRST_OWN_VERSION}, sha256 {published.manifest.files['model.onnx']}",
    }
    rows = [dict.fromkeys(PREDICT) | {"path": str(folder / name), "digit": 3} for name in ("0.png", "1.png")]
    (tmp_path / "results.csv.partial").write_text("".join(json.dumps(line) + "\n" for line in (run, *rows)))
    return tmp_path / "results.csv"


def test_a_resumed_run_begins_after_the_last_row(digits: Digits, folder: Path, interrupted: Path) -> None:
    (folder / "0.png").write_bytes(b"changed after its row was written")

    resumed = digits("predict", folder, "--resume", "--output", interrupted)

    assert resumed.code == 0
    assert "; 10 pictures in " in resumed.out
    rows = read_csv(interrupted)
    assert [row["digit"] for row in rows[:2]] == [3, 3]
    assert [row["error"] is None for row in rows] == [True] * 11 + [False]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("model", f"the interrupted run had other model: expected mnist-dense version {FIRST_OWN_VERSION}, "),
        ("option", "the interrupted run had other --normalize: expected auto, "),
        ("command", "the interrupted run had other command: expected digits predict, "),
        ("folder", "the sources have changed since the run was interrupted: expected "),
    ],
)
def test_a_run_resumes_only_if_nothing_has_changed(
    digits: Digits, published: Published, folder: Path, interrupted: Path, change: str, reason: str
) -> None:
    if change == "model":
        publish_tiny(published.root, seed=1)
    elif change == "folder":
        (folder / "0.5.png").write_bytes(b"a new picture before the last row")
    options = ["--normalize", "always"] if change == "option" else []
    command = "read" if change == "command" else "predict"

    refused = digits(command, folder, "--resume", "--output", interrupted, *options)

    assert refused.code == 2
    assert refused.err.startswith(f"digits: {interrupted}.partial: {reason}")
    assert refused.err.endswith(". Add --force to start again\n")
    assert len(refused.err.splitlines()) == 1


OUT = "--output results.csv"


@pytest.mark.parametrize("misfit", ["--resume", "--ray", f"--force --resume {OUT}", f"--json {OUT}", f"- {OUT}"])
@each_command
def test_options_that_do_not_fit_together_are_refused(digits: Digits, folder: Path, command: str, misfit: str) -> None:
    assert digits(command, folder, *misfit.split()).code == 2
