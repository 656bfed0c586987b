"""What a manifest says of trust, and what test images say of that."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")

from digits.artifact import Level, PredictionSets, Temperature
from digits.classifier import Classifier
from digits.features import Floats, Grey, to_features
from tests.conftest import publish_tiny, publish_trusted
from training.data import Split
from training.trust import conformal
from training.trust.evaluation import NoveltyScore, assess, calibrate, coverage, detect, mean_sizes
from training.trust.reliability import reliability, scaled

TEMPERATURE = Temperature(value=1.5, folded=True)


@pytest.fixture
def split() -> Split:
    """50, 60 and 120 pictures of noise, of each digit as many."""
    rng = np.random.default_rng(0)

    def part(count: int) -> Grey:
        return (rng.random((count, 28, 28)) ** 3 * 256).astype(np.uint8)

    labels = np.arange(120, dtype=np.uint8) % 10
    return Split(part(50), labels[:50], part(60), labels[:60], part(120), labels)


@pytest.fixture
def classifier(tmp_path: Path) -> Classifier:
    """The tiny network with a novelty."""
    return Classifier.load(publish_trusted(tmp_path).folder)


def test_a_calibration_is_taken_from_the_calibration_images(classifier: Classifier, split: Split) -> None:
    features = to_features(split.x_calibration)
    served = classifier.scores(features)

    found = calibrate(classifier, split, TEMPERATURE)

    assert (found.validation_images, found.calibration_images) == (60, 120)
    assert found.temperature == TEMPERATURE
    assert found.prediction_sets == conformal.calibrate(served.probabilities, split.y_calibration)
    assert found.novelty is not None
    assert found.novelty.false_alarms == 0.01
    assert set(found.reference) == {"digit", "probability", "ink", "novelty"}
    for each in found.reference.values():
        assert sum(each.shares) == pytest.approx(1)
        assert len(each.shares) == len(each.edges) + 1
    predicted = np.bincount(served.probabilities.argmax(axis=1), minlength=10) / 120
    assert found.reference["digit"].shares == pytest.approx(predicted)


def test_a_network_without_novelty_is_calibrated_without_it(tmp_path: Path, split: Split) -> None:
    plain = Classifier.load(publish_tiny(tmp_path).folder)

    found = calibrate(plain, split, TEMPERATURE)

    assert found.novelty is None
    assert set(found.reference) == {"digit", "probability", "ink"}


@pytest.mark.parametrize("folded", [True, False], ids=["folded", "only told"])
def test_reliability_is_told_of_the_logits_before_and_after_the_temperature(
    classifier: Classifier, split: Split, folded: bool
) -> None:
    calibration = calibrate(classifier, split, Temperature(value=1.5, folded=folded))
    scores = classifier.scores(to_features(split.x_validation))
    served = scores.probabilities

    found = assess(calibration, scores, split.y_validation)

    as_served = reliability(served, split.y_validation).metrics()
    other = reliability(scaled(served, 1 / 1.5 if folded else 1.5), split.y_validation).metrics()
    expected = (other, as_served) if folded else (as_served, other)
    assert (found.before.metrics(), found.after.metrics()) == expected
    assert [row.level for row in found.coverage] == [0.9, 0.9, 0.95, 0.99]
    assert (found.sizes, found.detection) == ({}, {})


def probabilities(*rows: dict[int, float]) -> Floats:
    made = np.zeros((len(rows), 10), dtype=np.float32)
    for row, shares in zip(made, rows, strict=True):
        row[list(shares)] = list(shares.values())
    return made


FOUR = probabilities({0: 0.9}, {0: 0.5, 1: 0.5}, {1: 0.4, 2: 0.3, 3: 0.3}, {2: 0.2})
LABELS = np.array([0, 1, 1, 2])


def test_coverage_counts_who_is_in_the_sets() -> None:
    sets = PredictionSets(levels=(Level(coverage=0.9, threshold=0.25),))

    (found,) = coverage(sets, FOUR, LABELS, None)

    assert (found.level, found.per_class, found.band) == (0.9, False, None)
    assert found.covered == 0.75
    assert found.worst_class == 0  # the 2
    assert found.size == (1 + 2 + 3 + 0) / 4
    assert (found.empty, found.single) == (0.25, 0.25)


def test_thresholds_per_digit_have_a_line_of_their_own_and_no_band() -> None:
    per_class = (0.25, 0.45, 0.1, *[1.0] * 7)
    sets = PredictionSets(levels=(Level(coverage=0.9, threshold=0.25, per_class=per_class),))

    common, per_digit = coverage(sets, FOUR, LABELS, 99)

    assert (common.per_class, per_digit.per_class) == (False, True)
    assert (common.band, per_digit.band) == (conformal.coverage_band(0.9, 99, 4, error=0.05), None)
    assert per_digit.covered == 0.75
    assert per_digit.worst_class == 0.5  # the 1s
    assert per_digit.size == (1 + 2 + 1 + 1) / 4
    assert (per_digit.empty, per_digit.single) == (0, 0.75)


def test_the_bands_are_wider_the_more_levels_there_are() -> None:
    levels = [Level(coverage=share, threshold=0.5) for share in (0.9, 0.95)]
    many, labels = np.tile(FOUR, (100, 1)), np.tile(LABELS, 100)

    one, two = (coverage(PredictionSets(levels=tuple(levels[:count])), many, labels, 1000)[0].band for count in (1, 2))

    assert one == conformal.coverage_band(0.9, 1000, 400, error=0.05)
    assert two == conformal.coverage_band(0.9, 1000, 400, error=0.025)
    assert one != two


def test_the_mean_size_of_lacs_sets_is_that_of_the_thresholds(classifier: Classifier, split: Split) -> None:
    served = classifier.probabilities(to_features(split.x_validation))
    sets = calibrate(classifier, split, TEMPERATURE).prediction_sets
    expected = {row.level: row.size for row in coverage(sets, served, split.y_validation, None) if not row.per_class}

    found = mean_sizes(classifier, split)

    assert list(found) == ["LAC", "APS", "RAPS"]
    assert found["LAC"] == pytest.approx(expected)
    assert set(found["APS"]) == set(found["RAPS"]) == set(expected)


def test_sizes_of_levels_that_too_few_images_carry_are_left_out(classifier: Classifier, split: Split) -> None:
    few = replace(split, x_calibration=split.x_calibration[:20], y_calibration=split.y_calibration[:20])

    assert set(mean_sizes(classifier, few)["LAC"]) == {0.9, 0.95}


def grey(*levels: float) -> Grey:
    """Pictures of one grey each."""
    return np.repeat(np.array(levels, dtype=np.uint8), 28 * 28).reshape(-1, 28, 28)


def brightness(features: Floats) -> np.ndarray:
    found: np.ndarray = features.mean(axis=1).astype(np.float64)
    return found


def test_a_score_that_tells_all_pictures_from_digits_has_an_auroc_of_1() -> None:
    found = detect({"brightness": brightness}, grey(*range(100)), {"bright": grey(150, 200, 250)})["brightness"][
        "bright"
    ]

    assert (found.auroc, found.fpr95) == (1, 0)


@pytest.mark.parametrize(
    ("score", "auroc", "fpr95"),
    [
        pytest.param(lambda features: -brightness(features), 0, 1, id="the wrong way round"),
        pytest.param(lambda features: np.zeros(len(features)), 0.5, 1, id="no difference"),
    ],
)
def test_a_score_that_does_not_tell_has_none(score: NoveltyScore, auroc: float, fpr95: float) -> None:
    found = detect({"score": score}, grey(*range(100)), {"bright": grey(150, 200, 250)})["score"]["bright"]

    assert (found.auroc, found.fpr95) == (auroc, fpr95)


def test_one_picture_in_four_that_looks_like_a_digit_passes() -> None:
    found = detect({"brightness": brightness}, grey(*range(100)), {"mixed": grey(50, 150, 200, 250)})

    assert found["brightness"]["mixed"].fpr95 == 0.25
    assert found["brightness"]["mixed"].auroc == pytest.approx(0.75 + 0.25 * 0.505)


def test_a_kind_without_pictures_is_left_out() -> None:
    found = detect({"brightness": brightness}, grey(1, 2), {"none": grey()[:0], "bright": grey(9)})

    assert set(found["brightness"]) == {"bright"}
