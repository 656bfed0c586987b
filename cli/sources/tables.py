"""One picture in a row of a table: its type, and the conversion of numbers to pixels."""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from digits.errors import DigitsError, InvalidImage, InvalidPixels
from digits.features import FEATURES, SIDE

Content = bytes | NDArray[Any] | DigitsError
"""An encoded picture, pixels of shape (28, 28) as uint8 or as float32 in [0, 1], or why there is no picture."""


class UnusableSource(Exception):
    """A source does not exist, cannot be read, or has no pictures. The message is one line."""


class TableWithoutPictures(UnusableSource):
    """No column or array of a table holds pictures."""


class Table(Protocol):
    """A file whose rows are pictures."""

    rows: int

    def pictures(self) -> Iterator[Content]:
        """Yield the picture of each row, in order."""


def to_pixels(values: NDArray[Any]) -> NDArray[Any] | InvalidPixels:
    """Return numbers as 28x28 pixels: integers in [0, 255] as uint8, floats in [0, 1] as float32, else the error."""
    if values.shape not in ((FEATURES,), (SIDE, SIDE)):
        received = "x".join(map(str, values.shape))
        return InvalidPixels(f"expected {SIDE}x{SIDE} or {FEATURES} numbers, received {received}")
    is_float = values.dtype.kind == "f"
    kind, top, hint = ("floats", 1, ". Store pixels from 0 to 255 as uint8") if is_float else ("integers", 255, "")
    # The comparison is also false for NaN.
    if values.dtype != np.uint8 and not (values.min() >= 0 and values.max() <= top):
        return InvalidPixels(f"expected {kind} from 0 to {top}, received values outside that range{hint}")
    return values.astype(np.float32 if is_float else np.uint8).reshape(SIDE, SIDE)


def completed(contents: Iterator[Content], rows: int, damages: tuple[type[Exception], ...]) -> Iterator[Content]:
    """Yield the contents of rows. After a damage, the remaining ones of `rows` are errors."""
    done = 0
    try:
        for content in contents:
            yield content
            done += 1
    except damages as exc:
        for _ in range(done, rows):
            yield InvalidImage(f"cannot be read: {first_line(exc)}")


def first_line(exc: BaseException) -> str:
    return (str(exc).splitlines() or [type(exc).__name__])[0]
