"""The output folder of a run.

    run.json                      the sources, options and model version of the run that owns the folder
    scores/part-000000.parquet    the rows of one shard, with its rejections in the footer
    rejected.jsonl                all rejections, written at the end: {"source", "id", "reason"} per line
    .unfinished/                  files that a killed run was writing

A shard is done if and only if its part exists. One rename publishes its rows together with its rejections.
"""

import json
import os
import shutil
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import pyarrow as pa
import pyarrow.parquet as pq

_RUN, _REJECTED, _UNFINISHED = "run.json", "rejected.jsonl", ".unfinished"
_FOOTER_KEY = "rejected"


class UnusableFolder(Exception):
    """The output folder belongs to something else or cannot be written to. The message is one line."""


class Rejection(TypedDict):
    """A picture that was not scored, and the reason."""

    source: str
    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Counts:
    """Number of pictures in the results."""

    scored: int
    rejected: int


class Results:
    """The output folder of a run."""

    def __init__(self, folder: Path) -> None:
        """Remember the folder, without creating it."""
        self.scores = folder / "scores"
        self.rejected = folder / _REJECTED
        self._folder = folder

    def begin(self, run: Mapping[str, Any]) -> None:
        """Create the folder for a run, or check that it belongs to the same run.

        Args:
            run: everything that determines the rows, as JSON types.

        Raises:
            UnusableFolder: the folder cannot be written to, holds other files, or belongs to another run.
        """
        file = self._folder / _RUN
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if file.exists():
                _check_same_run(json.loads(file.read_bytes()), json.loads(json.dumps(run)), self._folder)
                return
            others = sorted(entry.name for entry in self._folder.iterdir() if entry.name != _UNFINISHED)
            if others:
                raise UnusableFolder(
                    f"{self._folder}: expected an empty folder or the folder of an earlier run, but it holds "
                    f"{others[0]}. Choose another --output"
                )
            self._publish(file, json.dumps(run, indent=1).encode())
        except ValueError as exc:
            raise UnusableFolder(f"{file}: expected the JSON of an earlier run: {exc}") from exc
        except OSError as exc:
            raise UnusableFolder(f"{self._folder}: cannot be written to: {exc.strerror}") from exc

    def has_part(self, number: int) -> bool:
        """Return whether a shard's part exists and is complete."""
        try:
            pq.read_metadata(self._part(number))
        except (FileNotFoundError, pa.ArrowInvalid):
            return False
        return True

    def write_part(self, number: int, table: pa.Table, rejections: Iterable[Rejection]) -> None:
        """Publish a shard's part. Raises OSError."""
        lines = "".join(json.dumps(rejection) + "\n" for rejection in rejections)
        sink = pa.BufferOutputStream()
        with pq.ParquetWriter(sink, table.schema) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata({_FOOTER_KEY: lines})
        self._publish(self._part(number), sink.getvalue())

    def finish(self, shards: int) -> Counts:
        """Collect the rejections of all parts and delete unfinished files. Raises OSError."""
        footers = [pq.read_metadata(self._part(number)) for number in range(shards)]
        lines = [line for footer in footers for line in _rejection_lines(footer)]
        self._publish(self.rejected, b"".join(lines))
        shutil.rmtree(self._folder / _UNFINISHED, ignore_errors=True)
        return Counts(scored=sum(footer.num_rows for footer in footers), rejected=len(lines))

    def _part(self, number: int) -> Path:
        return self.scores / f"part-{number:06d}.parquet"

    def _publish(self, file: Path, content: Any) -> None:
        """Write a file that appears complete or not at all, even after a power failure. Raises OSError."""
        unfinished = self._folder / _UNFINISHED / uuid.uuid4().hex
        unfinished.parent.mkdir(exist_ok=True)
        file.parent.mkdir(exist_ok=True)
        with unfinished.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.rename(file)
        descriptor = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _rejection_lines(metadata: pq.FileMetaData) -> list[bytes]:
    """Return the JSON lines in a part's footer."""
    return bytes((metadata.metadata or {}).get(_FOOTER_KEY.encode(), b"")).splitlines(keepends=True)


def _check_same_run(earlier: Any, run: Mapping[str, Any], folder: Path) -> None:
    """Raise UnusableFolder unless both runs are the same."""
    for name, value in run.items():
        earlier_value = earlier.get(name) if isinstance(earlier, dict) else None
        if earlier_value != value:
            raise UnusableFolder(
                f"{folder}: belongs to a run with other {name}: expected {earlier_value}, received {value}. "
                "Choose another --output"
            )
