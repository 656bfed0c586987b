"""Fixtures for the tests of deploy: the services of `tests/app`, and one picture of each digit."""

import numpy as np
import pytest

from digits.features import Grey
from tests.app.conftest import service, start_service
from tests.conftest import Mnist

__all__ = ["service", "start_service"]


@pytest.fixture(scope="session")
def ten_digits(mnist: Mnist) -> Grey:
    """One MNIST picture of each class, uint8 (10, 28, 28)."""
    return np.stack([mnist.pixels[mnist.labels == digit][3] for digit in range(10)])
