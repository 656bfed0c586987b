"""Edit the ONNX graph of the lecture's network: add novelty and saliency, or remove saliency."""

from typing import Any

import numpy as np
import onnx
import onnx.utils
from numpy.typing import NDArray
from onnx.helper import make_graph, make_node, make_tensor_value_info

from digits.features import FEATURES, Floats
from digits.model.artifact import EXPLAIN, FEATURES_INPUT, NOVELTY_OUTPUT, SALIENCY_OUTPUT
from training.network.layers import activations
from training.trust.novelty import Head

_ROUNDING = 1e-4
"""Upper bound of the rounding error of a sum of 784 products in float32."""


def with_novelty(graph: bytes, head: Head) -> bytes:
    """Add the output `novelty`, which the head computes from the hidden layer."""
    model = onnx.load_from_string(graph)
    hidden, _ = _hidden_and_logits(model)
    constants = {
        "head/kernel": head.hidden_kernel,
        "head/bias": head.hidden_bias,
        "head/last": head.kernel[:, None],
        "head/last/bias": [head.bias],
    }
    for name, values in constants.items():
        _add(model, name, np.asarray(values, dtype=np.float32))
    _add(model, "head/axis", np.array([1]))
    model.graph.node.extend(
        [
            make_node("Gemm", [hidden, "head/kernel", "head/bias"], ["head/sum"]),
            make_node("Relu", ["head/sum"], ["head/hidden"]),
            make_node("Gemm", ["head/hidden", "head/last", "head/last/bias"], ["head/novelty"]),
            make_node("Squeeze", ["head/novelty", "head/axis"], [NOVELTY_OUTPUT.name]),
        ]
    )
    model.graph.output.append(make_tensor_value_info(NOVELTY_OUTPUT.name, onnx.TensorProto.FLOAT, ["N"]))
    return _checked(model)


def with_saliency(graph: bytes) -> bytes:
    """Add the output `saliency`: how much each feature supports the most probable digit.

    Saliency is gradient times input (Shrikumar et al. 2016) of that digit's logit minus the mean of all logits. The
    softmax depends on this difference only. Computing saliency takes as long as the forward pass, so the graph
    computes it only if the optional input `explain` is true.
    """
    model = onnx.load_from_string(graph)
    hidden, logits = _hidden_and_logits(model)
    kernels = {node.input[0]: node.input[1] for node in model.graph.node if node.op_type == "MatMul"}
    weights = {each.name: each for each in model.graph.initializer}
    last = onnx.numpy_helper.to_array(weights[kernels[hidden]])
    _add(model, "saliency/rows", np.ascontiguousarray((last - last.mean(axis=1, keepdims=True)).T))
    _add(model, "saliency/none", np.empty((0, FEATURES), dtype=np.float32))
    _add(model, EXPLAIN, np.array(False))

    def branch(name: str, nodes: list[Any], rows: str | int) -> Any:
        output = nodes[-1].output[0]
        return make_graph(nodes, name, [], [make_tensor_value_info(output, onnx.TensorProto.FLOAT, [rows, FEATURES])])

    explained = branch(
        "explained",
        [
            make_node("ArgMax", [logits], ["saliency/top"], axis=1, keepdims=0),
            make_node("Gather", ["saliency/rows", "saliency/top"], ["saliency/of_top"], axis=0),
            make_node("Sign", [hidden], ["saliency/active"]),  # the derivative of a ReLU
            make_node("Mul", ["saliency/of_top", "saliency/active"], ["saliency/of_hidden"]),
            # The kernel is on the left, because ONNX Runtime keeps a packed copy (1.6 MB) of a constant on the right.
            make_node("Transpose", ["saliency/of_hidden"], ["saliency/columns"]),
            make_node("MatMul", [kernels[FEATURES_INPUT.name], "saliency/columns"], ["saliency/gradients"]),
            make_node("Transpose", ["saliency/gradients"], ["saliency/gradient"]),
            make_node("Mul", ["saliency/gradient", FEATURES_INPUT.name], ["saliency/explained"]),
        ],
        "N",
    )
    unexplained = branch("unexplained", [make_node("Identity", ["saliency/none"], ["saliency/unexplained"])], 0)
    # An input that also has an initializer is optional.
    model.graph.input.append(make_tensor_value_info(EXPLAIN, onnx.TensorProto.BOOL, []))
    model.graph.node.append(
        make_node("If", [EXPLAIN], [SALIENCY_OUTPUT.name], then_branch=explained, else_branch=unexplained)
    )
    model.graph.output.append(make_tensor_value_info(SALIENCY_OUTPUT.name, onnx.TensorProto.FLOAT, ["M", FEATURES]))
    return _checked(model)


def without_saliency(graph: bytes) -> bytes:
    """Remove saliency and its input, so that the batch is the first dimension of every input and output."""
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(graph))
    names = [output.name for output in model.graph.output if output.name != SALIENCY_OUTPUT.name]
    return _checked(onnx.utils.Extractor(model).extract_model([FEATURES_INPUT.name], names))


def read_head(graph: bytes) -> Head:
    """Return the head of a published graph, with the precision of float32."""
    weights = {each.name: onnx.numpy_helper.to_array(each) for each in onnx.load_from_string(graph).graph.initializer}
    return Head(
        weights["head/kernel"],
        weights["head/bias"],
        weights["head/last"][:, 0],
        float(weights["head/last/bias"][0]),
    )


def saliency(network: Any, features: Floats) -> NDArray[np.float64]:
    """Return the saliency of features, (N, 784), by automatic differentiation in TensorFlow."""
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
    gradient_times_input: NDArray[np.float64] = (tape.gradient(above, x).numpy() * features).astype(np.float64)
    return gradient_times_input


def has_stable_saliency(network: Any, features: Floats) -> NDArray[np.bool_]:
    """Return for each picture whether its saliency hardly depends on rounding, (N,).

    Saliency is discontinuous where a hidden unit becomes active and where another digit becomes the most probable one.
    Very close to such a point, two orders of summation can give different results. With the shipped network, 1 to 7 of
    a thousand test images are that close.
    """
    kernel, bias = network.get_weights()[:2]
    before = features @ kernel + bias
    logits = np.sort(activations(network, features)[1], axis=1)
    # An exact 0, such as that of a pruned unit, does not depend on rounding.
    is_clear = (np.abs(before) > _ROUNDING) | (before == 0)
    is_stable: NDArray[np.bool_] = is_clear.all(axis=1) & (logits[:, -1] - logits[:, -2] > _ROUNDING)
    return is_stable


def _hidden_and_logits(model: Any) -> tuple[str, str]:
    """Return the names of the hidden layer and of the logits."""
    # The first ReLU is the network's. A head adds more of them.
    relu, softmax = (next(node for node in model.graph.node if node.op_type == kind) for kind in ("Relu", "Softmax"))
    return relu.output[0], softmax.input[0]


def _add(model: Any, name: str, values: NDArray[Any]) -> None:
    model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))


def _checked(model: Any) -> bytes:
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content
