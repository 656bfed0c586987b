"""Pictures in an array of an NPZ file."""

import math
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from cli.sources.tables import Content, TableWithoutPictures, UnusableSource, completed, first_line, to_pixels
from digits.features import FEATURES, SIDE
from digits.npz import READ_ERRORS

_MOST_INFLATED = 1100  # A table has at most this many times the bytes of its file. Deflate reaches 1032.


class NpzTable:
    """An array of pictures. They are read row by row, because an array may be larger than the memory."""

    def __init__(self, file: str, column: str | None) -> None:
        """Find the array. Without its name, it is the only one with pictures. Raises UnusableSource."""
        try:
            with zipfile.ZipFile(file) as archive:
                headers = {}
                for entry in archive.namelist():
                    if entry.endswith(".npy"):
                        with archive.open(entry) as stream:
                            header = _read_header(stream)
                        if header.holds_pictures():
                            _check_size(header, archive.getinfo(entry).file_size, Path(file).stat().st_size)
                        headers[entry.removesuffix(".npy")] = header
        except READ_ERRORS as exc:
            raise UnusableSource(f"{file}: expected an NPZ file, but reading failed: {first_line(exc)}") from exc
        self._file = file
        self._array = _picture_array(headers, file, column)
        self.rows = headers[self._array].shape[0]

    def pictures(self) -> Iterator[Content]:
        """Yield the picture of each row. Rows after a damage are errors."""
        return completed(self._read_rows(), self.rows, READ_ERRORS)

    def _read_rows(self) -> Iterator[Content]:
        with zipfile.ZipFile(self._file) as archive, archive.open(f"{self._array}.npy") as stream:
            dtype = _read_header(stream).dtype
            for _ in range(self.rows):
                row = stream.read(FEATURES * dtype.itemsize)
                if len(row) < FEATURES * dtype.itemsize:
                    raise EOFError("the array ends too early")
                yield to_pixels(np.frombuffer(row, dtype))


@dataclass(frozen=True, slots=True)
class _Header:
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __str__(self) -> str:
        return f"{self.dtype} {self.shape}"

    def holds_pictures(self) -> bool:
        return self.shape[1:] in ((SIDE, SIDE), (FEATURES,)) and self.dtype.kind in "uif"


def _check_size(header: _Header, entry_bytes: int, file_bytes: int) -> None:
    """Raise ValueError if the array is larger than its entry, or than the file can be once it is inflated."""
    if min(header.shape) < 0:
        raise ValueError(f"an array has the shape {header.shape}")
    if math.prod(header.shape) * header.dtype.itemsize > min(entry_bytes, _MOST_INFLATED * file_bytes):
        raise ValueError(f"the file is too small for an array of {header}")


def _picture_array(headers: dict[str, _Header], file: str, column: str | None) -> str:
    """Return the name of the array that holds the pictures. Raises UnusableSource."""
    expected = f"uint8, or floats from 0 to 1, of shape (N, {SIDE}, {SIDE}) or (N, {FEATURES})"
    candidates = [name for name, header in headers.items() if header.holds_pictures()]
    if column in candidates:
        return column
    if column in headers:
        raise UnusableSource(f"{file}: expected array {column!r} to be {expected}, received {headers[column]}")
    present = ", ".join(f"{name} {header}" for name, header in headers.items()) or "nothing"
    if column is not None:
        raise UnusableSource(f"{file}: expected an array {column!r}, received {present}")
    if len(candidates) > 1:
        raise UnusableSource(f"{file}: several arrays hold pictures, choose one with --column: {', '.join(candidates)}")
    if not candidates:
        raise TableWithoutPictures(f"{file}: expected an array of {expected}, received {present}")
    return candidates[0]


def _read_header(stream: IO[bytes]) -> _Header:
    """Read the header. The stream is then at the first value. Raises ValueError."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = read(stream)
    if is_fortran and len(shape) > 1:
        raise ValueError("an array is in Fortran order; store np.ascontiguousarray(array) instead")
    return _Header(shape, dtype)
