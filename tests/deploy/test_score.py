"""`python -m deploy.score` writes, in order, what the service answers for each picture, even after a crash."""

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
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from app.openapi.example_pictures import EXAMPLES
from deploy.batch import score
from deploy.batch.scorer import Scorer
from deploy.batch.sources import Plan, shard_to_json
from digits.features import Grey
from digits.model import artifact, classifier
from tests.app.conftest import Service
from tests.conftest import REPOSITORY, SHIPPED_VERSION, Mnist, Published, encoded, fresh_python, publish_tiny

PATIENCE_SECONDS = 240
"""Time after which a run is taken to hang."""

PICTURES = {
    **{f"{digit}.png": digit for digit in range(10)},
    "formats/0.jpg": 0,
    "formats/1.webp": 1,
    "formats/2.bmp": 2,
    "formats/3.gif": 3,
    "formats/4.tif": 4,
    "formats/photo.jpg": None,
}
"""The good files in the folder of pictures, in order. Files in `formats` are large, dark on light."""

REJECTED = {
    "bad/blank.png": "no ink",
    "bad/bomb.png": "100000000",
    "bad/cut.png": "PNG",
    "bad/lost.png": "No such file or directory",
    "bad/notes.txt": "PNG, JPEG, WEBP, BMP, GIF or TIFF",
}
"""The bad files in the same folder, in order, and a part of each reason."""


def png_that_declares(width: int, height: int) -> bytes:
    """Return a PNG file of a few bytes whose header declares this size."""
    header = b"IHDR" + struct.pack(">II", width, height) + b"\x08\0\0\0\0"
    png = encoded(np.zeros((28, 28), dtype=np.uint8))
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]


def enlarged(pixels: Grey) -> Image.Image:
    """Return a picture of 140x140 pixels, dark on light, which has to be normalized."""
    return Image.fromarray(255 - pixels.repeat(5, axis=0).repeat(5, axis=1))


def media_type(path: str) -> str:
    return Image.registered_extensions()[Path(path).suffix]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, ten_digits: Grey) -> Path:
    """Return a folder with one source of every kind."""
    root = tmp_path_factory.mktemp("sources")
    pictures = root / "pictures"
    for below in ("bad", "formats", ".hidden"):
        (pictures / below).mkdir(parents=True)
    for path, digit in PICTURES.items():
        if digit is None:
            content = (EXAMPLES / "photo.jpg").read_bytes()
        elif path.startswith("formats/"):
            content = encoded(enlarged(ten_digits[digit]), format=media_type(path))
        else:
            content = encoded(ten_digits[digit])
        (pictures / path).write_bytes(content)
    (pictures / ".hidden" / "7.png").write_bytes(encoded(ten_digits[7]))
    (pictures / "bad" / "notes.txt").write_bytes(b"seven")
    (pictures / "bad" / "blank.png").write_bytes(encoded(np.full((50, 60), 255, dtype=np.uint8)))
    (pictures / "bad" / "cut.png").write_bytes(encoded(enlarged(ten_digits[3]))[:-100])
    (pictures / "bad" / "bomb.png").write_bytes(png_that_declares(100_000, 100_000))
    (pictures / "bad" / "lost.png").symlink_to("nowhere.png")
    files = [encoded(pixels) for pixels in ten_digits]
    pq.write_table(pa.table({"image": [*files, None], "label": range(11)}), root / "bytes.parquet", row_group_size=3)
    structs = [{"bytes": file, "path": "7.png"} for file in files]
    pq.write_table(pa.table({"image": structs, "label": range(10)}), root / "structs.parquet")
    with_ids = {"pixels": ten_digits.reshape(10, 784).tolist(), "id": [f"n{digit}" for digit in range(10)]}
    pq.write_table(pa.table(with_ids), root / "flat.parquet")
    rows = pa.array(ten_digits.tolist(), pa.list_(pa.list_(pa.uint8())))
    pq.write_table(pa.table({"a": rows}), root / "rows.parquet")
    np.savez_compressed(root / "bytes.npz", x_test=ten_digits, y_test=np.arange(10))
    np.savez(root / "floats.npz", x=(ten_digits.reshape(10, 784) / 255))
    return root


