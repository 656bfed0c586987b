"""The calibration in the manifest is computed, and evaluated on test images."""

from pathlib import Path

import numpy as np
import pytest

from digits.features import Floats, Grey, to_features
from digits.model.artifact import Calibration, Level, PredictionSets, Temperature
from digits.model.classifier import Classifier, Scores
from tests.conftest import make_calibration, publish_trusted
from training.data.images import Split
from training.trust import conformal
from training.trust.calibration import HeldBack, calibrate
from training.trust.evaluation import accepted, coverage, detect
from training.trust.imitations import imitations

TEMPERATURE = Temperature(value=1.5, folded=True)


@pytest.fixture
def split() -> Split:
    """50, 60 and 120 pictures of noise, with the same number of each digit."""
    rng = np.random.default_rng(0)

    def part(count: int) -> Grey:
        return (rng.random((count, 28, 28)) ** 3 * 256).astype(np.uint8)

    labels = np.arange(120, dtype=np.uint8) % 10
    return Split(part(50), labels[:50], part(60), labels[:60], part(120), labels)


@pytest.fixture
def classifier(tmp_path: Path) -> Classifier:
    """The tests' small network, with novelty."""
    return Classifier.load(publish_trusted(tmp_path).folder)


def test_calibration_uses_the_calibration_images(classifier: Classifier, split: Split) -> None:
    scores = classifier.scores(to_features(split.x_calibration))

    held_back = HeldBack.of(classifier, split.x_calibration, split.y_calibration)
    calibration = calibrate(held_back, TEMPERATURE, validation_images=60, has_digits=True)

    assert (calibration.validation_images, calibration.calibration_images) == (60, 120)
    assert calibration.temperature == TEMPERATURE
    assert calibration.prediction_sets == conformal.calibrate(scores.probabilities, split.y_calibration)
    copies = classifier.probabilities(to_features(imitations(split.x_calibration, split.y_calibration)))
    assert calibration.normalized_sets == conformal.calibrate(copies, split.y_calibration)
    assert calibration.normalized_sets != calibration.prediction_sets
    assert calibration.novelty is not None
    assert calibration.novelty.false_alarms == 0.05  # fewer than 286 images
    assert (calibration.coverage, calibration.folds) == (0.99, None)
    assert set(calibration.reference) == {"digit", "probability", "ink", "novelty"}
    for reference in calibration.reference.values():
        assert sum(reference.shares) == pytest.approx(1)
        assert len(reference.shares) == len(reference.edges) + 1
    predicted = np.bincount(scores.probabilities.argmax(axis=1), minlength=10) / 120
    assert calibration.reference["digit"].shares == pytest.approx(predicted)


def probabilities(*rows: dict[int, float]) -> Floats:
    made = np.zeros((len(rows), 10), dtype=np.float32)
    for row, shares in zip(made, rows, strict=True):
        row[list(shares)] = list(shares.values())
    return made


FOUR = probabilities({0: 0.9}, {0: 0.5, 1: 0.5}, {1: 0.4, 2: 0.3, 3: 0.3}, {2: 0.2})
LABELS = np.array([0, 1, 1, 2])


def test_coverage_is_the_share_of_sets_that_contain_the_true_digit() -> None:
    per_class = (0.25, 0.45, 0.1, *[1.0] * 7)
    sets = PredictionSets(levels=(Level(coverage=0.9, threshold=0.25, per_class=per_class),))

    common, per_digit = coverage(sets, FOUR, LABELS, 99)

    assert (common.level, common.per_class, per_digit.per_class) == (0.9, False, True)
    assert (common.band, per_digit.band) == (conformal.coverage_band(0.9, 99, 4, error=0.05), None)
    assert (common.covered, per_digit.covered) == (0.75, 0.75)
    assert (common.worst_class, per_digit.worst_class) == (0, 0.5)  # the 2, and the 1s
    assert (common.size, per_digit.size) == ((1 + 2 + 3 + 0) / 4, (1 + 2 + 1 + 1) / 4)
    assert (common.empty, common.single) == (0.25, 0.25)
    assert (per_digit.empty, per_digit.single) == (0, 0.75)


def test_an_answer_of_another_fold_counts_if_its_set_has_one_class_and_its_picture_is_usual() -> None:
    def scores(*rows: float) -> Scores:
        probable = np.array(rows, dtype=np.float32)
        return Scores(np.stack([probable, 1 - probable], axis=1), np.array([0, 0, 0, 1.5], np.float32))

    calibration = Calibration(**make_calibration(coverage=0.9, classes=2))
    images, copies = scores(0.95, 0.55, 0.7, 0.99), scores(0.9, 0.4, 0.8, 0.9)
    labels, folds = np.zeros(4, np.uint8), np.array([0, 1, 2, 3])

    counts = accepted(calibration, HeldBack(np.zeros((4, 28, 28), np.uint8), labels, images, copies, folds))

    # The least probability of the true class among the other copies is 0.4, or 0.8 for the second image.
    assert counts is not None
    assert (counts.of_images, counts.images) == (2, 4)


@pytest.mark.parametrize(
    ("non_digits", "auroc", "above_1", "accepted"),
    [
        pytest.param([1.5, 2.0, 2.5], 1, 1, 0, id="all above every digit"),
        pytest.param([-1.5, -2.0, -2.5], 0, 0, 2 / 3, id="all below every digit"),
        pytest.param([0.505, 1.5, 2.0, 2.5], 0.75 + 0.25 * 0.51, 0.75, 0.25, id="one of four like a digit"),
    ],
)
def test_detection_compares_the_novelty_of_digits_and_non_digits(
    non_digits: list[float], auroc: float, above_1: float, accepted: float
) -> None:
    count = len(non_digits)
    pixels = np.arange(count, dtype=np.uint8)[:, None, None] * np.ones((28, 28), np.uint8)
    # The second one may be two digits, so its answer is never accepted.
    probabilities = np.tile(np.array([0.1, 0.9], np.float32), (count, 1))
    probabilities[1] = 0.5
    # With the threshold for pictures in MNIST form, every set would have two digits.
    calibration = Calibration(**make_calibration(threshold=0.05, normalized_threshold=0.4))
    scores = Scores(probabilities, np.array(non_digits, np.float32))
    others = {"shapes": (pixels, scores), "without pictures": (pixels[:0], scores.select(slice(0)))}

    detection = detect(np.arange(100) / 100, others, calibration)

    (shapes,) = detection.values()
    assert shapes.auroc == pytest.approx(auroc)
    assert (shapes.above_1, shapes.accepted) == (above_1, accepted)
    assert len(shapes.pixels) == round(accepted * count)
    assert (shapes.digits == 1).all()
