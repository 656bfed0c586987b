"""`python -m deploy.score` says of many pictures, in order, what the service says of each, whatever happens."""

import json
import os
import secrets
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.openapi.example_pictures import EXAMPLES
from digits.features import Grey
from tests.app.conftest import Service
from tests.conftest import REPOSITORY, Mnist, Published, encoded, fresh_python, publish_tiny, publish_trusted

pa = pytest.importorskip("pyarrow", reason="scoring needs the extra `scale`")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("ray")

from deploy.batch import score  # noqa: E402 - what the extra `scale` has
from deploy.batch.results import Results  # noqa: E402
from deploy.batch.shards import Scorer  # noqa: E402
from deploy.batch.sources import PARTS, SHARD_PICTURES, plan  # noqa: E402

PATIENCE_SECONDS = 240
"""A guard against hanging."""


def png_declaring(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is so large."""
    header = b"IHDR" + struct.pack(">II", width, height) + b"\x08\0\0\0\0"
    whole = encoded(np.zeros((28, 28), dtype=np.uint8))
    return whole[:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:]


def enlarged(pixels: Grey) -> Image.Image:
    """Dark on light, 140x140, as no picture of MNIST is."""
    return Image.fromarray(255 - pixels.repeat(5, axis=0).repeat(5, axis=1))


@pytest.fixture(scope="module")
def tens(mnist: Mnist) -> Grey:
    """A real digit of each class, (10, 28, 28)."""
    return np.stack([mnist.pixels[mnist.labels == digit][3] for digit in range(10)])


BAD = {
    "bad/blank.png": "no ink found",
    "bad/bomb.png": "expected at most 50000000 pixels, received a picture of more than 100000000",
    "bad/cut.png": "expected a whole PNG picture, received one that cannot be decoded",
    "bad/lost.png": "cannot be read: No such file or directory",
    "bad/notes.txt": "expected a PNG, JPEG, WEBP, BMP, GIF or TIFF picture, received 5 bytes that are not one",
}
FORMATS = {"jpg": "JPEG", "webp": "WEBP", "bmp": "BMP", "gif": "GIF", "tif": "TIFF"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tens: Grey) -> Path:
    """One of every kind of source."""
    root = tmp_path_factory.mktemp("sources")
    pictures = root / "pictures"
    for below in ("bad", "formats", ".hidden"):
        (pictures / below).mkdir(parents=True)
    for digit, pixels in enumerate(tens):
        (pictures / f"{digit}.png").write_bytes(encoded(pixels))
    for digit, (ending, kind) in enumerate(FORMATS.items()):
        (pictures / "formats" / f"{digit}.{ending}").write_bytes(encoded(enlarged(tens[digit]), format=kind))
    (pictures / "formats" / "photo.jpg").write_bytes((EXAMPLES / "photo.jpg").read_bytes())
    (pictures / ".hidden" / "7.png").write_bytes(encoded(tens[7]))
    (pictures / "bad" / "notes.txt").write_bytes(b"seven")
    (pictures / "bad" / "blank.png").write_bytes(encoded(np.full((50, 60), 255, dtype=np.uint8)))
    (pictures / "bad" / "cut.png").write_bytes(encoded(enlarged(tens[3]))[:-100])
    (pictures / "bad" / "bomb.png").write_bytes(png_declaring(100_000, 100_000))
    (pictures / "bad" / "lost.png").symlink_to("nowhere.png")
    files = [encoded(pixels) for pixels in tens]
    pq.write_table(pa.table({"image": [*files, None], "label": range(11)}), root / "bytes.parquet", row_group_size=3)
    structs = [{"bytes": file, "path": "7.png"} for file in files]
    pq.write_table(pa.table({"image": structs, "label": range(10)}), root / "structs.parquet")
    named = {"pixels": tens.reshape(10, 784).tolist(), "id": [f"n{digit}" for digit in range(10)]}
    pq.write_table(pa.table(named), root / "flat.parquet")
    rows = pa.array(tens.tolist(), pa.list_(pa.list_(pa.uint8())))
    pq.write_table(pa.table({"a": rows}), root / "rows.parquet")
    np.savez_compressed(root / "bytes.npz", x_test=tens, y_test=np.arange(10))
    np.savez(root / "floats.npz", x=(tens.reshape(10, 784) / 255))
    return root


FILES, EACH = 12, 100


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, mnist: Mnist) -> Path:
    """As many files, of as many digits each, that take some time since all are normalized."""
    root = tmp_path_factory.mktemp("many")
    for number in range(FILES):
        pixels = 255 - np.roll(mnist.pixels[number * EACH : (number + 1) * EACH], 1, axis=2)
        np.savez(root / f"{number:02}.npz", x=pixels)
    return root


NAMES = ("pictures", "bytes.parquet", "structs.parquet", "flat.parquet", "rows.parquet", "bytes.npz", "floats.npz")


@dataclass(frozen=True, slots=True)
class Scored:
    """What a run left."""

    ran: subprocess.CompletedProcess[str]
    rows: list[dict[str, Any]]
    rejections: list[dict[str, str]]


def run(output: Path, *arguments: str | Path, environment: dict[str, str] | None = None) -> Scored:
    ran = fresh_python(
        "-m", "deploy.score", *arguments, "--output", output, environment=environment, timeout_seconds=PATIENCE_SECONDS
    )
    rejected = output / "rejected.jsonl"
    rejections = [json.loads(line) for line in rejected.read_text().splitlines()] if rejected.exists() else []
    rows = pq.read_table(output / "scores").to_pylist() if (output / "scores").exists() else []
    return Scored(ran, rows, rejections)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("output") / "new"


@pytest.fixture(scope="module")
def everything(folder: Path, many: Path, output: Path) -> Scored:
    """All sources, scored in one run by the shipped version."""
    return run(output, *(folder / name for name in NAMES), many)


@pytest.fixture(scope="module")
def scored(everything: Scored, many: Path) -> Scored:
    """The same without `many`."""
    rows = [row for row in everything.rows if row["source"] != str(many)]
    rejections = [each for each in everything.rejections if each["source"] != str(many)]
    return Scored(everything.ran, rows, rejections)


@pytest.fixture(scope="module")
def cluster() -> Iterator[dict[str, str]]:
    """One of somebody else; the environment of who uses it."""
    access = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    access["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # Ray listens on 127.0.0.1 alone
    program = (
        "import ray, sys\n"
        "ray.init('local', num_cpus=2, include_dashboard=False, log_to_driver=False)\n"
        "print(ray.get_runtime_context().gcs_address, flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", **access},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    yield {"RAY_ADDRESS": process.stdout.readline().strip(), **access}
    process.stdin.close()
    process.wait(timeout=PATIENCE_SECONDS)
    process.stdout.close()


def test_rows_come_in_the_order_of_the_sources(scored: Scored, folder: Path) -> None:
    tens = range(10)
    expected = {
        "pictures": [f"{ten}.png" for ten in tens]
        + [f"formats/{number}.{ending}" for number, ending in enumerate(FORMATS)]
        + ["formats/photo.jpg"],
        "bytes.parquet": [f"bytes.parquet:{ten}" for ten in tens],
        "structs.parquet": [f"structs.parquet:{ten}" for ten in tens],
        "flat.parquet": [f"n{ten}" for ten in tens],
        "rows.parquet": [f"rows.parquet:{ten}" for ten in tens],
        "bytes.npz": [str(ten) for ten in tens],
        "floats.npz": [str(ten) for ten in tens],
    }

    assert scored.ran.returncode == 0, scored.ran.stderr
    assert [(row["source"], row["id"]) for row in scored.rows] == [
        (str(folder / name), own) for name, ids in expected.items() for own in ids
    ]


def test_what_cannot_be_scored_is_listed_with_its_reason(scored: Scored, folder: Path) -> None:
    pictures, null = scored.rejections[:-1], scored.rejections[-1]

    assert [(each["source"], each["id"]) for each in pictures] == [(str(folder / "pictures"), bad) for bad in BAD]
    for each in pictures:
        assert each["reason"].startswith(BAD[each["id"]])
    assert null["id"] == "bytes.parquet:10"
    assert null["reason"] == "expected a picture, received null"


def test_the_last_line_counts_them_all(everything: Scored) -> None:
    (last,) = everything.ran.stdout.splitlines()

    scored, rejected = f"{len(everything.rows):,}", len(everything.rejections)
    assert last.startswith(f"scored {scored}, rejected {rejected} by mnist-dense version 1; ")
    lines = everything.ran.stderr.splitlines()
    # Ray says that it was told to say less.
    assert [line for line in lines if not line.startswith("score: ") and "RAY_BACKEND_LOG_LEVEL" not in line] == []
    assert "pictures/s" in last
    assert "rejected.jsonl" in last


def test_rows_are_what_the_command_line_answers(scored: Scored, folder: Path) -> None:
    rows = {row["id"]: row for row in scored.rows if row["source"] == str(folder / "pictures")}

    ran = fresh_python("-m", "digits", "--json", *(folder / "pictures" / path for path in rows))

    for row, line in zip(rows.values(), ran.stdout.splitlines(), strict=True):
        assert_same(row, json.loads(line))


def test_rows_are_what_the_service_answers(scored: Scored, folder: Path, tens: Grey, service: Service) -> None:
    for row in scored.rows:
        if row["source"] == str(folder / "pictures"):
            body, media_type = (folder / "pictures" / row["id"]).read_bytes(), Image.MIME[kind_of(row["id"])]
        else:
            body, media_type = tens[int(row["id"].rpartition(":")[2].strip("n"))].tobytes(), "application/octet-stream"

        answer = service.client.post("/predict", content=body, headers={"content-type": media_type}).json()

        assert_same(row, answer)


def kind_of(path: str) -> str:
    return FORMATS.get(path.rpartition(".")[2], "PNG")


def assert_same(row: dict[str, Any], answer: dict[str, Any]) -> None:
    """A row, and a prediction as JSON."""
    assert row["version"] == answer["model"]["version"]
    for field in ("digit", "prediction_set", "coverage", "is_digit", "preprocessing"):
        assert row[field] == answer[field], (row["id"], field)
    for field in ("probability", "probabilities", "novelty"):
        assert row[field] == pytest.approx(answer[field], abs=1e-6), (row["id"], field)


def test_a_killed_run_goes_on_to_the_very_rows_of_one_that_was_not(
    many: Path, everything: Scored, output: Path, cluster: dict[str, str], tmp_path: Path
) -> None:
    killed = tmp_path / "killed"
    command = [sys.executable, "-m", "deploy.score", str(many), "--output", str(killed)]
    process = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not parts(killed) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    done = parts(killed)
    assert 0 < len(done) < FILES, "nothing was done yet, or all"
    left = pq.read_table(killed / "scores").num_rows

    again = run(killed, many, environment=cluster)

    expected = [row for row in everything.rows if row["source"] == str(many)]
    assert again.ran.returncode == 0, again.ran.stderr
    assert "pictures are done already" in again.ran.stderr
    assert left < len(again.rows)
    assert again.rows == expected
    assert len(again.rows) + len(again.rejections) == FILES * EACH
    assert again.rejections == [each for each in everything.rejections if each["source"] == str(many)]
    assert [part.content for part in parts(killed).values()] == [
        part.content for part in list(parts(output).values())[-FILES:]
    ]
    assert {name: parts(killed)[name].modified for name in done} == {name: each.modified for name, each in done.items()}
    assert sorted(path.name for path in killed.iterdir()) == ["asked.json", "rejected.jsonl", "scores"]


@dataclass(frozen=True, slots=True)
class Part:
    content: bytes
    modified: int


def parts(output: Path) -> dict[str, Part]:
    return {
        path.name: Part(path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(output.glob("scores/*.parquet"))
    }


def test_when_nothing_can_be_scored_the_exit_code_is_1(tmp_path: Path, cluster: dict[str, str]) -> None:
    (tmp_path / "blank.png").write_bytes(encoded(np.zeros((28, 28), dtype=np.uint8)))

    got = run(tmp_path / "output", tmp_path / "blank.png", environment=cluster)

    assert got.ran.returncode == 1, got.ran.stderr
    assert got.ran.stdout.startswith("scored 0, rejected 1 by mnist-dense version 1; ")
    assert [each["id"] for each in got.rejections] == ["blank.png"]
    assert got.rows == []


def test_a_run_that_is_broken_off_says_so_in_a_line(
    npz: Path, tmp_path: Path, cluster: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "output"
    monkeypatch.setattr(score, "_run", interrupted)
    assert score.main([str(npz), "--column=x_test", "--output", str(output)]) == 130
    (output / ".unfinished").rmdir()
    (output / ".unfinished").touch()  # as on a full disk, nothing can be written any more

    got = run(output, npz, "--column=x_test", environment=cluster)

    last = got.ran.stderr.splitlines()[-1]
    assert got.ran.returncode == 2
    assert last.startswith("score: broken off, and goes on with the same command: ")
    assert "File exists" in last
    assert "Traceback" not in got.ran.stderr


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The one line of a run that does not begin."""
    code = score.main([str(argument) for argument in arguments])
    printed = capsys.readouterr()

    assert code == 2
    assert printed.out == ""
    assert printed.err.count("\n") == 1, printed.err
    assert printed.err.startswith("score: ")
    return printed.err


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def npz(tmp_path: Path, tens: Grey) -> Path:
    """Two arrays of pictures."""
    np.savez(tmp_path / "two.npz", x_train=tens, x_test=tens, y_test=np.arange(10))
    return tmp_path / "two.npz"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        pytest.param(lambda *_: ["--column=x_train"], "--column", id="the column"),
        pytest.param(lambda *_: ["--normalize=always"], "--normalize", id="the mode"),
        pytest.param(lambda npz, _: [npz], "sources", id="the sources"),
        pytest.param(lambda npz, _: os.utime(npz, ns=(0, 0)), "files", id="a file"),
        pytest.param(lambda _, root: publish_tiny(root, seed=1) and None, "model", id="the version"),
    ],
)
def test_a_run_that_was_begun_otherwise_is_not_gone_on_with(
    change: Callable[[Path, Path], list[str | Path] | None],
    named: str,
    npz: Path,
    tmp_path: Path,
    published: Published,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments: list[str | Path] = [npz, "--model-dir", published.root, "--output", tmp_path / "output"]
    monkeypatch.setattr(score, "_run", interrupted)
    assert score.main(["--column=x_test", *map(str, arguments)]) == 130
    assert capsys.readouterr().err == "score: interrupted; the same command goes on from here\n"

    changed = change(npz, published.root) or []
    line = refused(capsys, "--column=x_test", *changed, *arguments)

    assert f"{tmp_path / 'output'}: expected the {named} with which it was begun, " in line
    assert line.endswith("; give another --output\n")


def a_file(content: bytes, name: str = "it") -> Callable[[Path], Path]:
    def make(tmp_path: Path) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return make


def a_table(**columns: Any) -> Callable[[Path], Path]:
    def make(tmp_path: Path) -> Path:
        pq.write_table(pa.table(columns), tmp_path / "it.parquet")
        return tmp_path / "it.parquet"

    return make


def arrays(**named: Any) -> Callable[[Path], Path]:
    def make(tmp_path: Path) -> Path:
        np.savez(tmp_path / "it.npz", **named)
        return tmp_path / "it.npz"

    return make


def a_folder(tmp_path: Path) -> Path:
    (tmp_path / "empty" / "below").mkdir(parents=True)
    return tmp_path / "empty"


FIT = np.zeros((2, 28, 28), dtype=np.uint8)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        pytest.param(lambda tmp_path: tmp_path / "no", [], "a file or a folder, received none", id="no source"),
        pytest.param(a_folder, [], "expected pictures, or Parquet or NPZ files of them", id="no picture"),
        pytest.param(arrays(x=FIT[:0]), [], "expected pictures, or Parquet or NPZ files of them", id="no row"),
        pytest.param(a_file(b"x", "a.parquet"), [], "expected a Parquet file, received none: ", id="no Parquet"),
        pytest.param(a_file(b"x", "a.npz"), [], "expected an NPZ file, received none: ", id="no NPZ"),
        pytest.param(
            arrays(x=np.asfortranarray(np.ones((2, 784)))), [], "an array in Fortran's order", id="columns first"
        ),
        pytest.param(
            arrays(x=np.array([{}])), [], "expected one array, uint8, or floats from 0 to 1, of shape", id="objects"
        ),
        pytest.param(arrays(a=FIT, b=FIT), [], "received several, to be named by --column: a, b", id="two arrays"),
        pytest.param(arrays(a=FIT), ["--column", "b"], "an array 'b', received a uint8 (2, 28, 28)", id="array"),
        pytest.param(
            arrays(a=FIT[:, 1:]), ["--column", "a"], "or (N, 784), received uint8 (2, 27, 28)", id="wrong shape"
        ),
        pytest.param(
            arrays(a=FIT.astype(bool)), ["--column", "a"], "or (N, 784), received bool (2, 28, 28)", id="wrong dtype"
        ),
        pytest.param(
            a_table(a=[b"7"], b=[b"7"]), [], "received several, to be named by --column: a, b", id="two columns"
        ),
        pytest.param(a_table(label=[7]), [], "or 784 numbers, received label", id="no column of pictures"),
        pytest.param(a_table(a=[b"7"]), ["--column", "b"], "expected a column 'b', received a", id="no such column"),
        pytest.param(
            a_table(a=["seven"]), ["--column", "a"], "or 784 numbers, received string", id="a column of another type"
        ),
        pytest.param(
            a_file(b"7"), ["--model-dir", "/dev/null/models", "--output", "/dev/null/output"], "cannot be written to",
            id="no folder for the output",
        ),
        pytest.param(a_file(b"7"), ["--output", "/dev"], "give another --output", id="a folder of somebody else"),
    ],
)  # fmt: skip
def test_what_cannot_begin_is_one_line(
    make: Callable[[Path], Path],
    options: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = refused(capsys, make(tmp_path), "--output", tmp_path / "output", *options)

    assert message in line


def test_the_output_may_not_lie_among_the_sources(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, folder, "--output", folder / "pictures" / "output")

    assert "expected an --output outside of the sources" in line


@pytest.mark.parametrize("missing", ["ray", "pyarrow"])
def test_without_the_extra_a_line_says_how_to_have_it(missing: str, tmp_path: Path) -> None:
    probe = f"import sys; sys.modules[{missing!r}] = None; from deploy.batch import score; sys.exit(score.main())"

    ran = fresh_python("-c", probe, tmp_path, "--output", tmp_path / "output")

    assert ran.returncode == 2
    assert ran.stderr == f"score: needs {missing}, which is not installed: uv sync --extra scale\n"


def test_without_a_model_a_line_says_where_was_looked(tmp_path: Path, npz: Path) -> None:
    probe = (
        "import pathlib, sys\n"
        "from digits import artifact, classifier\n"
        "classifier.SHIPPED = artifact.SHIPPED = pathlib.Path(sys.argv.pop(1))\n"
        "from deploy.batch import score\n"
        "sys.exit(score.main())\n"
    )

    ran = fresh_python("-c", probe, tmp_path / "no", "--model-dir", tmp_path / "own", npz, "--output", tmp_path / "o")

    assert ran.returncode == 2
    assert ran.stderr.startswith(f"score: no usable version of mnist-dense in {tmp_path / 'own'} or ")
    assert ran.stderr.count("\n") == 1


def test_a_version_from_before_has_no_trust_columns(published: Published, tmp_path: Path, npz: Path) -> None:
    (shard,) = plan([str(npz)], "x_test").shards

    table, _ = Scorer(published.folder, "auto", tmp_path).score(shard)

    assert table.column_names == [
        "id", "source", "digit", "probability", "probabilities", "preprocessing", "version"
    ]  # fmt: skip


def test_a_version_with_them_has(tmp_path: Path, npz: Path) -> None:
    trusted = publish_trusted(tmp_path / "models", threshold=0.1)
    (shard,) = plan([str(npz)], "x_test").shards

    table, _ = Scorer(trusted.folder, "auto", tmp_path).score(shard)

    assert {"prediction_set", "coverage", "is_digit", "novelty"} <= set(table.column_names)
    for row in table.to_pylist():
        assert row["prediction_set"] == [digit for digit in range(10) if row["probabilities"][digit] >= 0.1]
        assert row["is_digit"] == (row["novelty"] <= 1)


@pytest.mark.parametrize(
    ("mode", "steps", "reason"),
    [
        pytest.param("auto", [[], ["inverted", "cropped", "thickened", "centered"]], None, id="auto"),
        pytest.param(
            "always",
            [["cropped", "thickened", "centered"], ["inverted", "cropped", "thickened", "centered"]],
            None,
            id="always",
        ),
        pytest.param("never", [[]], "expected 28x28 pixels, received 140x140 (width x height)", id="never"),
    ],
)
def test_pictures_are_normalized_as_is_asked(
    mode: Any, steps: list[list[str]], reason: str | None, tmp_path: Path, published: Published, tens: Grey
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "1.png").write_bytes(encoded(tens[7]))
    (pictures / "2.png").write_bytes(encoded(enlarged(tens[7])))
    (shard,) = plan([str(pictures)], None).shards

    table, rejections = Scorer(published.folder, mode, tmp_path).score(shard)

    assert table["preprocessing"].to_pylist() == steps
    assert [rejection["reason"] for rejection in rejections] == ([reason] if reason else [])


WHITE = np.full((28, 28), 255)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        pytest.param(
            (WHITE / 255 * 1.01).tolist(), "expected floats from 0 to 1, received others; ", id="bright floats"
        ),
        pytest.param((WHITE * np.nan).tolist(), "expected floats from 0 to 1, received others; ", id="NaN"),
        pytest.param((WHITE + 1).tolist(), "expected numbers from 0 to 255, received others", id="256"),
        pytest.param((-WHITE).tolist(), "expected numbers from 0 to 255, received others", id="negative"),
        pytest.param(WHITE[1:].tolist(), "expected 28x28 or 784 numbers, received 27x28", id="27 rows"),
        pytest.param([*WHITE[1:].tolist(), [255]], "received rows of different lengths", id="ragged"),
        pytest.param([*WHITE[1:].tolist(), None], "received rows of different lengths", id="no row"),
        pytest.param([*WHITE[1:].tolist(), [None] * 28], "expected 784 numbers, received null in it", id="nulls"),
        pytest.param(None, "expected a picture, received null", id="null"),
    ],
)
def test_lists_that_are_no_picture_are_rejected(
    values: Any, reason: str, tmp_path: Path, published: Published, tens: Grey
) -> None:
    pictures = [(tens[0] / 255 if "floats" in reason else tens[0].astype(int)).tolist(), values]
    pq.write_table(pa.table({"pixels": pictures}), tmp_path / "it.parquet")
    (shard,) = plan([str(tmp_path / "it.parquet")], None).shards

    table, (rejection,) = Scorer(published.folder, "never", tmp_path).score(shard)

    assert table["id"].to_pylist() == ["it.parquet:0"]
    assert rejection["id"] == "it.parquet:1"
    assert reason in rejection["reason"]


