"""What is to be scored: pictures in folders, Parquet and NPZ files, in shards that are the same ones each time."""

import hashlib
import json
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from digits import images
from digits.errors import DigitsError, InvalidImage, InvalidPixels
from digits.features import FEATURES, SIDE

SHARD_PICTURES = 1000
"""Most pictures of a shard (but see `PARTS`), what a killed run does again; of tiny ones a tenth of a second."""

SHARD_BYTES = 256 * 1024 * 1024
"""Of larger pictures a shard has fewer: of a phone's photos 50, a few seconds."""

PARTS = 16
"""Most shards of one array or row group. Each reads past what lies before it, since neither can be entered midway."""

_AT_ONCE = 64
"""Rows of a file in memory; encoded pictures may be large."""

_READ_BYTES = 1024 * 1024

_BROKEN_PARQUET = (OSError, pa.ArrowException)
_BROKEN_NPZ = (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error)

Picture = bytes | NDArray[Any] | DigitsError
"""Encoded; or pixels (28, 28), uint8 or float32 in [0, 1]; or why there is none."""


class UnusableSource(Exception):
    """Nothing can be scored from it; the message is one line."""


@dataclass(frozen=True, slots=True)
class Files:
    """Pictures in files of their own."""

    source: str
    """As it was named by who asked."""
    root: Path
    paths: tuple[str, ...]
    """Below it."""

    def __len__(self) -> int:
        return len(self.paths)

    def pictures(self) -> Iterator[tuple[str, Picture]]:
        """Each with its id, the path, which is text whatever bytes the file system has for it."""
        for path in self.paths:
            picture: Picture
            try:
                picture = images.read(self.root / path)
            except DigitsError as exc:
                picture = exc
            yield _text(path), picture


@dataclass(frozen=True, slots=True)
class ParquetRows:
    """Rows `start` to `stop` of a Parquet file."""

    source: str
    file: Path
    named: str
    """What the file is called in ids."""
    column: str
    has_id: bool
    start: int
    stop: int
    groups: tuple[int, int]
    """The first and the last row group that hold them."""
    first: int
    """The row with which these begin."""

    def __len__(self) -> int:
        return self.stop - self.start

    def pictures(self) -> Iterator[tuple[str, Picture]]:
        """Each with its id: that of the column `id`, else the file's name and the row's number."""
        row = self.start
        try:
            for batch in self._batches():
                ids = batch.column("id").to_pylist() if self.has_id else [None] * len(batch)
                for own, value in zip(ids, _storage(batch.column(self.column)), strict=True):
                    yield self._id(row) if own is None else str(own), _picture(value)
                    row += 1
        except _BROKEN_PARQUET as exc:
            for lost in range(row, self.stop):
                yield self._id(lost), InvalidImage(f"cannot be read: {_line(exc)}")

    def _id(self, row: int) -> str:
        return f"{self.named}:{row}"

    def _batches(self) -> Iterator[pa.RecordBatch]:
        columns = [self.column, "id"] if self.has_id else [self.column]
        groups = list(range(self.groups[0], self.groups[1] + 1))
        position = self.first
        with pq.ParquetFile(self.file, buffer_size=_READ_BYTES, page_checksum_verification=True) as file:
            for batch in file.iter_batches(_AT_ONCE, row_groups=groups, columns=columns, use_threads=False):
                begin = max(self.start - position, 0)
                end = min(self.stop - position, len(batch))
                if begin < end:
                    yield batch.slice(begin, end - begin)
                position += len(batch)
                if position >= self.stop:
                    return


