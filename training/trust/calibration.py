"""Calibrate a trained network: its softmax temperature, and the calibration data in the manifest."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits.features import Floats, Grey, to_features
from digits.model.artifact import DEFAULT_COVERAGE, Calibration, Novelty, Temperature
from digits.model.classifier import Classifier, Scores
from digits.model.drift import edges_for, quantities, reference
from training.data.images import Labels, Split
from training.network.layers import activations
from training.trust import conformal
from training.trust.imitations import imitations
from training.trust.novelty import METHOD, false_alarms


@dataclass(frozen=True, slots=True)
class HeldBack:
    """Labelled images, and what a network that was not trained on them says about each."""

    images: Grey
    """uint8 (N, 28, 28)."""
    labels: Labels
    """uint8 (N,)."""
    scores: Scores
    copies: Scores | None
    """Of a distorted copy of each. None if pictures are only resized, because the distortions are those of pens."""
    folds: NDArray[np.int64] | None = None
    """(N,), the number of the network that scored each. None if it was always the served one."""

    @classmethod
    def of(cls, classifier: Classifier, images: Grey, labels: Labels) -> "HeldBack":
        """Ask a classifier about images that it was not trained on."""
        copies = None
        if classifier.manifest.preprocessing == "normalize":
            has_digits = classifier.class_names is None
            copies = classifier.scores(to_features(imitations(images, labels, has_digits=has_digits)))
        return cls(images, labels, classifier.scores(to_features(images)), copies)

    def joined(self, served: "HeldBack") -> "HeldBack":
        """Return these images of several folds together with those that the served network scored."""
        assert self.folds is not None
        copies = None if self.copies is None or served.copies is None else Scores.joined([self.copies, served.copies])
        return HeldBack(
            np.concatenate([self.images, served.images]),
            np.concatenate([self.labels, served.labels]),
            Scores.joined([self.scores, served.scores]),
            copies,
            np.concatenate([self.folds, np.full(len(served.labels), self.folds.max() + 1)]),
        )


def fit_temperature(network: Any, split: Split, *, fold: bool) -> Temperature:
    """Fit the temperature of the lecture's network on the validation images.

    With `fold`, the network's logits are divided by it. Otherwise the manifest only reports it.
    """
    _, logits = activations(network, to_features(split.x_validation))
    value = best_temperature(logits, split.y_validation)
    if fold:
        fold_temperature(network, value)
    return Temperature(value=value, folded=fold)


def best_temperature(logits: Floats, labels: Labels) -> float:
    """Return the temperature between 1/20 and 20 with the smallest cross-entropy (Guo et al. 2017).

    `logits` are float32 (N, classes), and `labels` are uint8 (N,).
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    def cross_entropy(log_temperature: float) -> float:
        scaled = log_softmax(logits.astype(np.float64) / np.exp(log_temperature), axis=1)
        return float(-scaled[np.arange(len(labels)), labels].mean())

    return float(np.exp(minimize_scalar(cross_entropy, bounds=(-3, 3), method="bounded").x))


def fold_temperature(network: Any, temperature: float) -> None:
    """Divide the last layer's kernel and bias by the temperature, in place.

    The network gets no additional layer, so that retraining starts from the lecture's layers. The most probable digit
    does not change.
    """
    last = network.layers[-1]
    last.set_weights([weights / np.float32(temperature) for weights in last.get_weights()])


def calibrate(
    held_back: HeldBack, temperature: Temperature, *, validation_images: int, has_digits: bool
) -> Calibration:
    """Compute the manifest's calibration from images that were held back, and from a distorted copy of each."""
    scores, copies, labels = held_back.scores, held_back.copies, held_back.labels
    edges, features = edges_for(scores.probabilities.shape[1]), to_features(held_back.images)
    alarms, copies_alarms = false_alarms(len(labels), has_digits=has_digits)
    return Calibration(
        validation_images=validation_images,
        calibration_images=len(labels),
        folds=None if held_back.folds is None else len(np.unique(held_back.folds)),
        coverage=conformal.supported_coverage(len(labels)) or DEFAULT_COVERAGE,
        temperature=temperature,
        prediction_sets=conformal.calibrate(scores.probabilities, labels),
        normalized_sets=None if copies is None else conformal.calibrate(copies.probabilities, labels),
        novelty=None
        if scores.novelty is None
        else Novelty(method=METHOD, false_alarms=alarms, copies_false_alarms=copies_alarms),
        reference={name: reference(values, edges[name]) for name, values in quantities(features, *scores).items()},
    )
