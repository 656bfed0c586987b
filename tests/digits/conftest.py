"""The model for the tests of pictures."""

import pytest

from digits.model.artifact import SHIPPED
from digits.model.classifier import Classifier, load_newest


@pytest.fixture(scope="session")
def classifier() -> Classifier:
    """Return the shipped version."""
    return load_newest(SHIPPED)[0]
