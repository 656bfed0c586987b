"""The pictures of one request, as every dialect passes them to the data plane."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from app.errors import Overloaded
from app.inference.memory_budget import Reservation
from digits.errors import DigitsError
from digits.normalization.mnist_form import Mode


@dataclass(slots=True)
class PictureBatch:
    """Either the pixels of 28x28 pictures or encoded pictures of any size, in the order in which they were sent.

    A dialect derives a class of its own if its reply depends on more of the request.
    """

    pixels: NDArray[Any] | None = None
    """(N, 28, 28), uint8, or float32 in [0, 1]. None when the pictures are encoded."""
    encoded: Sequence[bytes] = ()
    """The bytes of each picture, not checked yet. Accepted are `digits.pictures.decode.FORMATS`."""
    names: Sequence[str] = ()
    """The name of each picture's file, shortened, for messages. Empty if they have none."""
    single: bool = False
    """Whether the client expects one prediction instead of a list of predictions."""
    pointer: str = ""
    """JSON pointer (RFC 6901) to a picture, with {} in place of its index. "" when a pointer cannot name it."""
    mode: Mode = "auto"
    """Which pictures to normalize."""
    version: int | None = None
    """Number of the version that the request names. None means the served one."""
    reports_errors: bool = False
    """Whether the reply to several pictures reports the error of each. Otherwise, the first one refuses the request."""
    errors: dict[int, DigitsError] = field(default_factory=dict)
    """The errors to report, by the index of the picture. A picture with an error is not classified."""
    memory: Reservation = field(init=False, repr=False, compare=False)
    """The reservation of the request, also for the prepared pictures and their candidates."""

    def __len__(self) -> int:
        return len(self.encoded) if self.pixels is None else len(self.pixels)

    @contextmanager
    def picture(self, index: int) -> Iterator[None]:
        """Return a block for one picture. Its DigitsError is noted in `errors`, if the reply reports it, or raised.

        It says which picture it is about, from 1, and from 0 in the pointer. An error that has a pointer does already,
        and Overloaded is about none.
        """
        try:
            yield
        except DigitsError as exc:
            count, message, pointer = len(self), str(exc), exc.pointer
            if not pointer and not isinstance(exc, Overloaded):
                name = f" ({self.names[index]!r})" if self.names else ""
                message = f"picture {index + 1} of {count}{name}: {exc}" if count > 1 else message
                pointer = self.pointer.format(index)
            error = type(exc)(message, pointer)  # without a traceback, which would hold the picture
            if self.single or not self.reports_errors:
                raise error from exc
            self.errors[index] = error
