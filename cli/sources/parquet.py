"""Pictures in a column of a Parquet file."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cli.sources.tables import Content, TableWithoutPictures, UnusableSource, completed, first_line, to_pixels
from digits.errors import InvalidImage, InvalidPixels
from digits.features import FEATURES, SIDE

_READ_ROWS = 32  # in memory together; a row may be a large encoded picture
_BUFFER_BYTES = 1024 * 1024
_READ_ERRORS = (OSError, pa.ArrowException)
_BINARY = (pa.binary(), pa.large_binary(), pa.binary_view())
_LISTS = (pa.ListType, pa.LargeListType, pa.FixedSizeListType)


class ParquetTable:
    def __init__(self, file: str, column: str | None) -> None:
        """Find the column. Without its name, it is the only one that can hold pictures. Raises UnusableSource."""
        try:
            with pq.ParquetFile(file) as opened:
                metadata = opened.metadata
                self._column = _picture_column(opened, file, column)
        except _READ_ERRORS as exc:
            raise UnusableSource(f"{file}: expected a Parquet file, but reading failed: {first_line(exc)}") from exc
        self._file = file
        self._group_rows = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        self.rows = sum(self._group_rows)

    def pictures(self) -> Iterator[Content]:
        """Yield the picture of each row. After a damage, the other rows of the same row group are errors."""
        for group, rows in enumerate(self._group_rows):
            yield from completed(map(_to_picture, self._values(group)), rows, _READ_ERRORS)

    def _values(self, group: int) -> Iterator[pa.Scalar]:
        """Yield the values of a row group. Raises OSError and ArrowException."""
        with pq.ParquetFile(self._file, buffer_size=_BUFFER_BYTES, page_checksum_verification=True) as file:
            for batch in file.iter_batches(_READ_ROWS, row_groups=[group], columns=[self._column], use_threads=False):
                yield from _plain_column(batch.column(0))


def _picture_column(opened: pq.ParquetFile, file: str, column: str | None) -> str:
    """Return the name of the column that holds the pictures. Raises UnusableSource."""
    schema = opened.schema_arrow
    expected = f"encoded pictures or {FEATURES} numbers"
    present = ", ".join(schema.names) or "nothing"
    if column is not None:
        if schema.names.count(column) != 1:
            raise UnusableSource(f"{file}: expected a column {column!r}, received {present}")
        received = schema.field(column).type
        if not _may_hold_pictures(received):
            raise UnusableSource(f"{file}: expected column {column!r} to hold {expected}, received {received}")
        return column
    candidates = [each.name for each in schema if _may_hold_pictures(each.type) and _begins_with_pictures(opened, each)]
    if len(candidates) > 1:
        raise UnusableSource(
            f"{file}: several columns may hold pictures, choose one with --column: {', '.join(candidates)}"
        )
    if not candidates:
        raise TableWithoutPictures(f"{file}: expected a column of {expected}, received the columns {present}")
    return str(candidates[0])


def _begins_with_pictures(opened: pq.ParquetFile, field: pa.Field) -> bool:
    """Return whether a column has bytes, or any picture in its first rows. Results have lists of other lengths."""
    if not isinstance(field.type, _LISTS):
        return True
    first: Sequence[pa.Scalar] = next(opened.iter_batches(_READ_ROWS, columns=[field.name]), [[]])[0]
    return len(first) == 0 or any(
        value.is_valid and not isinstance(_to_picture(value), InvalidPixels) for value in first
    )


def _may_hold_pictures(kind: pa.DataType) -> bool:
    """Return whether values may be encoded pictures, Hugging Face's `{bytes, path}`, or lists of numbers."""
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if pa.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        return index >= 0 and kind.field(index).type in _BINARY
    if not isinstance(kind, _LISTS):
        return kind in _BINARY
    while isinstance(kind, _LISTS):
        kind = kind.value_type
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _plain_column(column: pa.Array) -> pa.Array:
    """Return a column of binaries or lists: a tensor's storage, or the bytes of Hugging Face's structs."""
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    return pc.struct_field(column, "bytes") if pa.types.is_struct(column.type) else column


def _to_picture(value: pa.Scalar) -> Content:
    """Return one value of a column as a picture, or the error that says why it is not one."""
    if not value.is_valid:
        return InvalidImage("expected a picture, received null")
    if value.type in _BINARY:
        return bytes(value.as_py())
    values = value.values
    shape = [len(values)]
    if isinstance(values.type, _LISTS):
        lengths = set(pc.list_value_length(values).to_pylist())
        if len(lengths) != 1 or None in lengths:
            return InvalidPixels(f"expected {SIDE} rows of {SIDE} numbers, received rows of different lengths")
        shape.append(lengths.pop())
        values = values.flatten()
    if values.null_count or isinstance(values.type, _LISTS):
        received = "nulls" if values.null_count else "nested lists"
        return InvalidPixels(f"expected {FEATURES} numbers, received {received} among them")
    return to_pixels(values.to_numpy(zero_copy_only=False).reshape(shape))
