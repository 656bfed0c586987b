"""The pictures of one request, as every dialect passes them to the predictor."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from digits.errors import DigitsError


@dataclass(slots=True)
class PictureBatch:
    """Either the pixels of 28x28 pictures or encoded pictures of any size, in the order in which they were sent."""

    pixels: NDArray[Any] | None = None
    """(N, 28, 28), uint8, or float32 in [0, 1]. None when the pictures are encoded."""
    encoded: Sequence[bytes] = ()
    """The bytes of each picture, not checked yet. Accepted are `digits.images.FORMATS`."""
    single: bool = False
    """Whether the client expects one prediction instead of a list of predictions."""
    pointer: str = ""
    """JSON pointer (RFC 6901) to a picture, with {} in place of its index. "" when a pointer cannot name it."""

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.encoded) if self.pixels is None else len(self.pixels)

    def locate(self, error: DigitsError, index: int) -> DigitsError:
        """Return the error with the picture's index in its message and its pointer."""
        count = len(self)
        message = f"picture {index} of {count}: {error}" if count > 1 else str(error)
        return type(error)(message, self.pointer.format(index))
