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
from digits.features import CLASSES, to_features
from digits.model import artifact, discovery
from digits.model.artifact import GOLDEN, MODEL
from digits.model.classifier import GOLDEN_TOLERANCE, Classifier, load_newest
from tests.conftest import (
    Mnist,
    Published,
    golden_pixels,
    make_files,
    make_graph,
    make_trust_graph,
    publish_tiny,
    publish_trusted,
    rewrite,
    run_graph,
)


@pytest.fixture
def nothing_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shipped = tmp_path / "shipped"
    monkeypatch.setattr(discovery, "SHIPPED", shipped)
    monkeypatch.setattr(artifact, "SHIPPED", shipped)
    return shipped


@pytest.fixture
def trusted(tmp_path: Path) -> Published:
    return publish_trusted(tmp_path / "trusted")


Damage = Callable[[Path], None]


def with_file(path: str, content: bytes) -> Damage:
    return lambda folder: rewrite(folder, path, content)


def with_image(**changes: Any) -> Damage:
    """Return a function that changes fields of the image of a 3 in golden.json. None removes a field."""

    def damage(folder: Path) -> None:
        golden = json.loads((folder / GOLDEN).read_bytes())
        image = {**golden["images"][3], **changes}
        golden["images"][3] = {name: value for name, value in image.items() if value is not None}
        rewrite(folder, GOLDEN, json.dumps(golden).encode())

    return damage


def shifted(output: str, difference: float) -> Damage:
    """Return a function that changes one golden value of the image of a 3."""

    def damage(folder: Path) -> None:
        value = np.array(json.loads((folder / GOLDEN).read_bytes())["images"][3][output])
        value.flat[0] += difference
        with_image(**{output: value.tolist()})(folder)

    return damage


def with_trust_graph(change: Callable[[Any], Any]) -> Damage:
    model = onnx.load_from_string(make_trust_graph(0))
    change(model.graph)
    return with_file(MODEL, model.SerializeToString())


def invert_explain(graph: Any) -> None:
    """Compute saliency if and only if `explain` is false."""
    switch = next(node for node in graph.node if node.op_type == "If")
    then, otherwise = switch.attribute
    then.name, otherwise.name = otherwise.name, then.name


def forget_novelty_of_a_lone_picture(graph: Any) -> None:
    (producer,) = (node for node in graph.node if node.output[0] == "novelty")
    producer.output[0] = "known"
    graph.initializer.append(onnx.numpy_helper.from_array(np.array([1]), "one"))
    graph.node.extend(
        [
            onnx.helper.make_node("Shape", ["features"], ["size"], start=0, end=1),
            onnx.helper.make_node("Greater", ["size", "one"], ["is_one_of_several"]),
            onnx.helper.make_node("Cast", ["is_one_of_several"], ["factor"], to=onnx.TensorProto.FLOAT),
            onnx.helper.make_node("Mul", ["known", "factor"], ["novelty"]),
        ]
    )


NO_NOVELTY = with_file(GOLDEN, make_files(0)[GOLDEN])
ALWAYS_EXPLAINED = with_trust_graph(lambda graph: graph.input.pop())
NOT_EXPLAINED = with_trust_graph(invert_explain)
WRONG_ALONE = with_trust_graph(forget_novelty_of_a_lone_picture)
TWO_OUTPUTS = onnx.load_from_string(make_graph(0))
TWO_OUTPUTS.graph.output.append(onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["N", CLASSES]))
DOUBLE = onnx.TensorProto.DOUBLE
NO_GRAPH = "model.onnx of version 1000: ONNX Runtime cannot load the graph"

WRONG_IMAGES: dict[str, dict[str, Any]] = {
    "another class": {"digit": 4},
    "a pixel too few": {"pixels": [0] * 783},
    "a pixel of 256": {"pixels": [0] * 783 + [256]},
    "a probability too few": {"probabilities": [0.1] * 9},
    "no novelty": {"novelty": None},
}


def received(tensor: str) -> str:
    return f"model.onnx of version 1000: expected .*received .*{re.escape(tensor)}"


