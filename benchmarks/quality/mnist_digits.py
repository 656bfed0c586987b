"""The digits of MNIST that the benchmarks of quality show: the test digits, or others during development."""

import argparse
import os

import numpy as np
from numpy.typing import NDArray

from digits.features import Grey
from training.data.images import load
from training.errors import TrainingError

_VALIDATION = 10_000
"""Number of MNIST's last training images, which replace the test images during development."""


def add_part(arguments: argparse.ArgumentParser) -> None:
    """Add the option `--from`, which `part` is read from."""
    arguments.add_argument(
        "--from", dest="part", choices=("validation", "test"), default="validation", help="default: %(default)s"
    )


def load_part(part: str) -> tuple[Grey, NDArray[np.int64]]:
    """Return the images of "validation" or "test", uint8 (N, 28, 28), and their labels.

    Raises SystemExit if MNIST cannot be loaded. The message says why.
    """
    try:
        mnist = load(os.environ.get("MNIST_DATA"))
    except TrainingError as exc:
        raise SystemExit(str(exc)) from None
    if part == "test":
        return mnist.x_test, mnist.y_test.astype(np.int64)
    return mnist.x_train[-_VALIDATION:], mnist.y_train[-_VALIDATION:].astype(np.int64)
