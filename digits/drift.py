"""Whether what is asked is like what the network was calibrated on: a few quantities of each picture, in bins."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from digits.artifact import Reference
from digits.features import CLASSES, Floats

EDGES: Mapping[str, tuple[float, ...]] = {
    "digit": tuple(float(digit) for digit in range(CLASSES - 1)),
    "probability": (0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.99999),
    "ink": (0.05, 0.07, 0.085, 0.1, 0.115, 0.13, 0.15, 0.17, 0.2),
    "novelty": (-0.3, -0.15, 0.0, 0.15, 0.3, 0.5, 0.75, 1.0, 1.5),
}
"""Upper ends of the bins of each quantity, all but the last's; a value that is an edge lies below it.

Ink is the mean of the features: 0 is a black field, 1 a white one; a digit has about 0.13.
"""


def quantities(features: Floats, probabilities: Floats, novelty: Floats | None) -> dict[str, NDArray[np.float32]]:
    """Those of each picture, (N,); without novelty where there is none."""
    found: dict[str, NDArray[np.float32]] = {
        "digit": probabilities.argmax(axis=1).astype(np.float32),
        "probability": probabilities.max(axis=1),
        "ink": features.mean(axis=1),
    }
    return found if novelty is None else found | {"novelty": novelty}


def reference(values: NDArray[np.float32], edges: Sequence[float]) -> Reference:
    """How values (N,) are distributed."""
    bins = np.searchsorted(np.array(edges, dtype=np.float64), values.astype(np.float64), side="left")
    counts = np.bincount(bins, minlength=len(edges) + 1)
    return Reference(edges=tuple(edges), shares=tuple((counts / counts.sum()).tolist()))


def population_stability_index(reference: Sequence[float], counts: Sequence[float]) -> float:
    """How far counts are from the reference's shares, bin by bin: 0 is the same, 0.1 a little, above 0.25 much.

    The symmetric Kullback-Leibler divergence of both (Kullback and Leibler 1951; the name and the rule of thumb are of
    credit scoring, Siddiqi 2006). A bin that was never seen has half a picture, so that there is no division by zero.
    """
    observed = np.asarray(counts, dtype=np.float64) + 0.5
    share = observed / observed.sum()
    expected = np.maximum(np.asarray(reference, dtype=np.float64), 1e-4)
    expected = expected / expected.sum()
    return float(((share - expected) * np.log(share / expected)).sum())
