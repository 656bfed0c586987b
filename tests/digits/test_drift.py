"""Drift has the bins of Prometheus, and its index is small for similar distributions and large for different ones."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from digits.model.drift import EDGES, population_stability_index, quantities, reference

COUNTS = st.integers(2, 12).flatmap(
    lambda bins: st.tuples(*2 * [st.lists(st.integers(0, 10_000), min_size=bins, max_size=bins).filter(any)])
)
"""Counts of two populations in the same bins."""


def shares(counts: list[int]) -> list[float]:
    return [count / sum(counts) for count in counts]


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


@pytest.mark.parametrize("quantity", EDGES)
@example(on_edges=True, values=[])
@given(on_edges=st.booleans(), values=st.lists(st.floats(-2, 10, width=32), min_size=1))
def test_a_value_is_in_the_same_bin_as_in_prometheus(quantity: str, on_edges: bool, values: list[float]) -> None:
    edges = EDGES[quantity]
    several = np.array([*values, *edges * on_edges], dtype=np.float32)
    histogram = Histogram("a", "b", buckets=edges, registry=CollectorRegistry())

    binned = reference(several, edges)
    for value in several.tolist():
        histogram.observe(value)

    (family,) = histogram.collect()
    buckets = [sample.value for sample in family.samples if sample.name == "a_bucket"]
    assert np.cumsum(binned.shares) * len(several) == pytest.approx(buckets)


@example(([1, 0], [0, 1]))
@given(COUNTS)
def test_the_index_is_finite_and_never_negative(populations: tuple[list[int], list[int]]) -> None:
    one, other = populations

    index = population_stability_index(shares(one), other)

    assert math.isfinite(index)
    assert index >= 0


@pytest.mark.parametrize("quantity", EDGES)
def test_the_index_of_500_pictures_of_the_reference_is_below_a_tenth(quantity: str) -> None:
    bins = len(EDGES[quantity]) + 1
    rng = np.random.default_rng(0)
    expected = rng.dirichlet(np.full(bins, 0.7), 200)

    indexes = [population_stability_index(share, rng.multinomial(500, share).tolist()) for share in expected]

    assert max(indexes) < 0.1


@pytest.mark.parametrize(
    ("counts", "least", "most"),
    [
        pytest.param([125, 125, 125, 125], 0, 1e-6, id="no shift"),
        pytest.param([150, 125, 125, 100], 0.01, 0.1, id="a small shift"),
        pytest.param([250, 125, 75, 50], 0.25, 0.5, id="a large shift"),
        pytest.param([500, 0, 0, 0], 4, 6, id="all in one bin"),
    ],
)
def test_the_index_measures_the_distance(counts: list[int], least: float, most: float) -> None:
    index = population_stability_index([0.25] * 4, counts)

    assert least <= index < most
