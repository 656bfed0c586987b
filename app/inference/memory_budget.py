"""The memory that the bodies and replies of all requests of a process may use together."""

import ctypes
from contextlib import suppress
from typing import Self

from app.errors import BatchTooLarge, NoRoom

_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD, _RETURNED_BYTES = -3, -1, 4 << 20
"""glibc's options for the size from which on a block, and what is free at the end of an arena, go back to the system,
and their value here."""

BUDGET_BODIES = 4
"""The memory budget, in bodies of the largest allowed size."""


class MemoryBudget:
    """Maximum memory for the long bodies, inflated bodies and long replies of all requests together."""

    def __init__(self, max_body_bytes: int) -> None:
        self.max_bytes = BUDGET_BODIES * max_body_bytes
        self.reserved_bytes = 0
        self.is_trimmed = True
        """Whether nothing was reserved since `trim`."""
        # By default glibc raises both to 32 MB and more, and then keeps a picture's pixels in an arena of each thread.
        # If only one is set, the other one stays at 128 KB, and each small picture asks the system for memory again.
        with suppress(AttributeError):  # another C library
            for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):
                ctypes.CDLL(None).mallopt(option, _RETURNED_BYTES)

    def trim(self) -> None:
        """Return unused memory to the system. This takes some milliseconds.

        glibc keeps what large bodies and pictures took, in an arena of each thread
        (`python -m benchmarks.faults.attack --only large_bodies`).
        """
        self.is_trimmed = True
        with suppress(AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)


class Reservation:
    """Memory reserved by one request, released on exit."""

    __slots__ = ("_budget", "_bytes")

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self._bytes = 0

    def reserve(self, size: int) -> None:
        """Reserve `size` more bytes.

        Raises:
            BatchTooLarge: the request and its reply take more than the whole budget.
            NoRoom: the budget has fewer bytes left.
        """
        if self._bytes + size > self._budget.max_bytes:
            raise BatchTooLarge(
                f"expected a request that takes at most {self._budget.max_bytes} bytes with its reply, received one "
                f"that takes {self._bytes + size} or more"
            )
        if self._budget.reserved_bytes + size > self._budget.max_bytes:
            raise NoRoom(f"other requests hold {self._budget.reserved_bytes} bytes already; try again later")
        self._budget.reserved_bytes += size
        self._budget.is_trimmed = False
        self._bytes += size

    def release(self) -> None:
        """Return all reserved bytes to the budget."""
        self._budget.reserved_bytes -= self._bytes
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.release()
