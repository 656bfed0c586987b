import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from digits import artifact
from digits import classifier as classifier_module
from digits.artifact import GOLDEN, MANIFEST, MODEL, Tensor
from digits.classifier import (
    GOLDEN_TOLERANCE,
    MAX_REASONS,
    MAX_VERSIONS,
    Classifier,
    Golden,
    candidates,
    load_newest,
)
from digits.errors import DamagedArtifact, GoldenMismatch, NoUsableModel
from digits.features import CLASSES, FEATURES, Floats, to_features
from tests.conftest import (
    Mnist,
    Published,
    edit_manifest,
    golden_pixels,
    make_files,
    make_graph,
    make_trust_graph,
    publish_tiny,
    publish_trusted,
    rewrite,
    run_graph,
    serialized,
)


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return Classifier.load(publish_tiny(tmp_path_factory.mktemp("models")).folder)


@pytest.fixture
def nothing_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shipped root of the test's own, which is empty."""
    shipped = tmp_path / "shipped"
    monkeypatch.setattr(classifier_module, "SHIPPED", shipped)
    monkeypatch.setattr(artifact, "SHIPPED", shipped)
    return shipped


def assert_distributions(probabilities: Floats, count: int) -> None:
    assert probabilities.shape == (count, CLASSES)
    assert probabilities.dtype == np.float32
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


class TestProbabilities:
    def test_for_real_digits_they_are_a_distribution(self, classifier: Classifier, mnist: Mnist) -> None:
        probabilities = classifier.probabilities(to_features(mnist.pixels))

        assert_distributions(probabilities, 5000)

    @given(arrays(np.float32, st.tuples(st.integers(0, 5), st.just(FEATURES)), elements=st.floats(0, 1, width=32)))
    def test_for_any_features_they_are_a_distribution(self, classifier: Classifier, features: Floats) -> None:
        assert_distributions(classifier.probabilities(features), len(features))

    def test_a_batch_gives_what_its_rows_give_one_by_one(self, classifier: Classifier, mnist: Mnist) -> None:
        features = to_features(mnist.pixels[::50])

        batch = classifier.probabilities(features)

        singles = np.vstack([classifier.probabilities(row[None]) for row in features])
        np.testing.assert_allclose(batch, singles, rtol=0, atol=1e-6)

    def test_they_are_what_the_graph_says(self, classifier: Classifier, tiny_graph: Callable[[int], bytes]) -> None:
        features = to_features(golden_pixels())

        probabilities = classifier.probabilities(features)

        np.testing.assert_array_equal(probabilities, run_graph(tiny_graph(0), features))


class TestGolden:
    @settings(deadline=None)
    @given(
        arrays(np.uint8, (CLASSES, 28, 28)),
        arrays(np.float32, (CLASSES, CLASSES), elements=st.floats(0, 1, width=32)),
    )
    def test_written_then_read_is_identity(self, pixels: np.ndarray, probabilities: np.ndarray) -> None:
        read = Golden.from_json(Golden(pixels, probabilities).to_json())

        np.testing.assert_array_equal(read.pixels, pixels)
        np.testing.assert_array_equal(read.probabilities, probabilities)


def golden_with(**changes: Any) -> bytes:
    """golden.json of the tiny network with other fields in its image of a 3."""
    golden = json.loads(make_files(0)[GOLDEN])
    golden["images"][3].update(changes)
    return json.dumps(golden).encode()


def golden_off_by(difference: float) -> bytes:
    """golden.json of the tiny network, whose probability of a 4 for the 3 is off."""
    probabilities = json.loads(make_files(0)[GOLDEN])["images"][3]["probabilities"]
    probabilities[4] += difference
    return golden_with(probabilities=probabilities)


