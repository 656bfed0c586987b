"""Pictures in an array of an NPZ file.

`ray.data.read_numpy` reads NPY files only, and each one into memory as a whole.
"""

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from deploy.batch.shards import (
    READ_ROWS,
    Picture,
    Rows,
    UnusableSource,
    comma_separated,
    first_line,
    path_as_text,
    split_rows,
    to_pixels,
)
from digits.features import FEATURES, SIDE

_READ_ERRORS = (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, slots=True)
class NpzRows(Rows):
    """A shard: pictures `start` to `stop` of an array in an NPZ file. `stop` is excluded."""

    array: str

    def pictures(self) -> Iterator[tuple[str, Picture]]:
        """Yield each picture with its id, which ends in the row's number."""
        row = self.start
        try:
            with zipfile.ZipFile(self.location) as archive, archive.open(f"{self.array}.npy") as stream:
                header = _read_header(stream)
                for _ in _read_blocks(stream, self.start, header.dtype):
                    pass
                for block in _read_blocks(stream, len(self), header.dtype):
                    for values in block:
                        yield self.numbered_id(row), to_pixels(values)
                        row += 1
        except _READ_ERRORS as exc:
            yield from self.unreadable(row, exc)


@dataclass(frozen=True, slots=True)
class _Header:
    """The header of an NPY file."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __str__(self) -> str:
        return f"{self.dtype} {self.shape}"

    def holds_pictures(self) -> bool:
        """Return whether the array has the shape and the type of pictures."""
        return self.shape[1:] in ((SIDE, SIDE), (FEATURES,)) and self.dtype.kind in "uif"


def npz_shards(source: str, file: Path, path: str, column: str | None, *, is_only_file: bool) -> Iterator[NpzRows]:
    """Split an NPZ file into shards.

    Args:
        source: the source as the user named it.
        file: absolute path of the file.
        path: its path below the source, for the ids.
        column: name of the array, or None for the only one that holds pictures.
        is_only_file: whether the file is the whole source. The ids are then plain row numbers.

    Raises:
        UnusableSource: the file is not an NPZ file, or has no such array of pictures.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            headers = {}
            for entry in archive.namelist():
                if entry.endswith(".npy"):
                    with archive.open(entry) as stream:
                        headers[entry.removesuffix(".npy")] = _read_header(stream)
    except _READ_ERRORS as exc:
        raise UnusableSource(f"{file}: expected an NPZ file, but reading failed: {first_line(exc)}") from exc
    array = _picture_array(headers, file, column)
    header = headers[array]
    id_prefix = "" if is_only_file else f"{path_as_text(path)}:"
    rows = header.shape[0]
    for start, stop in split_rows(rows, rows * FEATURES * header.dtype.itemsize):
        yield NpzRows(source, str(file), id_prefix, start, stop, array)


def _picture_array(headers: dict[str, _Header], file: Path, column: str | None) -> str:
    """Return the name of the array that holds the pictures. Raises UnusableSource."""
    expected = f"uint8, or floats from 0 to 1, of shape (N, {SIDE}, {SIDE}) or (N, {FEATURES})"
    candidates = [name for name, header in headers.items() if header.holds_pictures()]
    if column in candidates:
        return column
    if column in headers:
        raise UnusableSource(f"{file}: expected array {column!r} to be {expected}, received {headers[column]}")
    present = comma_separated([f"{name} {header}" for name, header in headers.items()])
    if column is not None:
        raise UnusableSource(f"{file}: expected an array {column!r}, received {present}")
    if len(candidates) > 1:
        raise UnusableSource(f"{file}: several arrays hold pictures, choose one with --column: {', '.join(candidates)}")
    if not candidates:
        raise UnusableSource(f"{file}: expected an array of {expected}, received {present}")
    return candidates[0]


def _read_header(stream: IO[bytes]) -> _Header:
    """Read the header. The stream is then at the first value. Raises ValueError."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = read(stream)
    if is_fortran and len(shape) > 1:
        raise ValueError("an array is in Fortran order; store np.ascontiguousarray(array) instead")
    return _Header(shape, dtype)


def _read_blocks(stream: IO[bytes], rows: int, dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    """Yield the next rows of an array as blocks of shape (n, 784). Raises EOFError if the stream ends too early."""
    row_bytes = FEATURES * dtype.itemsize
    # Rows are skipped by reading small blocks. `seek` of a zip entry reads 16 MB at a time, and is slower, because its
    # buffer is copied as it grows.
    for start in range(0, rows, READ_ROWS):
        expected_bytes = min(READ_ROWS, rows - start) * row_bytes
        content = stream.read(expected_bytes)
        yield np.frombuffer(content, dtype, len(content) // row_bytes * FEATURES).reshape(-1, FEATURES)
        if len(content) < expected_bytes:
            raise EOFError("the array ends too early")
