"""The served graph: Keras' own export of the lecture's network, with novelty and saliency beside the probabilities."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits.artifact import EXPLAIN, FEATURES_INPUT, NOVELTY_OUTPUT, SALIENCY_OUTPUT
from digits.features import FEATURES, Floats
from training.network import activations
from training.trust.novelty import Head

_ROUNDING = 1e-4
"""More than two ways of adding up 784 products in float32 differ by."""


def with_novelty(graph: bytes, head: Head) -> bytes:
    """A graph of the lecture's network, and what the head makes of its hidden layer and logits."""
    import onnx
    from onnx.helper import make_node, make_tensor_value_info

    model = onnx.load_from_string(graph)
    hidden, logits = _places(model)
    constants = {
        "head/kernel": head.hidden_kernel,
        "head/bias": head.hidden_bias,
        "head/last": head.kernel[:, None],
        "head/last/bias": [head.bias],
        "head/energy": -head.energy,
        "head/energy/bias": head.energy_bias,
    }
    for name, values in constants.items():
        _add(model, name, np.asarray(values, dtype=np.float32))
    _add(model, "head/axis", np.array([1]))
    model.graph.node.extend(
        [
            make_node("Gemm", [hidden, "head/kernel", "head/bias"], ["head/sum"]),
            make_node("Relu", ["head/sum"], ["head/hidden"]),
            make_node("Gemm", ["head/hidden", "head/last", "head/last/bias"], ["head/answer"]),
            make_node("ReduceLogSumExp", [logits], ["head/support"], axes=[1], keepdims=1),
            make_node("Mul", ["head/support", "head/energy"], ["head/scaled"]),
            make_node("Add", ["head/scaled", "head/energy/bias"], ["head/unsupported"]),
            make_node("Relu", ["head/unsupported"], ["head/counted"]),
            make_node("Add", ["head/answer", "head/counted"], ["head/novelty"]),
            make_node("Squeeze", ["head/novelty", "head/axis"], [NOVELTY_OUTPUT.name]),
        ]
    )
    model.graph.output.append(make_tensor_value_info(NOVELTY_OUTPUT.name, onnx.TensorProto.FLOAT, ["N"]))
    return _checked(model)


def with_saliency(graph: bytes) -> bytes:
    """A graph of the lecture's network, and how much each feature speaks for its most probable digit.

    Gradient times input (Shrikumar et al. 2016) of that digit's logit above the mean of all ten: what the softmax sees
    of it. It takes two more products with the weights, as long as the forward pass. So it lies in a branch that is
    taken only where the input `explain` is true.
    """
    import onnx
    from onnx.helper import make_graph, make_node, make_tensor_value_info

    model = onnx.load_from_string(graph)
    hidden, logits = _places(model)
    kernels = {node.input[0]: node.input[1] for node in model.graph.node if node.op_type == "MatMul"}
    weights = {each.name: each for each in model.graph.initializer}
    last = onnx.numpy_helper.to_array(weights[kernels[hidden]])
    _add(model, "saliency/rows", np.ascontiguousarray((last - last.mean(axis=1, keepdims=True)).T))
    _add(model, "saliency/none", np.empty((0, FEATURES), dtype=np.float32))
    _add(model, EXPLAIN, np.array(False))

    def branch(name: str, nodes: list[Any], rows: str | int) -> Any:
        made = nodes[-1].output[0]
        return make_graph(nodes, name, [], [make_tensor_value_info(made, onnx.TensorProto.FLOAT, [rows, FEATURES])])

    explained = branch(
        "explained",
        [
            make_node("ArgMax", [logits], ["saliency/top"], axis=1, keepdims=0),
            make_node("Gather", ["saliency/rows", "saliency/top"], ["saliency/of_top"], axis=0),
            make_node("Sign", [hidden], ["saliency/active"]),  # the derivative of a ReLU
            make_node("Mul", ["saliency/of_top", "saliency/active"], ["saliency/of_hidden"]),
            # With the kernel on the left: of what is on the right ONNX Runtime keeps a packed copy, 1.6 MB.
            make_node("Transpose", ["saliency/of_hidden"], ["saliency/columns"]),
            make_node("MatMul", [kernels[FEATURES_INPUT.name], "saliency/columns"], ["saliency/gradients"]),
            make_node("Transpose", ["saliency/gradients"], ["saliency/gradient"]),
            make_node("Mul", ["saliency/gradient", FEATURES_INPUT.name], ["saliency/explained"]),
        ],
        "N",
    )
    unexplained = branch("unexplained", [make_node("Identity", ["saliency/none"], ["saliency/unexplained"])], 0)
    # An input that has a value is optional.
    model.graph.input.append(make_tensor_value_info(EXPLAIN, onnx.TensorProto.BOOL, []))
    model.graph.node.append(
        make_node("If", [EXPLAIN], [SALIENCY_OUTPUT.name], then_branch=explained, else_branch=unexplained)
    )
    model.graph.output.append(make_tensor_value_info(SALIENCY_OUTPUT.name, onnx.TensorProto.FLOAT, ["M", FEATURES]))
    return _checked(model)