def graph_that_ends_in(*nodes: Any, constants: dict[str, Any] | None = None) -> bytes:
    """A graph with the right signature but another ending."""
    values = {"kernel": np.zeros((FEATURES, CLASSES), np.float32), **(constants or {})}
    return serialized(
        onnx.helper.make_graph(
            [onnx.helper.make_node("MatMul", ["features", "kernel"], ["logits"]), *nodes],
            "other",
            [onnx.helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, ["N", FEATURES])],
            [onnx.helper.make_tensor_value_info("probabilities", onnx.TensorProto.FLOAT, ["N", CLASSES])],
            [onnx.numpy_helper.from_array(value, name) for name, value in values.items()],
        )
    )


TWO_OUTPUTS = onnx.load_from_string(make_graph(0))
TWO_OUTPUTS.graph.output.append(onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["N", CLASSES]))


class TestLoad:
    def test_a_published_version_loads(self, published: Published) -> None:
        loaded = Classifier.load(published.folder)

        assert loaded.manifest == published.manifest
        np.testing.assert_array_equal(loaded.golden.pixels, golden_pixels())

    @pytest.mark.parametrize(
        "model",
        [
            pytest.param(b"", id="nothing"),
            pytest.param(b"no graph", id="text"),
            pytest.param(make_graph(0)[:1000], id="a graph cut short"),
            pytest.param(
                graph_that_ends_in(onnx.helper.make_node("NoSuchOperator", ["logits"], ["probabilities"])),
                id="an operator that does not exist",
            ),
        ],
    )
    def test_a_model_that_is_no_graph_is_refused(self, model: bytes, published: Published) -> None:
        rewrite(published.folder, MODEL, model)
        expected = f"model.onnx of version {published.manifest.version}: ONNX Runtime cannot load the graph"

        with pytest.raises(DamagedArtifact, match=re.escape(expected)):
            Classifier.load(published.folder)

    def test_weights_that_lie_outside_of_the_model_are_refused(
        self, published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = onnx.load_from_string(make_graph(0))
        onnx.save(model, tmp_path / MODEL, save_as_external_data=True, location="weights", size_threshold=0)
        monkeypatch.chdir(tmp_path)
        rewrite(published.folder, MODEL, (tmp_path / MODEL).read_bytes())

        with pytest.raises(DamagedArtifact, match="ONNX Runtime cannot load the graph"):
            Classifier.load(published.folder)

    @pytest.mark.parametrize(
        ("model", "message"),
        [
            pytest.param(
                make_graph(0, input_name="pixels"), "received ['pixels tensor(float) [-1, 784]']", id="input name"
            ),
            pytest.param(make_graph(0, output_name="y"), "received ['y tensor(float) [-1, 10]']", id="output name"),
            pytest.param(
                make_graph(0, features=783), "received ['features tensor(float) [-1, 783]']", id="input width"
            ),
            pytest.param(
                make_graph(0, dtype=onnx.TensorProto.DOUBLE),
                "received ['features tensor(double) [-1, 784]']",
                id="dtype",
            ),
            pytest.param(TWO_OUTPUTS.SerializeToString(), "'logits tensor(float) [-1, 10]'", id="an output too many"),
        ],
    )
    def test_a_graph_with_another_signature_than_declared_is_refused(
        self, model: bytes, message: str, published: Published
    ) -> None:
        rewrite(published.folder, MODEL, model)

        with pytest.raises(DamagedArtifact, match=f"model.onnx of .*: expected .*{re.escape(message)}"):
            Classifier.load(published.folder)

    @pytest.mark.parametrize(
        ("model", "declared"),
        [
            pytest.param(
                make_graph(0, input_name="pixels"),
                {"inputs": [Tensor(name="pixels", dtype="float32", shape=(-1, FEATURES)).model_dump()]},
                id="input",
            ),
            pytest.param(
                make_graph(0, output_name="y"),
                {"outputs": [Tensor(name="y", dtype="float32", shape=(-1, CLASSES)).model_dump()]},
                id="output",
            ),
        ],
    )
    def test_a_declared_signature_that_serving_does_not_know_is_refused(
        self, model: bytes, declared: dict[str, Any], published: Published
    ) -> None:
        rewrite(published.folder, MODEL, model)
        edit_manifest(published.folder, declared)

        with pytest.raises(
            DamagedArtifact, match=f"{MANIFEST} of version .*: expected the (input features|output prob)"
        ):
            Classifier.load(published.folder)

    @pytest.mark.parametrize(
        "content",
        [
            pytest.param(b"", id="empty"),
            pytest.param(b"[]", id="no object"),
            pytest.param(b"7", id="a number"),
            pytest.param(b"{}", id="without images"),
            pytest.param(b"\xff", id="not UTF-8"),
            pytest.param(b"[" * 100_000, id="nested without end"),
            pytest.param(b'{"images": []}', id="no images"),
            pytest.param(b'{"images": "0123456789"}', id="text for images"),
            pytest.param(golden_with(digit=4), id="two of one class"),
            pytest.param(golden_with(pixels=[0] * 783), id="a pixel too few"),
            pytest.param(golden_with(pixels=[0] * 785), id="a pixel too many"),
            pytest.param(golden_with(pixels=[0] * 783 + [256]), id="a pixel of 256"),
            pytest.param(golden_with(pixels=[0] * 783 + [-1]), id="a pixel of -1"),
            pytest.param(golden_with(pixels=[0] * 783 + ["black"]), id="a pixel of text"),
            pytest.param(golden_with(pixels=None), id="pixels of null"),
            pytest.param(golden_with(probabilities=[0.1] * 9), id="a probability too few"),
            pytest.param(golden_with(probabilities=[0.1] * 11), id="a probability too many"),
        ],
    )
    def test_golden_predictions_that_are_none_are_refused(self, content: bytes, published: Published) -> None:
        rewrite(published.folder, GOLDEN, content)

        with pytest.raises(DamagedArtifact, match=re.escape(str(published.folder / GOLDEN))):
            Classifier.load(published.folder)

    @pytest.mark.parametrize("difference", [0.0, 0.9 * GOLDEN_TOLERANCE, -0.9 * GOLDEN_TOLERANCE])
    def test_golden_predictions_within_the_tolerance_are_accepted(
        self, difference: float, published: Published
    ) -> None:
        rewrite(published.folder, GOLDEN, golden_off_by(difference))

        Classifier.load(published.folder)

    @pytest.mark.parametrize(
        ("difference", "shown"),
        [
            pytest.param(1.1 * GOLDEN_TOLERANCE, "0.00011", id="just above"),
            pytest.param(-1.1 * GOLDEN_TOLERANCE, "0.00011", id="just below"),
            pytest.param(float("nan"), "nan", id="NaN"),
            pytest.param(float("inf"), "inf", id="infinite"),
        ],
    )
    def test_golden_predictions_that_do_not_come_out_are_refused(
        self, difference: float, shown: str, published: Published
    ) -> None:
        rewrite(published.folder, GOLDEN, golden_off_by(difference))
        version = published.manifest.version
        expected = (
            f"version {version}: expected the golden probabilities within 0.0001, received a difference of {shown}"
        )

        with pytest.raises(GoldenMismatch, match=re.escape(expected)):
            Classifier.load(published.folder)

    def test_the_weights_of_another_network_are_refused(self, published: Published) -> None:
        rewrite(published.folder, MODEL, make_graph(1))

        with pytest.raises(GoldenMismatch):
            Classifier.load(published.folder)

    @pytest.mark.parametrize(
        "model",
        [
            pytest.param(
                graph_that_ends_in(
                    onnx.helper.make_node("Slice", ["logits", "from", "to"], ["three by seven"]),
                    onnx.helper.make_node("Reshape", ["three by seven", "shape"], ["probabilities"]),
                    constants={
                        "from": np.array([0, 0], np.int64),
                        "to": np.array([3, 7], np.int64),
                        "shape": np.array([-1, 10], np.int64),
                    },
                ),
                id="21 numbers into rows of 10",
            ),
            pytest.param(
                graph_that_ends_in(
                    onnx.helper.make_node("Slice", ["logits", "from", "to"], ["probabilities"]),
                    constants={"from": np.array([0], np.int64), "to": np.array([3], np.int64)},
                ),
                id="fewer rows out than in",
            ),
        ],
    )
    def test_a_graph_that_cannot_be_run_is_refused(self, model: bytes, published: Published) -> None:
        rewrite(published.folder, MODEL, model)

        with pytest.raises(GoldenMismatch, match=f"version {published.manifest.version}: "):
            Classifier.load(published.folder)


@pytest.fixture
def trusted(tmp_path: Path) -> Published:
    """A version with calibration, novelty and saliency."""
    return publish_trusted(tmp_path / "trusted")


def change_golden(folder: Path, changes: Callable[[dict[str, Any]], Any]) -> None:
    """Change the golden image of a 3 in a version."""
    golden = json.loads((folder / GOLDEN).read_bytes())
    changes(golden["images"][3])
    rewrite(folder, GOLDEN, json.dumps(golden).encode())


def trust_graph_with(changes: Callable[[Any], Any]) -> bytes:
    model = onnx.load_from_string(make_trust_graph(0))
    changes(model.graph)
    content: bytes = model.SerializeToString()
    return content


def without_the_switch(graph: Any) -> None:
    """Saliency is made always, and there is no input `explain`."""
    del graph.input[1]


def with_a_switch_that_is_a_number(graph: Any) -> None:
    graph.input[1].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    graph.initializer.remove(next(value for value in graph.initializer if value.name == "explain"))
    graph.initializer.append(onnx.numpy_helper.from_array(np.array(0, np.float32), "explain"))
    switch = next(node for node in graph.node if node.op_type == "If")
    switch.input[0] = "truth"
    graph.node.insert(0, onnx.helper.make_node("Cast", ["explain"], ["truth"], to=onnx.TensorProto.BOOL))


def with_the_branches_swapped(graph: Any) -> None:
    """Saliency is made where it is not asked for."""
    switch = next(node for node in graph.node if node.op_type == "If")
    then, otherwise = switch.attribute
    then.name, otherwise.name = otherwise.name, then.name


class TestTrusted:
    def test_a_pass_gives_probabilities_and_novelty(self, trusted: Published, mnist: Mnist) -> None:
        features = to_features(mnist.pixels[::50])
        classifier = Classifier.load(trusted.folder)

        probabilities, novelty = classifier.scores(features)

        np.testing.assert_allclose(probabilities, run_graph(make_graph(0), features), atol=1e-6)
        assert novelty is not None
        np.testing.assert_allclose(novelty, 2 * features.mean(axis=1), atol=1e-6)

    def test_saliency_is_what_the_graph_says_where_it_is_asked(self, trusted: Published, mnist: Mnist) -> None:
        features = to_features(mnist.pixels[::50])
        classifier = Classifier.load(trusted.folder)

        saliency = classifier.saliency(features)

        assert classifier.explains
        np.testing.assert_array_equal(saliency, -features)

    def test_its_thresholds_are_those_of_the_manifest(self, trusted: Published) -> None:
        classifier = Classifier.load(trusted.folder)

        assert classifier.thresholds[0.99, False].tolist() == [np.float32(0.2)] * CLASSES
        assert (0.999, True) not in classifier.thresholds

    def test_a_version_from_before_has_none_of_it(self, published: Published, mnist: Mnist) -> None:
        classifier = Classifier.load(published.folder)

        assert classifier.scores(to_features(mnist.pixels[:3])).novelty is None
        assert not classifier.explains
        assert classifier.thresholds == {}
        assert classifier.golden.novelty is None

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            pytest.param(
                lambda image: image.update(novelty=image["novelty"] + 1.1 * GOLDEN_TOLERANCE),
                "expected the golden novelty within 0.0001, received a difference of 0.00011",
                id="another",
            ),
            pytest.param(lambda image: image.update(novelty=float("nan")), "a difference of nan", id="NaN"),
        ],
    )
    def test_a_golden_novelty_that_does_not_come_out_is_refused(
        self, changes: Callable[[dict[str, Any]], Any], message: str, trusted: Published
    ) -> None:
        change_golden(trusted.folder, changes)

        with pytest.raises(GoldenMismatch, match=re.escape(message)):
            Classifier.load(trusted.folder)

    def test_golden_images_without_the_novelty_that_comes_are_refused(self, trusted: Published) -> None:
        rewrite(trusted.folder, GOLDEN, make_files(0)[GOLDEN])

        with pytest.raises(GoldenMismatch, match=re.escape("expected golden novelty of shape None, received (10,)")):
            Classifier.load(trusted.folder)

    def test_a_golden_novelty_that_no_output_gives_is_refused(self, published: Published, trusted: Published) -> None:
        rewrite(published.folder, GOLDEN, (trusted.folder / GOLDEN).read_bytes())

        with pytest.raises(GoldenMismatch, match=re.escape("expected golden novelty of shape (10,), received None")):
            Classifier.load(published.folder)

    @pytest.mark.parametrize(
        "changes",
        [
            pytest.param(lambda image: image.pop("novelty"), id="missing for one image"),
            pytest.param(lambda image: image.update(novelty="much"), id="text"),
            pytest.param(lambda image: image.update(novelty=[0.1]), id="a list"),
        ],
    )
    def test_a_golden_novelty_that_is_no_number_is_refused(
        self, changes: Callable[[dict[str, Any]], Any], trusted: Published
    ) -> None:
        change_golden(trusted.folder, changes)

        with pytest.raises(DamagedArtifact, match=re.escape(str(trusted.folder / GOLDEN))):
            Classifier.load(trusted.folder)

    @pytest.mark.parametrize(
        ("name", "shape"),
        [
            pytest.param("novelty", (-1, 1), id="novelty as a column"),
            pytest.param("novelty", (1,), id="novelty of one picture"),
            pytest.param("saliency", (-1, 28, 28), id="saliency as pictures"),
            pytest.param("saliency", (-1, 783), id="saliency of a pixel too few"),
        ],
    )
    def test_an_output_that_is_declared_with_another_shape_is_refused(
        self, name: str, shape: tuple[int, ...], trusted: Published
    ) -> None:
        def reshape(graph: Any) -> None:
            next(node for node in graph.node if node.output[0] == name).output[0] = "as it was"
            graph.initializer.append(onnx.numpy_helper.from_array(np.array(shape, np.int64), "shape"))
            graph.node.append(onnx.helper.make_node("Reshape", ["as it was", "shape"], [name]))
            output = next(output for output in graph.output if output.name == name)
            sizes = ["N" if size == -1 else size for size in shape]
            output.CopyFrom(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, sizes))

        declared = [tensor.model_dump() for tensor in trusted.manifest.outputs if tensor.name != name]
        declared.append(Tensor(name=name, dtype="float32", shape=shape).model_dump())
        edit_manifest(trusted.folder, {"outputs": declared})
        rewrite(trusted.folder, MODEL, trust_graph_with(reshape))

        with pytest.raises(DamagedArtifact, match=f"{MANIFEST} of version .*: expected the output {name}"):
            Classifier.load(trusted.folder)

    @pytest.mark.parametrize(
        "changes",
        [
            pytest.param(without_the_switch, id="no such input"),
            pytest.param(with_a_switch_that_is_a_number, id="an input that is a number"),
        ],
    )
    def test_saliency_without_the_input_that_asks_for_it_is_refused(
        self, changes: Callable[[Any], Any], trusted: Published
    ) -> None:
        rewrite(trusted.folder, MODEL, trust_graph_with(changes))

        with pytest.raises(DamagedArtifact, match="expected saliency with the optional input explain, a boolean"):
            Classifier.load(trusted.folder)

    def test_saliency_that_does_not_come_where_it_is_asked_is_refused(self, trusted: Published) -> None:
        rewrite(trusted.folder, MODEL, trust_graph_with(with_the_branches_swapped))

        with pytest.raises(
            GoldenMismatch, match=re.escape("expected golden saliency of shape (10, 784), received (0, 784)")
        ):
            Classifier.load(trusted.folder)


