"""Begin with what the ink network knows: its strokes are the finder's ink, and it has seen as many scenes."""

from typing import Any

import numpy as np
import onnx

from digits.features import Floats
from training.backend import keras
from training.finder.network import build

_FORGOTTEN = 0.15
"""Factor of the random weights from new channels to those of the ink network."""

_NEW_SCALE, _NEW_SHIFT = 0.6, 0.05
"""Of the batch normalization of new channels."""


def begin_as_ink_network(graph: bytes, seen: Floats) -> Any:
    """Return a network whose first channels are those of an ink network, so that all ink of the pen is what it says.

    The batch normalizations of its serving graph are folded. Their statistics are taken again from `seen`, contrasts of
    scenes, float32 (N, height, width, 2).
    """
    weights = {each.name: onnx.numpy_helper.to_array(each) for each in onnx.load_from_string(graph).graph.initializer}
    kernels = sum(name.startswith("kernel") for name in weights)
    network = build()
    for number in range(kernels - 1):
        kernel, bias = weights[f"kernel_{number}"].transpose(2, 3, 1, 0), weights[f"bias_{number}"]
        conv, norm = (network.get_layer(f"{kind}_{number}") for kind in ("conv", "norm"))
        _take_over(conv, kernel)
        outputs = keras().Model(network.inputs, conv.output).predict(seen, batch_size=16, verbose=0)
        mean, variance = outputs.mean(axis=(0, 1, 2)), outputs.var(axis=(0, 1, 2))
        scale, shift = np.full_like(mean, _NEW_SCALE), np.full_like(mean, _NEW_SHIFT)
        known = len(bias)
        scale[:known] = np.sqrt(variance[:known] + norm.epsilon)
        shift[:known] = mean[:known] + bias
        norm.set_weights([scale, shift, mean, variance])
    ink = network.get_layer("ink")
    kernel, bias = weights[f"kernel_{kernels - 1}"].transpose(2, 3, 1, 0), weights[f"bias_{kernels - 1}"]
    _take_over(ink, np.repeat(kernel, 2, axis=-1))  # each of the four pixels has two kinds of ink
    ink.set_weights([ink.get_weights()[0], np.repeat(bias, 2)])
    return network


def _take_over(conv: Any, kernel: Floats) -> None:
    """Write a kernel (height, width, input channels, output channels) into the first channels of a convolution."""
    own, *rest = conv.get_weights()
    inputs, outputs = kernel.shape[2:]
    own[:, :, inputs:, :outputs] *= _FORGOTTEN
    own[:, :, :inputs, :outputs] = kernel
    conv.set_weights([own, *rest])
