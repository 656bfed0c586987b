"""How many images per second go through the network and through the API, by batch size?

    python -m benchmarks.speed.batches --rounds 5 --seconds 0.2

The network runs alone, on one thread, with features in memory: in ONNX Runtime as served, in NumPy, and in Keras if
TensorFlow is installed. The API receives one request after another on one connection, as raw bytes and as JSON. The
client uses part of a core to send them.
"""

import importlib.util
import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection

import numpy as np
import onnx
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from benchmarks.harness import services
from benchmarks.harness.bodies import GOLDEN, JSON, MODEL, RAW, compact_json
from benchmarks.harness.command import parser
from benchmarks.harness.report import header, table
from benchmarks.harness.rounds import alternate, seconds_per_call, spread
from benchmarks.harness.servers import post
from digits.features import CLASSES, FEATURES, Floats, to_features
from digits.model.classifier import Classifier

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024)

Forward = Callable[[Floats], Floats]
"""Turns features, float32 (N, 784), into probabilities, float32 (N, 10)."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One measurement that every round repeats."""

    method: str
    size: int
    call: Callable[[], object]


def in_numpy() -> Forward:
    """Return the network as matrix products, as in the lecture."""
    initializers = onnx.load(MODEL / "model.onnx").graph.initializer
    by_shape = {array.shape: array for array in map(onnx.numpy_helper.to_array, initializers)}
    (hidden,) = (shape[1] for shape in by_shape if len(shape) == 2 and shape[0] == FEATURES)
    kernel, bias = np.ascontiguousarray(by_shape[FEATURES, hidden]), by_shape[(hidden,)]
    last_kernel, last_bias = np.ascontiguousarray(by_shape[hidden, CLASSES]), by_shape[(CLASSES,)]

    def forward(x: Floats) -> Floats:
        logits = np.maximum(x @ kernel + bias, 0) @ last_kernel + last_bias
        exps = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities: Floats = exps / exps.sum(axis=1, keepdims=True)
        return probabilities

    return forward


def in_keras() -> dict[str, Forward]:
    """Return the Keras model, once compiled and once called as tutorials do. Return nothing without TensorFlow."""
    if importlib.util.find_spec("tensorflow") is None:
        return {}
    import keras  # noqa: PLC0415 - takes ten seconds, and is not installed everywhere
    import tensorflow as tf  # noqa: PLC0415

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    model = keras.saving.load_model(MODEL / "model.keras")
    compiled = tf.function(model, input_signature=[tf.TensorSpec((None, FEATURES), tf.float32)])
    return {
        "Keras, `tf.function`": lambda x: compiled(x).numpy(),
        "Keras, `predict`": lambda x: model.predict(x, batch_size=len(x), verbose=0),
    }


def network_case(method: str, size: int, forward: Forward) -> Case:
    """Return a measurement of the network alone, after one check of its result."""
    features = np.resize(to_features(GOLDEN.pixels), (size, FEATURES))
    expected = np.resize(GOLDEN.probabilities, (size, CLASSES))
    np.testing.assert_allclose(forward(features), expected, atol=1e-4, err_msg=method)
    return Case(method, size, lambda: forward(features))


def api_case(method: str, size: int, connection: HTTPConnection) -> Case:
    """Return a measurement of a request, after one check of its reply.

    Raises:
        SystemExit: the reply is wrong.
    """
    pixels = np.resize(GOLDEN.pixels, (size, 28, 28))
    body = pixels.tobytes() if method == RAW.name else compact_json({"instances": pixels.tolist()})
    headers = RAW.headers if method == RAW.name else JSON.headers
    reply = post(connection, body, headers)
    document = json.loads(reply.body)
    digits = [prediction["digit"] for prediction in document.get("predictions", [document])]
    if reply.status != 200 or digits != np.resize(GOLDEN.probabilities.argmax(axis=1), size).tolist():
        raise SystemExit(f"{size} pictures as {method}: wrong reply {reply.status}: {reply.body[:300]!r}")
    return Case(f"API, {method}", size, lambda: post(connection, body, headers))


def main() -> None:
    """Print the table."""
    options = parser(__doc__, rounds=5, seconds=0.2).parse_args()
    networks = {"ONNX Runtime": Classifier.load(MODEL).probabilities, "NumPy": in_numpy(), **in_keras()}
    with threadpool_limits(1), services.own().started() as server, closing(server.connect()) as connection:
        cases = [network_case(method, size, forward) for method, forward in networks.items() for size in SIZES]
        cases += [api_case(body.name, size, connection) for body in (RAW, JSON) for size in SIZES]
        seconds = alternate([cases], options.rounds, lambda case: seconds_per_call(case.call, options.seconds))
    rates = {(case.method, case.size): [case.size / each for each in values] for case, values in seconds.items()}
    methods = list(dict.fromkeys(case.method for case in cases))
    print(header(["numpy", "onnxruntime", "uvicorn", *(["keras"] if len(networks) > 2 else [])]))
    print(f"\nImages per second, median of {options.rounds} rounds of {options.seconds} s (least-greatest).\n")
    print(
        table(
            ["batch", *methods], [[str(size), *(spread(rates[method, size]) for method in methods)] for size in SIZES]
        )
    )


if __name__ == "__main__":
    main()
