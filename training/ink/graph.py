"""Write the ink network's serving graph.

tf2onnx turns each dilated convolution and each upsampling into some thirty operations, because it does not know the
picture's size. ONNX has one operation for each. The map then takes four fifths of the time.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from digits.normalization.ink_map import CONTRASTS_INPUT, INK_OUTPUT, NAME
from training.ink.network import DILATIONS, WIDTHS

_OPSET, _IR_VERSION = 18, 8


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution, after batch normalization was folded into it."""

    kernel: NDArray[np.float32]
    """(height, width, input channels, output channels)."""
    bias: NDArray[np.float32]
    """(output channels,)."""


def convolutions(network: Any) -> list[Convolution]:
    """Return the convolutions of a network of `training.ink.network.build`, in the order in which it made them."""
    found: list[Convolution] = []
    for layer in network.layers:
        if layer.__class__.__name__ == "Conv2D":
            kernel, *bias = (np.asarray(values) for values in layer.get_weights())
            found.append(Convolution(kernel, bias[0] if bias else np.zeros(kernel.shape[-1], np.float32)))
        elif layer.__class__.__name__ == "BatchNormalization":
            gamma, beta, mean, variance = (np.asarray(values) for values in layer.get_weights())
            scale = gamma / np.sqrt(variance + layer.epsilon)
            found[-1] = Convolution(found[-1].kernel * scale, beta - mean * scale)
    return found


def serving_graph(layers: list[Convolution]) -> bytes:
    """Return an ONNX graph from CONTRASTS_INPUT to INK_OUTPUT."""
    nodes: list[Any] = []
    constants = [onnx.numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")]
    remaining = iter(enumerate(layers))

    def add(kind: str, *inputs: str, **attributes: Any) -> str:
        output = f"{kind.lower()}_{len(nodes)}"
        nodes.append(make_node(kind, list(inputs), [output], **attributes))
        return output

    def convolved(x: str, *, strides: int = 1, dilation: int = 1) -> str:
        index, layer = next(remaining)
        weights = {f"kernel_{index}": layer.kernel.transpose(3, 2, 0, 1), f"bias_{index}": layer.bias}
        constants.extend(
            onnx.numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name)
            for name, values in weights.items()
        )
        reach = dilation * (layer.kernel.shape[0] // 2)
        # "same" padding of TensorFlow: with strides of 2, even lengths have no padding before the first pixel
        first = 0 if strides == 2 else reach
        pads = [first, first, reach, reach]
        return add("Conv", x, *weights, strides=[strides] * 2, dilations=[dilation] * 2, pads=pads)

    def activated(x: str, **options: int) -> str:
        return add("Relu", convolved(x, **options))

    x = add("SpaceToDepth", add("Transpose", CONTRASTS_INPUT.name, perm=[0, 3, 1, 2]), blocksize=2)
    passed = [activated(x)]
    for _ in WIDTHS[1:-1]:
        passed.append(activated(activated(passed[-1], strides=2)))
    x = activated(passed[-1], strides=2)
    for dilation in DILATIONS:
        x = add("Add", x, activated(x, dilation=dilation))
    for skipped in passed[::-1]:
        x = add("Resize", activated(x), "", "scales", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
        x = activated(add("Add", x, skipped))
    x = add("Sigmoid", add("DepthToSpace", convolved(x), blocksize=2))
    nodes.append(make_node("Transpose", [x], [INK_OUTPUT.name], perm=[0, 2, 3, 1]))
    described = (
        make_tensor_value_info(each.name, onnx.TensorProto.FLOAT, ["N", "height", "width", each.shape[-1]])
        for each in (CONTRASTS_INPUT, INK_OUTPUT)
    )
    graph = make_graph(nodes, NAME, [next(described)], [next(described)], constants)
    model = make_model(graph, opset_imports=[make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content
