"""The pictures of one request, as every dialect passes them to the data plane."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

from numpy.typing import NDArray

from app.inference.memory_budget import Reservation
from digits.errors import DigitsError
from digits.normalization.mnist_form import Mode

P = ParamSpec("P")
T = TypeVar("T")


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
    memory: Reservation = field(init=False, repr=False, compare=False)
    """The reservation of the request, also for the prepared pictures and their candidates."""

    def __len__(self) -> int:
        return len(self.encoded) if self.pixels is None else len(self.pixels)

    def for_picture(self, index: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function for one picture. Its DigitsError then says which one: from 1, and from 0 in the pointer."""
        try:
            return function(*args, **kwargs)
        except DigitsError as exc:
            count = len(self)
            name = f" ({self.names[index]!r})" if self.names else ""
            message = f"picture {index + 1} of {count}{name}: {exc}" if count > 1 else str(exc)
            raise type(exc)(message, self.pointer.format(index)) from exc
