"""Versions for Triton and TensorFlow Serving compute the same as the classifier."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from google.protobuf import text_format

from app.settings import Settings
from digits.features import Floats, to_features
from digits.model.artifact import MODEL, NAME
from digits.model.classifier import Classifier
from tests.app.dialects import triton_grpc
from tests.conftest import REPOSITORY, SHIPPED_VERSION, Mnist, Published, fresh_python
from tests.training.conftest import Command
from training.publish.formats import to_triton

triton_config = triton_grpc().model_config_pb2

EXPORT = """
import sys, training.cli as cli
cli.app(sys.argv[1:], standalone_mode=False)
print(*{"tensorflow", "keras"} & set(sys.modules))
"""
"""Runs a command and prints which of the two packages it imported."""

WHOLE = f"{SHIPPED_VERSION}/model.onnx"


@pytest.fixture(scope="module")
def features(mnist: Mnist) -> Floats:
    return to_features(mnist.pixels[::39][:128])


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model's folder in the Triton repository that the command line wrote, without TensorFlow."""
    root = tmp_path_factory.mktemp("triton")

    process = fresh_python("-c", EXPORT, "export", "--format", "triton", "--output", root)

    assert process.stderr == ""
    assert process.stdout.splitlines()[-2:] == [f"written: {root / NAME / str(SHIPPED_VERSION)}", ""]
    return root / NAME


@pytest.fixture(scope="module")
def savedmodel(command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the version that the command line wrote for TensorFlow Serving."""
    root = tmp_path_factory.mktemp("savedmodel")
    outcome = command("export", "--format", "savedmodel", "--output", root)
    assert outcome.code == 0, outcome.err
    return root / NAME / str(SHIPPED_VERSION)


def config(text: str) -> Any:
    """Parse as Triton does, where an unknown field or type is an error."""
    return text_format.Parse(text, triton_config.ModelConfig())


def content(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


class TestTriton:
    def test_the_repository_has_the_files_that_triton_expects_and_declares_the_graphs_inputs_and_outputs(
        self, triton: Path, classifier: Classifier
    ) -> None:
        graph = onnxruntime.InferenceSession((triton / WHOLE).read_bytes())

        read = config((triton / "config.pbtxt").read_text())

        assert set(content(triton)) == {"config.pbtxt", "labels.txt", WHOLE}
        assert (triton / "labels.txt").read_text().splitlines() == list(classifier.manifest.classes)
        assert (read.name, read.max_batch_size) == (NAME, Settings().max_batch)
        labels = {each.name: each.label_filename for each in read.output}
        assert labels == {"probabilities": "labels.txt", "novelty": ""}
        for tensors, nodes in ((read.input, graph.get_inputs()), (read.output, graph.get_outputs())):
            # The batch dimension is not declared. A reshape gives the graph's shape.
            shapes = {
                each.name: ["N", *(each.reshape.shape if each.HasField("reshape") else each.dims)] for each in tensors
            }
            assert shapes == {node.name: node.shape for node in nodes}
            assert {node.type for node in nodes} == {"tensor(float)"}
            assert {triton_config.DataType.Name(each.data_type) for each in tensors} == {"TYPE_FP32"}
            assert all(each.dims for each in tensors), "Triton allows no empty shape"
            assert not any(each.optional for each in read.input), "Triton cannot batch an optional input"
        assert read.version_policy.HasField("all")
        (warmup,), (given,) = read.model_warmup, read.input
        assert (warmup.batch_size, list(warmup.inputs)) == (1, [given.name])
        assert warmup.inputs[given.name].data_type == given.data_type
        assert warmup.inputs[given.name].dims == given.dims

    def test_the_graph_computes_exactly_the_classifiers_scores_without_saliency(
        self, triton: Path, classifier: Classifier, features: Floats
    ) -> None:
        model = onnx.load(triton / WHOLE)
        onnx.checker.check_model(model, full_check=True)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # like the classifier's, so that sums have the same order
        graph = onnxruntime.InferenceSession(model.SerializeToString(), options)

        for batch in (1, 3, 128):
            probabilities, novelty = graph.run(["probabilities", "novelty"], {"features": features[:batch]})

            expected = classifier.scores(features[:batch])
            np.testing.assert_array_equal(probabilities, expected.probabilities)
            np.testing.assert_array_equal(novelty, expected.novelty)
        assert {each.name for each in model.graph.output} == {"probabilities", "novelty"}
        assert graph.get_overridable_initializers() == []
        assert not [each.name for each in model.graph.initializer if each.name.startswith("saliency")]

    def test_a_version_without_novelty_keeps_its_graph(self, published: Published) -> None:
        files = to_triton(Classifier.load(published.folder))

        assert files.version == {"model.onnx": (published.folder / MODEL).read_bytes()}
        assert [each.name for each in config(files.model["config.pbtxt"].decode()).output] == ["probabilities"]


def test_both_signatures_of_a_saved_model_compute_the_scores_and_no_file_contains_a_path_of_this_machine(
    savedmodel: Path, classifier: Classifier, features: Floats
) -> None:
    import tensorflow as tf

    signatures = tf.saved_model.load(str(savedmodel)).signatures

    for batch in (1, 128):
        plain = signatures["serving_default"](features=tf.constant(features[:batch]))
        both = signatures["with_novelty"](features=tf.constant(features[:batch]))

        expected = classifier.scores(features[:batch])
        assert expected.novelty is not None
        assert (set(plain), set(both)) == ({"probabilities"}, {"probabilities", "novelty"})
        assert both["novelty"].shape == (batch,)
        for probabilities in (plain["probabilities"], both["probabilities"]):
            np.testing.assert_allclose(probabilities, expected.probabilities, rtol=0, atol=1e-5)
        np.testing.assert_allclose(both["novelty"], expected.novelty, rtol=0, atol=1e-4)
    paths = (str(REPOSITORY), sys.prefix, str(Path.home()) + "/", "/tmp/")
    assert not [name for name, data in content(savedmodel).items() for path in paths if path.encode() in data]


def test_an_existing_version_is_not_replaced(triton: Path, command: Command) -> None:
    before = content(triton)

    outcome = command("export", "--format", "triton", "--output", triton.parent)

    assert outcome.code == 2
    assert outcome.err == (
        f"digits: {triton / str(SHIPPED_VERSION)}: expected a new version, received one that exists; "
        "it was not changed\n"
    )
    assert content(triton) == before