@dataclass(frozen=True, slots=True)
class NpzRows:
    """Pictures `start` to `stop` of an array in an NPZ file."""

    source: str
    file: Path
    named: str
    """What comes before the row's number in ids; "" for the number alone."""
    array: str
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def pictures(self) -> Iterator[tuple[str, Picture]]:
        """Each with its id, the row's number."""
        row = self.start
        try:
            with zipfile.ZipFile(self.file) as archive, archive.open(f"{self.array}.npy") as stream:
                _, dtype = _header(stream)
                for _ in _blocks(stream, self.start, dtype):
                    pass
                for block in _blocks(stream, len(self), dtype):
                    for values in block:
                        yield f"{self.named}{row}", _pixels(values)
                        row += 1
        except _BROKEN_NPZ as exc:
            for lost in range(row, self.stop):
                yield f"{self.named}{lost}", InvalidImage(f"cannot be read: {_line(exc)}")


Shard = Files | ParquetRows | NpzRows


@dataclass(frozen=True, slots=True)
class Plan:
    """All shards, in the order of the sources."""

    shards: list[Shard]
    pictures: int
    sha256: str
    """Of the names, sizes and times of all files, and of how they are parted: another one when anything was changed."""


def plan(sources: Sequence[str], column: str | None) -> Plan:
    """Look at what there is, and part it.

    Args:
        sources: files, or folders, which are gone through recursively, by name. What ends in .parquet or .npz is read
            as that, and everything else as a picture, but for names that begin with a dot.
        column: of Parquet files, or the array of NPZ files; None for the one that holds pictures.

    Raises:
        UnusableSource: it is not there or has no pictures, a Parquet or NPZ file is none or has no such column.
    """
    digest = hashlib.sha256()
    shards = [shard for source in sources for shard in _of_source(source, column, digest)]
    digest.update(json.dumps([[shard.source, len(shard)] for shard in shards]).encode())
    return Plan(shards, sum(map(len, shards)), digest.hexdigest())


def _of_source(source: str, column: str | None, digest: Any) -> Iterator[Shard]:
    root = Path(source).absolute()  # for workers, who are elsewhere
    try:
        status = root.stat()
    except OSError as exc:
        raise UnusableSource(f"{source}: expected a file or a folder, received none: {exc.strerror}") from exc
    alone = stat.S_ISREG(status.st_mode)
    if not alone and not stat.S_ISDIR(status.st_mode):
        raise UnusableSource(f"{source}: expected a file or a folder, received something else")
    found = iter([(root.name, status)]) if alone else _below(root, "", ())
    base = root.parent if alone else root
    pending: list[str] = []
    size = count = 0
    for path, status in found:
        digest.update(json.dumps([source, path, status.st_size, status.st_mtime_ns]).encode())
        kind = Path(path).suffix.lower()
        if pending and (
            kind in (".parquet", ".npz") or len(pending) == SHARD_PICTURES or size + status.st_size > SHARD_BYTES
        ):
            yield Files(source, base, tuple(pending))
            count += len(pending)
            pending, size = [], 0
        if kind in (".parquet", ".npz"):
            rows = _parquet_shards if kind == ".parquet" else _npz_shards
            for shard in rows(source, base / path, path, column, alone):
                count += len(shard)
                yield shard
        else:
            pending.append(path)
            size += status.st_size
    if pending:
        count += len(pending)
        yield Files(source, base, tuple(pending))
    if not count:
        raise UnusableSource(f"{source}: expected pictures, or Parquet or NPZ files of them, received none")


def _below(folder: Path, path: str, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[str, os.stat_result]]:
    """Path, relative, and status of each file, by name in each folder; links are followed, but not in circles."""
    try:
        here = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as exc:
        raise UnusableSource(f"{folder}: expected a folder that can be listed, received: {exc.strerror}") from exc
    above = (*above, (here.st_dev, here.st_ino))
    for entry in entries:
        if entry.name.startswith("."):
            continue
        try:
            status = entry.stat()
        except OSError:  # a link that leads nowhere: it is there, and will be rejected as what cannot be read
            status = entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            if (status.st_dev, status.st_ino) not in above:
                yield from _below(folder / entry.name, f"{path}{entry.name}/", above)
        elif stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
            yield path + entry.name, status


