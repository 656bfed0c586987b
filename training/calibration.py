"""Temperature scaling (Guo et al. 2017): one number that makes a probability as frequent as it says."""

from typing import Any

import numpy as np

from digits.features import Floats, to_features
from training.data import Labels, Split


def fold_temperature(network: Any, split: Split) -> float:
    """Divide the network's logits by the temperature that fits the validation images best, in its last layer.

    Kernel and bias are divided, so that the network needs no other form and what is retrained is what is served. The
    most probable digit stays the same.

    Returns:
        The temperature.
    """
    temperature = best_temperature(logits(network, to_features(split.x_validation)), split.y_validation)
    last = network.layers[-1]
    last.set_weights([weights / np.float32(temperature) for weights in last.get_weights()])
    return temperature


def logits(network: Any, features: Floats) -> Floats:
    """What goes into the softmax of a network of dense layers: (N, 784) to (N, 10)."""
    *hidden, last = network.layers
    values = features
    for layer in hidden:
        values = np.asarray(layer(values))
    kernel, bias = last.get_weights()
    found: Floats = values @ kernel + bias
    return found


def best_temperature(logits: Floats, labels: Labels) -> float:
    """The one with the smallest cross-entropy, between 1/20 and 20."""
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    def cross_entropy(logarithm: float) -> float:
        scaled = log_softmax(logits.astype(np.float64) / np.exp(logarithm), axis=1)
        return float(-scaled[np.arange(len(labels)), labels].mean())

    return float(np.exp(minimize_scalar(cross_entropy, bounds=(-3, 3), method="bounded").x))
