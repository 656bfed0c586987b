"""How long one call takes."""

import time
from collections.abc import Callable


def seconds_each(call: Callable[[], object], at_least: float) -> float:
    """The mean duration of calls made one after another, for at least so many seconds."""
    calls, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < at_least or not calls:
        call()
        calls += 1
    return elapsed / calls
