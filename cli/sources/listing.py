"""The pictures of a run, listed one folder at a time, always in the same order."""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import NamedTuple

from cli.extras import needs
from cli.printable import printable
from cli.sources.npz import NpzTable
from cli.sources.tables import Content, Table, TableWithoutPictures, UnusableSource
from digits.pictures.decode import PICTURE_SUFFIXES
from digits.same_file import by_identity, identity

PARQUET_EXTRA = needs("Parquet", "pyarrow", "parquet")  # the message when Parquet cannot be read or written


class NamedPicture(NamedTuple):
    """A picture of a source."""

    name: str
    """Its path as valid Unicode. For a row of a table, the path of the file, # and the row's number from 0 on."""
    content: str | Content
    """The path of its file, or for a row of a table its content."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Number of pictures in all sources, and of the files that have none."""

    pictures: int
    others: int


@dataclass(frozen=True, slots=True)
class Sources:
    """The files and folders that the user named.

    Their order is kept. Folders are searched recursively, sorted by name, without names that begin with a dot. A file
    that ends in .npz or .parquet is a table of pictures. Any other file that is itself a source counts as a picture.
    """

    paths: Sequence[str]
    column: str | None = None
    """The array of NPZ files and the column of Parquet files. None means the only one that holds pictures."""
    written: Sequence[Path] = ()
    """The files that the run writes. In a folder they are skipped, as earlier results, and none may have pictures."""

    def count(self) -> Counts:
        """Count the pictures, without reading them.

        Raises UnusableSource, also for a source without any, and for one that the run would overwrite.
        """
        pictures = others = 0
        for source in self.paths:
            before = pictures
            for file in self._files(source):
                if not file.has_pictures:
                    others += 1
                else:
                    pictures += 1 if file.table is None else file.table.rows
            if pictures == before:
                kind = "folder" if os.path.isdir(source) else "file"  # noqa: PTH112
                raise UnusableSource(f"{source}: expected pictures, received a {kind} without any")
        return Counts(pictures, others)

    def pictures(self) -> Iterator[NamedPicture]:
        """Yield each picture. Raises UnusableSource if a source does not exist or cannot be listed.

        Tables are read as they are needed. Only the names in the folders on the way are in memory, 150 bytes each.
        """
        for source in self.paths:
            for file in self._files(source):
                if not file.has_pictures:
                    continue
                # A path as valid Unicode: bytes that are not UTF-8 and control characters become backslash escapes.
                name = printable(os.fsencode(file.path).decode(errors="backslashreplace"))
                if file.table is None:
                    yield NamedPicture(name, file.path)
                else:
                    for row, content in enumerate(file.table.pictures()):
                        yield NamedPicture(f"{name}#{row}", content)

    def _files(self, source: str) -> Iterator["_File"]:
        try:
            mode = os.stat(source).st_mode  # noqa: PTH116 - a path stays the text that the user wrote
        except OSError as exc:
            raise UnusableSource(f"{source}: expected a file or a folder: {exc.strerror}") from exc
        written = by_identity(self.written)
        if not stat.S_ISDIR(mode):
            if same := written.get(identity(source)):
                raise _overwritten(source, same)
            yield _File(source, True, self._table(source, PurePath(source).suffix.lower()))
            return
        for path in _files_below(source, ()):
            same = written.get(identity(path)) if written else None
            suffix = PurePath(path).suffix.lower()
            try:
                table = self._table(path, suffix)
            except UnusableSource as exc:
                if same:
                    continue
                if self.column is not None or not isinstance(exc, TableWithoutPictures):
                    raise
                yield _File(path, False, None)  # such as a table of labels
            else:
                has_pictures = table is not None or suffix in PICTURE_SUFFIXES
                if not same:
                    yield _File(path, has_pictures, table)
                elif has_pictures:
                    raise _overwritten(path, same)

    def _table(self, path: str, suffix: str) -> Table | None:
        """Return the table in a file, or None if the file is not one. Raises UnusableSource."""
        if suffix == ".npz":
            return NpzTable(path, self.column)
        if suffix != ".parquet":
            return None
        if find_spec("pyarrow") is None:
            raise UnusableSource(f"{path}: {PARQUET_EXTRA}")
        from cli.sources.parquet import ParquetTable  # noqa: PLC0415 - the extras `parquet` and `scale` install it

        return ParquetTable(path, self.column)


class _File(NamedTuple):
    path: str
    has_pictures: bool
    table: Table | None


def _overwritten(source: str, written: Path) -> UnusableSource:
    return UnusableSource(
        f"{written}: expected an output that is not a source, received the same file as the source {source}. "
        "Choose another --output"
    )


def _files_below(folder: str, parents: tuple[tuple[int, int], ...]) -> Iterator[str]:
    """Yield the paths of the files below a folder. `parents` has the (device, inode) of each folder above it."""
    try:
        here = os.stat(folder)  # noqa: PTH116
        with os.scandir(folder) as entries:
            visible = (entry for entry in entries if not entry.name.startswith("."))
            names = sorted(entry.name + "/" if entry.is_dir() else entry.name for entry in visible)
    except OSError as exc:
        raise UnusableSource(f"{folder}: the folder cannot be listed: {exc.strerror}") from exc
    identity = (here.st_dev, here.st_ino)
    if identity in parents:  # a symbolic link to a folder above
        return
    for name in names:
        path = os.path.join(folder, name)  # noqa: PTH118 - Path takes ten times as long
        if name.endswith("/"):
            yield from _files_below(path[:-1], (*parents, identity))
        else:
            yield path
