"""Other scores of novelty, for comparison: each from the literature, none of them served."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits.features import CLASSES, Floats, to_features
from training.data import Split
from training.network import activations
from training.trust.novelty import METHOD, Head, energy

_MOST_IMAGES = 10_000
_NEIGHBOURS = 10
_COMPONENTS = 64


def methods(network: Any, head: Head, split: Split) -> dict[str, Callable[[Floats], NDArray[np.float64]]]:
    """By name, the served one last: features (N, 784) to a score (N,), the higher the less it is a digit.

    Args:
        network: the lecture's, trained.
        head: the served one.
        split: whose training part the others learn digits from.
    """
    few = np.random.default_rng(0).permutation(len(split.y_train))[:_MOST_IMAGES]
    images, labels = to_features(split.x_train[few]), split.y_train[few]
    hidden, _ = activations(network, images)

    def maximum_softmax(features: Floats) -> NDArray[np.float64]:
        logits = activations(network, features)[1]
        found: NDArray[np.float64] = -np.exp(logits.max(axis=1) + energy(logits))
        return found

    def of_energy(features: Floats) -> NDArray[np.float64]:
        return energy(activations(network, features)[1])

    means = np.array([hidden[labels == digit].mean(axis=0) for digit in range(CLASSES)])
    precision = np.linalg.pinv(np.cov((hidden - means[labels]).T.astype(np.float64)), hermitian=True)

    def mahalanobis(features: Floats) -> NDArray[np.float64]:
        at = activations(network, features)[0]
        distances = [np.einsum("nd,de,ne->n", at - mean, precision, at - mean, optimize=True) for mean in means]
        found: NDArray[np.float64] = np.min(distances, axis=0)
        return found

    bank = _unit(hidden)

    def nearest_neighbour(features: Floats) -> NDArray[np.float64]:
        similar = _unit(activations(network, features)[0]) @ bank.T
        found: NDArray[np.float64] = -np.partition(similar, -_NEIGHBOURS, axis=1)[:, -_NEIGHBOURS].astype(np.float64)
        return found

    centre = images.mean(axis=0)
    # Eigenvectors, that of the largest eigenvalue last. A singular value decomposition takes ten times as long.
    _, axes = np.linalg.eigh(np.cov(images.T.astype(np.float64)))
    basis = axes[:, -_COMPONENTS:].astype(np.float32)

    def reconstruction_error(features: Floats) -> NDArray[np.float64]:
        away = features - centre
        found: NDArray[np.float64] = ((away - away @ basis @ basis.T) ** 2).sum(axis=1).astype(np.float64)
        return found

    def served(features: Floats) -> NDArray[np.float64]:
        return head.novelty(*activations(network, features))

    return {
        "maximum softmax probability (Hendrycks and Gimpel 2017)": maximum_softmax,
        "energy (Liu et al. 2020)": of_energy,
        "Mahalanobis distance, hidden layer (Lee et al. 2018)": mahalanobis,
        "10th nearest neighbour, hidden layer (Sun et al. 2022)": nearest_neighbour,
        "PCA reconstruction error, 64 components": reconstruction_error,
        f"{METHOD} (served)": served,
    }


def _unit(hidden: Floats) -> Floats:
    found: Floats = hidden / np.linalg.norm(hidden, axis=1, keepdims=True).clip(1e-6)
    return found
