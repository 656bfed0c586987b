"""The memory that all requests of a process may use together."""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from app.errors import BatchTooLarge, NoRoom
from digits.pictures.decode_limits import MAX_DECODE_BYTES

_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD, _RETURNED_BYTES = -3, -1, 4 << 20
"""Two options of glibc, and their value: the size from which on a block or the free end of an arena is returned."""

BUDGET_BODIES, MIN_BUDGET_BYTES = 4, 32_000_000
"""What requests may reserve together: four bodies of the largest allowed size, but at least 32 MB. 1024 prepared
pictures take 17 MB, and the candidates of a request 13 MB."""


class MemoryBudget:
    """Maximum memory for all requests of a process together.

    Requests reserve `max_bytes` for long bodies, inflated bodies, prepared pictures, candidates and long replies, and
    are refused when they are taken. Beside them, large jobs wait for each other for `MAX_DECODE_BYTES`.
    """

    def __init__(self, max_body_bytes: int) -> None:
        self.max_bytes = max(BUDGET_BODIES * max_body_bytes, MIN_BUDGET_BYTES)
        self.reserved_bytes = 0
        self.decoding_bytes = 0
        self._next_decoding = threading.Lock()
        self._freed = threading.Condition()
        # By default glibc raises both to 32 MB and more, and then keeps a picture's pixels in an arena of each thread.
        # If only one is set, the other one stays at 128 KB, and each small picture asks the system for memory again.
        with suppress(AttributeError):  # another C library
            for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):
                ctypes.CDLL(None).mallopt(option, _RETURNED_BYTES)

    @contextmanager
    def decoding(self, size: int) -> Iterator[None]:
        """Wait in a thread until `size` bytes are left for decoding, or all of them, and keep them meanwhile."""
        with self._next_decoding, self._freed:
            self._freed.wait_for(lambda: not self.decoding_bytes or self.decoding_bytes + size <= MAX_DECODE_BYTES)
            self.decoding_bytes += size
        try:
            yield
        finally:
            with self._freed:
                self.decoding_bytes -= size
                self._freed.notify_all()

    def trim(self) -> None:
        """Return unused memory to the system, unless requests reserve some. This takes some milliseconds.

        glibc keeps what large bodies, pictures and heads of gRPC calls took, in an arena of each thread
        (`python -m benchmarks.faults.attack --only large_bodies,references`).
        """
        if not self.reserved_bytes:
            with suppress(AttributeError):  # another C library
                ctypes.CDLL(None).malloc_trim(0)


class Reservation(AbstractContextManager["Reservation"]):
    """Memory reserved by one request, released on exit."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self._bytes = 0

    def reserve(self, size: int) -> None:
        """Reserve `size` more bytes.

        Raises BatchTooLarge if all of the request exceeds the whole budget, and NoRoom if it has fewer bytes left.
        """
        if self._bytes + size > self._budget.max_bytes:
            raise BatchTooLarge(
                f"expected a request that takes at most {self._budget.max_bytes} bytes with its reply, received one "
                f"that takes {self._bytes + size} or more"
            )
        if self._budget.reserved_bytes + size > self._budget.max_bytes:
            raise NoRoom(f"other requests hold {self._budget.reserved_bytes} bytes already; try again later")
        self._budget.reserved_bytes += size
        self._bytes += size

    def release(self) -> None:
        """Return all reserved bytes to the budget."""
        self._budget.reserved_bytes -= self._bytes
        self._bytes = 0

    def __exit__(self, *_exception: object) -> None:
        self.release()