@pytest.mark.parametrize("row_group_size", [7, 999, 1000, 2100, 40_000])
def test_every_row_of_a_parquet_file_is_in_one_shard(row_group_size: int, tmp_path: Path) -> None:
    rows = SHARD_PICTURES * (PARTS + 4) + 3
    pictures = [str(number).encode() for number in range(rows)]
    pq.write_table(pa.table({"image": pictures}), tmp_path / "it.parquet", row_group_size=row_group_size)

    shards = plan([str(tmp_path / "it.parquet")], None).shards

    received = [picture for shard in shards for picture in shard.pictures()]
    assert received == [(f"it.parquet:{number}", picture) for number, picture in enumerate(pictures)]
    assert sum(map(len, shards)) == rows
    assert len(shards) >= PARTS


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_every_row_of_an_array_is_in_one_shard(save: Callable[..., None], tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (PARTS * SHARD_PICTURES // 10 + 3, 28, 28), dtype=np.uint8)
    save(tmp_path / "it.npz", x=np.concatenate([pixels] * 12))

    shards = plan([str(tmp_path / "it.npz")], None).shards

    received = [picture for shard in shards for picture in shard.pictures()]
    assert [own for own, _ in received] == [str(number) for number in range(12 * len(pixels))]
    np.testing.assert_array_equal([picture for _, picture in received], np.concatenate([pixels] * 12))
    assert len(shards) == PARTS


def test_a_folder_is_parted_by_the_number_of_its_pictures(tmp_path: Path) -> None:
    for number in range(SHARD_PICTURES + 1):
        (tmp_path / f"{number:04}.png").touch()

    parted = plan([str(tmp_path)], None)

    assert [len(shard) for shard in parted.shards] == [SHARD_PICTURES, 1]
    assert parted.pictures == SHARD_PICTURES + 1


def test_links_are_followed_and_not_in_circles(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "7.png").touch()
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "c").symlink_to(tmp_path / "elsewhere")

    (shard,) = plan([str(tmp_path / "a")], None).shards

    assert [own for own, _ in shard.pictures()] == ["c/7.png"]


def test_a_name_that_is_no_text_is_an_id_all_the_same(tmp_path: Path, published: Published, tens: Grey) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / os.fsdecode(b"\xff.png")).write_bytes(encoded(tens[7]))
    (shard,) = plan([str(pictures)], None).shards

    table, _ = Scorer(published.folder, "auto", tmp_path).score(shard)

    assert table["id"].to_pylist() == ["\\xff.png"]