def without_saliency(graph: bytes) -> bytes:
    """The rest of a graph: what is left has the batch as its first dimension, input and outputs."""
    import onnx.utils

    with TemporaryDirectory() as folder:
        whole, part = Path(folder) / "whole.onnx", Path(folder) / "part.onnx"
        whole.write_bytes(graph)
        names = [output.name for output in onnx.load_from_string(graph).graph.output]
        names.remove(SALIENCY_OUTPUT.name)
        onnx.utils.extract_model(whole, part, [FEATURES_INPUT.name], names)
        return part.read_bytes()


def head_of(graph: bytes) -> Head:
    """What `with_novelty` put into a graph, as far as float32 kept it."""
    import onnx

    weights = {each.name: onnx.numpy_helper.to_array(each) for each in onnx.load_from_string(graph).graph.initializer}
    return Head(
        weights["head/kernel"],
        weights["head/bias"],
        weights["head/last"][:, 0],
        float(weights["head/last/bias"][0]),
        -float(weights["head/energy"]),
        float(weights["head/energy/bias"]),
    )


def saliency(network: Any, features: Floats) -> NDArray[np.float64]:
    """What the graph must give for these features, by automatic differentiation of Keras' network; (N, 784)."""
    import tensorflow as tf

    *_, last = network.layers
    with tf.GradientTape() as tape:
        x = tf.constant(features)
        tape.watch(x)
        hidden = x
        for layer in network.layers[:-1]:
            hidden = layer(hidden)
        kernel, bias = last.weights
        logits = hidden @ kernel + bias
        above = tf.reduce_max(logits, axis=1) - tf.reduce_mean(logits, axis=1)
    found: NDArray[np.float64] = (tape.gradient(above, x).numpy() * features).astype(np.float64)
    return found


def is_settled(network: Any, features: Floats) -> NDArray[np.bool_]:
    """Whether the saliency of each picture is the same however its sums are rounded, (N,).

    It jumps where a hidden unit begins to answer, and where another digit becomes the most probable one: very near to
    that, two ways of adding up the same numbers find themselves on different sides. Of a thousand test images 1 to 7
    are so near, with the shipped network.
    """
    kernel, bias = network.get_weights()[:2]
    before = features @ kernel + bias
    logits = np.sort(activations(network, features)[1], axis=1)
    # What is 0 to the bit, as with a unit that was pruned, is so either way.
    sides = (np.abs(before) > _ROUNDING) | (before == 0)
    settled: NDArray[np.bool_] = sides.all(axis=1) & (logits[:, -1] - logits[:, -2] > _ROUNDING)
    return settled


def _places(model: Any) -> tuple[str, str]:
    """The names of the hidden layer, and of the logits."""
    # The first ReLU: a head that is there already has others.
    relu, softmax = (next(node for node in model.graph.node if node.op_type == kind) for kind in ("Relu", "Softmax"))
    return relu.output[0], softmax.input[0]


def _add(model: Any, name: str, values: NDArray[Any]) -> None:
    import onnx

    model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))


def _checked(model: Any) -> bytes:
    import onnx

    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content
