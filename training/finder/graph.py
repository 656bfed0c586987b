"""Write the finder's serving graph, whose outputs are probabilities and have their channels first.

tf2onnx turns each dilated convolution and each upsampling into some thirty operations, because it does not know the
picture's size. ONNX has one operation for each.
"""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from digits.finder.network import CLASSES, CONTRASTS_INPUT, NAME, ONLY_INK, OUTPUTS
from digits.model.artifact import Tensor
from training.finder.network import DILATIONS, WIDTHS, in_serving_order

_OPSET, _IR_VERSION = 18, 8


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution, after batch normalization was folded into it."""

    kernel: NDArray[np.float32]
    """(height, width, input channels, output channels)."""
    bias: NDArray[np.float32]
    """(output channels,)."""


def _folded(conv: Any, norm: Any) -> Convolution:
    """Return a convolution without bias and its batch normalization as one."""
    (kernel,) = (np.asarray(values) for values in conv.get_weights())
    gamma, beta, mean, variance = (np.asarray(values) for values in norm.get_weights())
    scale = gamma / np.sqrt(variance + norm.epsilon)
    return Convolution(kernel * scale, beta - mean * scale)


class _GraphWriter:
    """Writes a graph whose convolutions are those of a network, one after the other."""

    def __init__(self, layers: list[Convolution]) -> None:
        """Begin with the input CONTRASTS_INPUT."""
        self._nodes: list[Any] = []
        self._numbers = itertools.count()
        self._flags: list[str] = []
        self._constants = [onnx.numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")]
        self._remaining = iter(enumerate(layers))

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add an operation, and return the name of its output."""
        output = output or f"{kind.lower()}_{next(self._numbers)}"
        self._nodes.append(make_node(kind, list(inputs), [output], **attributes))
        return output

    def convolved(self, x: str, *, strides: int = 1, dilation: int = 1) -> str:
        """Add the next convolution."""
        index, layer = next(self._remaining)
        weights = {f"kernel_{index}": layer.kernel.transpose(3, 2, 0, 1), f"bias_{index}": layer.bias}
        self._constants.extend(
            onnx.numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name)
            for name, values in weights.items()
        )
        reach = dilation * (layer.kernel.shape[0] // 2)
        # "same" padding of TensorFlow: with strides of 2, even lengths have no padding before the first pixel
        first = 0 if strides == 2 else reach
        pads = [first, first, reach, reach]
        return self.add("Conv", x, *weights, strides=[strides] * 2, dilations=[dilation] * 2, pads=pads)

    def activated(self, x: str, **options: int) -> str:
        """Add the next convolution and its activation."""
        return self.add("Relu", self.convolved(x, **options))

    def split(self, x: str, sizes: Sequence[int], names: Sequence[str]) -> Sequence[str]:
        """Split the channels of x, and return `names`, those of the parts."""
        lengths = f"lengths_{next(self._numbers)}"
        self._constants.append(onnx.numpy_helper.from_array(np.array(sizes, np.int64), lengths))
        self._nodes.append(make_node("Split", [x, lengths], list(names), axis=1))
        return names

    @contextmanager
    def unless(self, flag: str, outputs: Sequence[Tensor]) -> Iterator[list[str]]:
        """Compute outputs by the operations that are added in this context, which give them the returned names.

        If the optional input `flag` is true, the outputs are empty instead.
        """
        before, self._nodes = self._nodes, []
        yield [f"{each.name}/computed" for each in outputs]
        computed, empty = self._nodes, []
        for each in outputs:
            nothing = np.empty([max(size, 0) for size in each.shape], np.float32)
            empty.append(make_node("Constant", [], [f"{each.name}/empty"], value=onnx.numpy_helper.from_array(nothing)))
        branches = {
            "then_branch": make_graph(empty, "then", [], [_described(each, f"{each.name}/empty") for each in outputs]),
            "else_branch": make_graph(
                computed, "else", [], [_described(each, f"{each.name}/computed") for each in outputs]
            ),
        }
        self._nodes = [*before, make_node("If", [flag], [each.name for each in outputs], **branches)]
        self._constants.append(onnx.numpy_helper.from_array(np.array(False), flag))
        self._flags.append(flag)

    def trunk(self, downward: int, dilations: Sequence[int]) -> list[str]:
        """Add all of a U-Net but its outputs, and return what it has at each size, from an eighth to a half.

        `downward` is the number of its sizes without the smallest one and a half.
        """
        x = self.add("SpaceToDepth", self.add("Transpose", CONTRASTS_INPUT.name, perm=[0, 3, 1, 2]), blocksize=2)
        passed = [self.activated(x)]
        for _ in range(downward):
            passed.append(self.activated(self.activated(passed[-1], strides=2)))
        x = self.activated(passed[-1], strides=2)
        for dilation in dilations:
            x = self.add("Add", x, self.activated(x, dilation=dilation))
        found = []
        enlarged = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        for skipped in passed[::-1]:
            x = self.add("Resize", self.activated(x), "", "scales", **enlarged)
            x = self.activated(self.add("Add", x, skipped))
            found.append(x)
        return found

    def graph(self, name: str, outputs: Sequence[Tensor]) -> bytes:
        """Return the checked graph."""
        shape = ["N", "height", "width", CONTRASTS_INPUT.shape[-1]]
        seen = make_tensor_value_info(CONTRASTS_INPUT.name, onnx.TensorProto.FLOAT, shape)
        # An input that also has an initializer is optional.
        flags = [make_tensor_value_info(flag, onnx.TensorProto.BOOL, []) for flag in self._flags]
        described = [_described(each, each.name) for each in outputs]
        graph = make_graph(self._nodes, name, [seen, *flags], described, self._constants)
        model = make_model(graph, opset_imports=[make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        content: bytes = model.SerializeToString()
        return content


def _described(output: Tensor, name: str) -> Any:
    """Return what ONNX says about an output."""
    shape = [size if size > 0 else f"{name}_{axis}" for axis, size in enumerate(output.shape)]
    return make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)


def convolutions(network: Any) -> list[Convolution]:
    """Return the convolutions of a network of `training.finder.network.build`, in the order of the serving graph."""
    return [
        _folded(conv, norm) if norm is not None else Convolution(*map(np.asarray, conv.get_weights()))
        for conv, norm in in_serving_order(network)
    ]


def serving_graph(layers: list[Convolution]) -> bytes:
    """Return an ONNX graph from CONTRASTS_INPUT to OUTPUTS."""
    writer = _GraphWriter(layers)
    *_, before_last, largest = writer.trunk(len(WIDTHS) - 2, DILATIONS)
    *heads, ink = OUTPUTS
    with writer.unless(ONLY_INK, heads) as (heat, votes, sizes, classes):
        quarter = writer.convolved(writer.activated(before_last))
        size, label = writer.split(quarter, (2, len(CLASSES)), ("size", "label"))
        writer.add("Identity", size, output=sizes)
        writer.add("Softmax", label, output=classes, axis=1)
        half = writer.convolved(writer.activated(largest))
        centre, vote = writer.split(half, (2, 2), ("centre", "vote"))
        writer.add("Sigmoid", centre, output=heat)
        writer.add("Identity", vote, output=votes)
    writer.add("Sigmoid", writer.add("DepthToSpace", writer.convolved(largest), blocksize=2), output=ink.name)
    return writer.graph(NAME, OUTPUTS)
