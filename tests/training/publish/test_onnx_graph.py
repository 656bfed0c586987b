"""The served graph returns exactly the network's probabilities, and adds novelty and saliency."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digits.features import Floats
from digits.model.artifact import EXPLAIN
from training.network import layers as network
from training.network.layers import activations
from training.network.recipes import RECIPES
from training.publish import onnx_graph
from training.publish.export import to_onnx
from training.trust.novelty import Head

HIDDEN, UNITS = 24, 8


def random_network(seed: int) -> Any:
    """Return the lecture's network with fewer hidden units and random weights."""
    made = network.build(replace(RECIPES["lecture"], hidden_units=HIDDEN))
    rng = np.random.default_rng(seed)
    made.set_weights([rng.normal(0, 0.15, weights.shape) for weights in made.get_weights()])
    made.predict(np.zeros((1, 784), dtype=np.float32), verbose=0)  # Keras can only export a network that was called
    return made


@dataclass(frozen=True)
class Served:
    """A network and its head, with the complete graph, and sessions of the plain and of the complete one."""

    network: Any
    head: Head
    content: bytes
    plain: Any
    whole: Any


def session(content: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # no warning about the optional input
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def served() -> Served:
    made, rng = random_network(0), np.random.default_rng(0)
    head = Head(rng.normal(size=(HIDDEN, UNITS)), rng.normal(size=UNITS), rng.normal(size=UNITS), 0.3)
    plain = to_onnx(made)
    whole = onnx_graph.skipping_zeros(onnx_graph.with_saliency(onnx_graph.with_novelty(plain, head)))
    return Served(made, head, whole, session(plain), session(whole))


@st.composite
def pictures(draw: st.DrawFn) -> Floats:
    """Features of 1 to 20 pictures with any amount of ink."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    drawn = rng.random((draw(st.just(1) | st.integers(2, 20)), 784)) < draw(st.floats(0, 1))
    return np.asarray(rng.random(drawn.shape) * drawn, dtype=np.float32)


@given(features=pictures())
@settings(max_examples=15)
def test_the_graph_returns_the_plain_graphs_probabilities_the_heads_novelty_and_gradient_times_input(
    served: Served, features: Floats
) -> None:
    alone = served.whole.run(["probabilities"], {"features": features})[0]
    beside, novelty = served.whole.run(["probabilities", "novelty"], {"features": features})
    explained, saliency = served.whole.run(
        ["probabilities", "saliency"], {"features": features, EXPLAIN: np.array(True)}
    )

    (plain,) = served.plain.run(None, {"features": features})
    for probabilities in (alone, beside, explained):
        np.testing.assert_allclose(probabilities, plain, atol=1e-5)
    expected = served.head.novelty(activations(served.network, features)[0])
    assert novelty.shape == (len(features),)
    np.testing.assert_allclose(novelty, expected, rtol=1e-5, atol=1e-4)
    stable = onnx_graph.has_stable_saliency(served.network, features)
    by_tensorflow = onnx_graph.saliency(served.network, features)
    np.testing.assert_allclose(saliency[stable], by_tensorflow[stable], rtol=1e-4, atol=1e-5)


def test_a_lone_picture_does_not_read_the_weights_of_black_pixels(served: Served) -> None:
    features = np.ones((2, 784), dtype=np.float32)
    features[:, :700] = 0
    model = onnx.load_from_string(served.content)
    kernel = next(each for each in model.graph.initializer if list(each.dims) == [784, HIDDEN])
    weights = onnx.numpy_helper.to_array(kernel).copy()
    weights[:700] = np.inf
    kernel.CopyFrom(onnx.numpy_helper.from_array(weights, kernel.name))
    marked = session(model.SerializeToString())

    lone, both = (marked.run(["probabilities"], {"features": rows})[0] for rows in (features[:1], features))

    np.testing.assert_allclose(lone, served.plain.run(None, {"features": features[:1]})[0], atol=1e-6)
    assert np.isnan(both).all()  # 0 times infinity
