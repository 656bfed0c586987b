"""The served graph returns exactly the network's probabilities, and adds novelty and saliency."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("keras")

import onnx
import onnxruntime

from digits.features import Floats, to_features
from digits.model.artifact import EXPLAIN, NOVELTY_OUTPUT, SALIENCY_OUTPUT
from training.data.images import LabelledImages
from training.errors import ParityError
from training.network import layers as network
from training.network.layers import activations
from training.network.recipes import RECIPES
from training.publish import onnx_graph
from training.publish.export import check_parity, export, to_onnx
from training.trust.novelty import Head

HIDDEN, UNITS = 24, 8


def random_head(seed: int) -> Head:
    """Return a head with random weights."""
    rng = np.random.default_rng(seed)
    return Head(rng.normal(size=(HIDDEN, UNITS)), rng.normal(size=UNITS), rng.normal(size=UNITS), 0.3)


def random_network(seed: int) -> Any:
    """Return the lecture's network with fewer hidden units and random weights."""
    made = network.build(replace(RECIPES["lecture"], hidden_units=HIDDEN))
    rng = np.random.default_rng(seed)
    made.set_weights([rng.normal(0, 0.15, weights.shape) for weights in made.get_weights()])
    made.predict(np.zeros((1, 784), dtype=np.float32), verbose=0)  # Keras can only export a network that was called
    return made


@dataclass(frozen=True)
class Served:
    """A network and its head, with sessions of the plain and of the complete graph."""

    network: Any
    head: Head
    plain: Any
    whole: Any


def session(content: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # no warning about the optional input
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def served() -> Served:
    made, head = random_network(0), random_head(0)
    plain = to_onnx(made)
    return Served(made, head, session(plain), session(onnx_graph.with_saliency(onnx_graph.with_novelty(plain, head))))


@st.composite
def pictures(draw: st.DrawFn) -> Floats:
    """Features of 1 to 20 pictures with any amount of ink."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    drawn = rng.random((draw(st.integers(1, 20)), 784)) < draw(st.floats(0, 1))
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
        np.testing.assert_array_equal(probabilities, plain)
    expected = served.head.novelty(*activations(served.network, features))
    assert novelty.shape == (len(features),)
    np.testing.assert_allclose(novelty, expected, rtol=1e-5, atol=1e-4)
    stable = onnx_graph.has_stable_saliency(served.network, features)
    by_tensorflow = onnx_graph.saliency(served.network, features)
    np.testing.assert_allclose(saliency[stable], by_tensorflow[stable], rtol=1e-4, atol=1e-5)


def test_the_graph_is_valid_and_has_the_artifacts_signature_and_no_saliency_unless_requested(served: Served) -> None:
    content = onnx_graph.with_saliency(onnx_graph.with_novelty(to_onnx(served.network), served.head))

    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)

    outputs = [(node.name, node.type, node.shape) for node in served.whole.get_outputs()]
    assert outputs == [
        ("probabilities", "tensor(float)", ["N", 10]),
        ("novelty", "tensor(float)", ["N"]),
        ("saliency", "tensor(float)", ["M", 784]),
    ]
    assert [(node.name, node.shape) for node in served.whole.get_inputs()] == [("features", ["N", 784])]
    optional = [(node.name, node.type) for node in served.whole.get_overridable_initializers()]
    assert optional == [(EXPLAIN, "tensor(bool)")]
    features = {"features": np.ones((3, 784), dtype=np.float32)}
    for inputs in ({}, {EXPLAIN: np.array(False)}):
        assert [each.shape for each in served.whole.run(None, features | inputs)] == [(3, 10), (3,), (0, 784)]


def test_a_graph_with_another_head_is_refused(served: Served) -> None:
    features = np.random.default_rng(0).random((30, 784)).astype(np.float32)
    content = onnx_graph.with_novelty(to_onnx(served.network), replace(served.head, bias=served.head.bias + 0.01))
    expected = served.head.novelty(*activations(served.network, features))

    with pytest.raises(ParityError, match=r"in novelty on 30 test images, received a difference of .*; nothing was"):
        check_parity(content, features, expected, NOVELTY_OUTPUT.name)


def on_the_edge(picture: Floats) -> Any:
    """Return a network whose hidden units all change sign at this picture."""
    made = random_network(0)
    kernel, _, *last = made.get_weights()
    made.set_weights([kernel, -(picture @ kernel), *last])
    return made


def test_a_picture_at_a_discontinuity_of_the_saliency_does_not_prevent_the_export(arrays: dict[str, Any]) -> None:
    data = LabelledImages("other", **arrays)
    features = to_features(data.x_test)
    edge = on_the_edge(features[0])
    saliency = session(onnx_graph.with_saliency(to_onnx(edge))).run(
        ["saliency"], {"features": features, EXPLAIN: np.array(True)}
    )
    off = np.abs(saliency[0] - onnx_graph.saliency(edge, features)).max(axis=1)

    stable = onnx_graph.has_stable_saliency(edge, features)
    exported = export(edge, data, explain=True)

    assert off[0] > 1e-3
    assert off[1:].max() < 1e-5
    assert stable.tolist() == [False] + [True] * (len(features) - 1)
    assert SALIENCY_OUTPUT in exported.outputs


def test_a_network_with_zero_weights_is_exported(arrays: dict[str, Any]) -> None:
    pruned, undecided = random_network(0), random_network(0)
    kernel, bias, last, end = pruned.get_weights()
    pruned.set_weights([0 * kernel, 0 * bias, last, end])
    undecided.set_weights([kernel, bias, 0 * last, 0 * end])

    for made in (pruned, undecided):
        assert SALIENCY_OUTPUT in export(made, LabelledImages("other", **arrays), explain=True).outputs
