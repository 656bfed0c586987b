"""Pictures in a column of a Parquet file.

`ray.data.read_parquet` reads each file in one task, and a damaged page fails the whole task.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from deploy.batch.shards import (
    READ_ROWS,
    SHARD_BYTES,
    SHARD_PICTURES,
    Picture,
    Rows,
    UnusableSource,
    comma_separated,
    first_line,
    path_as_text,
    split_rows,
    to_pixels,
)
from digits.errors import InvalidImage, InvalidPixels
from digits.features import FEATURES, SIDE

_BUFFER_BYTES = 1024 * 1024
_READ_ERRORS = (OSError, pa.ArrowException)


@dataclass(frozen=True, slots=True)
class ParquetRows(Rows):
    """A shard: rows `start` to `stop` of a Parquet file. `stop` is excluded."""

    column: str
    has_ids: bool
    """Whether the file has a column `id`."""

    def pictures(self) -> Iterator[tuple[str, Picture]]:
        """Yield each picture with its id: the value of the column `id`, else the file's name and the row's number."""
        row = self.start
        try:
            for batch in self._batches():
                ids = batch.column("id").to_pylist() if self.has_ids else [None] * len(batch)
                for row_id, value in zip(ids, _plain_column(batch.column(self.column)), strict=True):
                    yield self.numbered_id(row) if row_id is None else str(row_id), _to_picture(value)
                    row += 1
        except _READ_ERRORS as exc:
            yield from self.unreadable(row, exc)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the shard's rows. Raises OSError and ArrowException."""
        columns = [self.column, "id"] if self.has_ids else [self.column]
        with pq.ParquetFile(self.location, buffer_size=_BUFFER_BYTES, page_checksum_verification=True) as file:
            groups, position = _row_groups(file.metadata, self.start, self.stop)
            for batch in file.iter_batches(READ_ROWS, row_groups=groups, columns=columns, use_threads=False):
                begin = max(self.start - position, 0)
                end = min(self.stop - position, len(batch))
                if begin < end:
                    yield batch.slice(begin, end - begin)
                position += len(batch)
                if position >= self.stop:
                    return


def _row_groups(metadata: pq.FileMetaData, start: int, stop: int) -> tuple[list[int], int]:
    """Return the row groups that hold rows `start` to `stop`, and the number of the first row in these groups."""
    groups: list[int] = []
    group_start = first_row = 0
    for group in range(metadata.num_row_groups):
        group_stop = group_start + metadata.row_group(group).num_rows
        if group_start < stop and group_stop > start:
            if not groups:
                first_row = group_start
            groups.append(group)
        group_start = group_stop
    return groups, first_row


def parquet_shards(source: str, file: Path, path: str, column: str | None) -> Iterator[ParquetRows]:
    """Split a Parquet file into shards.

    Args:
        source: the source as the user named it.
        file: absolute path of the file.
        path: its path below the source, for the ids.
        column: the column of pictures, or None for the only one that can hold them.

    Raises:
        UnusableSource: the file is not a Parquet file, or has no such column of pictures.
    """
    try:
        with pq.ParquetFile(file) as opened:
            schema, metadata = opened.schema_arrow, opened.metadata
    except _READ_ERRORS as exc:
        raise UnusableSource(f"{file}: expected a Parquet file, but reading failed: {first_line(exc)}") from exc
    column = _picture_column(schema, file, column)
    has_ids = schema.names.count("id") == 1 and column != "id"
    id_prefix = f"{path_as_text(path)}:"
    first = rows = size_bytes = 0
    for group in range(metadata.num_row_groups):
        rows += metadata.row_group(group).num_rows
        size_bytes += metadata.row_group(group).total_byte_size
        is_last = group + 1 == metadata.num_row_groups
        if rows < SHARD_PICTURES and size_bytes < SHARD_BYTES and not is_last:
            continue  # A shard reads several small row groups.
        for start, stop in split_rows(rows, size_bytes):
            yield ParquetRows(source, str(file), id_prefix, first + start, first + stop, column, has_ids)
        first, rows, size_bytes = first + rows, 0, 0


def _picture_column(schema: pa.Schema, file: Path, column: str | None) -> str:
    """Return the name of the column that holds the pictures. Raises UnusableSource."""
    expected = f"encoded pictures or {FEATURES} numbers"
    if column is not None:
        if schema.names.count(column) != 1:
            raise UnusableSource(f"{file}: expected a column {column!r}, received {comma_separated(schema.names)}")
        if not _may_hold_pictures(schema.field(column).type):
            received = schema.field(column).type
            raise UnusableSource(f"{file}: expected column {column!r} to hold {expected}, received {received}")
        return column
    candidates = [field.name for field in schema if field.name != "id" and _may_hold_pictures(field.type)]
    if len(candidates) > 1:
        raise UnusableSource(
            f"{file}: several columns may hold pictures, choose one with --column: {', '.join(candidates)}"
        )
    if not candidates:
        raise UnusableSource(
            f"{file}: expected a column of {expected}, received the columns {comma_separated(schema.names)}"
        )
    return str(candidates[0])


def _may_hold_pictures(kind: pa.DataType) -> bool:
    """Return whether values may be encoded pictures, Hugging Face's `{bytes, path}`, or lists of numbers."""
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


def _plain_column(column: pa.Array) -> pa.Array:
    """Return a column of binaries or lists: a tensor's storage, or the bytes of Hugging Face's structs."""
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    return pc.struct_field(column, "bytes") if pa.types.is_struct(column.type) else column


def _to_picture(value: pa.Scalar) -> Picture:
    """Return one value of a column as a picture, or the error that says why it is not one."""
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
        received = "nulls" if values.null_count else "nested lists"
        return InvalidPixels(f"expected {FEATURES} numbers, received {received} among them")
    return to_pixels(values.to_numpy(zero_copy_only=False).reshape(shape))
