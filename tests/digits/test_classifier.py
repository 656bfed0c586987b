"""A classifier computes what its graph says, and refuses a graph that is not what was published."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from digits.errors import DamagedArtifact, GoldenMismatch, NoUsableModel
from digits.features import CLASSES, FEATURES, to_features
from digits.model import artifact
from digits.model import classifier as classifier_module
from digits.model.artifact import GOLDEN, MANIFEST, MODEL, Tensor
from digits.model.classifier import (
    GOLDEN_TOLERANCE,
    MAX_REASONS,
    MAX_VERSIONS,
    Classifier,
    candidates,
    load_newest,
)
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
    renumber,
    rewrite,
    run_graph,
    serialized,
)


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return Classifier.load(publish_tiny(tmp_path_factory.mktemp("models")).folder)


@pytest.fixture
def nothing_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty root instead of the shipped one."""
    shipped = tmp_path / "shipped"
    monkeypatch.setattr(classifier_module, "SHIPPED", shipped)
    monkeypatch.setattr(artifact, "SHIPPED", shipped)
    return shipped


@pytest.fixture
def trusted(tmp_path: Path) -> Published:
    """A version with calibration, novelty and saliency."""
    return publish_trusted(tmp_path / "trusted")


class TestProbabilities:
    def test_a_batch_gives_the_same_as_its_rows_one_by_one(self, classifier: Classifier, mnist: Mnist) -> None:
        features = to_features(mnist.pixels[::50])

        batch = classifier.probabilities(features)

        singles = np.vstack([classifier.probabilities(row[None]) for row in features])
        np.testing.assert_allclose(batch, singles, rtol=0, atol=1e-6)

    def test_they_are_the_outputs_of_the_graph(self, classifier: Classifier) -> None:
        features = to_features(golden_pixels())

        probabilities = classifier.probabilities(features)

        np.testing.assert_array_equal(probabilities, run_graph(make_graph(0), features))


def change_golden(folder: Path, **changes: Any) -> None:
    """Change fields of the image of a 3 in a version's golden.json. None removes a field."""
    golden = json.loads((folder / GOLDEN).read_bytes())
    image = {**golden["images"][3], **changes}
    golden["images"][3] = {name: value for name, value in image.items() if value is not None}
    rewrite(folder, GOLDEN, json.dumps(golden).encode())


def shift_golden_probability(folder: Path, difference: float) -> None:
    """Change one golden probability of the image of a 3."""
    probabilities = json.loads((folder / GOLDEN).read_bytes())["images"][3]["probabilities"]
    probabilities[4] += difference
    change_golden(folder, probabilities=probabilities)


def graph_that_ends_in(*nodes: Any, constants: dict[str, Any] | None = None) -> bytes:
    """Return a graph with the right signature whose last nodes are these."""
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


DOUBLE = onnx.TensorProto.DOUBLE