EXPECTED_IDS = {
    "pictures": list(PICTURES),
    "bytes.parquet": [f"bytes.parquet:{row}" for row in range(10)],
    "structs.parquet": [f"structs.parquet:{row}" for row in range(10)],
    "flat.parquet": [f"n{row}" for row in range(10)],
    "rows.parquet": [f"rows.parquet:{row}" for row in range(10)],
    "bytes.npz": [str(row) for row in range(10)],
    "floats.npz": [str(row) for row in range(10)],
}
"""The sources in `folder`, and the ids of their rows."""

MANY_FILES, MANY_PICTURES = 12, 100


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, mnist: Mnist) -> Path:
    """Return a folder with 12 files of 100 pictures, which take some time because all have to be normalized."""
    root = tmp_path_factory.mktemp("many")
    for number in range(MANY_FILES):
        pixels = 255 - np.roll(mnist.pixels[number * MANY_PICTURES : (number + 1) * MANY_PICTURES], 1, axis=2)
        np.savez(root / f"{number:02}.npz", x=pixels)
    return root


@dataclass(frozen=True, slots=True)
class Scored:
    """The result of one run."""

    process: subprocess.CompletedProcess[str]
    rows: list[dict[str, Any]]
    rejections: list[dict[str, str]]

    def of(self, *sources: Path) -> "Scored":
        """Return the rows and rejections of some sources."""
        names = {str(source) for source in sources}
        rows = [row for row in self.rows if row["source"] in names]
        return Scored(self.process, rows, [each for each in self.rejections if each["source"] in names])


def run(output: Path, *arguments: str | Path, environment: dict[str, str] | None = None) -> Scored:
    """Run the command."""
    command = ["-m", "deploy.score", *arguments, "--output", output]
    process = fresh_python(*command, environment=environment, timeout_seconds=PATIENCE_SECONDS)
    rejected = output / "rejected.jsonl"
    rejections = [json.loads(line) for line in rejected.read_text().splitlines()] if rejected.exists() else []
    rows = pq.read_table(output / "scores").to_pylist() if (output / "scores").exists() else []
    return Scored(process, rows, rejections)


