"""What does one forward pass cost, by batch size?

    python -m benchmarks.speed.forward --rounds 7 --seconds 0.1

The same network in ONNX Runtime as we serve it, written out in NumPy, and in Keras where TensorFlow is installed; each
on one thread, on features that lie ready. Beside them the processor's own limit: the fastest product of two matrices
that ONNX Runtime or NumPy reached on one thread. A round measures everything once, in an order of its own.
"""

import argparse
import importlib.util
import os
import random
import statistics
import sys
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime

from benchmarks.harness.bodies import GOLDEN, MODEL
from benchmarks.harness.report import header, table
from benchmarks.harness.rounds import seconds_per_call, spread
from digits.classifier import Classifier
from digits.features import CLASSES, FEATURES, Floats, to_features

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024)
PEAK_SIDE = 512
"""Of the matrices that show the limit; both and their product fit into the second-level cache of most."""
ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
}

Pass = Callable[[Floats], Floats]
"""Features, float32 (N, 784), to probabilities, float32 (N, 10)."""


def in_numpy(weights: dict[tuple[int, ...], Floats]) -> Pass:
    """The network as the lecture writes it down; `weights` by shape."""
    (hidden,) = (shape[1] for shape in weights if len(shape) == 2 and shape[0] == FEATURES)
    kernel, bias = weights[FEATURES, hidden], weights[(hidden,)]
    last_kernel, last_bias = weights[hidden, CLASSES], weights[(CLASSES,)]

    def forward(x: Floats) -> Floats:
        logits = np.maximum(x @ kernel + bias, 0) @ last_kernel + last_bias
        exps = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities: Floats = exps / exps.sum(axis=1, keepdims=True)
        return probabilities

    return forward


def in_keras() -> dict[str, Pass]:
    """The saved Keras model, called as tutorials do and compiled once; empty where TensorFlow is not installed."""
    if importlib.util.find_spec("tensorflow") is None:
        return {}
    import keras  # noqa: PLC0415 - ten seconds, and not everywhere
    import tensorflow as tf  # noqa: PLC0415

    model = keras.saving.load_model(MODEL / "model.keras")
    compiled = tf.function(model, input_signature=[tf.TensorSpec((None, FEATURES), tf.float32)])
    return {
        "Keras, `tf.function`": lambda x: compiled(x).numpy(),
        "Keras, `predict`": lambda x: model.predict(x, batch_size=len(x), verbose=0),
    }


def products() -> list[Callable[[], object]]:
    """What multiplies two square matrices and does nothing else: in NumPy, and in ONNX Runtime."""
    square = np.random.default_rng(0).random((PEAK_SIDE, PEAK_SIDE), dtype=np.float32)
    product = np.empty_like(square)
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, square.shape) for name in "xy")
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "product", [x], [y], [onnx.numpy_helper.from_array(square, "w")])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [lambda: np.matmul(square, square, out=product), lambda: session.run(["y"], {"x": square})]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.forward", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=0.1, help="of each measurement (default: %(default)s)")
    options = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
        # BLAS and TensorFlow read these as they are loaded, which was done above: begin anew with them.
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | ONE_THREAD)

    graph = onnx.load(MODEL / "model.onnx").graph
    arrays = [onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer]
    weights = {array.shape: np.ascontiguousarray(array) for array in arrays}
    ways: dict[str, Pass] = {
        "ONNX Runtime": Classifier.load(MODEL).probabilities,
        "NumPy": in_numpy(weights),
        **in_keras(),
    }
    batches = {size: np.resize(to_features(GOLDEN.pixels), (size, FEATURES)) for size in BATCHES}
    for name, forward in ways.items():
        for size, features in batches.items():  # the first call of a size allocates and compiles
            expected = np.resize(GOLDEN.probabilities, (size, CLASSES))
            np.testing.assert_allclose(forward(features), expected, atol=1e-4, err_msg=name)

    limits = products()
    peak = 0.0
    taken: dict[tuple[str, int], list[float]] = {(name, size): [] for name in ways for size in BATCHES}
    for number in range(options.rounds):
        print(f"round {number + 1}/{options.rounds}", file=sys.stderr, flush=True)
        peak = max(peak, *(2 * PEAK_SIDE**3 / seconds_per_call(call, options.seconds) for call in limits))
        for name, size in random.Random(number).sample(list(taken), len(taken)):
            forward, features = ways[name], batches[size]
            seconds = seconds_per_call(lambda f=forward, x=features: f(x), options.seconds)  # type: ignore[misc]
            taken[name, size].append(1e6 * seconds / size)

    operations = sum(2 * array.size for array in arrays if array.ndim == 2)
    versions = ("numpy", "onnxruntime", *(["keras"] if len(ways) > 2 else []))
    print(header(versions))
    print(f"\nMicroseconds an image, median of {options.rounds} rounds (least-greatest), and the share of the peak of")
    print(f"{peak / 1e9:,.0f} GFLOP/s that it makes of {operations:,} operations an image; one thread.\n")
    rows = []
    for size in BATCHES:
        each = [taken[name, size] for name in ways]
        shares = [operations / (statistics.median(values) * 1e-6) / peak for values in each]
        rows.append([str(size), *(f"{spread(v, 2)}, {s:.1%}" for v, s in zip(each, shares, strict=True))])
    print(table(["batch", *ways], rows))


if __name__ == "__main__":
    main()
