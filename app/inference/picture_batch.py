"""The pictures of one request, in the form in which every dialect hands them to the predictor."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from digits.errors import DigitsError


@dataclass(slots=True)
class PictureBatch:
    """Either the pixels of 28x28 pictures or encoded pictures of any size, in the order in which they were sent."""

    pixels: NDArray[Any] | None = None
    """(N, 28, 28); uint8, or float32 in [0, 1]. None when the pictures are encoded."""
    encoded: Sequence[bytes] = ()
    """The files' bytes, in any of `digits.images.FORMATS`. Nothing about them was checked."""
    single: bool = False
    """Whether the client expects one prediction instead of a list of predictions."""
    pointer: str = ""
    """JSON pointer (RFC 6901) to a picture, with {} in place of its index; "" when the body has no such parts."""

    def __len__(self) -> int:
        """The number of pictures."""
        return len(self.encoded) if self.pixels is None else len(self.pixels)

    def locate(self, error: DigitsError, index: int) -> DigitsError:
        """Return the same error with a message and a pointer that name the picture it is about."""
        count = len(self)
        message = f"picture {index} of {count}: {error}" if count > 1 else str(error)
        return type(error)(message, self.pointer.format(index))
