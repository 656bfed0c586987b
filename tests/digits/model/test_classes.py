"""A version may have 2 to 100 classes of any name, and old manifests mean the digits."""

from pathlib import Path

import pytest

from digits.errors import DamagedArtifact
from digits.features import to_features
from digits.model.artifact import MODEL
from digits.model.classifier import Classifier
from tests.conftest import Published, edit_manifest, make_calibration, make_graph, publish_classes, rewrite

HUNDRED = [f"class {index}" for index in range(100)]


@pytest.mark.parametrize("names", [["cat", "dog"], HUNDRED], ids=["two", "a hundred"])
def test_a_version_of_2_to_100_classes_loads(tmp_path: Path, names: list[str]) -> None:
    classifier = Classifier.load(publish_classes(tmp_path, names).folder)

    assert classifier.manifest.classes == tuple(names)
    assert classifier.probabilities(to_features(classifier.golden.pixels)).shape == (len(names), len(names))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        pytest.param(["cat"], "expected 2 to 100 classes, received 1", id="one class"),
        pytest.param([*HUNDRED, "more"], "expected 2 to 100 classes, received 101", id="101 classes"),
        pytest.param(["cat", "dog", "cat"], "expected different names, received 'cat' more than once", id="duplicate"),
        pytest.param(["cat", " "], "printable characters, received ' '", id="blank name"),
        pytest.param(["cat", "a\nb"], r"printable characters, received 'a\\nb'", id="line break"),
        pytest.param(["cat", "x" * 101], "expected names of 1 to 100 printable characters", id="101 characters"),
    ],
)
def test_invalid_names_are_refused(published: Published, names: list[str], message: str) -> None:
    edit_manifest(published.folder, {"classes": names})

    with pytest.raises(DamagedArtifact, match=message):
        Classifier.load(published.folder)


def test_parts_for_different_numbers_of_classes_are_refused(tmp_path: Path) -> None:
    folders = [publish_classes(tmp_path, ["cat", "dog", "cow"]).folder for _ in range(3)]
    rewrite(folders[0], MODEL, make_graph(0, classes=4))
    edit_manifest(folders[1], {"classes": ["cat", "dog"]})
    edit_manifest(folders[2], {"calibration": make_calibration(classes=4)})

    outputs = r"expected output .*\[-1, 3\].*, received .*\[-1, 4\]"
    others = ("expected one image for each class, 0 to 1", "expected thresholds for 3 classes, received 4")
    for folder, message in zip(folders, (outputs, *others), strict=True):
        with pytest.raises(DamagedArtifact, match=message):
            Classifier.load(folder)