@pytest.fixture(scope="module")
def cluster() -> Iterator[dict[str, str]]:
    """Start a Ray cluster and return the environment with which a run uses it."""
    access = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    access["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # Ray listens on 127.0.0.1 only.
    program = (
        "import ray, sys\n"
        "ray.init('local', num_cpus=2, include_dashboard=False, log_to_driver=False)\n"
        "print(ray.get_runtime_context().gcs_address, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", **access},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:  # At its end, `with` closes the pipe, on which the program waits.
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address, "Ray did not start"
        yield {"RAY_ADDRESS": address, **access}


@pytest.fixture(scope="module")
def sources(folder: Path, many: Path) -> list[Path]:
    """Return all sources. The many pictures come first, so that a run can be killed while it scores them."""
    return [many, *(folder / name for name in EXPECTED_IDS)]


@dataclass(frozen=True, slots=True)
class Part:
    """The state of one part's file."""

    content: bytes
    modified_ns: int


def parts(output: Path) -> dict[str, Part]:
    return {
        path.name: Part(path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(output.glob("scores/*.parquet"))
    }


@dataclass(frozen=True, slots=True)
class Killed:
    """What a killed run left."""

    output: Path
    parts: dict[str, Part]


@pytest.fixture(scope="module")
def killed(sources: list[Path], cluster: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Killed:
    """Score all sources on the cluster with the shipped model, and kill the run when its first part is complete."""
    output = tmp_path_factory.mktemp("output") / "new"
    command = [sys.executable, "-m", "deploy.score", *map(str, sources), "--output", str(output)]
    process = subprocess.Popen(command, cwd=REPOSITORY, env={**os.environ, **cluster}, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not parts(output) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    return Killed(output, parts(output))


@pytest.fixture(scope="module")
def everything(sources: list[Path], killed: Killed) -> Scored:
    """Score all sources in a run on its own cluster, which continues the killed run."""
    return run(killed.output, *sources)


@pytest.fixture(scope="module")
def scored(everything: Scored, folder: Path) -> Scored:
    """Return the same run without the many pictures."""
    return everything.of(*(folder / name for name in EXPECTED_IDS))


def test_a_killed_run_leaves_complete_parts_only(killed: Killed) -> None:
    assert len(killed.parts) > 0, "the run was killed before its first part was complete"
    for name in killed.parts:
        assert pq.read_table(killed.output / "scores" / name).num_rows > 0


def test_rows_are_in_the_order_of_the_sources(scored: Scored, folder: Path) -> None:
    assert scored.process.returncode == 0, scored.process.stderr
    assert [(row["source"], row["id"]) for row in scored.rows] == [
        (str(folder / name), picture_id) for name, ids in EXPECTED_IDS.items() for picture_id in ids
    ]


def test_each_rejected_picture_is_listed_with_its_reason(scored: Scored, folder: Path) -> None:
    *pictures, null = scored.rejections

    assert [(each["source"], each["id"]) for each in pictures] == [
        (str(folder / "pictures"), path) for path in REJECTED
    ]
    for rejection in pictures:
        assert REJECTED[rejection["id"]] in rejection["reason"]
    assert null["id"] == "bytes.parquet:10"
    assert null["reason"] == "expected a picture, received null"


def test_the_last_line_counts_scored_and_rejected_pictures(everything: Scored) -> None:
    (last,) = everything.process.stdout.splitlines()
    errors = everything.process.stderr.splitlines()

    scored, rejected = f"{len(everything.rows):,}", len(everything.rejections)
    assert last.startswith(f"scored {scored}, rejected {rejected} by mnist-dense version {SHIPPED_VERSION}; ")
    assert "pictures/s" in last
    assert "rejected.jsonl" in last
    # Ray reports that it was told to log less.
    assert [line for line in errors if not line.startswith("score: ") and "RAY_BACKEND_LOG_LEVEL" not in line] == []


def test_rows_equal_the_answers_of_the_service(
    scored: Scored, folder: Path, ten_digits: Grey, service: Service
) -> None:
    for row in scored.rows:
        if row["source"] == str(folder / "pictures"):
            body = (folder / "pictures" / row["id"]).read_bytes()
            content_type = Image.MIME[media_type(row["id"])]
        else:
            body = ten_digits[int(row["id"].rpartition(":")[2].strip("n"))].tobytes()
            content_type = "application/octet-stream"

        answer = service.client.post("/predict", content=body, headers={"content-type": content_type}).json()

        assert row["version"] == answer["model"]["version"]
        for field in ("digit", "prediction_set", "coverage", "is_digit", "preprocessing"):
            assert row[field] == answer[field], (row["id"], field)
        for field in ("probability", "probabilities", "novelty"):
            assert row[field] == pytest.approx(answer[field], abs=1e-6), (row["id"], field)


def test_a_killed_run_continues_to_exactly_the_rows_of_an_undisturbed_run(
    sources: list[Path], killed: Killed, everything: Scored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score, "_score_shards", score_without_ray)
    undisturbed = tmp_path / "undisturbed"
    assert score.main([*map(str, sources), "--output", str(undisturbed)]) == 0

    continued = parts(killed.output)

    assert len(killed.parts) < len(continued), "the run was killed after its last part"
    assert "pictures are done already" in everything.process.stderr
    from_many = everything.of(sources[0])
    assert len(from_many.rows) + len(from_many.rejections) == MANY_FILES * MANY_PICTURES
    assert {name: part.content for name, part in continued.items()} == {
        name: part.content for name, part in parts(undisturbed).items()
    }
    for file in ("rejected.jsonl", "run.json"):
        assert (killed.output / file).read_bytes() == (undisturbed / file).read_bytes()
    assert {name: continued[name].modified_ns for name in killed.parts} == {
        name: part.modified_ns for name, part in killed.parts.items()
    }
    assert sorted(path.name for path in killed.output.iterdir()) == ["rejected.jsonl", "run.json", "scores"]


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_run_that_cannot_write_stops_with_one_line(
    npz: Path, tmp_path: Path, cluster: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "output"
    monkeypatch.setattr(score, "_score_shards", interrupt)
    assert score.main([str(npz), "--column=x_test", "--output", str(output)]) == 130
    (output / ".unfinished").rmdir()
    (output / ".unfinished").touch()  # Nothing can be written any more, as on a full disk.

    stopped = run(output, npz, "--column=x_test", environment=cluster)

    last = stopped.process.stderr.splitlines()[-1]
    assert stopped.process.returncode == 2
    assert last.startswith("score: the run stopped: ")
    assert "File exists" in last
    assert last.endswith(". Repeat the same command to continue")
    assert "Traceback" not in stopped.process.stderr


def score_without_ray(options: Any, planned: Plan, missing: list[int], model: classifier.Classifier) -> None:
    """Replace `_score_shards` by one scorer in this process."""
    assert model.folder is not None
    scorer = Scorer(model.folder, options.normalize, options.output)
    scorer({"number": np.array(missing), "shard": np.array([shard_to_json(planned.shards[each]) for each in missing])})


def test_the_exit_code_is_1_if_every_picture_was_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(score, "_score_shards", score_without_ray)
    (tmp_path / "blank.png").write_bytes(encoded(np.zeros((28, 28), dtype=np.uint8)))
    output = tmp_path / "output"

    code = score.main([str(tmp_path / "blank.png"), "--output", str(output)])

    assert code == 1
    assert capsys.readouterr().out.startswith(f"scored 0, rejected 1 by mnist-dense version {SHIPPED_VERSION}; ")
    assert json.loads((output / "rejected.jsonl").read_text())["id"] == "blank.png"
    assert pq.read_table(output / "scores").num_rows == 0


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Run the command in this process and return the one line with which it refuses to begin."""
    code = score.main([str(argument) for argument in arguments])
    printed = capsys.readouterr()

    assert code == 2
    assert printed.out == ""
    assert printed.err.count("\n") == 1, printed.err
    assert printed.err.startswith("score: ")
    return printed.err


@pytest.fixture
def npz(tmp_path: Path, ten_digits: Grey) -> Path:
    """Return a file with two arrays of pictures."""
    np.savez(tmp_path / "two.npz", x_train=ten_digits, x_test=ten_digits, y_test=np.arange(10))
    return tmp_path / "two.npz"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        pytest.param(lambda *_: ["--column=x_train"], "--column", id="another column"),
        pytest.param(lambda *_: ["--normalize=always"], "--normalize", id="another mode"),
        pytest.param(lambda npz, _: [npz], "sources", id="another source"),
        pytest.param(lambda npz, _: os.utime(npz, ns=(0, 0)), "files", id="a changed file"),
        pytest.param(lambda _, root: publish_tiny(root, seed=1) and None, "model", id="another model version"),
    ],
)
def test_a_different_run_does_not_continue_an_earlier_one(
    change: Callable[[Path, Path], list[str | Path] | None],
    named: str,
    npz: Path,
    tmp_path: Path,
    published: Published,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments: list[str | Path] = [npz, "--model-dir", published.root, "--output", tmp_path / "output"]
    monkeypatch.setattr(score, "_score_shards", interrupt)
    assert score.main(["--column=x_test", *map(str, arguments)]) == 130
    assert capsys.readouterr().err == "score: interrupted. Repeat the same command to continue\n"

    changed = change(npz, published.root) or []
    line = refused(capsys, "--column=x_test", *changed, *arguments)

    assert f"{tmp_path / 'output'}: belongs to a run with other {named}: expected " in line
    assert line.endswith(". Choose another --output\n")


Make = Callable[[Path], Path]


def a_file(content: bytes, name: str = "it") -> Make:
    def make(tmp_path: Path) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return make


def parquet(**columns: Any) -> Make:
    def make(tmp_path: Path) -> Path:
        pq.write_table(pa.table(columns), tmp_path / "it.parquet")
        return tmp_path / "it.parquet"

    return make


def arrays(**named: Any) -> Make:
    def make(tmp_path: Path) -> Path:
        np.savez(tmp_path / "it.npz", **named)
        return tmp_path / "it.npz"

    return make


def empty_folder(tmp_path: Path) -> Path:
    (tmp_path / "empty" / "below").mkdir(parents=True)
    return tmp_path / "empty"


TWO = np.zeros((2, 28, 28), dtype=np.uint8)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        pytest.param(lambda tmp_path: tmp_path / "no", [], "expected a file or a folder: No such file", id="no source"),
        pytest.param(empty_folder, [], "or Parquet or NPZ files with pictures, received nothing", id="empty folder"),
        pytest.param(arrays(x=TWO[:0]), [], "files with pictures, received nothing", id="empty array"),
        pytest.param(a_file(b"x", "a.parquet"), [], "expected a Parquet file, but reading failed: ", id="not Parquet"),
        pytest.param(a_file(b"x", "a.npz"), [], "expected an NPZ file, but reading failed: ", id="not NPZ"),
        pytest.param(
            arrays(x=np.asfortranarray(np.ones((2, 784)))), [], "an array is in Fortran order", id="Fortran order"
        ),
        pytest.param(
            arrays(x=np.array([{}])), [], "expected an array of uint8, or floats from 0 to 1", id="array of objects"
        ),
        pytest.param(
            arrays(a=TWO, b=TWO), [], "several arrays hold pictures, choose one with --column: a, b", id="two"
        ),
        pytest.param(
            arrays(a=TWO), ["--column", "b"], "an array 'b', received a uint8 (2, 28, 28)", id="no such array"
        ),
        pytest.param(
            arrays(a=TWO[:, 1:]), ["--column", "a"], "or (N, 784), received uint8 (2, 27, 28)", id="wrong shape"
        ),
        pytest.param(
            arrays(a=TWO.astype(bool)), ["--column", "a"], "or (N, 784), received bool (2, 28, 28)", id="wrong dtype"
        ),
        pytest.param(
            parquet(a=[b"7"], b=[b"7"]), [], "several columns may hold pictures, choose one with --column: a, b",
            id="two columns",
        ),
        pytest.param(parquet(label=[7]), [], "or 784 numbers, received the columns label", id="no fitting column"),
        pytest.param(parquet(a=[b"7"]), ["--column", "b"], "expected a column 'b', received a", id="no such column"),
        pytest.param(
            parquet(a=["seven"]), ["--column", "a"], "or 784 numbers, received string", id="column of text"
        ),
        pytest.param(
            a_file(b"7"), ["--model-dir", "/dev/null/models", "--output", "/dev/null/output"], "cannot be written to",
            id="output that cannot be created",
        ),
        pytest.param(a_file(b"7"), ["--output", "/dev"], "Choose another --output", id="output with other files"),
    ],
)  # fmt: skip
def test_a_run_that_cannot_begin_says_why_in_one_line(
    make: Make, options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, make(tmp_path), "--output", tmp_path / "output", *options)

    assert message in line


def test_the_output_must_be_outside_of_the_sources(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, folder, "--output", folder / "pictures" / "output")

    assert "expected an --output outside of the sources" in line


def test_without_a_usable_model_the_message_names_the_folders(
    tmp_path: Path, npz: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (artifact, classifier):
        monkeypatch.setattr(module, "SHIPPED", tmp_path / "no")

    line = refused(capsys, npz, "--model-dir", tmp_path / "own", "--output", tmp_path / "output")

    assert f"{tmp_path / 'own'} or {tmp_path / 'no'}" in line


def test_without_the_extra_scale_the_message_says_how_to_install_it(tmp_path: Path) -> None:
    probe = (
        "import runpy, sys\n"
        "sys.modules |= {'pyarrow': None, 'ray': None}\n"
        "runpy.run_module('deploy.score', run_name='__main__')\n"
    )

    process = fresh_python("-c", probe, tmp_path, "--output", tmp_path / "output")

    assert process.returncode == 2
    assert process.stderr == "score: the package pyarrow is not installed. Run: make .venv/.scale\n"
