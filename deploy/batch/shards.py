"""The size of shards, and the conversions that all kinds share. A shard is a range of pictures from one source."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits.errors import DigitsError, InvalidImage, InvalidPixels
from digits.features import FEATURES, SIDE

SHARD_PICTURES = 1000
"""Maximum number of pictures per shard, except where `MAX_PARTS` limits the number of shards.

A killed run repeats the shards in progress, which takes a tenth of a second per 1000 pictures of 28x28 pixels."""

SHARD_BYTES = 256 * 1024 * 1024
"""Maximum size of a shard in bytes. It limits shards of large pictures: a shard holds about 50 phone photos."""

MAX_PARTS = 16
"""Maximum number of shards per array or row group. To reach its first row, a shard reads all rows before it."""

READ_ROWS = 64
"""Number of rows that are read into memory together. A row may be a large encoded picture."""

Picture = bytes | NDArray[Any] | DigitsError
"""An encoded picture, pixels of shape (28, 28) as uint8 or as float32 in [0, 1], or why there is no picture."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows `start` to `stop` of one file."""

    source: str
    """The source as the user named it."""
    location: str
    """The file, as an absolute path."""
    id_prefix: str
    """Text before the row's number in an id."""
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def numbered_id(self, row: int) -> str:
        """Return the id of a row that has no id of its own."""
        return f"{self.id_prefix}{row}"

    def unreadable(self, first: int, exc: BaseException) -> Iterator[tuple[str, InvalidImage]]:
        """Yield the row `first` and all after it as errors, because `exc` ended the reading."""
        for row in range(first, self.stop):
            yield self.numbered_id(row), InvalidImage(f"cannot be read: {first_line(exc)}")


class UnusableSource(Exception):
    """Nothing can be scored from a source. The message is one line."""


def split_rows(rows: int, size_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield the (start, stop) of each shard of rows that can only be read from their beginning."""
    step = min(SHARD_PICTURES, SHARD_BYTES * rows // max(size_bytes, 1))
    step = max(step, -(-rows // MAX_PARTS), 1)
    for start in range(0, rows, step):
        yield start, min(start + step, rows)


def to_pixels(values: NDArray[Any]) -> NDArray[Any] | InvalidPixels:
    """Return numbers as 28x28 pixels: integers in [0, 255] as uint8, floats in [0, 1] as float32, else the error."""
    if values.shape not in ((FEATURES,), (SIDE, SIDE)):
        received = "x".join(map(str, values.shape))
        return InvalidPixels(f"expected {SIDE}x{SIDE} or {FEATURES} numbers, received {received}")
    is_float = values.dtype.kind == "f"
    top = 1 if is_float else 255
    # The comparison is also false for NaN.
    if values.dtype != np.uint8 and not (values.min() >= 0 and values.max() <= top):
        hint = ". Store pixels from 0 to 255 as uint8" if is_float else ""
        kind = "floats" if is_float else "integers"
        return InvalidPixels(f"expected {kind} from 0 to {top}, received values outside that range{hint}")
    return values.astype(np.float32 if is_float else np.uint8).reshape(SIDE, SIDE)


def comma_separated(names: Sequence[str]) -> str:
    """Join names for an error message."""
    return ", ".join(names) or "nothing"


def first_line(exc: BaseException) -> str:
    """Return the first line of an error's message."""
    return (str(exc).splitlines() or [type(exc).__name__])[0]


def path_as_text(path: str) -> str:
    """Return a path as valid Unicode. Bytes that are not UTF-8 become backslash escapes."""
    return os.fsencode(path).decode(errors="backslashreplace")
