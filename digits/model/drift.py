"""Drift: how far the distribution of served pictures is from that of the calibration pictures."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from digits.features import CLASSES, Floats
from digits.model.artifact import Reference

EDGES: Mapping[str, tuple[float, ...]] = {
    "digit": tuple(float(digit) for digit in range(CLASSES - 1)),
    "probability": (0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.99999),
    "ink": (0.05, 0.07, 0.085, 0.1, 0.115, 0.13, 0.15, 0.17, 0.2),
    "novelty": (-0.3, -0.15, 0.0, 0.15, 0.3, 0.5, 0.75, 1.0, 1.5),
}
"""Upper, inclusive edges of each quantity's bins, for a model of digits. The last bin has no upper edge.

Ink is the mean of the features: 0 is a black picture, 1 a white one. A digit has about 0.13.
"""


def edges_for(classes: int) -> Mapping[str, tuple[float, ...]]:
    return {**EDGES, "digit": tuple(float(index) for index in range(classes - 1))}


def quantities(features: Floats, probabilities: Floats, novelty: Floats | None) -> dict[str, NDArray[np.float32]]:
    """Return each quantity of EDGES for each picture, float32 (N,). Without `novelty`, that quantity is left out."""
    values: dict[str, NDArray[np.float32]] = {
        "digit": probabilities.argmax(axis=1).astype(np.float32),
        "probability": probabilities.max(axis=1),
        "ink": features.mean(axis=1),
    }
    return values if novelty is None else values | {"novelty": novelty}


def reference(values: NDArray[np.float32], edges: Sequence[float]) -> Reference:
    """Return the share of values (N,) in each bin."""
    bins = np.searchsorted(np.array(edges, dtype=np.float64), values.astype(np.float64), side="left")
    counts = np.bincount(bins, minlength=len(edges) + 1)
    return Reference(edges=tuple(edges), shares=tuple((counts / counts.sum()).tolist()))


def population_stability_index(reference: Sequence[float], counts: Sequence[float]) -> float:
    """Return how far counts are from the reference's shares: 0 is equal, 0.1 a small shift, above 0.25 a large one.

    This is the symmetric Kullback-Leibler divergence (Kullback and Leibler 1951). The name and the rule of thumb come
    from credit scoring (Siddiqi 2006). Half a picture is added to each count to avoid the logarithm of 0.
    """
    observed = np.asarray(counts, dtype=np.float64) + 0.5
    share = observed / observed.sum()
    expected = np.maximum(np.asarray(reference, dtype=np.float64), 1e-4)
    expected = expected / expected.sum()
    return float(((share - expected) * np.log(share / expected)).sum())
