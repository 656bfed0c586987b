"""Drift has the bins of Prometheus, and its index is small for similar distributions and large for different ones."""

import numpy as np
import pytest

from digits.model.drift import EDGES, population_stability_index, quantities


def test_each_picture_has_its_quantities() -> None:
    features = np.zeros((2, 784), dtype=np.float32)
    features[1, :392] = 1
    probabilities = np.array([[0.1] * 9 + [0.1], [0, 0, 0.75, 0.25] + [0] * 6], dtype=np.float32)

    with_novelty = quantities(features, probabilities, np.array([0.5, -1], dtype=np.float32))
    without = quantities(features, probabilities, None)

    assert {quantity: values.tolist() for quantity, values in with_novelty.items()} == {
        "digit": [0, 2],
        "probability": [pytest.approx(0.1), 0.75],
        "ink": [0, 0.5],
        "novelty": [0.5, -1],
    }
    assert with_novelty.keys() == EDGES.keys()
    assert without.keys() == EDGES.keys() - {"novelty"}


@pytest.mark.parametrize(
    ("counts", "least", "most"),
    [([125] * 4, 0, 1e-6), ([150, 125, 125, 100], 0.01, 0.1), ([250, 125, 75, 50], 0.25, 0.5), ([500, 0, 0, 0], 4, 6)],
    ids=["no shift", "a small shift", "a large shift", "all in one bin"],
)
def test_the_index_measures_the_distance(counts: list[int], least: float, most: float) -> None:
    index = population_stability_index([0.25] * 4, counts)

    assert least <= index < most
