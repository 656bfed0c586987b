"""The output folder: what was asked for, a Parquet file a shard that appears whole or not at all, what was rejected.

    asked.json                    sources, options and version: the run that the folder belongs to
    scores/part-000000.parquet    the rows of a shard, and in its footer the rejections
    rejected.jsonl                all rejections, {"source", "id", "reason"} a line; written at the end
    .unfinished/                  what a killed run was writing

A part is the only sign that its shard is done, so that nothing can disagree with it.
"""

import json
import os
import shutil
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

_ASKED, _REJECTED, _UNFINISHED = "asked.json", "rejected.jsonl", ".unfinished"
_FOOTER = "rejected"


class UnusableFolder(Exception):
    """Nothing may be written to it; the message is one line."""


class Counts(NamedTuple):
    """Of pictures."""

    scored: int
    rejected: int


class Results:
    """An output folder."""

    def __init__(self, folder: Path) -> None:
        """Nothing is made yet."""
        self.scores = folder / "scores"
        self.rejected = folder / _REJECTED
        self._folder = folder

    def begin(self, asked: Mapping[str, Any]) -> None:
        """Make the folder this run's, or hold it to be.

        Args:
            asked: all that decides the rows, of JSON's types.

        Raises:
            UnusableFolder: it cannot be written to, is somebody else's, or was begun by another run.
        """
        file = self._folder / _ASKED
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if file.exists():
                _hold_to(json.loads(file.read_bytes()), json.loads(json.dumps(asked)), self._folder)
                return
            strangers = sorted(entry.name for entry in self._folder.iterdir() if entry.name != _UNFINISHED)
            if strangers:
                raise UnusableFolder(
                    f"{self._folder}: expected an empty folder, or one of an earlier run, received one with "
                    f"{strangers[0]}; give another --output"
                )
            self._put(file, json.dumps(asked, indent=1).encode())
        except ValueError as exc:
            raise UnusableFolder(f"{file}: expected the JSON of an earlier run, received something else") from exc
        except OSError as exc:
            raise UnusableFolder(f"{self._folder}: cannot be written to: {exc.strerror}") from exc

    def has(self, number: int) -> bool:
        """Whether a shard's part is there, and whole."""
        try:
            pq.read_metadata(self._part(number))
        except (FileNotFoundError, pa.ArrowInvalid):
            return False
        return True

    def write(self, number: int, table: pa.Table, rejections: Iterable[Mapping[str, str]]) -> None:
        """Publish a shard's part. Raises OSError."""
        lines = "".join(json.dumps(rejection) + "\n" for rejection in rejections)
        sink = pa.BufferOutputStream()
        with pq.ParquetWriter(sink, table.schema) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata({_FOOTER: lines})
        self._put(self._part(number), sink.getvalue())

    def finish(self, shards: int) -> Counts:
        """Gather the rejections of all parts, and remove what killed runs left. Raises OSError."""
        footers = [pq.read_metadata(self._part(number)) for number in range(shards)]
        lines = [line for footer in footers for line in _rejections(footer)]
        self._put(self.rejected, b"".join(lines))
        shutil.rmtree(self._folder / _UNFINISHED, ignore_errors=True)
        return Counts(sum(footer.num_rows for footer in footers), len(lines))

    def _part(self, number: int) -> Path:
        return self.scores / f"part-{number:06d}.parquet"

    def _put(self, file: Path, content: Any) -> None:
        """Have a file appear whole, also after a power cut: written and synced elsewhere, then renamed."""
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


def _rejections(metadata: pq.FileMetaData) -> list[bytes]:
    """The lines in a part's footer."""
    return bytes((metadata.metadata or {}).get(_FOOTER.encode(), b"")).splitlines(keepends=True)


def _hold_to(begun: Any, asked: Mapping[str, Any], folder: Path) -> None:
    """Raises UnusableFolder unless both are the same."""
    for name in asked:
        was = begun.get(name) if isinstance(begun, dict) else None
        if was != asked[name]:
            raise UnusableFolder(
                f"{folder}: expected the {name} with which it was begun, {was}, received {asked[name]}; "
                "give another --output"
            )
