"""Begin with the weights of a serving graph: a network that only finds ink, or the finder after an earlier part."""

from typing import Any

import numpy as np
import onnx

from digits.features import Floats
from training.backend import keras
from training.finder.network import build, in_serving_order

_FORGOTTEN = 0.15
"""Factor of the random weights from new channels to known ones."""

_NEW_SCALE, _NEW_SHIFT = 0.6, 0.05
"""Of the batch normalization of new channels."""

_SHARE = 0.9
"""Of the weights after a part, in the mean of them and of those before."""


def begin_as(graph: bytes, seen: Floats) -> Any:
    """Return a network that begins with what the network of a serving graph knows.

    A network that only finds ink has fewer channels and no other outputs. It becomes the first channels, and both kinds
    of ink are what it says. The batch normalizations of a serving graph are folded. Their statistics are taken again
    from `seen`, contrasts of scenes, float32 (N, height, width, 2).
    """
    weights = {each.name: onnx.numpy_helper.to_array(each) for each in onnx.load_from_string(graph).graph.initializer}
    count = sum(name.startswith("kernel_") for name in weights)
    known = [(weights[f"kernel_{number}"].transpose(2, 3, 1, 0), weights[f"bias_{number}"]) for number in range(count)]
    network = build()
    layers = in_serving_order(network)
    if count < len(layers):
        layers = [*layers[: count - 1], layers[-1]]
        kernel, bias = known[-1]
        known[-1] = np.repeat(kernel, 2, axis=-1), np.repeat(bias, 2)  # each of the four pixels has two kinds of ink
    for (conv, norm), (kernel, bias) in zip(layers, known, strict=True):
        _take_over(conv, kernel)
        if norm is None:
            conv.set_weights([conv.get_weights()[0], bias])
            continue
        outputs = keras().Model(network.inputs, conv.output).predict(seen, batch_size=16, verbose=0)
        mean, variance = outputs.mean(axis=(0, 1, 2)), outputs.var(axis=(0, 1, 2))
        scale, shift = np.full_like(mean, _NEW_SCALE), np.full_like(mean, _NEW_SHIFT)
        scale[: len(bias)] = np.sqrt(variance[: len(bias)] + norm.epsilon)
        shift[: len(bias)] = mean[: len(bias)] + bias
        norm.set_weights([scale, shift, mean, variance])
    return network


def mean_of(start: bytes, trained: bytes) -> bytes:
    """Return the serving graph whose weights are the weighted means of those of a graph and of what it became.

    It is better than each of them (Wortsman et al. 2022).
    """
    model, others = (onnx.load_from_string(graph) for graph in (start, trained))
    weights = {each.name: onnx.numpy_helper.to_array(each) for each in others.graph.initializer}
    for each in model.graph.initializer:
        own = onnx.numpy_helper.to_array(each)
        if own.dtype == np.float32:
            each.CopyFrom(onnx.numpy_helper.from_array((1 - _SHARE) * own + _SHARE * weights[each.name], each.name))
    graph: bytes = model.SerializeToString()
    return graph


def _take_over(conv: Any, kernel: Floats) -> None:
    """Write a kernel (height, width, input channels, output channels) into the first channels of a convolution."""
    own, *rest = conv.get_weights()
    inputs, outputs = kernel.shape[2:]
    own[:, :, inputs:, :outputs] *= _FORGOTTEN
    own[:, :, :inputs, :outputs] = kernel
    conv.set_weights([own, *rest])
