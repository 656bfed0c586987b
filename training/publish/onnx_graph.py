"""Edit the ONNX graph of the lecture's network: add novelty and saliency, or remove saliency."""

from typing import Any

import numpy as np
import onnx
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

    explained = _branch(
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
        ["N", FEATURES],
    )
    nothing = [make_node("Identity", ["saliency/none"], ["saliency/unexplained"])]
    unexplained = _branch("unexplained", nothing, [0, FEATURES])
    # An input that also has an initializer is optional.
    model.graph.input.append(make_tensor_value_info(EXPLAIN, onnx.TensorProto.BOOL, []))
    model.graph.node.append(
        make_node("If", [EXPLAIN], [SALIENCY_OUTPUT.name], then_branch=explained, else_branch=unexplained)
    )
    model.graph.output.append(make_tensor_value_info(SALIENCY_OUTPUT.name, onnx.TensorProto.FLOAT, ["M", FEATURES]))
    return _checked(model)


def skipping_zeros(graph: bytes) -> bytes:
    """Multiply a lone picture only by those rows of the hidden layer's kernel whose feature is not 0.

    Four of five features are 0. The kernel (1.6 MB) leaves the processor's cache between two passes, so that a lone
    picture mostly waits for memory. Pictures that share a pass need most of the rows together, and multiply by all.
    """
    model = onnx.load_from_string(graph)
    (index, product), *_ = (
        (index, node) for index, node in enumerate(model.graph.node) if FEATURES_INPUT.name in node.input
    )
    kernel, output = product.input[1], product.output[0]
    units = next(each.dims[1] for each in model.graph.initializer if each.name == kernel)
    _add(model, "skip/one", np.array([1]))
    _add(model, "skip/axis", np.array([0]))
    lone = [
        make_node("Squeeze", [FEATURES_INPUT.name, "skip/axis"], ["skip/picture"]),
        make_node("Cast", ["skip/picture"], ["skip/is_used"], to=onnx.TensorProto.BOOL),
        make_node("Compress", [FEATURES_INPUT.name, "skip/is_used"], ["skip/used"], axis=1),
        make_node("Compress", [kernel, "skip/is_used"], ["skip/rows"], axis=0),
        make_node("MatMul", ["skip/used", "skip/rows"], ["skip/lone"]),
    ]
    several = [make_node("MatMul", product.input, ["skip/several"])]
    branches = {
        "then_branch": _branch("lone", lone, [1, units]),
        "else_branch": _branch("several", several, ["N", units]),
    }
    model.graph.node[index].CopyFrom(make_node("If", ["skip/is_lone"], [output], **branches))
    model.graph.node.insert(index, make_node("Equal", ["skip/size", "skip/one"], ["skip/is_lone"]))
    model.graph.node.insert(index, make_node("Shape", [FEATURES_INPUT.name], ["skip/size"], start=0, end=1))
    return _checked(model)


def without_saliency(graph: bytes) -> bytes:
    """Remove saliency and its input, so that the batch is the first dimension of every input and output."""
    model = onnx.load_from_string(graph)
    for field in (model.graph.initializer, model.graph.input, model.graph.output):
        kept = [each for each in field if each.name.split("/")[0] not in (SALIENCY_OUTPUT.name, EXPLAIN)]
        del field[:]
        field.extend(kept)
    nodes = [node for node in model.graph.node if node.output[0] != SALIENCY_OUTPUT.name]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return _checked(model)


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


def _branch(name: str, nodes: list[Any], shape: list[Any]) -> Any:
    """Return a branch of an If. Its result is the output of the last node."""
    result = make_tensor_value_info(nodes[-1].output[0], onnx.TensorProto.FLOAT, shape)
    return make_graph(nodes, name, [], [result])


def _add(model: Any, name: str, values: NDArray[Any]) -> None:
    model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))


def _checked(model: Any) -> bytes:
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content
