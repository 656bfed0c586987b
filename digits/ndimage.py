"""`scipy.ndimage`, without what it has no use for.

SciPy copies all of NumPy's names into a namespace of its own, and so has NumPy load its lazy parts: `f2py`, `testing`,
`ma`, `random`, ... They take 20 MB and 0.2 s of every process that serves. While SciPy is imported here, NumPy names
only what is loaded (`python -X importtime -m app`).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def _only_what_is_loaded() -> Iterator[None]:
    public, listing = np.__all__, np.__dir__
    np.__all__ = [name for name in public if name in vars(np)]
    np.__dir__ = lambda: list(vars(np))  # type: ignore[method-assign]
    try:
        yield
    finally:
        np.__all__, np.__dir__ = public, listing  # type: ignore[method-assign]


with _only_what_is_loaded():
    from scipy.ndimage import (
        distance_transform_edt,
        find_objects,
        gaussian_filter,
        label,
        maximum_filter,
        minimum_filter,
    )

__all__ = ["distance_transform_edt", "find_objects", "gaussian_filter", "label", "maximum_filter", "minimum_filter"]