class TestLoad:
    def test_a_version_gives_probabilities_novelty_and_saliency(self, trusted: Published, mnist: Mnist) -> None:
        features = to_features(mnist.pixels[::50])

        classifier = Classifier.load(trusted.folder)

        probabilities, novelty = classifier.scores(features)
        np.testing.assert_allclose(probabilities, run_graph(make_graph(0), features), atol=1e-6)
        assert novelty is not None
        np.testing.assert_allclose(novelty, 2 * features.mean(axis=1), atol=1e-6)
        assert classifier.explains
        np.testing.assert_array_equal(classifier.saliency(features), -features)
        assert classifier.thresholds[0.99, False].mnist.tolist() == [np.float32(0.2)] * CLASSES
        assert classifier.manifest == trusted.manifest
        np.testing.assert_array_equal(classifier.golden.pixels, golden_pixels())

    @pytest.mark.parametrize(
        ("damage", "error", "message"),
        [
            pytest.param(with_file(MODEL, b""), DamagedArtifact, NO_GRAPH, id="an empty model"),
            pytest.param(with_file(MODEL, make_graph(0)[:1000]), DamagedArtifact, NO_GRAPH, id="a graph cut short"),
            *(
                pytest.param(with_file(MODEL, model), DamagedArtifact, received(tensor), id=tensor)
                for model, tensor in (
                    (make_graph(0, input_name="pixels"), "['pixels tensor(float) [-1, 784]']"),
                    (make_graph(0, output_name="y"), "['y tensor(float) [-1, 10]']"),
                    (make_graph(0, features=783), "['features tensor(float) [-1, 783]']"),
                    (make_graph(0, dtype=DOUBLE), "['features tensor(double) [-1, 784]']"),
                    (TWO_OUTPUTS.SerializeToString(), "'logits tensor(float) [-1, 10]'"),
                )
            ),
            *(
                pytest.param(with_file(GOLDEN, content), DamagedArtifact, GOLDEN, id=f"{content[:12]!r} as golden.json")
                for content in (b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"images": "0123456789"}')
            ),
            *(
                pytest.param(with_image(**changes), DamagedArtifact, GOLDEN, id=f"golden image with {name}")
                for name, changes in WRONG_IMAGES.items()
            ),
            *(
                pytest.param(shifted(output, off), GoldenMismatch, f"{output} within .* {shown}", id=f"{output} {off}")
                for output in ("probabilities", "novelty")
                for off, shown in ((1.1e-4, "0.00011"), (-1.1e-4, "0.00011"), (np.nan, "nan"), (np.inf, "inf"))
            ),
            pytest.param(NO_NOVELTY, GoldenMismatch, "novelty of shape None", id="no novelty"),
            pytest.param(WRONG_ALONE, GoldenMismatch, "golden novelty within", id="other novelty of a lone picture"),
            pytest.param(ALWAYS_EXPLAINED, DamagedArtifact, "saliency with the optional input", id="saliency always"),
            pytest.param(NOT_EXPLAINED, GoldenMismatch, r"saliency of shape \(10, 784\), rec", id="no saliency"),
        ],
    )
    def test_a_version_that_is_not_what_was_published_is_refused(
        self, damage: Damage, error: type[Exception], message: str, trusted: Published
    ) -> None:
        damage(trusted.folder)

        with pytest.raises(error, match=message):
            Classifier.load(trusted.folder)

    def test_weights_outside_of_the_model_file_are_refused(
        self, published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = onnx.load_from_string(make_graph(0))
        onnx.save(model, tmp_path / MODEL, save_as_external_data=True, location="weights", size_threshold=0)
        monkeypatch.chdir(tmp_path)
        rewrite(published.folder, MODEL, (tmp_path / MODEL).read_bytes())

        with pytest.raises(DamagedArtifact, match="ONNX Runtime cannot load the graph"):
            Classifier.load(published.folder)

    def test_golden_predictions_within_the_tolerance_are_accepted(self, published: Published) -> None:
        shifted("probabilities", -0.9 * GOLDEN_TOLERANCE)(published.folder)

        Classifier.load(published.folder)


EXPECTED = "expected mnist-dense/<version>/ in this folder, found none"


def with_version(name: str) -> Damage:
    return lambda root: (root / artifact.NAME / name).mkdir(parents=True)


def link_to_itself(root: Path) -> None:
    root.mkdir()
    (root / artifact.NAME).symlink_to(root / artifact.NAME)


class TestLoadNewest:
    @pytest.mark.usefixtures("nothing_shipped")
    def test_the_highest_usable_version_is_served_and_the_others_are_reported(self, tmp_path: Path) -> None:
        _, usable, damaged, wrong = (publish_tiny(tmp_path, seed) for seed in range(4))
        (damaged.folder / MODEL).unlink()
        shifted("probabilities", 0.5)(wrong.folder)

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
            pytest.param(with_version("abc"), EXPECTED, True, id="no version"),
            pytest.param(link_to_itself, "{root}/mnist-dense cannot be listed: ", False, id="a link to itself"),
            pytest.param(with_version("1000"), "{root}/mnist-dense/1000/manifest.json: missing", False, id="damaged"),
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

    @pytest.mark.usefixtures("nothing_shipped")
    def test_a_folder_with_too_high_a_number_is_reported_and_never_used(self, tmp_path: Path) -> None:
        usable, other = (publish_tiny(tmp_path, seed) for seed in range(2))
        high = other.folder.rename(other.folder.with_name("1234567890"))

        classifier, refusals = load_newest(tmp_path)

        reason = f"{high}: expected a version number of at most nine digits, received 10 digits"
        assert classifier.manifest == usable.manifest
        assert refusals == [reason]
        with pytest.raises(NoUsableModel, match=f"{re.escape(reason)}$"):
            load_newest(high)
        with pytest.raises(DamagedArtifact, match=re.escape(reason)):
            Classifier.load(high)
        shutil.rmtree(usable.folder)
        with pytest.raises(NoUsableModel, match=f"in this folder, found none; {re.escape(reason)}$"):
            load_newest(tmp_path)