class TestLoad:
    def test_a_published_version_loads(self, published: Published) -> None:
        loaded = Classifier.load(published.folder)

        assert loaded.manifest == published.manifest
        np.testing.assert_array_equal(loaded.golden.pixels, golden_pixels())

    @pytest.mark.parametrize(
        "model",
        [
            pytest.param(b"", id="empty"),
            pytest.param(b"no graph", id="text"),
            pytest.param(make_graph(0)[:1000], id="a graph cut short"),
            pytest.param(
                graph_that_ends_in(onnx.helper.make_node("NoSuchOperator", ["logits"], ["probabilities"])),
                id="an operator that does not exist",
            ),
        ],
    )
    def test_a_model_that_is_not_a_graph_is_refused(self, model: bytes, published: Published) -> None:
        rewrite(published.folder, MODEL, model)
        expected = f"model.onnx of version {published.manifest.version}: ONNX Runtime cannot load the graph"

        with pytest.raises(DamagedArtifact, match=re.escape(expected)):
            Classifier.load(published.folder)

    def test_weights_outside_of_the_model_file_are_refused(
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
            pytest.param(make_graph(0, input_name="pixels"), "['pixels tensor(float) [-1, 784]']", id="input name"),
            pytest.param(make_graph(0, output_name="y"), "['y tensor(float) [-1, 10]']", id="output name"),
            pytest.param(make_graph(0, features=783), "['features tensor(float) [-1, 783]']", id="input width"),
            pytest.param(make_graph(0, dtype=DOUBLE), "['features tensor(double) [-1, 784]']", id="dtype"),
            pytest.param(TWO_OUTPUTS.SerializeToString(), "'logits tensor(float) [-1, 10]'", id="an extra output"),
        ],
    )
    def test_a_graph_that_differs_from_the_declared_signature_is_refused(
        self, model: bytes, message: str, published: Published
    ) -> None:
        rewrite(published.folder, MODEL, model)

        with pytest.raises(DamagedArtifact, match=f"model.onnx of .*: expected .*received .*{re.escape(message)}"):
            Classifier.load(published.folder)

    @pytest.mark.parametrize(
        ("graph", "declared", "shape"),
        [
            pytest.param({"input_name": "other"}, "inputs", (-1, FEATURES), id="input"),
            pytest.param({"output_name": "other"}, "outputs", (-1, CLASSES), id="output"),
        ],
    )
    def test_an_unknown_declared_signature_is_refused(
        self, graph: dict[str, Any], declared: str, shape: tuple[int, ...], published: Published
    ) -> None:
        rewrite(published.folder, MODEL, make_graph(0, **graph))
        edit_manifest(published.folder, {declared: [Tensor(name="other", dtype="float32", shape=shape).model_dump()]})

        with pytest.raises(DamagedArtifact, match=f"{MANIFEST} of version .*: expected the (input feat|output prob)"):
            Classifier.load(published.folder)

    @pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"images": "0123456789"}'])
    def test_invalid_golden_predictions_are_refused(self, content: bytes, published: Published) -> None:
        rewrite(published.folder, GOLDEN, content)

        with pytest.raises(DamagedArtifact, match=re.escape(str(published.folder / GOLDEN))):
            Classifier.load(published.folder)

    @pytest.mark.parametrize(
        "changes",
        [
            pytest.param({"digit": 4}, id="two images of a class"),
            pytest.param({"pixels": [0] * 783}, id="a pixel too few"),
            pytest.param({"pixels": [0] * 783 + [256]}, id="a pixel of 256"),
            pytest.param({"pixels": [0] * 783 + ["black"]}, id="a pixel of text"),
            pytest.param({"pixels": None}, id="no pixels"),
            pytest.param({"probabilities": [0.1] * 9}, id="a probability too few"),
            pytest.param({"novelty": None}, id="novelty missing for one image"),
            pytest.param({"novelty": "much"}, id="novelty of text"),
        ],
    )
    def test_an_invalid_golden_image_is_refused(self, changes: dict[str, Any], trusted: Published) -> None:
        change_golden(trusted.folder, **changes)

        with pytest.raises(DamagedArtifact, match=re.escape(str(trusted.folder / GOLDEN))):
            Classifier.load(trusted.folder)

    @pytest.mark.parametrize("difference", [0.9 * GOLDEN_TOLERANCE, -0.9 * GOLDEN_TOLERANCE])
    def test_golden_predictions_within_the_tolerance_are_accepted(
        self, difference: float, published: Published
    ) -> None:
        shift_golden_probability(published.folder, difference)

        Classifier.load(published.folder)

    @pytest.mark.parametrize("output", ["probabilities", "novelty"])
    @pytest.mark.parametrize(
        ("difference", "shown"),
        [
            pytest.param(1.1 * GOLDEN_TOLERANCE, "0.00011", id="above"),
            pytest.param(-1.1 * GOLDEN_TOLERANCE, "0.00011", id="below"),
            pytest.param(float("nan"), "nan", id="NaN"),
            pytest.param(float("inf"), "inf", id="infinite"),
        ],
    )
    def test_golden_predictions_that_are_not_reproduced_are_refused(
        self, output: str, difference: float, shown: str, trusted: Published
    ) -> None:
        value = np.array(json.loads((trusted.folder / GOLDEN).read_bytes())["images"][3][output])
        value.flat[0] += difference
        change_golden(trusted.folder, **{output: value.tolist()})

        expected = f"expected the golden {output} within 0.0001, received a difference of {shown}"
        with pytest.raises(GoldenMismatch, match=f"version {trusted.manifest.version}: {re.escape(expected)}"):
            Classifier.load(trusted.folder)

    def test_a_graph_that_cannot_be_run_is_refused(self, published: Published) -> None:
        first_three = onnx.helper.make_node("Slice", ["logits", "from", "to"], ["probabilities"])
        constants = {"from": np.array([0], np.int64), "to": np.array([3], np.int64)}
        rewrite(published.folder, MODEL, graph_that_ends_in(first_three, constants=constants))

        with pytest.raises(GoldenMismatch, match=f"version {published.manifest.version}: "):
            Classifier.load(published.folder)


def trust_graph_with(changes: Callable[[Any], Any]) -> bytes:
    model = onnx.load_from_string(make_trust_graph(0))
    changes(model.graph)
    content: bytes = model.SerializeToString()
    return content


def without_explain(graph: Any) -> None:
    """Remove the input `explain`, so that saliency is always computed."""
    del graph.input[1]


def with_explain_inverted(graph: Any) -> None:
    """Compute saliency if and only if `explain` is false."""
    switch = next(node for node in graph.node if node.op_type == "If")
    then, otherwise = switch.attribute
    then.name, otherwise.name = otherwise.name, then.name


