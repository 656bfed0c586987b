"""Measure on test images how well a version's calibration, prediction sets and novelty keep their promises."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits.features import Floats, Grey
from digits.model.artifact import MAX_NOVELTY, Calibration, PredictionSets
from digits.model.classifier import Scores
from digits.model.prediction_sets import class_thresholds, stored_thresholds
from training.trust.calibration import HeldBack
from training.trust.conformal import coverage_band, other_folds_thresholds
from training.trust.reliability import Reliability, reliability, rescale

BAND_ERROR = 0.05
"""Probability that chance alone puts at least one of the coverages outside its band."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """The prediction sets of one level on the test images."""

    level: float
    """The promised coverage, between 0 and 1."""
    per_class: bool
    """Whether each digit has its own threshold."""
    covered: float
    """Share of images whose true digit is in the set."""
    worst_class: float
    """The same share for the digit that has the smallest one."""
    band: tuple[float, float] | None
    """Range of `covered` that chance explains, with a Bonferroni correction for the number of levels. None for
    thresholds per digit, and for those of the other folds."""
    size: float
    """Mean number of digits in a set."""
    empty: float
    """Share of images with an empty set."""
    single: float
    """Share of images whose set has exactly one digit."""


@dataclass(frozen=True, slots=True)
class Detection:
    """How well the novelty separates one kind of non-digit pictures from digits."""

    auroc: float
    """Probability that such a picture has a higher novelty than a digit."""
    above_1: float
    """Share of such pictures with a novelty above 1, which the service reports as not a digit."""
    accepted: float
    """Share of such pictures whose answer has `accept`."""
    pixels: Grey
    """The accepted ones, uint8 (M, 28, 28)."""
    digits: NDArray[np.int64]
    """(M,), what they are read as."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """How many answers have `accept`, which says that they need no check."""

    of_images: int
    """Of the test images, or of all images if each was scored by a network that has not seen it."""
    of_copies: int
    """Of a distorted copy of each."""
    images: int
    """The number of images."""


@dataclass(frozen=True, slots=True)
class Trust:
    """The complete measurement on one set of test images."""

    before: Reliability
    """Reliability of the probabilities as trained."""
    after: Reliability
    """Reliability after the logits were divided by the temperature."""
    coverage: list[Coverage]
    """The prediction sets for pictures in MNIST form, on the test images."""
    normalized_coverage: list[Coverage]
    """The prediction sets for normalized pictures, on a distorted copy of each test image. Empty for a version without
    them."""
    accepted: Accepted | None = None
    """None for a version whose answers have no `accept`."""
    shipped: Accepted | None = None
    """The same of the shipped model. None for a version whose training has distorted digits as that of the shipped one
    has, and for other classes."""
    false_alarms: Mapping[str, float] = field(default_factory=dict)
    """Share of digits with a novelty above 1: of the test images, and of their copies. Empty without novelty."""
    detection: Mapping[str, Detection] = field(default_factory=dict)
    """Kind of non-digit to its detection, from `detect`. Empty for a version without novelty."""


def evaluate(calibration: Calibration, held_back: HeldBack, detection: Mapping[str, Detection]) -> Trust:
    """Compare a version's calibration with what is said about images that it was not trained on.

    These are test images, or those of the calibration if they have folds. `detection` is as in Trust.
    """
    scores, copies, labels, folds = held_back.scores, held_back.copies, held_back.labels, held_back.folds
    temperature, served = calibration.temperature, scores.probabilities
    before = rescale(served, 1 / temperature.value) if temperature.folded else served
    after = served if temperature.folded else rescale(served, temperature.value)
    return Trust(
        before=reliability(before, labels),
        after=reliability(after, labels),
        coverage=coverage(calibration.prediction_sets, served, labels, calibration.calibration_images, folds),
        normalized_coverage=[]
        if calibration.normalized_sets is None or copies is None
        else coverage(calibration.normalized_sets, copies.probabilities, labels, calibration.calibration_images, folds),
        accepted=accepted(calibration, held_back),
        false_alarms={
            name: float((novelty > MAX_NOVELTY).mean())
            for name, measured in (("test images", scores), ("distorted copies", copies))
            if measured is not None and (novelty := measured.novelty) is not None
        },
        detection=detection,
    )


def accepted(calibration: Calibration, held_back: HeldBack) -> Accepted | None:
    """Count the answers with `accept` to images and to their copies, as pictures that were normalized."""
    images, copies = (
        None if scores is None else is_accepted(calibration, scores, held_back)
        for scores in (held_back.scores, held_back.copies)
    )
    if images is None or copies is None:
        return None
    return Accepted(int(images.sum()), int(copies.sum()), len(images))


def is_accepted(
    calibration: Calibration, scores: Scores, held_back: HeldBack | None = None
) -> NDArray[np.bool_] | None:
    """Return which answers have `accept` if their pictures were normalized, (N,). None if answers have none.

    If the scores are those of images that were held back in folds, each is compared with the other folds.
    """
    probabilities, novelty = scores
    stored = stored_thresholds(calibration, probabilities.shape[1]).get((calibration.coverage, False))
    if novelty is None or stored is None:
        return None
    limits = stored.mnist if stored.normalized is None else stored.normalized
    if held_back is not None and held_back.folds is not None and held_back.copies is not None:
        calibrated, coverage = held_back.copies.probabilities, calibration.coverage
        limits = other_folds_thresholds(calibrated, held_back.labels, held_back.folds, coverage)
    has_one: NDArray[np.bool_] = (probabilities >= limits).sum(axis=1) == 1
    return has_one & (novelty <= MAX_NOVELTY)


def coverage(
    sets: PredictionSets,
    probabilities: Floats,
    labels: NDArray[Any],
    calibration_images: int,
    folds: NDArray[np.int64] | None = None,
) -> list[Coverage]:
    """Measure the prediction sets of every level, first with the common threshold and then with one per digit.

    The probabilities are float32 (N, classes), the labels (N,). The thresholds come from `calibration_images` images,
    or for images with folds, from those of the other folds. There are none per digit then.
    """
    rows = []
    for level in sets.levels:
        for per_class in (False, True):
            if per_class and (level.per_class is None or folds is not None):
                continue
            thresholds = class_thresholds(level, per_class=per_class, classes=probabilities.shape[1])
            if folds is not None:
                thresholds = other_folds_thresholds(probabilities, labels, folds, level.coverage)
            members = probabilities >= thresholds
            covered, size = members[np.arange(len(labels)), labels], members.sum(axis=1)
            band = None
            if not per_class and folds is None:
                error = BAND_ERROR / len(sets.levels)
                band = coverage_band(level.coverage, calibration_images, len(labels), error=error)
            rows.append(
                Coverage(
                    level=level.coverage,
                    per_class=per_class,
                    covered=float(covered.mean()),
                    worst_class=min(float(covered[labels == digit].mean()) for digit in np.unique(labels)),
                    band=band,
                    size=float(size.mean()),
                    empty=float((size == 0).mean()),
                    single=float((size == 1).mean()),
                )
            )
    return rows


def detect(
    digits: NDArray[Any], others: Mapping[str, tuple[Grey, Scores]], calibration: Calibration
) -> dict[str, Detection]:
    """Measure how well novelty separates digits from each kind of non-digit.

    Args:
        digits: (N,), the novelty of test images.
        others: kind to normalized pictures, uint8 (M, 28, 28), and their scores, with novelty. Kinds without pictures
            are left out of the result.
        calibration: has the prediction sets. No answer is accepted without those of the default coverage.
    """
    from sklearn.metrics import roc_auc_score

    detection = {}
    for kind, (pixels, (probabilities, novelty)) in others.items():
        if novelty is None or not len(pixels):
            continue
        is_mistaken = is_accepted(calibration, Scores(probabilities, novelty))
        if is_mistaken is None:
            is_mistaken = np.zeros(len(pixels), dtype=bool)
        is_non_digit = np.repeat([0, 1], [len(digits), len(novelty)])
        detection[kind] = Detection(
            auroc=float(roc_auc_score(is_non_digit, np.concatenate([digits, novelty]))),
            above_1=float((novelty > MAX_NOVELTY).mean()),
            accepted=float(is_mistaken.mean()),
            pixels=pixels[is_mistaken],
            digits=probabilities.argmax(axis=1)[is_mistaken],
        )
    return detection