def damaged(file: Path) -> None:
    """200 bytes in its middle are lost."""
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200] = bytes(200)
    file.write_bytes(content)


@pytest.mark.parametrize("ending", ["parquet", "npz"])
def test_damage_costs_only_what_cannot_be_read(ending: str, tmp_path: Path, published: Published) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 28, 28), dtype=np.uint8)
    if ending == "npz":
        np.savez_compressed(tmp_path / "it.npz", x=pixels)
    else:
        table = pa.table({"image": [encoded(picture) for picture in pixels]})
        pq.write_table(table, tmp_path / "it.parquet", row_group_size=20, write_page_checksum=True)
    damaged(tmp_path / f"it.{ending}")
    (shard,) = plan([str(tmp_path / f"it.{ending}")], None).shards

    table, rejections = Scorer(published.folder, "never", tmp_path).score(shard)

    assert 64 <= table.num_rows < 300
    assert table.num_rows + len(rejections) == 300
    assert all(rejection["reason"].startswith("cannot be read: ") for rejection in rejections)


def test_a_part_that_is_damaged_is_not_taken_for_done(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.write(3, pa.table({"id": ["7.png"]}), [])
    (part,) = results.scores.iterdir()

    whole = results.has(3)
    part.write_bytes(part.read_bytes()[:-5])

    assert whole
    assert not results.has(3)
    assert not results.has(4)