def _parquet_shards(source: str, file: Path, path: str, column: str | None, _alone: bool) -> Iterator[ParquetRows]:
    try:
        with pq.ParquetFile(file) as opened:
            schema, metadata = opened.schema_arrow, opened.metadata
    except _BROKEN_PARQUET as exc:
        raise UnusableSource(f"{file}: expected a Parquet file, received none: {_line(exc)}") from exc
    column = _column(schema, file, column)
    has_id = schema.names.count("id") == 1 and column != "id"
    begin = group = first = rows = size = 0
    for group in range(metadata.num_row_groups):
        rows += metadata.row_group(group).num_rows
        size += metadata.row_group(group).total_byte_size
        if rows < SHARD_PICTURES and size < SHARD_BYTES and group + 1 < metadata.num_row_groups:
            continue  # small ones are read together
        for start, stop in _parts(rows, size):
            rows_of = (first + start, first + stop)
            yield ParquetRows(source, file, _text(path), column, has_id, *rows_of, (begin, group), first)
        begin, first, rows, size = group + 1, first + rows, 0, 0


def _parts(rows: int, size: int) -> Iterator[tuple[int, int]]:
    """The shards of that many rows which can only be read from their beginning."""
    step = min(SHARD_PICTURES, SHARD_BYTES * rows // max(size, 1))
    step = max(step, -(-rows // PARTS), 1)
    for start in range(0, rows, step):
        yield start, min(start + step, rows)


def _column(schema: pa.Schema, file: Path, asked: str | None) -> str:
    """The one with the pictures."""
    if asked is not None:
        if schema.names.count(asked) != 1:
            raise UnusableSource(f"{file}: expected a column {asked!r}, received {_listed(schema.names)}")
        if not _holds_pictures(schema.field(asked).type):
            received = schema.field(asked).type
            raise UnusableSource(
                f"{file}: expected column {asked!r} to hold encoded pictures or {FEATURES} numbers, received {received}"
            )
        return asked
    fitting = [field.name for field in schema if field.name != "id" and _holds_pictures(field.type)]
    if len(fitting) != 1:
        which = f"several, to be named by --column: {_listed(fitting)}" if fitting else f"{_listed(schema.names)}"
        raise UnusableSource(f"{file}: expected one column of encoded pictures or {FEATURES} numbers, received {which}")
    return str(fitting[0])


def _holds_pictures(kind: pa.DataType) -> bool:
    """Whether values may be encoded pictures, or Hugging Face's `{bytes, path}`, or lists of numbers."""
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if pa.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        return index >= 0 and _is_binary(kind.field(index).type)
    if not _is_list(kind):
        return _is_binary(kind)
    while _is_list(kind):
        kind = kind.value_type
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _storage(column: pa.Array) -> pa.Array:
    """A column of plain Arrow types: tensors as lists, the bytes of Hugging Face's structs."""
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    return pc.struct_field(column, "bytes") if pa.types.is_struct(column.type) else column


def _picture(value: pa.Scalar) -> Picture:
    """Of one value of a Parquet column."""
    if not value.is_valid:
        return InvalidImage("expected a picture, received null")
    if _is_binary(value.type):
        content: bytes = value.as_py()
        return content
    values = value.values
    shape = [len(values)]
    if _is_list(values.type):
        lengths = set(pc.list_value_length(values).to_pylist())
        if len(lengths) != 1 or None in lengths:
            return InvalidPixels(f"expected {SIDE} rows of {SIDE} numbers, received rows of different lengths")
        shape.append(lengths.pop())
        values = values.flatten()
    if values.null_count or _is_list(values.type):
        return InvalidPixels(f"expected {FEATURES} numbers, received {'null' if values.null_count else 'lists'} in it")
    return _pixels(values.to_numpy(zero_copy_only=False).reshape(shape))


def _pixels(values: NDArray[Any]) -> NDArray[Any] | InvalidPixels:
    """28x28 of them: whole numbers are of the scale 0 to 255, and floats of the scale 0 to 1."""
    if values.shape not in ((FEATURES,), (SIDE, SIDE)):
        received = "x".join(map(str, values.shape))
        return InvalidPixels(f"expected {SIDE}x{SIDE} or {FEATURES} numbers, received {received}")
    floats = values.dtype.kind == "f"
    top = 1 if floats else 255
    if values.dtype != np.uint8 and not (values.min() >= 0 and values.max() <= top):  # nor NaN
        hint = "; pixels from 0 to 255 are to be stored as uint8" if floats else ""
        return InvalidPixels(f"expected {'floats' if floats else 'numbers'} from 0 to {top}, received others{hint}")
    return values.astype(np.float32 if floats else np.uint8).reshape(SIDE, SIDE)


def _npz_shards(source: str, file: Path, path: str, column: str | None, alone: bool) -> Iterator[NpzRows]:
    try:
        with zipfile.ZipFile(file) as archive:
            arrays = {}
            for entry in archive.namelist():
                if entry.endswith(".npy"):
                    with archive.open(entry) as stream:
                        arrays[entry.removesuffix(".npy")] = _header(stream)
    except _BROKEN_NPZ as exc:
        raise UnusableSource(f"{file}: expected an NPZ file, received none: {_line(exc)}") from exc
    array = _array(arrays, file, column)
    (count, *_), dtype = arrays[array]
    named = "" if alone else f"{_text(path)}:"
    for start, stop in _parts(count, count * FEATURES * dtype.itemsize):
        yield NpzRows(source, file, named, array, start, stop)


def _array(arrays: dict[str, tuple[tuple[int, ...], np.dtype[Any]]], file: Path, asked: str | None) -> str:
    """The one with the pictures."""
    described = _listed([f"{name} {dtype} {shape}" for name, (shape, dtype) in arrays.items()])
    expected = f"uint8, or floats from 0 to 1, of shape (N, {SIDE}, {SIDE}) or (N, {FEATURES})"
    fitting = [
        name
        for name, (shape, dtype) in arrays.items()
        if shape[1:] in ((SIDE, SIDE), (FEATURES,)) and dtype.kind in "uif"
    ]
    if asked is not None:
        if asked not in arrays:
            raise UnusableSource(f"{file}: expected an array {asked!r}, received {described}")
        if asked not in fitting:
            shape, dtype = arrays[asked]
            raise UnusableSource(f"{file}: expected array {asked!r} to be {expected}, received {dtype} {shape}")
        return asked
    if len(fitting) != 1:
        which = f"several, to be named by --column: {_listed(fitting)}" if fitting else described
        raise UnusableSource(f"{file}: expected one array, {expected}, received {which}")
    return fitting[0]


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of an array, and the stream where its values begin. Raises ValueError."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if fortran and len(shape) > 1:
        raise ValueError("an array in Fortran's order, to be stored by np.ascontiguousarray")
    return shape, dtype


def _blocks(stream: IO[bytes], rows: int, dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    """So many rows of an array, as (n, 784) each. Raises EOFError where it has fewer."""
    size = FEATURES * dtype.itemsize
    # In equal steps, and not by `seek`: a ZipExtFile copies what is left of its largest step at each smaller one.
    for start in range(0, rows, _AT_ONCE):
        expected = min(_AT_ONCE, rows - start) * size
        content = stream.read(expected)
        yield np.frombuffer(content, dtype, len(content) // size * FEATURES).reshape(-1, FEATURES)
        if len(content) < expected:
            raise EOFError("the array is cut short")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _line(exc: BaseException) -> str:
    """The first line of an error's message."""
    return (str(exc).splitlines() or [type(exc).__name__])[0]


def _text(path: str) -> str:
    """A path as text that any file can hold: what is no UTF-8 in it is written out."""
    return os.fsencode(path).decode(errors="backslashreplace")
