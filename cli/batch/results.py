"""The output file of a run, and the partial file from which an interrupted run continues.

    results.csv.partial    first line: the run. Then one JSON object per picture, written as soon as it is known
    results.csv            all rows in the format of its name. It appears when the run is complete

A kill leaves at most a torn last line, which `begin` cuts off.
"""

import csv
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from io import FileIO
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, get_type_hints

import numpy as np

from cli.sources.listing import PARQUET_EXTRA
from digits.features import Floats
from digits.model.predictions import Prediction


class UnusableOutput(Exception):
    """The output cannot be written, or must not be replaced. The message is one line."""


@dataclass(frozen=True, slots=True)
class Done:
    """What the partial file has."""

    rows: int = 0
    failed: int = 0
    last_path: str | None = None


class Results:
    def __init__(self, output: Path, columns: Sequence[str]) -> None:
        """Check the name and the folder of the output, without writing anything.

        Raises UnusableOutput if the format is unknown, its package is missing, or the folder is missing.
        """
        self.output = output
        self._columns = columns
        self._stream: FileIO | None = None
        self.partial = output.with_name(output.name + ".partial")
        self._temporary = output.with_name(f".{output.name}.writing")
        if output.suffix not in _WRITERS:
            raise UnusableOutput(f"{output}: expected a name that ends in .csv, .jsonl or .parquet")
        if output.suffix == ".parquet" and find_spec("pyarrow") is None:
            raise UnusableOutput(f"{output}: {PARQUET_EXTRA}")
        if not output.parent.is_dir():
            raise UnusableOutput(f"{output}: there is no folder {output.parent}. Create it first")

    def begin(self, run: Mapping[str, Any], *, resume: bool, force: bool) -> Done:
        """Open the partial file, and return what an interrupted run has done already.

        `run` has everything that determines the rows, as JSON types. Raises UnusableOutput if there is nothing to
        resume, something must not be replaced, or another run writes it, and OSError if the file system refuses.
        """
        if self.output.is_dir():
            raise UnusableOutput(f"{self.output}: expected a file, received a folder")
        if self.output.exists() and not force:
            raise UnusableOutput(f"{self.output}: exists already. Add --force to replace it")
        if resume and not self.partial.exists():
            raise UnusableOutput(f"nothing to resume: {self.partial} does not exist")
        if self.partial.exists() and not (resume or force):
            raise UnusableOutput(
                f"{self.partial}: belongs to an interrupted run. Add --resume to continue it, or --force to start again"
            )
        # The name is known in advance, so that somebody may have put a link there.
        self._stream = FileIO(
            self.partial, "a+b", opener=lambda path, flags: os.open(path, flags | os.O_NOFOLLOW, 0o666)
        )
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel releases the lock
        except BlockingIOError as exc:
            raise UnusableOutput(f"{self.output}: another run is writing this output") from exc
        if resume:
            return self._continue(run, self._stream)
        self._stream.truncate(0)
        self.append(json.dumps(run).encode() + b"\n")
        return Done()

    @property
    def written(self) -> tuple[Path, ...]:
        """All files that are written, replaced or removed."""
        return self.output, self.partial, self._temporary

    def append(self, lines: bytes) -> None:
        """Write rows, so that they survive if this process is killed. Raises OSError."""
        assert self._stream is not None
        while lines:
            lines = lines[self._stream.write(lines) :]

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()

    def finish(self) -> None:
        """Write the output with all rows, and remove the partial file. Raises OSError."""
        temporary = self._temporary
        temporary.unlink(missing_ok=True)
        try:
            with self.partial.open("rb") as partial:
                partial.readline()  # the run
                _WRITERS[self.output.suffix](partial, temporary, self._columns)
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
            temporary.replace(self.output)
        finally:
            temporary.unlink(missing_ok=True)
        self.partial.unlink()

    def _continue(self, run: Mapping[str, Any], stream: FileIO) -> Done:
        """Check that the partial file belongs to the same run, and cut off a torn line."""
        lines = _whole_lines(self.partial)
        earlier, end = next(lines, (None, 0))
        if not isinstance(earlier, dict):
            raise UnusableOutput(
                f"{self.partial}: expected an interrupted run, received none. Add --force to start again"
            )
        for name, value in json.loads(json.dumps(run)).items():
            if earlier.get(name) != value:
                raise UnusableOutput(
                    f"{self.partial}: the interrupted run had other {name}: expected {earlier.get(name)}, "
                    f"received {value}. Add --force to start again"
                )
        done = Done()
        for row, end in lines:  # noqa: B007 - the last end
            if not (isinstance(row, dict) and row.keys() >= {*self._columns}):
                raise UnusableOutput(f"{self.partial}: row {done.rows + 1} is damaged. Add --force to start again")
            done = Done(done.rows + 1, done.failed + (row["error"] is not None), row["path"])
        stream.truncate(end)
        return done


def _whole_lines(file: Path) -> Iterator[tuple[Any, int]]:
    """Yield the value of each line up to the first one that is not whole, and the position in bytes after the line."""
    end = 0
    with file.open("rb") as stream:
        for line in stream:
            if not line.endswith(b"\n"):
                return
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):  # after a power failure, a file may end in zeros
                return
            end += len(line)
            yield value, end


def _write_csv(rows: BinaryIO, output: Path, columns: Sequence[str]) -> None:
    with output.open("x", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows([_cell(row[name]) for name in columns] for row in map(json.loads, rows))


def _cell(value: Any) -> Any:
    """Return a value as a CSV file has it: a list is separated by spaces, and no text is a formula."""
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@")):  # spreadsheets would compute such a file name
        return f"'{value}"
    return str(value).lower() if isinstance(value, bool) else value


def _write_jsonl(rows: BinaryIO, output: Path, _columns: Sequence[str]) -> None:
    with output.open("xb") as stream:
        shutil.copyfileobj(rows, stream)


def _write_parquet(rows: BinaryIO, output: Path, columns: Sequence[str]) -> None:
    import pyarrow as pa  # noqa: PLC0415 - the extras `parquet` and `scale` install it
    import pyarrow.parquet as pq  # noqa: PLC0415

    kinds = {
        int: pa.int64(),
        float: pa.float64(),
        np.float32: pa.float32(),
        bool: pa.bool_(),
        str: pa.string(),
        list[int]: pa.list_(pa.int64()),
        Sequence[str]: pa.list_(pa.string()),
        Floats: pa.list_(pa.float32()),
    }
    types = {name: kinds[kind] for name, kind in get_type_hints(Prediction).items() if kind in kinds}
    counts = ("digit_count", "ambiguous_count", "non_digit_count", "mark_count", "left_out")
    types |= dict.fromkeys((*counts, "version"), pa.int32())
    types["least_probability"] = pa.float32()
    schema = pa.schema([(name, types.get(name, pa.string())) for name in columns])
    with output.open("xb") as stream, pq.ParquetWriter(stream, schema) as writer:
        parsed = map(json.loads, rows)
        while batch := list(islice(parsed, 10_000)):  # no more rows than these are in memory
            writer.write_table(pa.Table.from_pylist(batch, schema))


_WRITERS = {".csv": _write_csv, ".jsonl": _write_jsonl, ".parquet": _write_parquet}
