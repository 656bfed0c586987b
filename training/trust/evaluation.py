"""How far answers can be trusted: thresholds from images that were held back, and their worth on test images."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits.artifact import Calibration, Novelty, PredictionSets, Temperature
from digits.classifier import Classifier, Scores
from digits.drift import EDGES, quantities, reference
from digits.features import Floats, Grey, to_features
from digits.prediction_sets import thresholds
from training.data import Labels, Split
from training.trust import conformal
from training.trust.novelty import FALSE_ALARMS, METHOD
from training.trust.reliability import Reliability, reliability, scaled

ERROR = 0.05
"""With which any of the coverages is outside its band although all is as it should be, all levels together."""

NoveltyScore = Callable[[Floats], NDArray[np.float64]]
"""Features (N, 784) to a score (N,), the higher the less it is a digit."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """One level's prediction sets on a test set."""

    level: float
    per_class: bool
    covered: float
    """Share of images whose true digit is in the set."""
    worst_class: float
    """The same of the digit for which it is least."""
    band: tuple[float, float] | None
    """Within which `covered` lies but for chance (Bonferroni over the levels); None of sets per class."""
    size: float
    """Mean number of digits in the set."""
    empty: float
    """Share of images whose set is empty."""
    single: float
    """Share of those whose set is one digit."""


@dataclass(frozen=True, slots=True)
class Detection:
    """How well a score tells one kind of pictures from digits."""

    auroc: float
    """Probability that such a picture scores higher than a digit."""
    fpr95: float
    """Share of such pictures taken for digits by the threshold that takes 95 % of digits for digits."""
    above_1: float
    """Share of such pictures that score above 1: of the served score, those that are called no digit."""


@dataclass(frozen=True, slots=True)
class Trust:
    """All that is reported of it."""

    before: Reliability
    """Of the probabilities as trained."""
    after: Reliability
    """Of those with logits divided by the temperature."""
    coverage: list[Coverage]
    sizes: Mapping[str, Mapping[float, float]]
    """Score to level to the mean size of its sets on validation images; {} where these are not at hand."""
    detection: Mapping[str, Mapping[str, Detection]]
    """Novelty score to kind of picture."""


def calibrate(classifier: Classifier, split: Split, temperature: Temperature) -> Calibration:
    """What a manifest says, from the calibration images.

    Args:
        classifier: as it will be served.
        split: with parts held back.
        temperature: fitted on validation images.
    """
    features = to_features(split.x_calibration)
    scores = classifier.scores(features)
    found = quantities(features, *scores)
    return Calibration(
        validation_images=len(split.y_validation),
        calibration_images=len(split.y_calibration),
        temperature=temperature,
        prediction_sets=conformal.calibrate(scores.probabilities, split.y_calibration),
        novelty=None if scores.novelty is None else Novelty(method=METHOD, false_alarms=FALSE_ALARMS),
        reference={name: reference(values, EDGES[name]) for name, values in found.items()},
    )


def assess(
    calibration: Calibration,
    scores: Scores,
    labels: Labels,
    *,
    sizes: Mapping[str, Mapping[float, float]] | None = None,
    detection: Mapping[str, Mapping[str, Detection]] | None = None,
) -> Trust:
    """Hold a calibration against test images.

    Args:
        calibration: of the version.
        scores: what it gives for them.
        labels: (N,)
        sizes: from `mean_sizes`, if they were taken.
        detection: from `detect`, if it was tried.
    """
    temperature = calibration.temperature
    served = scores.probabilities
    before, after = served, served
    if temperature.folded:
        before = scaled(served, 1 / temperature.value)
    else:
        after = scaled(served, temperature.value)
    return Trust(
        before=reliability(before, labels),
        after=reliability(after, labels),
        coverage=coverage(calibration.prediction_sets, served, labels, calibration.calibration_images),
        sizes=sizes or {},
        detection=detection or {},
    )


def coverage(
    sets: PredictionSets, probabilities: Floats, labels: NDArray[Any], calibration_images: int | None
) -> list[Coverage]:
    """Of each level, and of those per class; without a band where the images are not exchangeable (None)."""
    found = []
    for level in sets.levels:
        for per_class in (False, True):
            if per_class and level.per_class is None:
                continue
            members = probabilities >= thresholds(level, per_class=per_class)
            covered, size = members[np.arange(len(labels)), labels], members.sum(axis=1)
            band = None
            if calibration_images is not None and not per_class:
                band = conformal.coverage_band(
                    level.coverage, calibration_images, len(labels), error=ERROR / len(sets.levels)
                )
            found.append(
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
    return found


def mean_sizes(classifier: Classifier, split: Split) -> dict[str, dict[float, float]]:
    """Of the sets of several scores, calibrated on calibration images, on validation images.

    Adaptive scores leave out a random share of a digit's own probability, so that their coverage is exact, as LAC's is.
    """
    rng = np.random.default_rng(0)
    calibration, validation = (
        classifier.probabilities(to_features(images)) for images in (split.x_calibration, split.x_validation)
    )
    candidates: dict[str, conformal.Score] = {
        "LAC": conformal.lac,
        "APS": lambda probabilities: conformal.aps(probabilities, rng=rng),
        "RAPS": lambda probabilities: conformal.raps(probabilities, rng=rng),
    }
    found: dict[str, dict[float, float]] = {}
    for name, score in candidates.items():
        of_truth = score(calibration)[np.arange(len(split.y_calibration)), split.y_calibration]
        candidate = score(validation)
        limits = {level: conformal.quantile(of_truth, level) for level in conformal.COVERAGES}
        found[name] = {
            level: float((candidate <= limit).sum(axis=1).mean())
            for level, limit in limits.items()
            if limit is not None
        }
    return found


def detect(
    scores: Mapping[str, NoveltyScore], digits: Grey, outliers: Mapping[str, Grey]
) -> dict[str, dict[str, Detection]]:
    """How well each score tells each kind of pictures from digits, all (N, 28, 28)."""
    from sklearn.metrics import roc_auc_score

    found: dict[str, dict[str, Detection]] = {}
    for name, score in scores.items():
        of_digits = score(to_features(digits))
        limit = np.quantile(of_digits, 0.95)
        found[name] = {}
        for kind, pictures in outliers.items():
            if not len(pictures):
                continue
            of_kind = score(to_features(pictures))
            truth = np.repeat([0, 1], [len(of_digits), len(of_kind)])
            auroc = float(roc_auc_score(truth, np.concatenate([of_digits, of_kind])))
            found[name][kind] = Detection(auroc, float((of_kind <= limit).mean()), float((of_kind > 1).mean()))
    return found
