"""A training run says what it replaces, replaces nothing better by accident, and is alone in its output."""

import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from digits.errors import PublishFailed
from digits.model.artifact import LearnedCorrections
from digits.model.classifier import Classifier
from tests.conftest import REPOSITORY, SHIPPED_VERSION, Outcome, publish_tiny
from tests.training.conftest import Arrays, Command, published_in, saved
from training import pipeline
from training.errors import NotPublished, OutputInUse
from training.publish.lock import exclusive
from training.publish.replacement import check_fewer_errors, check_forgets_nothing

HOLD = """
import sys, time
from pathlib import Path
from training.publish.lock import exclusive
with exclusive(Path(sys.argv[1])):
    print("holding", flush=True)
    time.sleep(600)
"""


def test_the_folder_of_one_version_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    folder = publish_tiny(tmp_path).folder
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(PublishFailed, match="expected the folder of all published versions"):
        pipeline.train(None, {}, pipeline.DataOptions("none"), seed=0, output=folder, resume=False)

    assert sorted(tmp_path.rglob("*")) == before


@pytest.fixture
def halves() -> Arrays:
    """90 pictures for training and 60 for testing. One half of each is light, so every network can learn them."""
    rng = np.random.default_rng(0)
    labels = np.arange(150) % 2
    pixels = rng.integers(0, 100, (150, 28, 28), dtype=np.uint8)
    pixels[labels == 0, :, :14] += 150
    pixels[labels == 1, :, 14:] += 150
    names = np.array(["left", "right"])
    parts = {"x_train": pixels[:90], "y_train": labels[:90], "x_test": pixels[90:], "y_test": labels[90:]}
    return parts | {"class_names": names}


def train(command: Command, folder: Path, arrays: Arrays, *options: object) -> Outcome:
    folder.mkdir(exist_ok=True)
    file = saved(folder / "own.npz", arrays)
    small = ("--preprocessing", "resize", "--validation-split", 0, "--epochs", 1)
    return command("train", "--data", file, "--output", folder / "models", *small, *options)


def test_a_network_that_is_not_better_than_chance_is_published_only_by_force(
    tmp_path: Path, command: Command, halves: Arrays
) -> None:
    useless = halves | {"y_train": 1 - halves["y_train"]}

    refused = train(command, tmp_path, useless)

    assert refused.code == 3
    assert "above 0.5000, the share of the largest class, received 0.0000 (95 % interval" in refused.err
    assert [entry.name for entry in (tmp_path / "models/mnist-dense").iterdir()] == [".training"]
    assert [entry.name for entry in (tmp_path / "models/mnist-dense/.training").iterdir()] == ["lock"]
    forced = train(command, tmp_path, useless, "--force")
    assert forced.code == 0, forced.err
    card = (published_in(tmp_path / "models") / "report/README.md").read_text()
    assert "This network is not better than chance" in card


def test_if_better_publishes_what_is_not_worse_than_the_newest_version_of_the_same_classes_and_names_what_it_replaces(
    tmp_path: Path, command: Command, halves: Arrays
) -> None:
    worse = halves | {"y_train": np.where(np.arange(90) < 44, 1 - halves["y_train"], halves["y_train"])}

    first = train(command, tmp_path, halves, "--if-better")
    version = published_in(tmp_path / "models").name
    refused = train(command, tmp_path, worse, "--if-better", "--force")
    publish_tiny(tmp_path / "models")  # a newer version, of digits
    equal = train(command, tmp_path, halves, "--if-better", "--seed", "1")

    assert first.code == 0, first.err
    assert refused.code == 3
    assert f"worse than version {version}: expected a test accuracy of about 1.0000, received 0." in refused.err
    assert equal.code == 0, equal.err
    assert f"version {version} on the same test images: accuracy 1.0000" in equal.out
    shipped, own = (outcome.out.split("starting TensorFlow")[0] for outcome in (first, refused))
    assert f"models uses mnist-dense version {SHIPPED_VERSION} (digits), the shipped version" in shipped
    assert f"models uses mnist-dense version {version} (left, right), its newest version" in own


def test_a_folder_with_too_high_a_number_is_named_and_does_not_set_the_number_of_the_new_version(
    tmp_path: Path, command: Command, halves: Arrays
) -> None:
    high = tmp_path / "models/mnist-dense/1234567890"
    high.mkdir(parents=True)

    outcome = train(command, tmp_path, halves)

    assert outcome.code == 0
    assert f"published: {high.with_name('1000')}\n" in outcome.out
    expected = "expected a version number of at most nine digits, received 10 digits"
    assert outcome.err == f"digits: not used: {high}: {expected}\n"


def test_a_recalibrated_network_is_published_only_if_it_is_better_too(
    tmp_path: Path, command: Command, halves: Arrays
) -> None:
    useless = halves | {"y_train": 1 - halves["y_train"]}
    train(command, tmp_path / "useless", useless, "--recipe", "lecture", "--validation-split", 0.3, "--force")
    train(command, tmp_path, halves)
    version = published_in(tmp_path / "models").name
    folder, data = published_in(tmp_path / "useless/models"), tmp_path / "useless/own.npz"
    arguments = ("train", "--recalibrate", folder, "--data", data, "--output", tmp_path / "models")

    refused = command(*arguments)
    forced_if_better = command(*arguments, "--force", "--if-better")
    names = [entry.name for entry in (tmp_path / "models/mnist-dense").iterdir() if entry.name.isdigit()]
    forced = command(*arguments, "--force")

    assert refused.code == 3
    assert "above 0.5000, the share of the largest class, received 0.0000" in refused.err
    assert forced_if_better.code == 3
    assert f"worse than version {version}: expected a test accuracy of about 1.0000" in forced_if_better.err
    assert names == [version]
    assert forced.code == 0, forced.err
    assert Classifier.load(tmp_path / f"models/mnist-dense/{int(version) + 1}").manifest.preprocessing == "resize"


@pytest.mark.parametrize(
    ("worse", "better", "is_refused"),
    [(0, 0, False), (4, 0, False), (5, 0, True), (10, 4, False), (10, 3, True), (3, 10, False)],
)
def test_a_network_that_misreads_more_training_images_than_chance_explains_is_refused(
    worse: int, better: int, *, is_refused: bool
) -> None:
    before, after = np.zeros(5000, dtype=bool), np.zeros(5000, dtype=bool)
    before[:better] = True
    after[better : better + worse] = True

    with pytest.raises(NotPublished, match=f"misreads {worse} that") if is_refused else nullcontext():
        check_forgets_nothing(before, after)


@pytest.mark.parametrize(("after", "is_refused"), [(1, False), (2, True), (3, True)])
def test_a_network_is_refused_unless_it_misreads_fewer_corrections_that_were_held_back(
    after: int, *, is_refused: bool
) -> None:
    counts = {"digits": (30, 30), "before": (2, 0), "after": (0, after)}
    learned = LearnedCorrections(version=7, graph="f" * 12, seed=0, pictures=60, **counts)

    with pytest.raises(NotPublished, match=f"received {after}$") if is_refused else nullcontext():
        check_fewer_errors(learned)


def test_a_second_run_into_one_output_names_the_first_until_it_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as first:
        try:
            assert first.stdout is not None
            assert first.stdout.readline() == "holding\n"

            with pytest.raises(OutputInUse, match=f"received process {first.pid} on .*, since "), exclusive(tmp_path):
                pass
        finally:
            first.kill()

    with exclusive(tmp_path):
        pass