class TestTrust:
    def test_a_pass_gives_probabilities_novelty_and_saliency(self, trusted: Published, mnist: Mnist) -> None:
        features = to_features(mnist.pixels[::50])
        classifier = Classifier.load(trusted.folder)

        probabilities, novelty = classifier.scores(features)

        np.testing.assert_allclose(probabilities, run_graph(make_graph(0), features), atol=1e-6)
        assert novelty is not None
        np.testing.assert_allclose(novelty, 2 * features.mean(axis=1), atol=1e-6)
        assert classifier.explains
        np.testing.assert_array_equal(classifier.saliency(features), -features)
        assert classifier.thresholds[0.99, False].mnist.tolist() == [np.float32(0.2)] * CLASSES

    def test_a_version_without_calibration_has_no_novelty_saliency_or_thresholds(
        self, published: Published, mnist: Mnist
    ) -> None:
        classifier = Classifier.load(published.folder)

        assert classifier.scores(to_features(mnist.pixels[:3])).novelty is None
        assert not classifier.explains
        assert classifier.thresholds == {}
        assert classifier.golden.novelty is None

    def test_novelty_must_be_in_the_graph_and_in_the_golden_predictions(
        self, published: Published, trusted: Published
    ) -> None:
        rewrite(published.folder, GOLDEN, (trusted.folder / GOLDEN).read_bytes())
        rewrite(trusted.folder, GOLDEN, make_files(0)[GOLDEN])

        with pytest.raises(GoldenMismatch, match=re.escape("expected golden novelty of shape (10,), received None")):
            Classifier.load(published.folder)
        with pytest.raises(GoldenMismatch, match=re.escape("expected golden novelty of shape None, received (10,)")):
            Classifier.load(trusted.folder)

    @pytest.mark.parametrize(("name", "shape"), [("novelty", (-1, 1)), ("saliency", (-1, 28, 28))])
    def test_an_output_declared_with_another_shape_is_refused(
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

    def test_saliency_without_the_input_explain_is_refused(self, trusted: Published) -> None:
        rewrite(trusted.folder, MODEL, trust_graph_with(without_explain))

        with pytest.raises(DamagedArtifact, match="expected saliency with the optional input explain, a boolean"):
            Classifier.load(trusted.folder)

    def test_saliency_that_ignores_the_input_explain_is_refused(self, trusted: Published) -> None:
        rewrite(trusted.folder, MODEL, trust_graph_with(with_explain_inverted))

        with pytest.raises(
            GoldenMismatch, match=re.escape("expected golden saliency of shape (10, 784), received (0, 784)")
        ):
            Classifier.load(trusted.folder)


EXPECTED = "expected mnist-dense/<version>/ in this folder, found none"


def link_to_itself(root: Path) -> None:
    root.mkdir()
    (root / artifact.NAME).symlink_to(root / artifact.NAME)


class TestLoadNewest:
    @pytest.mark.usefixtures("nothing_shipped")
    def test_the_highest_usable_version_is_served_and_the_others_are_reported(self, tmp_path: Path) -> None:
        _, usable, damaged, wrong = (publish_tiny(tmp_path, seed) for seed in range(4))
        (damaged.folder / MODEL).unlink()
        shift_golden_probability(wrong.folder, 0.5)

        classifier, refusals = load_newest(tmp_path)

        assert classifier.manifest == usable.manifest
        assert len(refusals) == 2
        assert refusals[0].startswith(f"version {wrong.manifest.version}: expected the golden probabilities")
        assert refusals[1] == f"{damaged.folder / MODEL}: missing"

    @pytest.mark.parametrize(
        ("prepare", "reason", "has_default"),
        [
            pytest.param(lambda _: None, "{root} does not exist", True, id="no folder"),
            pytest.param(lambda root: root.write_text(""), "{root} is not a folder", True, id="a file"),
            pytest.param(lambda root: root.mkdir(), EXPECTED, True, id="an empty folder"),
            pytest.param(
                lambda root: (root / artifact.NAME / "abc").mkdir(parents=True), EXPECTED, True, id="no version"
            ),
            pytest.param(link_to_itself, "{root}/mnist-dense cannot be listed: ", False, id="a link to itself"),
            pytest.param(
                lambda root: (root / artifact.NAME / "1000").mkdir(parents=True),
                "{root}/mnist-dense/1000/manifest.json: missing",
                False,
                id="a damaged version",
            ),
        ],
    )
    def test_the_shipped_model_answers_only_for_a_default_folder_without_versions(
        self,
        prepare: Callable[[Path], object],
        reason: str,
        tmp_path: Path,
        nothing_shipped: Path,
        *,
        has_default: bool,
    ) -> None:
        shipped = publish_tiny(nothing_shipped)
        own = tmp_path / "own"
        prepare(own)

        with pytest.raises(NoUsableModel) as refusal:
            load_newest(own)
        by_default = load_newest(own, is_named=False)[0].manifest if has_default else None

        start = f"no usable version of mnist-dense in {own}; {reason.format(root=own)}"
        assert str(refusal.value).startswith(start)
        assert by_default == (shipped.manifest if has_default else None)

    def test_the_folder_of_one_version_can_be_named(self, tmp_path: Path, nothing_shipped: Path) -> None:
        renumber(publish_tiny(nothing_shipped), 2)
        older, newer = (publish_tiny(tmp_path / "own", seed) for seed in range(2))
        copied = shutil.copytree(older.folder, tmp_path / "copy" / older.folder.name)

        assert load_newest(older.folder)[0].manifest == older.manifest
        assert load_newest(copied)[0].manifest == older.manifest
        (newer.folder / MODEL).unlink()
        for folder, reason in ((newer.folder, f"{newer.folder / MODEL}: missing"), (tmp_path / "own/7", "does not")):
            with pytest.raises(NoUsableModel, match=re.escape(reason)):
                load_newest(folder)
        with pytest.raises(NoUsableModel, match="known versions: 1000"):
            load_newest(older.folder, version=2)

    def test_a_published_version_is_preferred_to_a_shipped_one(self, tmp_path: Path, nothing_shipped: Path) -> None:
        own = publish_tiny(tmp_path / "own")
        shipped = renumber(publish_tiny(nothing_shipped), 1001)

        classifier, _ = load_newest(tmp_path / "own")

        assert shipped.manifest.version > own.manifest.version
        assert classifier.manifest == own.manifest

    @pytest.mark.parametrize("seed", [pytest.param(0, id="the same graph"), pytest.param(1, id="another graph")])
    def test_a_number_that_exists_twice_with_different_graphs_is_reported(
        self, seed: int, tmp_path: Path, nothing_shipped: Path
    ) -> None:
        shipped = renumber(publish_tiny(nothing_shipped), 2)
        own = renumber(publish_tiny(tmp_path / "own", seed), 2)

        classifier, refusals = load_newest(tmp_path / "own")

        graphs = [each.manifest.files[MODEL][:12] for each in (own, shipped)]
        assert classifier.model_id == (2, graphs[0])
        text = "{}: {} has the same number and another graph ({} instead of {})"
        assert refusals == [text.format(shipped.folder, own.folder, *graphs)] * seed

    def test_a_required_version_is_loaded_wherever_it_is(self, tmp_path: Path, nothing_shipped: Path) -> None:
        shipped = renumber(publish_tiny(nothing_shipped), 2)
        own = [publish_tiny(tmp_path / "own", seed) for seed in range(3)]

        chosen = [load_newest(tmp_path / "own", version=each.manifest.version) for each in (shipped, own[1])]

        assert [classifier.manifest for classifier, _ in chosen] == [shipped.manifest, own[1].manifest]

    def test_no_other_version_replaces_a_damaged_required_one(self, tmp_path: Path, nothing_shipped: Path) -> None:
        publish_tiny(nothing_shipped)  # has the same number
        own = [publish_tiny(tmp_path / "own", seed) for seed in range(2)]
        wanted = own[0].manifest.version
        (own[0].folder / MODEL).unlink()

        with pytest.raises(NoUsableModel) as refusal:
            load_newest(tmp_path / "own", version=wanted)

        assert str(refusal.value) == (
            f"no usable version {wanted} of mnist-dense in {tmp_path / 'own'}; {own[0].folder / MODEL}: missing"
        )

    @pytest.mark.usefixtures("nothing_shipped")
    def test_of_too_many_versions_the_highest_and_the_kept_one_are_candidates_and_few_are_named(
        self, tmp_path: Path
    ) -> None:
        for version in range(1, MAX_VERSIONS + 6):
            (tmp_path / artifact.NAME / str(version)).mkdir(parents=True)

        folders = candidates(tmp_path, keep=3).own
        with pytest.raises(NoUsableModel) as refusal:
            load_newest(tmp_path)

        assert [int(folder.name) for folder in folders] == [*range(MAX_VERSIONS + 5, 5, -1), 3]
        assert str(refusal.value).count("missing") == MAX_REASONS
        assert str(refusal.value).endswith(f"; and {MAX_VERSIONS - MAX_REASONS} more")

    def test_the_shipped_root_is_not_tried_twice(self, nothing_shipped: Path) -> None:
        damaged = publish_tiny(nothing_shipped)
        (damaged.folder / MODEL).unlink()

        with pytest.raises(NoUsableModel) as refusal:
            load_newest(nothing_shipped)

        assert str(refusal.value).count("missing") == 1
