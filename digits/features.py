"""The network's preprocessing. Training and serving both call `to_features`, so they cannot differ."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits.errors import WrongSize

SIDE = 28
"""Number of rows and of columns of an MNIST image."""

FEATURES = SIDE * SIDE
"""Length of the network's input: the pixels of an image, row by row."""

CLASSES = 10
"""Number of MNIST's classes. The index of a class is its digit, 0 to 9. A model may have others."""

Grey = NDArray[np.uint8]
"""Grey pixels. In MNIST, 0 is the black background and 255 is full ink."""

Floats = NDArray[np.float32]


def to_features(pixels: NDArray[Any]) -> Floats:
    """Flatten pictures to 784 features and scale them to [0, 1], as the lecture does.

    Args:
        pixels: (N, 28, 28), uint8 in 0..255 or floats already in [0, 1]. Another size raises WrongSize.

    Returns:
        float32 (N, 784) in [0, 1], row-major.
    """
    if pixels.ndim != 3:
        raise WrongSize(f"expected pictures of shape (N, {SIDE}, {SIDE}), received {pixels.shape}")
    if pixels.shape[1:] != (SIDE, SIDE):
        height, width = pixels.shape[1:]
        raise WrongSize(f"expected {SIDE}x{SIDE} pixels, received {width}x{height} (width x height)")
    flat = pixels.reshape(len(pixels), FEATURES)
    if flat.dtype == np.uint8:
        scaled: Floats = np.divide(flat, 255, dtype=np.float32)
        return scaled
    return flat.astype(np.float32, copy=False)
