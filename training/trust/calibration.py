"""Temperature scaling (Guo et al. 2017): one number that makes a probability as frequent as it says."""

from typing import Any

import numpy as np

from digits.features import Floats
from training.data import Labels


def fold_temperature(network: Any, temperature: float) -> None:
    """Have the network divide its logits by the temperature, in its last layer.

    Kernel and bias are divided, so that the network needs no other form and what is retrained is what is served. The
    most probable digit stays the same.
    """
    last = network.layers[-1]
    last.set_weights([weights / np.float32(temperature) for weights in last.get_weights()])


def best_temperature(logits: Floats, labels: Labels) -> float:
    """The one with the smallest cross-entropy, between 1/20 and 20."""
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    def cross_entropy(logarithm: float) -> float:
        scaled = log_softmax(logits.astype(np.float64) / np.exp(logarithm), axis=1)
        return float(-scaled[np.arange(len(labels)), labels].mean())

    return float(np.exp(minimize_scalar(cross_entropy, bounds=(-3, 3), method="bounded").x))