class TestLoadNewest:
    @pytest.mark.usefixtures("nothing_shipped")
    def test_the_highest_version_is_served(self, tmp_path: Path) -> None:
        publish_tiny(tmp_path, seed=1)
        newest = publish_tiny(tmp_path, seed=2)

        classifier, refusals = load_newest(tmp_path)

        assert classifier.manifest == newest.manifest
        assert refusals == []

    @pytest.mark.usefixtures("nothing_shipped")
    def test_version_10_comes_after_version_9(self, tmp_path: Path) -> None:
        (tmp_path / artifact.NAME / "8").mkdir(parents=True)
        publish_tiny(tmp_path)
        newest = publish_tiny(tmp_path)

        classifier, _ = load_newest(tmp_path)

        assert newest.folder.name == "10"
        assert classifier.manifest == newest.manifest

    @pytest.mark.usefixtures("nothing_shipped")
    def test_damaged_versions_are_passed_over_for_the_one_before(self, tmp_path: Path) -> None:
        usable = publish_tiny(tmp_path, seed=1)
        damaged = publish_tiny(tmp_path, seed=2)
        wrong = publish_tiny(tmp_path, seed=3)
        (damaged.folder / MODEL).unlink()
        rewrite(wrong.folder, GOLDEN, golden_off_by(0.5))

        classifier, refusals = load_newest(tmp_path)

        assert classifier.manifest == usable.manifest
        assert len(refusals) == 2
        assert refusals[0].startswith(f"version {wrong.manifest.version}: expected the golden probabilities")
        assert refusals[1] == f"{damaged.folder / MODEL}: missing"

    @pytest.mark.parametrize(
        "prepare",
        [
            pytest.param(lambda _: None, id="no folder"),
            pytest.param(lambda root: (root / artifact.NAME).mkdir(parents=True), id="an empty folder"),
            pytest.param(lambda root: root.write_text(""), id="a file"),
            pytest.param(lambda root: (root / artifact.NAME / "abc").mkdir(parents=True), id="no version in it"),
        ],
    )
    def test_where_nothing_was_published_the_shipped_model_is_served(
        self, prepare: Callable[[Path], object], tmp_path: Path, nothing_shipped: Path
    ) -> None:
        shipped = publish_tiny(nothing_shipped)
        prepare(tmp_path / "own")

        classifier, refusals = load_newest(tmp_path / "own")

        assert classifier.manifest == shipped.manifest
        assert refusals == []

    def test_where_all_is_damaged_the_shipped_model_is_served_and_each_refusal_named(
        self, tmp_path: Path, nothing_shipped: Path
    ) -> None:
        shipped = publish_tiny(nothing_shipped)
        damaged = [publish_tiny(tmp_path / "own", seed) for seed in range(3)]
        for version in damaged:
            (version.folder / MODEL).unlink()

        classifier, refusals = load_newest(tmp_path / "own")

        assert classifier.manifest == shipped.manifest
        assert refusals == [f"{version.folder / MODEL}: missing" for version in reversed(damaged)]

    def test_a_folder_that_cannot_be_listed_is_named_and_the_shipped_model_served(
        self, tmp_path: Path, nothing_shipped: Path
    ) -> None:
        shipped = publish_tiny(nothing_shipped)
        loop = tmp_path / "own" / artifact.NAME
        loop.parent.mkdir()
        loop.symlink_to(loop)

        classifier, refusals = load_newest(tmp_path / "own")

        assert classifier.manifest == shipped.manifest
        assert [str(loop) in refusal for refusal in refusals] == [True]

    def test_an_older_published_version_comes_before_a_newer_shipped_one(
        self, tmp_path: Path, nothing_shipped: Path
    ) -> None:
        own = publish_tiny(tmp_path / "own")
        shipped = publish_tiny(nothing_shipped)

        classifier, _ = load_newest(tmp_path / "own")

        assert shipped.manifest.version == own.manifest.version
        assert classifier.manifest == own.manifest

    def test_where_only_one_version_will_do_it_is_that_one(self, tmp_path: Path, nothing_shipped: Path) -> None:
        shipped = publish_tiny(nothing_shipped)
        own = [publish_tiny(tmp_path / "own", seed) for seed in range(3)]

        chosen = [load_newest(tmp_path / "own", version=each.manifest.version) for each in (shipped, own[1])]

        assert [classifier.manifest for classifier, _ in chosen] == [shipped.manifest, own[1].manifest]

    def test_where_that_one_is_damaged_no_other_takes_its_place(self, tmp_path: Path, nothing_shipped: Path) -> None:
        own = [publish_tiny(tmp_path / "own", seed) for seed in range(2)]
        wanted = own[0].manifest.version
        (own[0].folder / MODEL).unlink()

        with pytest.raises(NoUsableModel) as refusal:
            load_newest(tmp_path / "own", version=wanted)

        assert str(refusal.value) == (
            f"no usable version {wanted} of mnist-dense in {tmp_path / 'own'} or {nothing_shipped}; "
            f"{own[0].folder / MODEL}: missing"
        )

    def test_without_any_usable_version_every_reason_is_given(self, tmp_path: Path, nothing_shipped: Path) -> None:
        shipped = publish_tiny(nothing_shipped)
        own = [publish_tiny(tmp_path / "own", seed) for seed in range(2)]
        for version in (shipped, *own):
            (version.folder / GOLDEN).unlink()

        with pytest.raises(NoUsableModel) as refusal:
            load_newest(tmp_path / "own")

        message = str(refusal.value)
        assert message.startswith(f"no usable version of mnist-dense in {tmp_path / 'own'} or {nothing_shipped}; ")
        for version in (shipped, *own):
            assert f"{version.folder / GOLDEN}: missing" in message

    def test_where_there_is_nothing_at_all_the_places_are_named(self, tmp_path: Path, nothing_shipped: Path) -> None:
        expected = f"no usable version of mnist-dense in {tmp_path / 'own'} or {nothing_shipped}"

        with pytest.raises(NoUsableModel, match=f"^{re.escape(expected)}$"):
            load_newest(tmp_path / "own")

    @pytest.mark.usefixtures("nothing_shipped")
    def test_of_very_many_reasons_the_first_are_given(self, tmp_path: Path) -> None:
        for version in range(1, MAX_REASONS + 3):
            (tmp_path / artifact.NAME / str(version)).mkdir(parents=True)

        with pytest.raises(NoUsableModel) as refusal:
            load_newest(tmp_path)

        assert str(refusal.value).count("missing") == MAX_REASONS
        assert str(refusal.value).endswith("; and 2 more")

    @pytest.mark.usefixtures("nothing_shipped")
    def test_of_very_many_versions_the_highest_are_candidates_and_the_one_to_keep(self, tmp_path: Path) -> None:
        for version in range(1, MAX_VERSIONS + 6):
            (tmp_path / artifact.NAME / str(version)).mkdir(parents=True)

        folders, _ = candidates(tmp_path, keep=3)

        assert [int(folder.name) for folder in folders] == [*range(MAX_VERSIONS + 5, 5, -1), 3]

    @pytest.mark.usefixtures("nothing_shipped")
    def test_a_root_that_leads_to_itself_is_named(self, tmp_path: Path) -> None:
        loop = tmp_path / "loop"
        loop.symlink_to(loop)

        with pytest.raises(NoUsableModel, match=f"{loop / artifact.NAME} cannot be listed: "):
            load_newest(loop)

    def test_the_shipped_root_is_not_tried_twice(self, nothing_shipped: Path) -> None:
        damaged = publish_tiny(nothing_shipped)
        (damaged.folder / MODEL).unlink()

        with pytest.raises(NoUsableModel) as refusal:
            load_newest(nothing_shipped)

        assert str(refusal.value).count("missing") == 1
