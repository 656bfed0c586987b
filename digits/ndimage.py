"""The functions of `scipy.ndimage` that Digits uses, imported without the parts of NumPy that Digits does not use.

When SciPy is imported, it copies every name that NumPy lists, so NumPy loads its lazy submodules (`f2py`, `testing`,
`ma` and others). They take 12 MB and 0.2 s of each serving process. So NumPy lists only what is loaded meanwhile.
"""

import numpy as np

_all, _dir = np.__all__, np.__dir__
np.__all__ = [name for name in np.__all__ if name in vars(np)]
np.__dir__ = lambda: list(vars(np))  # type: ignore[method-assign]
try:
    from scipy.ndimage import (
        distance_transform_edt,
        find_objects,
        gaussian_filter,
        label,
        maximum_filter,
        minimum_filter,
    )
finally:
    np.__all__, np.__dir__ = _all, _dir  # type: ignore[method-assign]

__all__ = ["distance_transform_edt", "find_objects", "gaussian_filter", "label", "maximum_filter", "minimum_filter"]
